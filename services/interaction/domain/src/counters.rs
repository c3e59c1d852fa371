//! How often and when: interactions counted per type, organic and incentivised apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::interaction::{Direction, Motivation};

/// Interactions of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counter {
    /// Organic ones.
    pub organic: i64,
    /// Incentivised ones.
    pub incentivised: i64,
    /// The latest, by event time.
    pub last_at: Timestamp,
}

impl Counter {
    /// Both together; never shown without the parts.
    pub const fn count(&self) -> i64 {
        self.organic + self.incentivised
    }
}

/// All interactions of one customer. A sum: it does not depend on the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// By type.
    pub types: BTreeMap<String, Counter>,
    /// Inbound ones.
    pub inbound: i64,
    /// Outbound ones.
    pub outbound: i64,
    /// The earliest, by event time.
    pub first_at: Option<Timestamp>,
    /// The latest, by event time.
    pub last_at: Option<Timestamp>,
    /// The latest inbound one, by event time.
    pub last_inbound_at: Option<Timestamp>,
}

impl Counters {
    /// Adds `count` interactions of one kind that happened between `first` and `last`.
    pub fn add(
        &mut self,
        kind: &str,
        direction: Direction,
        motivation: Motivation,
        count: i64,
        first: Timestamp,
        last: Timestamp,
    ) {
        let counter = self.types.entry(kind.to_owned()).or_insert(Counter { last_at: last, ..Counter::default() });
        match motivation {
            Motivation::Organic => counter.organic += count,
            Motivation::Incentivised => counter.incentivised += count,
        }
        counter.last_at = counter.last_at.max(last);
        match direction {
            Direction::Inbound => {
                self.inbound += count;
                self.last_inbound_at = self.last_inbound_at.max(Some(last));
            }
            Direction::Outbound => self.outbound += count,
        }
        self.first_at = Some(self.first_at.map_or(first, |at| at.min(first)));
        self.last_at = self.last_at.max(Some(last));
    }

    /// Organic ones of all types.
    pub fn organic(&self) -> i64 {
        self.types.values().map(|counter| counter.organic).sum()
    }
}
