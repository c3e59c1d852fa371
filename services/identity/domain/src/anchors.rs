//! What guards need to know of a customer, kept with it: its identifiers in namespaces that are unique or limited.
//!
//! They follow from the edges of its records, and are kept edge by edge, so that a decision reads one row however many
//! records there are. [`Anchors::of`] computes them from all edges; [`Anchors::follow`] and [`Anchors::absorb`] keep
//! them, and a property test holds them equal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::{Identifier, Timestamp};

use crate::{policy::Policy, record::Claim};

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// When a source first saw it with the customer (event time).
    #[serde(rename = "f")]
    pub first_seen: Timestamp,
    /// How many records link it to the customer.
    #[serde(rename = "n")]
    pub records: u32,
    /// How many of them have proof that the customer controls it.
    #[serde(rename = "v", default, skip_serializing_if = "is_zero")]
    pub proofs: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The values by namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Anchors(BTreeMap<String, BTreeMap<String, Anchor>>);

impl Anchors {
    /// From every edge of the customer's records.
    pub fn of<'a>(policy: &Policy, claims: impl IntoIterator<Item = &'a Claim>) -> Self {
        let mut anchors = Self::default();
        for claim in claims {
            anchors.follow(policy, None, claim);
        }
        anchors
    }

    /// Follows an edge from what it was `before`, if it was, to what it is now.
    pub fn follow(&mut self, policy: &Policy, before: Option<&Claim>, now: &Claim) {
        let Identifier { namespace, value } = &now.identifier;
        let before = before.filter(|claim| claim.links());
        if !now.links() || !policy.rules(namespace).is_some_and(crate::policy::Rules::anchors) {
            return;
        }
        let values = self.0.entry(namespace.clone()).or_default();
        let fresh = Anchor { first_seen: now.first_seen, records: 0, proofs: 0 };
        let anchor = values.entry(value.clone()).or_insert(fresh);
        anchor.first_seen = anchor.first_seen.min(now.first_seen);
        anchor.records = anchor.records.saturating_add(u32::from(before.is_none()));
        let proved = before.is_some_and(Claim::is_verified);
        anchor.proofs = (anchor.proofs + u32::from(now.is_verified())).saturating_sub(u32::from(proved));
    }

    /// Joins the anchors of another customer, whose records are other ones.
    pub fn absorb(&mut self, other: &Self) {
        for (namespace, values) in &other.0 {
            let known = self.0.entry(namespace.clone()).or_default();
            for (value, anchor) in values {
                known
                    .entry(value.clone())
                    .and_modify(|known| {
                        known.first_seen = known.first_seen.min(anchor.first_seen);
                        known.records = known.records.saturating_add(anchor.records);
                        known.proofs = known.proofs.saturating_add(anchor.proofs);
                    })
                    .or_insert(*anchor);
            }
        }
    }

    /// Adds a value that a record is about to bring.
    pub fn add(&mut self, identifier: &Identifier, first_seen: Timestamp, verified: bool) {
        let values = self.0.entry(identifier.namespace.clone()).or_default();
        let fresh = Anchor { first_seen, records: 1, proofs: 0 };
        let anchor = values.entry(identifier.value.clone()).or_insert(fresh);
        anchor.first_seen = anchor.first_seen.min(first_seen);
        anchor.proofs = anchor.proofs.saturating_add(u32::from(verified));
    }

    /// The namespaces with their values.
    pub fn namespaces(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, Anchor>)> {
        self.0.iter().map(|(namespace, values)| (namespace.as_str(), values))
    }

    /// The values of a namespace, if there are any.
    pub fn values(&self, namespace: &str) -> Option<&BTreeMap<String, Anchor>> {
        self.0.get(namespace).filter(|values| !values.is_empty())
    }

    /// Whether the customer has this value.
    pub fn has(&self, identifier: &Identifier) -> bool {
        self.0.get(&identifier.namespace).is_some_and(|values| values.contains_key(&identifier.value))
    }
}
