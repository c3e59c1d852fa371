//! Recording, decided: which drafts are new, which were there, and how their statements stand. Pure.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use terms::{CustomerId, Fault, Position, Reason, Revision, Service, Timestamp};

use crate::{
    arrival::{Arrival, Resolved},
    boundary::Boundary,
    draft::Prepared,
    interaction::{Interaction, InteractionId},
    statement::{Standing, Statement, StatementId, StatementState},
    store::{Change, Keys, Recorded, View},
};

/// What the stream answers for a record that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The interaction.
    pub interaction: InteractionId,
    /// To whom it belongs.
    pub customer: CustomerId,
    /// Its statements, in the order given.
    pub statements: Vec<StatementId>,
    /// Whether it had been recorded before.
    pub duplicate: bool,
}

/// What must be known before `batch` can be recorded.
pub fn keys(batch: &[Prepared]) -> Keys {
    let mut keys = Keys { customers: batch.iter().map(|p| p.resolved.customer).collect(), ..Keys::default() };
    keys.customers.sort_unstable();
    keys.customers.dedup();
    for prepared in batch {
        keys.interactions.extend(prepared.interaction.fingerprint.map(|_| prepared.interaction.id));
        for statement in &prepared.statements {
            keys.topics.push((prepared.resolved.customer, statement.topic.clone()));
            keys.statements.extend(statement.fingerprint.map(|_| statement.id));
        }
    }
    keys
}

/// Records `batch` as far as each allows it; one verdict each, in order.
pub fn decide_batch(batch: &[Prepared], view: &View, now: Timestamp) -> (Change, Vec<Result<Acknowledged, Fault>>) {
    let mut records = Records::new(view);
    let verdicts = batch
        .iter()
        .map(|prepared| {
            let duplicate = match records.take(prepared)? {
                Taken::New => false,
                Taken::Before(_) | Taken::InBatch => true,
            };
            let statements = match view.interactions.get(&prepared.interaction.id) {
                Some(before) => before.interaction.statements.clone(),
                None => records.said_in(prepared.interaction.id).unwrap_or(&prepared.interaction.statements).to_vec(),
            };
            let customer = match view.interactions.get(&prepared.interaction.id) {
                Some(before) => before.interaction.customer,
                None => view.owner(prepared.resolved.customer)?,
            };
            Ok(Acknowledged { interaction: prepared.interaction.id, customer, statements, duplicate })
        })
        .collect();
    (records.done(now), verdicts)
}

/// Records one interaction.
///
/// # Errors
/// [`Reason::IdReused`], [`Reason::CustomerErased`], or a stale reference (see [`stale_since`]).
pub fn decide_one(prepared: &Prepared, view: &View, now: Timestamp) -> Result<(Change, Recorded), Fault> {
    let mut records = Records::new(view);
    if let Taken::Before(recorded) = records.take(prepared)? {
        return Ok((Change::default(), *recorded));
    }
    let change = records.done(now);
    let recorded = Recorded {
        interaction: change.interactions.first().cloned().unwrap_or_else(|| prepared.interaction.clone()),
        statements: change.statements.clone(),
        boundaries: change.boundaries.clone(),
        duplicate: false,
    };
    Ok((change, recorded))
}

enum Taken {
    New,
    Before(Box<Recorded>),
    InBatch,
}

