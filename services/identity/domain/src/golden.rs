//! Survivorship: which value of a trait holds when records differ.
//!
//! The rule is *most recent*: the latest observation wins; of two at one instant the one stored later; of two stored
//! together the younger record. A record that withdraws a trait (null) takes only its own value away: what other
//! records say holds again.
//!
//! The golden record is kept beside the customer, so that an `Identify` reads one row however many records there are.
//! [`Golden::of`] computes it from all records; [`Golden::absorb`] and [`Golden::update`] keep it, and a property test
//! holds them equal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::Timestamp;

use crate::{
    customer::Kind,
    record::{Facts, Observed, Record, RecordId},
};

/// Where a winning value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The source that said it.
    #[serde(rename = "s")]
    pub source: String,
    /// The record that said it.
    #[serde(rename = "i")]
    pub record: RecordId,
    /// When the source saw it (event time).
    #[serde(rename = "o")]
    pub observed_at: Timestamp,
    /// When it was stored (record time).
    #[serde(rename = "r")]
    pub record_time: Timestamp,
}

impl Origin {
    fn rank(&self) -> (Timestamp, Timestamp, RecordId) {
        (self.observed_at, self.record_time, self.record)
    }

    fn of<T>(record: &Record, observation: &Observed<T>) -> Self {
        Self {
            source: record.source.clone(),
            record: record.id,
            observed_at: observation.observed_at,
            record_time: observation.record_time,
        }
    }
}

/// The value that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Winner<T> {
    /// The value.
    #[serde(rename = "v")]
    pub value: T,
    /// Where it comes from.
    #[serde(rename = "f")]
    pub origin: Origin,
    /// How many records offer a value, this one included.
    #[serde(rename = "n")]
    pub candidates: u32,
}

impl<T> Winner<T> {
    /// The rule and what it beat.
    pub fn why(&self) -> String {
        match self.candidates {
            0 | 1 => "the only value".to_owned(),
            n => format!("most recent of {n}"),
        }
    }
}

/// What all records of a customer say together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Golden {
    /// Trait to the value that holds.
    #[serde(rename = "t")]
    pub traits: BTreeMap<String, Winner<Value>>,
    /// What sort of party, where a source said so.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Winner<Kind>>,
}

/// The winner is not known without the other records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete;

impl Golden {
    /// From every record of the customer.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut golden = Self::default();
        for record in records {
            for (name, observation) in &record.facts.traits {
                if let Some(value) = &observation.value {
                    let offer = Winner { value: value.clone(), origin: Origin::of(record, observation), candidates: 1 };
                    add(&mut golden.traits, name, offer);
                }
            }
            if let Some(kind) = &record.facts.kind {
                let offer = Winner { value: kind.value, origin: Origin::of(record, kind), candidates: 1 };
                golden.kind = Some(better(golden.kind.take(), offer));
            }
        }
        golden
    }

    /// The sort of party; a person where nobody said.
    pub fn kind(&self) -> Kind {
        self.kind.as_ref().map_or(Kind::default(), |k| k.value)
    }

    /// Joins the golden record of another customer, whose records are other ones.
    pub fn absorb(&mut self, other: Self) {
        for (name, winner) in other.traits {
            add(&mut self.traits, &name, winner);
        }
        if let Some(kind) = other.kind {
            self.kind = Some(better(self.kind.take(), kind));
        }
    }

    /// Follows a record from what it said `before` to what it says now.
    ///
    /// # Errors
    /// [`Incomplete`] where the record withdrew the value that held: the next best is known by [`Golden::of`] alone.
    pub fn update(&mut self, before: &Facts, record: &Record) -> Result<(), Incomplete> {
        for (name, now) in &record.facts.traits {
            let old = before.traits.get(name);
            if old == Some(now) {
                continue;
            }
            let offered = old.is_some_and(|o| o.value.is_some());
            match &now.value {
                Some(value) => {
                    let origin = Origin::of(record, now);
                    let offer = Winner { value: value.clone(), origin, candidates: u32::from(!offered) };
                    add(&mut self.traits, name, offer);
                }
                None if offered => {
                    let Some(winner) = self.traits.get_mut(name) else { return Err(Incomplete) };
                    if winner.origin.record == record.id {
                        return Err(Incomplete);
                    }
                    winner.candidates = winner.candidates.saturating_sub(1);
                }
                None => {}
            }
        }
        if let Some(kind) = &record.facts.kind
            && before.kind.as_ref() != Some(kind)
        {
            let candidates = u32::from(before.kind.is_none());
            let offer = Winner { value: kind.value, origin: Origin::of(record, kind), candidates };
            self.kind = Some(better(self.kind.take(), offer));
        }
        Ok(())
    }

    /// The names of traits whose value differs between the two, present or not.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.traits.keys().chain(other.traits.keys().filter(|n| !self.traits.contains_key(*n)));
        let value = |golden: &Self, name: &String| golden.traits.get(name).map(|w| w.value.clone());
        names.filter(|n| value(self, n) != value(other, n)).cloned().collect()
    }
}

fn add(traits: &mut BTreeMap<String, Winner<Value>>, name: &str, offer: Winner<Value>) {
    let winner = better(traits.remove(name), offer);
    traits.insert(name.to_owned(), winner);
}

/// The better of the two, with the candidates of both. A newer observation of the same record replaces its older one.
fn better<T>(known: Option<Winner<T>>, offer: Winner<T>) -> Winner<T> {
    let Some(known) = known else { return offer };
    let candidates = known.candidates.saturating_add(offer.candidates);
    let winner = if offer.origin.rank() >= known.origin.rank() { offer } else { known };
    Winner { candidates, ..winner }
}
