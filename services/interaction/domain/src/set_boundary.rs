//! Sets what a customer will never accept, with the statement that says so.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::{Caller, CustomerRef, Fault, Timestamp, Violations, Written};

use crate::{
    arrival::{Arrival, Resolved},
    boundary::{Boundary, Scope},
    draft::{LABEL_MAX, StatementDraft, Telling, UTTERANCE_MAX, check_event_time},
    interaction::InteractionId,
    key::check_length,
    ports::{How, Ports},
    record::{Records, owner},
    record_statement::check_source,
    statement::{Standing, Statement, StatementKind},
    store::{Change, Keys, Store, View},
};

/// A boundary to set.
#[derive(Debug, Clone)]
pub struct SetBoundary {
    /// Whose.
    pub customer: CustomerRef,
    /// The customer's own words.
    pub words: String,
    /// What it forbids.
    pub scope: Scope,
    /// The interaction in which it was set.
    pub source_interaction: Option<InteractionId>,
    /// Event time; otherwise now.
    pub occurred_at: Option<Timestamp>,
    /// Until when it holds; otherwise until lifted.
    pub valid_until: Option<Timestamp>,
    /// The reporting system.
    pub source: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundarySet {
    /// The boundary.
    pub boundary: Boundary,
    /// The statement of the kind boundary that goes with it.
    pub statement: Standing,
}

/// Sets it.
///
/// # Errors
/// [`terms::Reason::InvalidFields`], [`terms::Reason::CustomerNotFound`], [`terms::Reason::InteractionNotFound`],
/// [`terms::Reason::RequestIdReused`], [`terms::Reason::CustomerErased`].
pub async fn set_boundary<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    wish: &SetBoundary,
) -> Result<Written<BoundarySet>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    wish.check(&mut wrong, now);
    wrong.done()?;
    let draft = wish.statement();
    ports
        .write_for(caller, &how, &wish.customer, |resolved| {
            let telling = Telling {
                customer: &wish.customer,
                arrival: &Arrival::of(&wish.customer, resolved.customer),
                resolved,
                interaction: wish.source_interaction,
                source: &wish.source,
                occurred_at: now,
                now,
            };
            let row = Arc::new(draft.prepare(&telling, &ports.ids));
            let keys = Keys {
                customers: vec![resolved.customer],
                topics: vec![(resolved.customer, draft.topic.clone())],
                interactions: wish.source_interaction.into_iter().collect(),
                ..Keys::default()
            };
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
) -> Result<(Change, BoundarySet), Fault> {
    let owner = owner(view, resolved, &statement.arrival)?;
    check_source(view, statement.source_interaction, owner)?;
    let mut records = Records::new(view);
    records.say(owner, statement);
    if let Some(boundary) = boundary {
        records.limit(owner, boundary);
    }
    let change = records.done(now);
    match (change.boundaries.first().cloned(), change.statements.first().cloned()) {
        (Some(boundary), Some(statement)) => Ok((change, BoundarySet { boundary, statement })),
        _ => Err(Fault::internal("a boundary got lost")),
    }
}

impl SetBoundary {
    /// Notes everything that is wrong with it.
    pub fn check(&self, wrong: &mut Violations, now: Timestamp) {
        wrong.add_if(self.words.is_empty(), "statement", "is required: the customer's own words");
        check_length(wrong, "statement", &self.words, UTTERANCE_MAX);
        check_length(wrong, "source", &self.source, LABEL_MAX);
        self.scope.check(wrong, "scope");
        check_event_time(wrong, "occurred_at", self.occurred_at, now);
        if self.valid_until.is_some_and(|until| until <= self.occurred_at.unwrap_or(now)) {
            wrong.add("valid_until", "is not after the time at which it was set");
        }
    }

    fn statement(&self) -> StatementDraft {
        StatementDraft {
            id: None,
            topic: self.scope.statement_topic(),
            value: Value::String(self.words.clone()),
            kind: StatementKind::Boundary,
            confidence: 1.0,
            valid_until: self.valid_until,
            utterance: self.words.clone(),
            occurred_at: self.occurred_at,
            scope: Some(self.scope.clone()),
        }
    }
}
