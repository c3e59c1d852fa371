//! Which id stays with whom.
//!
//! The ids of a customer are a tree: an edge for each merge. An id goes with the larger share of the records that
//! arrived at it; edges between the sides are cut, and each side is what the merges that are left make of it.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Fault, Reason, Timestamp};

use super::part::Part;
use crate::{
    customer::Customer,
    identify::CERTAIN,
    view::{Bond, CustomerState, Merge, Moment, View},
};

/// A side of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// Who remains.
    Stays = 0,
    /// Who is taken out.
    Leaves = 1,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Stays, Self::Leaves];
}

/// The ids of the customer before the split.
pub(super) struct Ids {
    sides: BTreeMap<CustomerId, Side>,
    created: BTreeMap<CustomerId, Timestamp>,
    /// Of the records that arrived at the id that stays: how many stay, how many leave.
    share: [usize; 2],
}

impl Ids {
    /// Where an id goes; `None` for one that is none of the customer's.
    pub(super) fn side(&self, id: CustomerId) -> Option<Side> {
        self.sides.get(&id).copied()
    }

    pub(super) fn on(&self, side: Side) -> impl Iterator<Item = CustomerId> + '_ {
        self.sides.iter().filter(move |(_, s)| **s == side).map(|(id, _)| *id)
    }

    pub(super) fn created_at(&self, id: CustomerId) -> Option<Timestamp> {
        self.created.get(&id).copied()
    }

    /// When the first of the merges that are undone was made.
    pub(super) fn cut_at(&self, view: &View) -> Option<Timestamp> {
        let merges = self.sides.keys().filter_map(|id| view.merge(*id));
        merges.filter(|merge| self.side(merge.here) != self.side(merge.there)).map(|merge| merge.at).min()
    }

    /// Which side keeps the id, in one sentence.
    pub(super) fn rule(&self, id: CustomerId, remaining: &Customer, separated: &Customer) -> String {
        let [stay, leave] = self.share;
        let (side, own) = if remaining.id == id { ("remaining", stay) } else { ("separated", leave) };
        let other = if remaining.id == id { separated } else { remaining };
        let origin = if self.sides.contains_key(&other.id) { "has its former id back" } else { "has a new id" };
        format!(
            "`{id}` stays with the {side} customer, which has {own} of the {} records that arrived at it; the other \
             one {origin}",
            stay + leave
        )
    }
}

/// The ids that come out with `alias`: its side of the merge that made an alias of it.
///
/// # Errors
/// [`Reason::CustomerNotFound`] if it was not merged into the customer.
pub(super) fn beyond(view: &View, id: CustomerId, alias: CustomerId) -> Result<BTreeSet<CustomerId>, Fault> {
    let merged = view.merge(alias).filter(|_| alias != id && view.resolve(alias) == id);
    let Some(cut) = merged else {
        let what = format!("customer `{alias}` that was merged into customer `{id}`");
        return Err(Fault::not_found(Reason::CustomerNotFound, what).with("customer_id", alias.to_string()));
    };
    let edges = view.aliases_of(id).into_iter().filter(|other| *other != alias);
    let edges: Vec<(CustomerId, CustomerId)> =
        edges.filter_map(|other| view.merge(other)).map(|merge| (merge.here, merge.there)).collect();
    let mut reached = BTreeSet::from([cut.here]);
    let mut open = vec![cut.here];
    while let Some(from) = open.pop() {
        for (here, there) in &edges {
            let next = if *here == from { *there } else { *here };
            if (*here == from || *there == from) && reached.insert(next) {
                open.push(next);
            }
        }
    }
    Ok(reached)
}

/// Lets each id go with the larger share of the records that arrived at it; at a tie, it stays.
pub(super) fn assign(view: &View, id: CustomerId, part: &Part) -> Ids {
    let mut shares: BTreeMap<CustomerId, [usize; 2]> = BTreeMap::new();
    let mut created = BTreeMap::new();
    for alias in view.aliases_of(id) {
        shares.entry(alias).or_default();
        created.extend(view.merge(alias).map(|merge| (alias, merge.loser_created_at)));
    }
    shares.entry(id).or_default();
    created.extend(view.customer(id).map(|state| (id, state.created_at)));
    for (record, side) in &part.records {
        if let Some(record) = view.record(*record) {
            shares.entry(record.home).or_default()[*side as usize] += 1;
        }
    }
    let sides = shares.iter().map(|(id, [stay, leave])| {
        let leaves = leave > stay || (leave == stay && part.ids.contains(id));
        (*id, if leaves { Side::Leaves } else { Side::Stays })
    });
    Ids { sides: sides.collect(), created, share: shares.get(&id).copied().unwrap_or_default() }
}