/// A change under way: what has been taken so far, and which statement stands on which topic by it.
pub(crate) struct Records<'a> {
    view: &'a View,
    change: Change,
    by_id: HashMap<InteractionId, usize>,
    said: HashSet<StatementId>,
    heads: HashMap<(CustomerId, String), (Timestamp, StatementId)>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(view: &'a View) -> Self {
        Self { view, change: Change::default(), by_id: HashMap::new(), said: HashSet::new(), heads: HashMap::new() }
    }

    fn said_in(&self, id: InteractionId) -> Option<&[StatementId]> {
        self.by_id.get(&id).and_then(|i| self.change.interactions.get(*i)).map(|taken| taken.statements.as_slice())
    }

    fn take(&mut self, prepared: &Prepared) -> Result<Taken, Fault> {
        let id = prepared.interaction.id;
        if let Some(before) = self.view.interactions.get(&id) {
            same(before.interaction.fingerprint, prepared.interaction.fingerprint, id)?;
            return Ok(Taken::Before(Box::new(Recorded { duplicate: true, ..before.clone() })));
        }
        if let Some(taken) = self.by_id.get(&id).and_then(|i| self.change.interactions.get(*i)) {
            same(taken.fingerprint, prepared.interaction.fingerprint, id)?;
            return Ok(Taken::InBatch);
        }
        let owner = owner(self.view, prepared.resolved, &prepared.interaction.arrival)?;
        for statement in &prepared.statements {
            if self.view.statements.contains_key(&statement.id) || self.said.contains(&statement.id) {
                return Err(reused("statement", statement.id));
            }
        }
        self.by_id.insert(id, self.change.interactions.len());
        self.change.interactions.push(Interaction { customer: owner, ..prepared.interaction.clone() });
        for statement in &prepared.statements {
            self.say(owner, statement);
        }
        for boundary in &prepared.boundaries {
            self.limit(owner, boundary);
        }
        Ok(Taken::New)
    }

    /// Takes a statement of `owner`.
    pub(crate) fn say(&mut self, owner: CustomerId, statement: &Statement) {
        self.said.insert(statement.id);
        let key = (owner, statement.topic.clone());
        let stands =
            self.heads.get(&key).copied().or_else(|| self.view.head(owner, &statement.topic).map(Statement::order));
        if stands.is_none_or(|head| statement.order() > head) {
            self.heads.insert(key, statement.order());
        }
        let statement = Statement { customer: owner, ..statement.clone() };
        // How it stands is settled when all have been taken.
        self.change.statements.push(Standing { statement, state: StatementState::Current, superseded_by: None });
    }

    /// Takes a boundary of `owner`.
    pub(crate) fn limit(&mut self, owner: CustomerId, boundary: &Boundary) {
        self.change.boundaries.push(Boundary { customer: owner, ..boundary.clone() });
    }

    /// The change, with how every statement stands by it.
    pub(crate) fn done(self, now: Timestamp) -> Change {
        let Self { view, mut change, heads, .. } = self;
        let head = |owner: CustomerId, topic: &str| {
            let taken = heads.get(&(owner, topic.to_owned())).map(|(_, id)| *id);
            taken.or_else(|| view.head(owner, topic).map(|s| s.id))
        };
        change.statements = change
            .statements
            .into_iter()
            .map(|said| {
                let head = head(said.statement.customer, &said.statement.topic);
                said.statement.standing(head, now)
            })
            .collect();
        let superseded = heads.iter().filter_map(|((owner, topic), (_, by))| {
            view.head(*owner, topic).map(|before| before.clone().standing(Some(*by), now))
        });
        change.superseded = superseded.collect();
        change.superseded.sort_by_key(|s| s.statement.id);
        change
    }
}

/// The customer to whom what is addressed by `resolved` belongs now.
///
/// # Errors
/// [`Reason::CustomerErased`]; a stale reference when the customer was split since it was resolved.
pub(crate) fn owner(view: &View, resolved: Resolved, arrival: &Arrival) -> Result<CustomerId, Fault> {
    let may_have_moved = arrival.identifier.is_some() || arrival.addressed != resolved.customer;
    let split_at = view.subjects.get(&resolved.customer).map(|subject| subject.split_at).unwrap_or_default();
    if may_have_moved && split_at > resolved.at {
        return Err(Fault::new(Reason::WriteConflict, "the customer was split while this was recorded; retry it")
            .with(STALE, format!("{}-{}", split_at.xid, split_at.seq)));
    }
    view.owner(resolved.customer)
}

const STALE: &str = "reference_stale";

/// If a fault says that a reference must be resolved anew: what the new answer must show. A place in identity's feed is
/// one of the whole feed, whatever the partition.
pub fn stale_since(fault: &Fault) -> Option<Revision> {
    let (_, place) = fault.metadata().iter().find(|(key, _)| *key == STALE)?;
    let (xid, seq) = place.split_once('-')?;
    let position = Position { xid: xid.parse().ok()?, seq: seq.parse().ok()? };
    Some(Revision::at(Service::Identity, 0, position))
}

/// Refuses another content under an id that is taken.
pub(crate) fn same(before: Option<[u8; 32]>, now: Option<[u8; 32]>, id: InteractionId) -> Result<(), Fault> {
    if before.is_some() && before == now { Ok(()) } else { Err(reused("interaction", id)) }
}

/// The id is taken by something else.
pub(crate) fn reused(what: &'static str, id: impl std::fmt::Display) -> Fault {
    let key = if what == "interaction" { "interaction_id" } else { "statement_id" };
    Fault::new(Reason::IdReused, format!("the {what} `{id}` was recorded before with other content; give a new id"))
        .with(key, id.to_string())
}
