//! `SplitCustomer`: part of a customer becomes another customer, exactly as if it had never been merged in.
//!
//! | file | subject |
//! |---|---|
//! | `part` | which records and identifiers are taken out |
//! | `tree` | which id stays with whom |
//!
//! Records are the facts; they move whole. An identifier leads to one customer only: where records of both sides carry
//! it, the edges of the other side stay as evidence that was refused. A cannot-link between the two sides is left
//! behind. Golden records, counts and confidence are computed from the records of each side.

mod part;
mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Fault, Identifier};

use self::{
    part::{Part, parted},
    tree::{Ids, Side, assign, grow},
};
use crate::{
    anchors::Anchors,
    cannot_link::{CannotLink, CannotLinkId},
    customer::Customer,
    golden::Golden,
    history::{Detail, HistoryEntry, HistoryId, HistoryKind},
    identify::CERTAIN,
    identify_stream::Batch,
    lookup_customer::not_found,
    policy::Policy,
    record::{Claim, Record, RecordId},
    view::{Bond, CustomerState, Lead, Moment, Node, View},
};

/// The certainty of an edge that links nothing.
const REFUSED: f64 = 0.0;
/// How many identifiers, and how many records, one call names at most.
pub const MAX_NAMED: usize = 1_000;

/// A split by hand. Identifiers are normalised.
#[derive(Debug, Clone)]
pub struct SplitCustomer {
    /// The customer to take from.
    pub customer: CustomerRef,
    /// Identifiers to take out, with the records that carry them.
    pub identifiers: Vec<Identifier>,
    /// Records to take out.
    pub records: Vec<RecordId>,
    /// An id that was merged in, to take out with all that came with it.
    pub alias: Option<CustomerId>,
    /// Why, in the words of whoever splits.
    pub reason: String,
    /// The state of the customer that was read; empty: whatever it is.
    pub etag: String,
    /// Whether to decide without storing.
    pub validate_only: bool,
    /// What the tenant has decided.
    pub policy: Arc<Policy>,
}

/// The two customers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parted {
    /// Who was taken from.
    pub remaining: Customer,
    /// Who was taken out.
    pub separated: Customer,
    /// The cannot-links left behind.
    pub cannot_links: Vec<CannotLinkId>,
    /// Which side keeps the id, and why.
    pub id_rule: String,
}

/// What consumers of the feed hear of a split: what goes from the id that stays to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The split.
    pub id: HistoryId,
    /// The id that stays.
    pub from: CustomerId,
    /// The customer that has what moves.
    pub to: CustomerId,
    /// Identifiers that move.
    pub identifiers: Vec<Identifier>,
    /// Records that move.
    pub records: Vec<RecordId>,
    /// Former ids that lead to `to` from now on, itself included if it was one.
    pub customers: Vec<CustomerId>,
}

/// Splits in the view; what to write is in the batch. The view holds everything of the customer.
///
/// # Errors
/// [`terms::Reason::CustomerNotFound`], [`terms::Reason::RecordNotFound`], [`terms::Reason::IdentifierNotFound`],
/// [`terms::Reason::SplitEmpty`], [`terms::Reason::EtagStale`].
pub fn split_customer(view: &mut View, command: &SplitCustomer, moment: Moment<'_>) -> Result<(Batch, Parted), Fault> {
    let named = view.named(&command.customer).ok_or_else(|| not_found(&command.customer))?;
    let id = view.resolve(named);
    let state = view.customer(id).cloned().ok_or_else(|| not_found(&command.customer))?;
    if !command.etag.is_empty() && command.etag != state.etag() {
        return Err(Fault::etag_stale(format_args!("customer `{id}`")));
    }
    let part = parted(view, id, command)?;
    let ids = assign(view, id, &part);
    let splitting =
        Splitting { policy: &command.policy, cause: cause(command), by_hand: true, moment, before: state, part, ids };
    let mut batch = Batch::default();
    let Sides { remaining, separated, cannot_links } = splitting.carry_out(view, &mut batch);
    let assembled = |id| view.assemble(id).ok_or_else(|| Fault::internal("a side of a split is gone"));
    let (remaining, separated) = (assembled(remaining)?, assembled(separated)?);
    let id_rule = splitting.ids.rule(splitting.before.id, &remaining, &separated);
    Ok((batch, Parted { remaining, separated, cannot_links, id_rule }))
}

/// Takes the ids of a group, which are some of a customer's, out of it, with all that arrived at them. Nothing keeps the
/// two apart afterwards. The view holds everything of the customer.
///
/// # Errors
/// [`terms::Reason::Internal`] if there is no such customer.
pub(crate) fn take_out(
    view: &mut View,
    batch: &mut Batch,
    policy: &Policy,
    (customer, group): (CustomerId, BTreeSet<CustomerId>),
    cause: Cause,
    moment: Moment<'_>,
) -> Result<(), Fault> {
    let gone = || Fault::internal("a customer that parts is gone");
    let before = view.customer(customer).cloned().ok_or_else(gone)?;
    let part = Part::of(view, customer, group);
    let ids = assign(view, customer, &part);
    Splitting { policy, cause, by_hand: false, moment, before, part, ids }.carry_out(view, batch);
    Ok(())
}

