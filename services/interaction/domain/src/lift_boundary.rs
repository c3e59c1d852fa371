//! Ends a boundary at the wish of the customer. It stays in history; the statement that set it is taken back.

use terms::{Caller, Fault, Reason, Timestamp, Violations, Written};

use crate::{
    boundary::{Boundary, BoundaryId},
    draft::REASON_MAX,
    key::check_length,
    ports::{How, Ports},
    retract_statement::end,
    statement::Ending,
    store::{Change, Keys, Store, View},
};

/// A boundary to lift.
#[derive(Debug, Clone)]
pub struct LiftBoundary {
    /// Which.
    pub boundary: BoundaryId,
    /// Why, in the customer's words where possible.
    pub reason: String,
    /// The tag as it was read; empty: no check.
    pub etag: String,
}

/// Lifts it. One that was lifted before stays as it is.
///
/// # Errors
/// [`Reason::BoundaryNotFound`], [`Reason::EtagStale`], [`Reason::InvalidFields`], [`Reason::RequestIdReused`].
pub async fn lift_boundary<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    wish: LiftBoundary,
) -> Result<Written<Boundary>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    wrong.add_if(wish.reason.is_empty(), "reason", "is required, in the customer's words where possible");
    check_length(&mut wrong, "reason", &wish.reason, REASON_MAX);
    wrong.done()?;
    let keys = Keys { boundaries: vec![wish.boundary], ..Keys::default() };
    ports.write(caller, &how, keys, Box::new(move |view| decide(&wish, view, now))).await
}

fn decide(wish: &LiftBoundary, view: &View, now: Timestamp) -> Result<(Change, Boundary), Fault> {
    let boundary = view.boundaries.get(&wish.boundary).ok_or_else(|| {
        Fault::not_found(Reason::BoundaryNotFound, format!("boundary `{}`", wish.boundary))
            .with("boundary_id", wish.boundary.to_string())
    })?;
    if !wish.etag.is_empty() && wish.etag != boundary.etag() {
        return Err(Fault::etag_stale(format!("the boundary `{}`", wish.boundary)).with("etag", boundary.etag()));
    }
    if boundary.lifted.is_some() {
        return Ok((Change::default(), boundary.clone()));
    }
    let ending = Ending { at: now, reason: wish.reason.clone() };
    let statement = boundary.statement.and_then(|id| view.statements.get(&id)).filter(|s| s.retraction.is_none());
    let (change, _) = end(statement, Some(boundary), &ending, view, now);
    let lifted = change.lifted.first().cloned().ok_or_else(|| Fault::internal("a lifting got lost"))?;
    Ok((change, lifted))
}
