//! Survivorship: which value of a trait holds when records differ.
//!
//! The policy names a [`Strategy`] for each trait; the shipped one is *most recent*: the latest observation wins; of two
//! at one instant the one stored later; of two stored together the younger record. The same order breaks the ties of
//! the other strategies. A record that withdraws a trait (null) takes only its own value away: what other records say
//! holds again. The values that lost stay in their records.
//!
//! The golden record is kept beside the customer, so that an `Identify` reads one row however many records there are.
//! [`Golden::of`] computes it from all records; [`Golden::absorb`] and [`Golden::update`] keep it, and a property test
//! holds them equal. Where they cannot tell the winner they say so, and all records are asked. A golden record carries
//! the mark of the policy under which it was made: under another one it is made anew when its customer next changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::Timestamp;

use crate::{
    customer::Kind,
    policy::{Policy, Strategy},
    record::{Facts, Observed, Record, RecordId},
};

/// The source that is asked alone under [`Strategy::Manual`].
pub const MANUAL: &str = "manual";

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
    /// How many records offer a value that could win, this one included.
    #[serde(rename = "n")]
    pub candidates: u32,
    /// The strategy that chose it.
    #[serde(rename = "s", default, skip_serializing_if = "is_shipped")]
    pub strategy: Strategy,
    /// How many records offer this very value; counted under [`Strategy::MostFrequent`].
    #[serde(rename = "c", default, skip_serializing_if = "is_zero")]
    pub votes: u32,
}

