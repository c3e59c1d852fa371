//! `IdentifyStream`: many records, one write.
//!
//! Commands that arrive together are decided one after the other on one view, so each sees what the one before it
//! changed, exactly as if each had its own transaction; what they change together is written once.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Fault, Identifier, Timestamp};

use crate::{
    cannot_link::CannotLink,
    history::HistoryEntry,
    identify::{Identified, Identify, decide},
    matching::{Asked, Candidate, Proposal},
    record::RecordId,
    split_customer::Split,
    view::{Change, Lead, Merge, Moment, Node, View},
};

/// What consumers of the feed hear of one customer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Whether it is new.
    pub created: bool,
    /// Golden traits whose value is another one now.
    pub traits: BTreeSet<String>,
    /// Namespaces in which an identifier came.
    pub namespaces: BTreeSet<String>,
    /// When a source saw it, latest.
    pub observed_at: Option<Timestamp>,
}

/// What a group of commands changes together. The new states are in the view; here is which of them to write.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Customers to add.
    pub created: BTreeSet<CustomerId>,
    /// Customers to write again.
    pub updated: BTreeSet<CustomerId>,
    /// Customers that are now aliases, in the order of the merges; resolve the survivor in the view.
    pub merged: Vec<Merge>,
    /// Records to write; `true`: new.
    pub records: BTreeMap<RecordId, bool>,
    /// Those of them that belong to another id now, and their keys with them.
    pub rehomed: BTreeSet<RecordId>,
    /// Edges to write; `true`: new.
    pub claims: BTreeMap<(RecordId, Identifier), bool>,
    /// Nodes that lead somewhere for the first time, or elsewhere from now on; where, the view knows.
    pub leads: Vec<(Node, Lead)>,
    /// Values of which it changed with whom they were seen.
    pub sharings: BTreeSet<Identifier>,
    /// Ids that are now aliases of somebody else, or none any more; see the view.
    pub realigned: BTreeSet<CustomerId>,
    /// Cannot-links to add.
    pub cannot_links: Vec<CannotLink>,
    /// Cannot-links to take away.
    pub lifted: Vec<CannotLink>,
    /// What was taken apart.
    pub splits: Vec<Split>,
    /// How many of the merges had been made before anything was taken apart.
    pub merged_before: usize,
    /// Entries to add.
    pub history: Vec<HistoryEntry>,
    /// What to tell, by customer.
    pub news: BTreeMap<CustomerId, News>,
    /// Records that say something else than before, or claim something else.
    pub retold: BTreeSet<RecordId>,
    /// Records that share an identifier with a customer to whom they were not joined, for review.
    pub asked: Vec<Asked>,
    /// Pairs of customers that go to review.
    pub proposals: Vec<Proposal>,
    /// A pair that was decided.
    pub reviewed: Option<Candidate>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.created.is_empty() && self.updated.is_empty() && self.reviewed.is_none()
    }

    /// Notes what `change` is about to do to `view`.
    fn note(&mut self, view: &View, change: &Change) {
        let id = change.customer.id;
        for merge in &change.merged {
            self.forget(merge.loser);
            self.merged.push(merge.clone());
        }
        if change.created {
            self.created.insert(id);
        } else if !self.created.contains(&id) {
            self.updated.insert(id);
        }
        let record = change.record.id;
        let before = view.record(record);
        let new = before.is_none();
        self.records.entry(record).or_insert(new);
        let says = before.is_none_or(|before| !before.facts.agree(&change.record.facts));
        let claims = change.claims.iter().any(|claim| {
            view.claim(record, &claim.identifier).is_none_or(|known| known.is_verified() != claim.is_verified())
        });
        if says || claims {
            self.retold.insert(record);
        }
        for claim in &change.claims {
            let new = view.claim(record, &claim.identifier).is_none();
            self.claims.entry((record, claim.identifier.clone())).or_insert(new);
        }
        self.leads.extend(change.leads.iter().cloned());
        self.sharings.extend(change.sharings.iter().map(|(identifier, _)| identifier.clone()));
        for touched in &change.touched {
            let id = touched.customer.id;
            if !self.created.contains(&id) {
                self.updated.insert(id);
            }
            self.news.entry(id).or_default().namespaces.extend(touched.namespaces.iter().cloned());
        }
        self.history.extend(change.history.iter().cloned());
        self.asked.extend(change.asked.iter().cloned());
        if change.visible {
            let news = self.news.entry(id).or_default();
            news.created |= change.created;
            news.traits.extend(change.changed_traits.iter().cloned());
            news.namespaces.extend(change.changed_namespaces.iter().cloned());
            news.observed_at = news.observed_at.max(Some(change.observed_at));
        }
    }
}

impl Batch {
    /// `loser` was merged away: what it was told of itself, the survivor's news tells anew.
    pub(crate) fn forget(&mut self, loser: CustomerId) {
        self.created.remove(&loser);
        self.updated.remove(&loser);
        self.news.remove(&loser);
    }

    /// `customer` changed, in these traits among others.
    pub(crate) fn tell(&mut self, customer: CustomerId, traits: &[String]) {
        if !self.created.contains(&customer) {
            self.updated.insert(customer);
        }
        self.news.entry(customer).or_default().traits.extend(traits.iter().cloned());
    }
}

/// Decides the commands in order, each on what the ones before it left; a command that fails changes nothing and does
/// not stop the others.
pub fn identify_all(
    view: &mut View,
    commands: &[Identify],
    moment: Moment<'_>,
) -> (Vec<Result<Identified, Fault>>, Batch) {
    let mut batch = Batch::default();
    let verdicts = commands
        .iter()
        .map(|command| {
            let (change, reply) = decide(view, command, moment)?;
            if command.validate_only {
                return Ok(hypothetical(view, reply));
            }
            if let Some(change) = change {
                batch.note(view, &change);
                view.apply(&change);
            }
            Ok(reply)
        })
        .collect();
    (verdicts, batch)
}

/// Takes out the ids of what would have been created.
fn hypothetical(view: &View, reply: Identified) -> Identified {
    let customer = reply.customer.filter(|_| !reply.created);
    let record = reply.record.filter(|id| view.record(*id).is_some());
    Identified { customer, record, ..reply }
}
