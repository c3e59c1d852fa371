//! Where ids lead: every merge and split that identity told, in whatever order they came.
//!
//! A merge of a customer makes all ids that lead to it lead to the survivor. A split names the ids that lead elsewhere
//! from then on; others stay. Identity writes both into the partitions of all whom they concern, and partitions are
//! read at different speeds: so they are kept with their places in identity's feed, and where an id leads is worked out
//! from all that is known, as if it had come in order. Hearing one twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Position};

/// What one merge or split says of one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Link {
    /// The customer was merged; who survived.
    Merged(CustomerId),
    /// The id was taken out; where it leads. Of the customer that it was taken from: the customer itself.
    Split(CustomerId),
}

impl Link {
    /// The other id.
    pub const fn other(self) -> CustomerId {
        match self {
            Self::Merged(other) | Self::Split(other) => other,
        }
    }

    /// Whether it is a split; the stored form.
    pub const fn is_split(self) -> bool {
        matches!(self, Self::Split(_))
    }

    /// Reads the stored form.
    pub const fn new(is_split: bool, other: CustomerId) -> Self {
        if is_split { Self::Split(other) } else { Self::Merged(other) }
    }
}

/// The merges and splits of some customers.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    links: BTreeMap<CustomerId, BTreeMap<Position, Link>>,
    ids: BTreeSet<CustomerId>,
}

impl Lineage {
    /// Adds what is known of an id; whether it is new.
    pub fn add(&mut self, id: CustomerId, at: Position, link: Link) -> bool {
        self.ids.extend([id, link.other()]);
        self.links.entry(id).or_default().insert(at, link).is_none()
    }

    /// Every id that is named. Whoever reads a lineage reads on until these are all that are connected.
    pub fn ids(&self) -> &BTreeSet<CustomerId> {
        &self.ids
    }

    /// Where an id leads.
    pub fn lead(&self, id: CustomerId) -> CustomerId {
        let mut owner = id;
        let mut at = Position { xid: i64::MIN, seq: i64::MIN };
        // Each step goes on in time: there are no more steps than links.
        loop {
            let split = self.next(id, at, Link::is_split);
            let merged = self.next(owner, at, |link| !link.is_split());
            let Some((next, link)) = [split, merged].into_iter().flatten().min_by_key(|(next, _)| *next) else {
                return owner;
            };
            (owner, at) = (link.other(), next);
        }
    }

    fn next(&self, id: CustomerId, after: Position, wanted: impl Fn(Link) -> bool) -> Option<(Position, Link)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut later = self.links.get(&id)?.range((Excluded(after), Unbounded));
        later.find(|(_, link)| wanted(**link)).map(|(at, link)| (*at, *link))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn c(n: u128) -> CustomerId {
        CustomerId::from_uuid(Uuid::from_u128(n))
    }

    fn at(seq: i64) -> Position {
        Position { xid: 0, seq }
    }

    type Known = (CustomerId, Position, Link);

    /// What identity does, in order: the truth.
    fn truth(steps: &[(u8, u8, u8)]) -> (BTreeMap<CustomerId, CustomerId>, Vec<Known>) {
        let mut leads: BTreeMap<CustomerId, CustomerId> = (0..6).map(|n| (c(n), c(n))).collect();
        let mut links = Vec::new();
        for (n, (kind, a, b)) in steps.iter().enumerate() {
            let (a, b) = (c(u128::from(a % 6)), c(u128::from(b % 6)));
            let position = at(2 * n as i64);
            if kind % 3 > 0 {
                let (loser, survivor) = (leads[&a], leads[&b]);
                if loser != survivor {
                    leads.values_mut().filter(|lead| **lead == loser).for_each(|lead| *lead = survivor);
                    links.push((loser, position, Link::Merged(survivor)));
                }
            } else if leads[&a] != a {
                // `a` comes out, and with it about half of the others that lead to the same customer.
                let from = leads[&a];
                links.push((from, position, Link::Split(from)));
                let others: Vec<_> =
                    leads.iter().filter(|(id, lead)| **lead == from && **id != from).map(|(id, _)| *id).collect();
                for (k, id) in others.into_iter().enumerate() {
                    if id == a || (k + usize::from(b.as_bytes()[15])) % 2 == 0 {
                        leads.insert(id, a);
                        links.push((id, position, Link::Split(a)));
                    }
                }
            }
        }
        (leads, links)
    }

    proptest! {
        #[test]
        fn any_order_leads_to_the_truth(
            steps in prop::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..30),
            (seed, copies) in (any::<u64>(), prop::collection::vec(any::<bool>(), 60)),
        ) {
            let (leads, mut links) = truth(&steps);
            // Some are heard twice, at neighbouring places.
            let again: Vec<_> = links.iter().zip(copies.iter().cycle()).filter(|(_, twice)| **twice)
                .map(|((id, position, link), _)| (*id, at(position.seq + 1), *link)).collect();
            links.extend(again);
            links.sort_by_key(|(_, position, _)| (position.seq as u64).wrapping_mul(seed | 1));
            let mut lineage = Lineage::default();
            for (id, position, link) in links {
                lineage.add(id, position, link);
            }
            for (id, lead) in leads {
                prop_assert_eq!(lineage.lead(id), lead);
            }
        }
    }
}