fn is_shipped(strategy: &Strategy) -> bool {
    *strategy == Strategy::MostRecent
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl<T> Winner<T> {
    /// The strategy and what it beat.
    pub fn why(&self) -> String {
        let n = self.candidates;
        match self.strategy {
            Strategy::Manual if n > 1 => format!("manual, most recent of {n}"),
            Strategy::Manual => "manual".to_owned(),
            _ if n < 2 => "the only value".to_owned(),
            Strategy::MostRecent => format!("most recent of {n}"),
            Strategy::MostTrusted => format!("most trusted of {n} (source {})", self.origin.source),
            Strategy::MostFrequent => format!("most frequent ({} of {n})", self.votes),
            Strategy::Longest => format!("longest of {n}"),
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
    /// Of the policy under which it was made; see [`Policy::survivorship_mark`].
    #[serde(rename = "p", default, skip_serializing_if = "is_zero")]
    pub mark: u64,
}

/// The winner is not known without the other records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incomplete;

/// The traits of one customer, value by value.
type Offers = BTreeMap<String, Vec<Winner<Value>>>;

impl Golden {
    /// Nothing is said yet.
    pub fn new(policy: &Policy) -> Self {
        Self { mark: policy.survivorship_mark(), ..Self::default() }
    }

    /// From every record of the customer.
    pub fn of<'a>(policy: &Policy, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut golden = Self::new(policy);
        let mut offers = Offers::new();
        for record in records {
            for (name, observation) in &record.facts.traits {
                let strategy = policy.strategy(name);
                if let Some(value) = observation.value.as_ref().filter(|_| may_win(strategy, &record.source)) {
                    let offer = offer(strategy, record, observation, value.clone(), 1);
                    offers.entry(name.clone()).or_default().push(offer);
                }
            }
            if let Some(kind) = &record.facts.kind {
                let offer = offer(Strategy::MostRecent, record, kind, kind.value, 1);
                golden.kind = Some(newer(golden.kind.take(), offer));
            }
        }
        let choose = |(name, offers): (String, Vec<Winner<Value>>)| {
            let winner = choose(policy, policy.strategy(&name), offers)?;
            Some((name, winner))
        };
        golden.traits = offers.into_iter().filter_map(choose).collect();
        golden
    }

    /// The sort of party; a person where nobody said.
    pub fn kind(&self) -> Kind {
        self.kind.as_ref().map_or(Kind::default(), |k| k.value)
    }

    /// Joins the golden record of another customer, whose records are other ones.
    ///
    /// # Errors
    /// [`Incomplete`] where either was made under another policy, or votes would have to be counted.
    pub fn absorb(&mut self, policy: &Policy, other: Self) -> Result<(), Incomplete> {
        let mark = policy.survivorship_mark();
        if self.mark != mark || other.mark != mark {
            return Err(Incomplete);
        }
        if let Some(kind) = other.kind {
            self.kind = Some(newer(self.kind.take(), kind));
        }
        for (name, winner) in other.traits {
            if winner.strategy == Strategy::MostFrequent && self.traits.contains_key(&name) {
                return Err(Incomplete);
            }
            self.add(policy, &name, winner);
        }
        Ok(())
    }

    /// Follows a record from what it said `before` to what it says now.
    ///
    /// # Errors
    /// [`Incomplete`] where the record took back, shortened or changed what held, and where votes would have to be
    /// counted: the next best is known by [`Golden::of`] alone. So it is under another policy.
    pub fn update(&mut self, policy: &Policy, before: &Facts, record: &Record) -> Result<(), Incomplete> {
        if self.mark != policy.survivorship_mark() {
            return Err(Incomplete);
        }
        if let Some(kind) = &record.facts.kind
            && before.kind.as_ref() != Some(kind)
        {
            let offer = offer(Strategy::MostRecent, record, kind, kind.value, u32::from(before.kind.is_none()));
            self.kind = Some(newer(self.kind.take(), offer));
        }
        for (name, now) in &record.facts.traits {
            let old = before.traits.get(name);
            let strategy = policy.strategy(name);
            if old == Some(now) || !may_win(strategy, &record.source) {
                continue;
            }
            let offered = old.and_then(|old| old.value.as_ref());
            match &now.value {
                Some(value) => {
                    let offer = offer(strategy, record, now, value.clone(), u32::from(offered.is_none()));
                    self.offer(policy, name, offered, offer)?;
                }
                None if offered.is_some() => self.withdraw(name, record.id)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Takes a value that a record offers now, where it `offered` another one before.
    fn offer(
        &mut self,
        policy: &Policy,
        name: &str,
        offered: Option<&Value>,
        offer: Winner<Value>,
    ) -> Result<(), Incomplete> {
        let Some(known) = self.traits.get_mut(name) else {
            let votes = u32::from(offer.strategy == Strategy::MostFrequent);
            self.traits.insert(name.to_owned(), Winner { votes, ..offer });
            return Ok(());
        };
        match offer.strategy {
            // The same value once more, or seen again.
            Strategy::MostFrequent if known.value == offer.value && offered.is_none_or(|old| *old == offer.value) => {
                known.votes = known.votes.saturating_add(offer.candidates);
                known.candidates = known.candidates.saturating_add(offer.candidates);
                if offer.origin.rank() >= known.origin.rank() {
                    known.origin = offer.origin;
                }
                return Ok(());
            }
            Strategy::MostFrequent => return Err(Incomplete),
            Strategy::Longest
                if known.origin.record == offer.origin.record && length(&offer.value) < length(&known.value) =>
            {
                return Err(Incomplete);
            }
            _ => {}
        }
        self.add(policy, name, offer);
        Ok(())
    }

    fn withdraw(&mut self, name: &str, record: RecordId) -> Result<(), Incomplete> {
        let Some(winner) = self.traits.get_mut(name) else { return Err(Incomplete) };
        if winner.origin.record == record || winner.strategy == Strategy::MostFrequent {
            return Err(Incomplete);
        }
        winner.candidates = winner.candidates.saturating_sub(1);
        Ok(())
    }

    fn add(&mut self, policy: &Policy, name: &str, offer: Winner<Value>) {
        let winner = match self.traits.remove(name) {
            Some(known) => {
                let candidates = known.candidates.saturating_add(offer.candidates);
                let winner = if rank(policy, &offer) >= rank(policy, &known) { offer } else { known };
                Winner { candidates, ..winner }
            }
            None => offer,
        };
        self.traits.insert(name.to_owned(), winner);
    }

    /// The names of traits whose value differs between the two, present or not.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.traits.keys().chain(other.traits.keys().filter(|n| !self.traits.contains_key(*n)));
        let value = |golden: &Self, name: &String| golden.traits.get(name).map(|w| w.value.clone());
        names.filter(|n| value(self, n) != value(other, n)).cloned().collect()
    }
}

fn may_win(strategy: Strategy, source: &str) -> bool {
    strategy != Strategy::Manual || source == MANUAL
}

fn offer<T, O>(strategy: Strategy, record: &Record, observation: &Observed<O>, value: T, candidates: u32) -> Winner<T> {
    Winner { value, origin: Origin::of(record, observation), candidates, strategy, votes: 0 }
}

/// The best of all offers.
fn choose(policy: &Policy, strategy: Strategy, offers: Vec<Winner<Value>>) -> Option<Winner<Value>> {
    let candidates = u32::try_from(offers.len()).unwrap_or(u32::MAX);
    let mut votes: BTreeMap<String, u32> = BTreeMap::new();
    if strategy == Strategy::MostFrequent {
        for offer in &offers {
            *votes.entry(offer.value.to_string()).or_default() += 1;
        }
    }
    let counted = offers.into_iter().map(|offer| Winner {
        votes: votes.get(&offer.value.to_string()).copied().unwrap_or_default(),
        candidates,
        ..offer
    });
    counted.max_by_key(|offer| (offer.votes, rank(policy, offer)))
}

/// What the strategy goes by, then how recent it is.
fn rank(policy: &Policy, offer: &Winner<Value>) -> (i64, (Timestamp, Timestamp, RecordId)) {
    let first = match offer.strategy {
        Strategy::MostTrusted => i64::try_from(policy.rank(&offer.origin.source)).unwrap_or(i64::MAX).saturating_neg(),
        Strategy::Longest => length(&offer.value),
        Strategy::MostRecent | Strategy::MostFrequent | Strategy::Manual => 0,
    };
    (first, offer.origin.rank())
}

/// In characters; of what is no text, as JSON.
fn length(value: &Value) -> i64 {
    let characters = match value {
        Value::String(text) => text.chars().count(),
        other => other.to_string().len(),
    };
    i64::try_from(characters).unwrap_or(i64::MAX)
}

/// The newer of the two, with the candidates of both. A newer observation of the same record replaces its older one.
fn newer<T>(known: Option<Winner<T>>, offer: Winner<T>) -> Winner<T> {
    let Some(known) = known else { return offer };
    let candidates = known.candidates.saturating_add(offer.candidates);
    let winner = if offer.origin.rank() >= known.origin.rank() { offer } else { known };
    Winner { candidates, ..winner }
}
