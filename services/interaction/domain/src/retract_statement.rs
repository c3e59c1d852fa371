//! Takes a statement back: as if it had never been said. The one that it superseded, if still valid, holds again; a
//! boundary that it set is lifted.

use serde::{Deserialize, Serialize};
use terms::{Caller, Fault, Reason, Timestamp, Violations, Written};

use crate::{
    boundary::Boundary,
    draft::REASON_MAX,
    key::check_length,
    ports::{How, Ports},
    statement::{Ending, Standing, Statement, StatementId, StatementState},
    store::{Change, Keys, Store, View},
};

/// A statement to take back.
#[derive(Debug, Clone)]
pub struct RetractStatement {
    /// Which.
    pub statement: StatementId,
    /// Why.
    pub reason: String,
    /// The tag as it was read; empty: no check.
    pub etag: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatementRetracted {
    /// The statement.
    pub statement: Standing,
    /// The earlier one that holds again.
    pub restored: Option<Standing>,
    /// The boundary that was lifted with it.
    pub lifted: Option<Boundary>,
}

/// Takes it back. One that was taken back before stays as it is.
///
/// # Errors
/// [`Reason::StatementNotFound`], [`Reason::EtagStale`], [`Reason::InvalidFields`], [`Reason::RequestIdReused`].
pub async fn retract_statement<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    wish: RetractStatement,
) -> Result<Written<StatementRetracted>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    check_length(&mut wrong, "reason", &wish.reason, REASON_MAX);
    wrong.done()?;
    let keys = Keys { statements: vec![wish.statement], ..Keys::default() };
    ports.write(caller, &how, keys, Box::new(move |view| decide(&wish, view, now))).await
}

fn decide(wish: &RetractStatement, view: &View, now: Timestamp) -> Result<(Change, StatementRetracted), Fault> {
    let statement = view.statements.get(&wish.statement).ok_or_else(|| {
        Fault::not_found(Reason::StatementNotFound, format!("statement `{}`", wish.statement))
            .with("statement_id", wish.statement.to_string())
    })?;
    if !wish.etag.is_empty() && wish.etag != statement.etag() {
        return Err(Fault::etag_stale(format!("the statement `{}`", wish.statement)).with("etag", statement.etag()));
    }
    if statement.retraction.is_some() {
        let stands = statement.clone().standing(None, now);
        return Ok((Change::default(), StatementRetracted { statement: stands, restored: None, lifted: None }));
    }
    let ending = Ending { at: now, reason: wish.reason.clone() };
    let boundary = statement.boundary.and_then(|id| view.boundaries.get(&id)).filter(|b| b.lifted.is_none());
    Ok(end(Some(statement), boundary, &ending, view, now)).and_then(|(change, restored)| {
        let retracted = change.retracted.first().cloned().ok_or_else(|| Fault::internal("a retraction got lost"))?;
        let lifted = change.lifted.first().cloned();
        Ok((change, StatementRetracted { statement: retracted.standing(None, now), restored, lifted }))
    })
}

/// Ends a statement and a boundary, which are two faces of one thing; gives the statement that holds again.
pub(crate) fn end(
    statement: Option<&Statement>,
    boundary: Option<&Boundary>,
    ending: &Ending,
    view: &View,
    now: Timestamp,
) -> (Change, Option<Standing>) {
    let restored = statement.and_then(|gone| restored(gone, view, now));
    let change = Change {
        retracted: statement.map(|s| Statement { retraction: Some(ending.clone()), ..s.clone() }).into_iter().collect(),
        restored: restored.iter().cloned().collect(),
        lifted: boundary.map(|b| Boundary { lifted: Some(ending.clone()), ..b.clone() }).into_iter().collect(),
        ..Change::default()
    };
    (change, restored)
}

/// What holds again on the topic of `gone`.
fn restored(gone: &Statement, view: &View, now: Timestamp) -> Option<Standing> {
    let topic = view.topics.get(&(gone.customer, gone.topic.clone()))?;
    if topic.first()?.id != gone.id {
        return None;
    }
    let next = topic.get(1)?.clone();
    let head = next.id;
    Some(next.standing(Some(head), now)).filter(|s| s.state == StatementState::Current)
}
