//! Records one interaction with what the customer said in it.

use std::sync::Arc;

use terms::{Caller, Fault, Violations, Written};

use crate::{
    draft::InteractionDraft,
    ports::{How, Ports},
    record::{decide_one, keys},
    store::{Recorded, Store},
};

/// Records `draft`. The same id with the same content is recorded once.
///
/// # Errors
/// [`terms::Reason::InvalidFields`], [`terms::Reason::CustomerNotFound`], [`terms::Reason::IdReused`],
/// [`terms::Reason::RequestIdReused`], [`terms::Reason::CustomerErased`].
pub async fn record_interaction<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    draft: &InteractionDraft,
) -> Result<Written<Recorded>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    draft.check(&mut wrong, "interaction.", now);
    wrong.done()?;
    ports
        .write_for(caller, &how, &draft.customer, |resolved| {
            let prepared = Arc::new(draft.prepare(resolved, now, &ports.ids));
            let keys = keys(std::slice::from_ref(&*prepared));
            (keys, Box::new(move |view| decide_one(&prepared, view, now)))
        })
        .await
}
