//! What a source said, as it said it. Records are the facts; customers are what follows from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::{CustomerId, Id, Identifier, Timestamp};

use crate::customer::Kind;

/// The id of a source record, `rec_…`.
pub type RecordId = Id<terms::id::Record>;

/// A value with its two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed<T> {
    /// What was said.
    #[serde(rename = "v")]
    pub value: T,
    /// When the source saw it (event time).
    #[serde(rename = "o")]
    pub observed_at: Timestamp,
    /// When it was stored (record time).
    #[serde(rename = "r")]
    pub record_time: Timestamp,
}

impl<T> Observed<T> {
    /// Whether a record that said `self` last goes on saying it when it also said `other`: the later observation
    /// holds, of two at one instant the one that arrived later.
    fn outlasts<U>(&self, other: &Observed<U>) -> bool {
        (self.observed_at, self.record_time) > (other.observed_at, other.record_time)
    }
}

/// How the same record is known again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordKey {
    /// The system that speaks.
    pub source: String,
    /// Which of its records.
    pub key: SourceKey,
}

/// The part of a [`RecordKey`] that the source gave, or that stands in for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKey {
    /// The source's own key.
    Given(String),
    /// A source without keys: its record is known by the identifiers that it carries, in order and without repetition.
    Identifiers(Vec<Identifier>),
    /// The same, where every identifier has changed hands or become shared since: how often, so that a record of the
    /// time before stays what it was.
    Later(Vec<Identifier>, u32),
}

/// What one record says of its customer: per trait the latest observation.
///
/// Each observation stands by itself, so a late or repeated one changes nothing that a newer one said, whatever the
/// order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Trait to value; `None`: the record withdrew what it said before.
    #[serde(rename = "t")]
    pub traits: BTreeMap<String, Observed<Option<Value>>>,
    /// What sort of party, where the source said so.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Observed<Kind>>,
}

impl Facts {
    /// Whether both say the same, whenever they were told.
    pub fn agree(&self, other: &Self) -> bool {
        self.kind.map(|kind| kind.value) == other.kind.map(|kind| kind.value)
            && self.traits.len() == other.traits.len()
            && self.traits.iter().all(|(name, said)| other.traits.get(name).is_some_and(|o| o.value == said.value))
    }

    /// Takes the observations of `new`, trait by trait, and gives the names of those that lost to a newer one.
    pub fn absorb(&mut self, new: Self) -> Vec<String> {
        let mut lost = Vec::new();
        for (name, observation) in new.traits {
            match self.traits.get_mut(&name) {
                Some(known) if known.outlasts(&observation) => {
                    if known.value != observation.value {
                        lost.push(name);
                    }
                }
                Some(known) => *known = observation,
                None => {
                    self.traits.insert(name, observation);
                }
            }
        }
        if let Some(kind) = new.kind
            && !self.kind.is_some_and(|known| known.outlasts(&kind))
        {
            self.kind = Some(kind);
        }
        lost
    }
}

/// A source record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its id, `rec_…`.
    pub id: RecordId,
    /// The system that said it.
    pub source: String,
    /// The source's own key, if it gave one.
    pub source_record_id: Option<String>,
    /// The id that it belongs to: the one to which its identifiers led when it arrived. Merges are found by resolving it;
    /// only a split gives it another.
    pub home: CustomerId,
    /// What it says.
    pub facts: Facts,
    /// The latest observation (event time).
    pub observed_at: Timestamp,
    /// When it first arrived (record time).
    pub created_at: Timestamp,
}

/// An edge of evidence: a record claims an identifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The identifier, normalised.
    pub identifier: Identifier,
    /// The value as the source gave it.
    pub raw_value: String,
    /// Whether the source has proof that the customer controls it; `None`: it never said.
    pub verified: Option<Observed<bool>>,
    /// The earliest observation (event time).
    pub first_seen: Timestamp,
    /// The latest observation (event time).
    pub last_seen: Timestamp,
    /// The probability that the two ends belong together; 1 for an identifier that leads to the customer, which is
    /// certain by policy; 0 where a guard refused the link, or a split took it apart.
    pub certainty: f64,
    /// Who made the edge.
    pub actor: String,
    /// When it was made (record time).
    pub created_at: Timestamp,
}

impl Claim {
    /// Takes a repeated observation of the same edge; tells whether anything but the times changed.
    pub fn absorb(&mut self, new: &Self) -> bool {
        self.first_seen = self.first_seen.min(new.first_seen);
        self.last_seen = self.last_seen.max(new.last_seen);
        let before = (self.links(), self.is_verified());
        // What was linked once stays so: only a split takes a link apart.
        self.certainty = self.certainty.max(new.certainty);
        if let Some(verified) = new.verified
            && !self.verified.is_some_and(|known| known.outlasts(&verified))
        {
            self.verified = Some(verified);
        }
        before != (self.links(), self.is_verified())
    }

    /// Whether it links the identifier to the record's customer. If not, a guard refused the link, and the edge is kept
    /// because the source said it.
    pub fn links(&self) -> bool {
        self.certainty > 0.0
    }

    /// Whether the source says, at present, that it has proof.
    pub fn is_verified(&self) -> bool {
        self.verified.is_some_and(|v| v.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, value: Option<&str>, observed_at: i64, record_time: i64) -> Facts {
        let value = value.map(|v| Value::String(v.to_owned()));
        let observation = Observed { value, observed_at: Timestamp(observed_at), record_time: Timestamp(record_time) };
        Facts { traits: BTreeMap::from([(name.to_owned(), observation)]), kind: None }
    }

    #[test]
    fn the_later_observation_holds_in_any_order_of_arrival() {
        let (early, late) = (facts("city", Some("Bonn"), 1, 10), facts("city", Some("Rome"), 2, 5));
        let mut forwards = early.clone();
        assert!(forwards.absorb(late.clone()).is_empty());
        let mut backwards = late;
        assert_eq!(backwards.absorb(early), ["city"]);
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn at_one_instant_the_later_arrival_holds() {
        let mut known = facts("city", Some("Bonn"), 1, 10);
        assert!(known.absorb(facts("city", None, 1, 10)).is_empty());
        assert_eq!(known.traits["city"].value, None);
    }
}