/// What becomes of the ids of one side.
pub(super) struct Tree {
    /// Who it is.
    pub(super) root: CustomerId,
    /// The others, with the merges that make aliases of them.
    pub(super) merges: BTreeMap<CustomerId, Merge>,
}

/// Makes the merges of one side again, in their order. The id that the customer had stays a customer; a side without any
/// id gets a new one.
pub(super) fn grow(
    view: &View,
    before: &CustomerState,
    ids: &Ids,
    side: Side,
    (bond, moment): (Bond, Moment<'_>),
) -> Tree {
    let own: BTreeSet<CustomerId> = ids.on(side).collect();
    let mut growing = Growing { ids, roots: own.iter().map(|id| (*id, *id)).collect(), merges: BTreeMap::new() };
    let mut edges: Vec<&Merge> = ids.sides.keys().filter_map(|id| view.merge(*id)).collect();
    edges.retain(|merge| own.contains(&merge.here) && own.contains(&merge.there));
    edges.sort_by_key(|merge| (merge.at, merge.id));
    for edge in edges {
        growing.merge(edge);
    }
    if own.contains(&before.id) {
        growing.put_first(before.id);
    }
    let roots: BTreeSet<CustomerId> = growing.roots.values().copied().collect();
    let oldest = roots.iter().copied().min_by_key(|id| (*id != before.id, ids.created_at(*id), *id));
    let root = oldest.unwrap_or_else(|| moment.ids.next());
    // What the merges that were undone had held together stays together: by somebody's word, or by what is left.
    let certainty = if bond == Bond::Manual { CERTAIN } else { before.confidence };
    for apart in roots.into_iter().filter(|other| *other != root) {
        let merge = Merge {
            id: moment.ids.next(),
            loser: apart,
            loser_created_at: ids.created_at(apart).unwrap_or(moment.now),
            survivor: root,
            here: apart,
            there: root,
            bond,
            certainty,
            at: moment.now,
        };
        growing.merges.insert(apart, merge);
    }
    let merges = growing.merges.into_iter().map(|(id, merge)| (id, Merge { survivor: root, ..merge })).collect();
    Tree { root, merges }
}

struct Growing<'a> {
    ids: &'a Ids,
    /// Each id with the survivor that it leads to so far.
    roots: BTreeMap<CustomerId, CustomerId>,
    merges: BTreeMap<CustomerId, Merge>,
}

impl Growing<'_> {
    fn root(&self, id: CustomerId) -> CustomerId {
        self.roots.get(&id).copied().unwrap_or(id)
    }

    fn merge(&mut self, edge: &Merge) {
        let (here, there) = (self.root(edge.here), self.root(edge.there));
        let age = |id| (self.ids.created_at(id), id);
        let turned = edge.bond != Bond::Manual && age(here) < age(there);
        let (loser, survivor) = if turned { (there, here) } else { (here, there) };
        let edge = if turned { Merge { here: edge.there, there: edge.here, ..edge.clone() } } else { edge.clone() };
        self.lose(Merge { loser, survivor, ..edge });
    }

    fn lose(&mut self, merge: Merge) {
        for root in self.roots.values_mut().filter(|root| **root == merge.loser) {
            *root = merge.survivor;
        }
        let loser_created_at = self.ids.created_at(merge.loser).unwrap_or(merge.loser_created_at);
        self.merges.insert(merge.loser, Merge { loser_created_at, ..merge });
    }

    /// Lets `id` survive where another did.
    fn put_first(&mut self, id: CustomerId) {
        let root = self.root(id);
        if root == id {
            return;
        }
        let Some(lost) = self.merges.remove(&id) else { return };
        for known in self.roots.values_mut().filter(|known| **known == root) {
            *known = id;
        }
        let merge = Merge { loser: root, survivor: id, here: lost.there, there: lost.here, ..lost };
        let loser_created_at = self.ids.created_at(root).unwrap_or(merge.loser_created_at);
        self.merges.insert(root, Merge { loser_created_at, ..merge });
    }
}
