//! Records interactions in bulk: one verdict each, in order.

use std::sync::Arc;

use terms::{Caller, CustomerRef, Fault, Revision, Violations};

use crate::{
    customers::unknown,
    draft::InteractionDraft,
    ports::{ATTEMPTS, Ports},
    record::{Acknowledged, decide_batch, keys, stale_since},
    store::Store,
};

/// What became of a batch: durable when it is told.
#[derive(Debug)]
pub struct Batch {
    /// One verdict per draft, in order.
    pub verdicts: Vec<Result<Acknowledged, Fault>>,
    /// A state that contains everything that was recorded.
    pub revision: Revision,
}

/// Records `drafts` in one transaction, each as far as it is right. A draft that could not be read comes as its fault.
///
/// # Errors
/// Only what concerns all of them: the store or identity does not answer.
pub async fn record_interactions<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    drafts: Vec<Result<InteractionDraft, Fault>>,
) -> Result<Batch, Fault> {
    let now = ports.clock.now();
    let mut verdicts: Vec<Option<Result<Acknowledged, Fault>>> = Vec::with_capacity(drafts.len());
    let mut open: Vec<(usize, InteractionDraft)> = Vec::with_capacity(drafts.len());
    for (i, draft) in drafts.into_iter().enumerate() {
        match draft.and_then(|draft| checked(draft, now)) {
            Ok(draft) => {
                open.push((i, draft));
                verdicts.push(None);
            }
            Err(fault) => verdicts.push(Some(Err(fault))),
        }
    }
    let mut revision = Revision::new();
    let mut seen = Revision::new();
    for attempt in 1..=ATTEMPTS {
        if open.is_empty() {
            break;
        }
        let batch = one_pass(ports, caller, &open, &seen, now).await?;
        revision.merge(&batch.revision);
        let mut stale = Vec::new();
        for ((i, draft), verdict) in open.into_iter().zip(batch.verdicts) {
            match verdict.as_ref().err().and_then(stale_since) {
                Some(since) if attempt < ATTEMPTS => {
                    seen.merge(&since);
                    stale.push((i, draft));
                }
                _ => {
                    if let Some(place) = verdicts.get_mut(i) {
                        *place = Some(verdict);
                    }
                }
            }
        }
        open = stale;
    }
    let verdicts = verdicts.into_iter().map(|v| v.unwrap_or_else(|| Err(Fault::internal("a record without verdict"))));
    Ok(Batch { verdicts: verdicts.collect(), revision })
}

fn checked(draft: InteractionDraft, now: terms::Timestamp) -> Result<InteractionDraft, Fault> {
    let mut wrong = Violations::new();
    draft.check(&mut wrong, "interaction.", now);
    wrong.done().map(|()| draft)
}

/// Resolves, prepares and commits; one verdict per draft of `open`.
async fn one_pass<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    open: &[(usize, InteractionDraft)],
    seen: &Revision,
    now: terms::Timestamp,
) -> Result<Batch, Fault> {
    let refs: Vec<CustomerRef> = open.iter().map(|(_, draft)| draft.customer.clone()).collect();
    let resolved = ports.customers.resolve(caller, &refs, seen).await?;
    let mut prepared = Vec::with_capacity(open.len());
    let mut known = Vec::with_capacity(open.len());
    for ((_, draft), resolved) in open.iter().zip(resolved) {
        known.push(resolved.is_some());
        prepared.extend(resolved.map(|resolved| draft.prepare(resolved, now, &ports.ids)));
    }
    let mut revision = Revision::new();
    let mut taken = Vec::new().into_iter();
    if !prepared.is_empty() {
        let (keys, prepared) = (keys(&prepared), Arc::new(prepared));
        let written = ports.store.commit(caller, keys, move |view| Ok(decide_batch(&prepared, view, now))).await?;
        revision = written.revision;
        taken = written.value.into_iter();
    }
    let verdicts = open.iter().zip(known).map(|((_, draft), known)| {
        if known {
            taken.next().unwrap_or_else(|| Err(Fault::internal("a verdict is missing")))
        } else {
            Err(unknown(&draft.customer))
        }
    });
    Ok(Batch { verdicts: verdicts.collect(), revision })
}
