//! Records one thing that the customer told us.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use terms::{Caller, CustomerId, CustomerRef, Fault, Reason, Timestamp, Violations, Written};

use crate::{
    arrival::{Arrival, Resolved},
    boundary::Boundary,
    draft::{LABEL_MAX, StatementDraft, Telling},
    interaction::InteractionId,
    key::check_length,
    ports::{How, Ports},
    record::{Records, owner, reused},
    statement::{Standing, Statement, StatementId},
    store::{Change, Keys, Store, View},
};

/// A statement to record by itself.
#[derive(Debug, Clone)]
pub struct RecordStatement {
    /// Whose.
    pub customer: CustomerRef,
    /// The statement.
    pub statement: StatementDraft,
    /// The interaction in which it was said.
    pub source_interaction: Option<InteractionId>,
    /// The reporting system.
    pub source: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementRecorded {
    /// The statement, with how it stands.
    pub statement: Standing,
    /// The statement that stood on the topic before, if this one took its place.
    pub superseded: Vec<StatementId>,
    /// The boundary that it set.
    pub boundary: Option<Boundary>,
    /// Whether it had been recorded before.
    pub duplicate: bool,
}

/// Records it. The same id with the same content is recorded once.
///
/// # Errors
/// [`Reason::InvalidFields`], [`Reason::CustomerNotFound`], [`Reason::InteractionNotFound`], [`Reason::IdReused`],
/// [`Reason::RequestIdReused`], [`Reason::CustomerErased`].
pub async fn record_statement<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    told: &RecordStatement,
) -> Result<Written<StatementRecorded>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    told.statement.check(&mut wrong, "statement.", None, now);
    check_length(&mut wrong, "source", &told.source, LABEL_MAX);
    wrong.done()?;
    ports
        .write_for(caller, &how, &told.customer, |resolved| {
            let telling = Telling {
                customer: &told.customer,
                arrival: &Arrival::of(&told.customer, resolved.customer),
                resolved,
                interaction: told.source_interaction,
                source: &told.source,
                occurred_at: now,
                now,
            };
            let (statement, boundary) = told.statement.prepare(&telling, &ports.ids);
            let keys = Keys {
                customers: vec![resolved.customer],
                topics: vec![(resolved.customer, statement.topic.clone())],
                interactions: told.source_interaction.into_iter().collect(),
                statements: told.statement.id.into_iter().collect(),
                ..Keys::default()
            };
            let row = Arc::new((statement, boundary));
            (keys, Box::new(move |view| decide(&row.0, row.1.as_ref(), resolved, view, now)))
        })
        .await
}

fn decide(
    statement: &Statement,
    boundary: Option<&Boundary>,
    resolved: Resolved,
    view: &View,
    now: Timestamp,
) -> Result<(Change, StatementRecorded), Fault> {
    if let Some(before) = view.statements.get(&statement.id) {
        return before_now(before, statement, view, now).map(|recorded| (Change::default(), recorded));
    }
    let owner = owner(view, resolved, &statement.arrival)?;
    check_source(view, statement.source_interaction, owner)?;
    let mut records = Records::new(view);
    records.say(owner, statement);
    if let Some(boundary) = boundary {
        records.limit(owner, boundary);
    }
    let change = records.done(now);
    let stands = change.statements.first().cloned().ok_or_else(|| Fault::internal("a statement got lost"))?;
    let recorded = StatementRecorded {
        superseded: change.superseded.iter().map(|s| s.statement.id).collect(),
        boundary: change.boundaries.first().cloned(),
        statement: stands,
        duplicate: false,
    };
    Ok((change, recorded))
}

fn before_now(
    before: &Statement,
    now_given: &Statement,
    view: &View,
    now: Timestamp,
) -> Result<StatementRecorded, Fault> {
    if before.fingerprint.is_none() || before.fingerprint != now_given.fingerprint {
        return Err(reused("statement", before.id));
    }
    let head = view.head(before.customer, &before.topic).map(|s| s.id);
    Ok(StatementRecorded {
        boundary: before.boundary.and_then(|id| view.boundaries.get(&id)).cloned(),
        statement: before.clone().standing(head, now),
        superseded: Vec::new(),
        duplicate: true,
    })
}

/// Refuses an interaction that is not there, or of someone else.
pub(crate) fn check_source(view: &View, source: Option<InteractionId>, owner: CustomerId) -> Result<(), Fault> {
    match source {
        Some(id) if view.interactions.get(&id).is_none_or(|known| known.interaction.customer != owner) => {
            Err(Fault::not_found(Reason::InteractionNotFound, format!("interaction `{id}` of that customer"))
                .with("interaction_id", id.to_string()))
        }
        _ => Ok(()),
    }
}