/// Why a customer is taken apart, for its history.
pub(crate) struct Cause {
    /// The record that brought it about, if it was one.
    pub(crate) record: Option<RecordId>,
    /// What is personal, or rare.
    pub(crate) detail: Detail,
    /// Why.
    pub(crate) reason: String,
    /// What holds ids of one side together that had been held together by what is undone.
    pub(crate) bond: Bond,
}

fn cause(command: &SplitCustomer) -> Cause {
    let identifier = match command.identifiers.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    };
    let record = match command.records.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    Cause {
        record,
        detail: Detail { identifier, words: command.reason.clone(), ..Detail::default() },
        reason: "by hand".to_owned(),
        bond: Bond::Manual,
    }
}

/// Who came of a split.
struct Sides {
    remaining: CustomerId,
    separated: CustomerId,
    cannot_links: Vec<CannotLinkId>,
}

struct Splitting<'a> {
    policy: &'a Policy,
    cause: Cause,
    by_hand: bool,
    moment: Moment<'a>,
    before: CustomerState,
    part: Part,
    ids: Ids,
}

impl Splitting<'_> {
    fn carry_out(&self, view: &mut View, batch: &mut Batch) -> Sides {
        let trees = Side::BOTH.map(|side| grow(view, &self.before, &self.ids, side, (self.cause.bond, self.moment)));
        let roots = [trees[0].root, trees[1].root];
        let root = |side: Side| roots[side as usize];
        let cut_at = self.ids.cut_at(view);
        for tree in trees {
            for (id, merge) in tree.merges {
                batch.realigned.insert(id);
                view.realign(id, Some(merge));
            }
            if tree.root != self.before.id && view.resolve(tree.root) != tree.root {
                batch.realigned.insert(tree.root);
                view.realign(tree.root, None);
            }
        }
        let rehomed = self.rehome(view, batch, root);
        self.lead(view, batch);
        self.refuse_across(view, batch);
        for side in Side::BOTH {
            self.settle(view, batch, side, root(side));
        }
        let (remaining, separated) = (root(Side::Stays), root(Side::Leaves));
        let cannot_links = self.keep_apart(view, batch, (remaining, separated), cut_at, &rehomed);
        let split = self.moment.ids.next();
        batch.history.push(self.entry(split, remaining, separated));
        let away = if remaining == self.before.id { Side::Leaves } else { Side::Stays };
        batch.splits.push(self.news(view, split, away, root(away)));
        Sides { remaining, separated, cannot_links }
    }

    /// Records whose id stays with the other side get one of their own side. Gives from which id to which.
    fn rehome(
        &self,
        view: &mut View,
        batch: &mut Batch,
        root: impl Fn(Side) -> CustomerId,
    ) -> BTreeSet<(CustomerId, CustomerId)> {
        let mut rehomed = BTreeSet::new();
        for (record, side) in &self.part.records {
            let Some(home) = view.record(*record).map(|r| r.home) else { continue };
            if self.ids.side(home) == Some(*side) {
                continue;
            }
            let target = root(*side);
            rehomed.insert((home, target));
            let carried: Vec<_> =
                view.claims().filter(|(of, _)| of == record).map(|(_, claim)| claim.identifier.clone()).collect();
            view.rehome(*record, target);
            batch.records.entry(*record).or_insert(false);
            batch.rehomed.insert(*record);
            // What an edge holds is sealed under the home of its record.
            for identifier in carried {
                batch.claims.entry((*record, identifier)).or_insert(false);
            }
        }
        rehomed
    }

    /// Identifiers lead to their side: by the record by which they were first known there.
    fn lead(&self, view: &mut View, batch: &mut Batch) {
        for (identifier, side) in &self.part.identifiers {
            let node = Node::Identifier(identifier.clone());
            let Some(lead) = view.lead(&node) else { continue };
            let at_home = self.ids.side(lead.customer) == Some(*side)
                && self.part.records.get(&lead.record) == Some(side)
                && !batch.rehomed.contains(&lead.record);
            if at_home {
                continue;
            }
            let carriers = view.claims().filter(|(record, claim)| {
                claim.identifier == *identifier && self.part.records.get(record) == Some(side)
            });
            let first = carriers.map(|(record, claim)| (claim.created_at, record)).min();
            let Some(record) = first.and_then(|(_, record)| view.record(record)) else { continue };
            let lead = Lead { customer: record.home, record: record.id };
            view.add_lead(node.clone(), lead);
            batch.leads.push((node, lead));
        }
    }

    /// Edges to identifiers of the other side link nothing any more.
    fn refuse_across(&self, view: &mut View, batch: &mut Batch) {
        let across = |(record, claim): &(RecordId, &Claim)| {
            let side = self.part.records.get(record);
            claim.links()
                && side.is_some()
                && self.part.identifiers.get(&claim.identifier).is_some_and(|s| side != Some(s))
        };
        let refused: Vec<_> = view.claims().filter(across).map(|(record, claim)| (record, claim.clone())).collect();
        for (record, claim) in refused {
            batch.claims.entry((record, claim.identifier.clone())).or_insert(false);
            view.add_claim(record, Claim { certainty: REFUSED, ..claim });
        }
    }

    /// The state of one side, from its records alone.
    fn settle(&self, view: &mut View, batch: &mut Batch, side: Side, id: CustomerId) {
        let own: Vec<&Record> =
            self.part.records.iter().filter(|(_, s)| **s == side).filter_map(|(id, _)| view.record(*id)).collect();
        let golden = Golden::of(self.policy, own.iter().copied());
        let edges = view.claims().filter(|(record, _)| self.part.records.get(record) == Some(&side));
        let anchors = Anchors::of(self.policy, edges.map(|(_, claim)| claim));
        let stays = id == self.before.id;
        let created_at =
            if stays { self.before.created_at } else { self.ids.created_at(id).unwrap_or(self.moment.now) };
        let state = CustomerState {
            id,
            record_count: u32::try_from(own.len()).unwrap_or(u32::MAX),
            confidence: self.confidence(view, side),
            created_at,
            updated_at: self.moment.now,
            version: self.before.version + 1,
            golden,
            anchors,
        };
        // Whoever kept what the id meant before the merge hears of every trait that may have gone since.
        let mut traits: BTreeSet<String> = state.golden.differing(&self.before.golden).into_iter().collect();
        if !stays {
            traits.extend(own.iter().flat_map(|record| record.facts.traits.keys().cloned()));
            traits.extend(self.before.golden.traits.keys().cloned());
        }
        let news = batch.news.entry(id).or_default();
        news.created |= self.ids.side(id).is_none();
        news.traits.extend(traits);
        news.namespaces.extend(self.part.identifiers.keys().map(|identifier| identifier.namespace.clone()));
        news.observed_at = Some(self.moment.now);
        if stays {
            batch.updated.insert(id)
        } else {
            batch.created.insert(id)
        };
        view.add_customer(state);
    }

    /// The least certain evidence that holds a side together.
    fn confidence(&self, view: &View, side: Side) -> f64 {
        let linked = |(record, claim): &(RecordId, &Claim)| {
            claim.links()
                && self.part.records.get(record) == Some(&side)
                && self.part.identifiers.get(&claim.identifier) == Some(&side)
        };
        let claims = view.claims().filter(linked).map(|(_, claim)| claim.certainty);
        let merges = self.ids.on(side).filter_map(|id| view.merge(id)).map(|merge| merge.certainty);
        claims.chain(merges).fold(CERTAIN, f64::min)
    }

    /// Leaves a cannot-link between the two if somebody took them apart, and those that bound what moved go along.
    fn keep_apart(
        &self,
        view: &mut View,
        batch: &mut Batch,
        (remaining, separated): (CustomerId, CustomerId),
        cut_at: Option<terms::Timestamp>,
        rehomed: &BTreeSet<(CustomerId, CustomerId)>,
    ) -> Vec<CannotLinkId> {
        let mut wanted: BTreeSet<(CustomerId, CustomerId)> = BTreeSet::new();
        for link in view.cannot_links() {
            for (own, other) in [(link.a, link.b), (link.b, link.a)] {
                let Some(side) = self.ids.side(own) else { continue };
                wanted.extend(rehomed.iter().filter(|(from, _)| *from == own).map(|(_, to)| (*to, other)));
                // It was made when both sides were one: it binds both.
                if cut_at.is_some_and(|cut| cut <= link.at) {
                    wanted.insert((if side == Side::Stays { separated } else { remaining }, other));
                }
            }
        }
        if self.by_hand {
            wanted.insert((remaining, separated));
        }
        let mut made = Vec::new();
        for (one, other) in wanted {
            if one == other || view.cannot_link(view.resolve(one), view.resolve(other)).is_some() {
                continue;
            }
            let link = CannotLink::between(self.moment.ids.next(), one, other, self.moment.actor, self.moment.now);
            made.push(link.id);
            view.add_cannot_link(link.clone());
            batch.cannot_links.push(link);
        }
        made
    }

    fn entry(&self, id: HistoryId, remaining: CustomerId, separated: CustomerId) -> HistoryEntry {
        HistoryEntry {
            id,
            kind: HistoryKind::Split,
            customer: remaining,
            other: Some(separated),
            record: self.cause.record,
            detail: self.cause.detail.clone(),
            actor: self.moment.actor.to_owned(),
            reason: self.cause.reason.clone(),
            at: self.moment.now,
        }
    }

    fn news(&self, view: &View, id: HistoryId, away: Side, to: CustomerId) -> Split {
        let of = |side: &Side| *side == away;
        let records: BTreeMap<&RecordId, &Side> = self.part.records.iter().filter(|(_, side)| of(side)).collect();
        Split {
            id,
            from: self.before.id,
            to,
            identifiers: self.part.identifiers.iter().filter(|(_, s)| of(s)).map(|(i, _)| i.clone()).collect(),
            records: records.keys().map(|record| **record).collect(),
            customers: self.ids.on(away).filter(|id| view.resolve(*id) == to).collect(),
        }
    }
}
