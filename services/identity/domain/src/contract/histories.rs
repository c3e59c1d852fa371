//! Merge, then split: as if nothing had happened, whatever came in between.
//!
//! Each history is told to two tenants. One hears of merges by hand, and later of the splits that undo them; the other
//! hears of the records alone. In the end everything that can be read is the same, but for version and times of change.
//!
//! Histories are made up in memory, where it costs next to nothing that half of them are thrown away: a history in which
//! a record itself joins what a steward had joined, or had taken apart, has no such twin. For the same reason the twin
//! hears of all its records in one transaction, and in two of three histories the first tenant, too, hears of what comes
//! together in one; this must make no difference either.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use serde_json::Value;
use terms::{Caller, CustomerId, CustomerRef, Ids, SystemClock};

use super::{caller, given, identifier};
use crate::{
    identify::{Guard, Identified, Identify},
    list_customers::{ListQuery, Order},
    memory::MemoryCustomers,
    merge_customers::MergeCustomers,
    ports::Customers,
    record::RecordId,
    split_customer::SplitCustomer,
};

/// How many identifiers there are in a history.
const IDENTIFIERS: u64 = 12;
/// How many histories are told at once.
const AT_ONCE: usize = 16;

/// Tells the first `wanted` histories that have a twin.
///
/// # Panics
/// When anything can be read that would not have been without the merges and splits.
pub async fn merge_then_split_is_as_if_nothing_had_happened(store: Arc<dyn Customers>, wanted: usize) {
    stream::iter(0..)
        .map(|seed| tokio::spawn(History::invent(seed)))
        .buffered(AT_ONCE)
        .filter_map(|invented| async { invented.expect("made up") })
        .take(wanted)
        .for_each_concurrent(AT_ONCE, |history| {
            let store = store.clone();
            async move { tokio::spawn(async move { history.tell(&*store).await }).await.expect("the history held") }
        })
        .await;
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers for the same seed.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A record to tell.
#[derive(Debug, Clone)]
struct Said {
    identifiers: Vec<u64>,
    key: Option<u64>,
    traits: Vec<(&'static str, Value)>,
    second: i64,
}

impl Said {
    fn new(dice: &mut Dice, second: i64) -> Self {
        let mut identifiers = vec![dice.below(IDENTIFIERS)];
        if dice.below(10) < 3 {
            identifiers.push(dice.below(IDENTIFIERS));
        }
        identifiers.dedup();
        let key = (dice.below(2) == 0).then(|| dice.below(6));
        let value = |dice: &mut Dice| match dice.below(4) {
            0 => Value::Null,
            n => n.into(),
        };
        let mut traits = Vec::new();
        for name in ["city", "name", "age"] {
            if dice.below(2) == 0 {
                traits.push((name, value(dice)));
            }
        }
        Self { identifiers, key, traits, second }
    }

    fn command(&self) -> Identify {
        let names: Vec<String> = self.identifiers.iter().map(|n| format!("crm:{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut record = given(&names).seen(self.second);
        if let Some(key) = self.key {
            record = record.source("shop", &format!("r{key}"));
        }
        if self.second % 3 == 0 {
            record = record.verified();
        }
        for (name, value) in &self.traits {
            record = record.says(name, value.clone());
        }
        record.command()
    }
}

/// One of the two tenants, and its ids by the steps that made them.
struct World<'a> {
    store: &'a dyn Customers,
    caller: Caller,
    customers: Vec<CustomerId>,
    records: HashMap<RecordId, usize>,
}

impl<'a> World<'a> {
    fn new(store: &'a dyn Customers, name: &str) -> Self {
        Self { store, caller: caller(name), customers: Vec::new(), records: HashMap::new() }
    }

    async fn hear(&mut self, said: &Said) -> Identified {
        let reply = self.store.identify(&self.caller, None, said.command()).await.unwrap().value;
        self.note(&reply);
        reply
    }

    /// All in one transaction.
    async fn hear_all(&mut self, said: impl Iterator<Item = &Said> + Send) -> Vec<Identified> {
        let commands = said.map(Said::command).collect();
        let verdicts = self.store.identify_many(&self.caller, commands).await.unwrap().value;
        let replies: Vec<Identified> = verdicts.into_iter().map(|verdict| verdict.unwrap()).collect();
        replies.iter().for_each(|reply| self.note(reply));
        replies
    }

    fn note(&mut self, reply: &Identified) {
        if reply.created {
            self.customers.extend(reply.customer);
        }
        let next = self.records.len();
        self.records.entry(reply.record.unwrap()).or_insert(next);
    }

    /// Whom the customers at these places mean.
    async fn roots(&self, places: [usize; 2]) -> [usize; 2] {
        let ids = places.map(|place| self.customers[place]);
        let roots = self.store.resolve(&self.caller.tenant, &ids).await.unwrap();
        [0, 1].map(|i| self.customer(roots[i].expect("a customer")))
    }

    async fn take(&mut self, step: &Step) -> Option<Identified> {
        match step {
            Step::Hear(said) => return Some(self.hear(said).await),
            Step::Merge { survivor, loser } => self.merge(self.customers[*survivor], self.customers[*loser]).await,
            Step::Split(alias) => self.split(self.customers[*alias]).await,
        }
        None
    }

    async fn merge(&self, survivor: CustomerId, loser: CustomerId) {
        let command = MergeCustomers {
            survivor: CustomerRef::Id(survivor),
            losers: vec![CustomerRef::Id(loser)],
            reason: "a test".to_owned(),
            override_guards: true,
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        let merged = self.store.merge(&self.caller, None, command).await.unwrap().value;
        assert_eq!((merged.customer.id, merged.merged), (survivor, vec![loser]));
    }

    async fn split(&self, alias: CustomerId) {
        let command = SplitCustomer {
            customer: CustomerRef::Id(alias),
            identifiers: Vec::new(),
            records: Vec::new(),
            alias: Some(alias),
            reason: "a test".to_owned(),
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        let parted = self.store.split(&self.caller, None, command).await.unwrap().value;
        assert!(!parted.cannot_links.is_empty());
        assert_ne!(parted.remaining.id, parted.separated.id);
    }

    fn customer(&self, id: CustomerId) -> usize {
        self.customers.iter().position(|known| *known == id).expect("a customer that some step made")
    }

    /// Everything that can be read, in words that do not depend on ids and on the time of storing.
    async fn portrait(&self) -> Vec<String> {
        let (store, tenant) = (self.store, &self.caller.tenant);
        let query = ListQuery { search: None, order: Order::default(), after: None, limit: 1_000 };
        let mut lines = Vec::new();
        for customer in store.list(tenant, query).await.unwrap() {
            let who = self.customer(customer.id);
            let aliases: Vec<usize> = customer.aliases.iter().map(|id| self.customer(*id)).collect();
            let (kind, confidence, count) = (customer.kind, customer.confidence, customer.record_count);
            lines.push(format!("{who} is {aliases:?}, a {kind:?}, {confidence}, of {count}"));
            for value in &customer.traits {
                let record = self.records[&value.record];
                let (name, source, at) = (&value.name, &value.source, value.observed_at);
                lines.push(format!("{who}.{name} = {} of {record} {source} {at:?}, {}", value.value, value.why_it_won));
            }
            lines.extend(customer.identifiers.iter().map(|known| format!("{who} has {known:?}")));
            for (record, claims) in store.records(tenant, customer.id).await.unwrap() {
                let (place, home) = (self.records[&record.id], self.customer(record.home));
                let said: Vec<_> = record.facts.traits.iter().map(|(name, said)| (name, &said.value)).collect();
                let claims: Vec<_> = claims.iter().map(|c| (&c.identifier, c.last_seen, c.certainty)).collect();
                lines.push(format!("{who}: {place} at {home} says {said:?} of {claims:?}"));
            }
        }
        let identifiers: Vec<_> = (0..IDENTIFIERS).map(|n| identifier(&format!("crm:{n}"))).collect();
        for (identifier, lead) in identifiers.iter().zip(store.leads(tenant, &identifiers).await.unwrap()) {
            let lead = lead.map(|lead| (self.customer(lead.customer), self.records[&lead.record]));
            lines.push(format!("{identifier:?} leads to {lead:?}"));
        }
        let means = store.resolve(tenant, &self.customers).await.unwrap();
        lines.extend(means.iter().map(|means| format!("means {:?}", means.map(|id| self.customer(id)))));
        let found = store.get(tenant, &self.customers).await.unwrap();
        lines.extend(found.iter().map(|found| format!("gives {:?}", found.as_ref().map(|c| self.customer(c.id)))));
        lines.sort();
        lines
    }
}

/// Something that happens. Customers are named by their places among those that were made, the oldest first.
#[derive(Debug)]
enum Step {
    Hear(Said),
    Merge { survivor: usize, loser: usize },
    Split(usize),
}

/// What happens, in this order.
struct History {
    seed: u64,
    steps: Vec<Step>,
}

impl History {
    /// Makes one up; nothing if it has no twin.
    async fn invent(seed: u64) -> Option<Self> {
        let clock = Arc::new(SystemClock);
        let store = MemoryCustomers::new(clock.clone(), Arc::new(Ids::new(clock)));
        let (mut told, mut plain) = (World::new(&store, "told"), World::new(&store, "plain"));
        let (mut dice, mut steps, mut undone) = (Dice(seed), Vec::new(), Vec::new());
        let (before, within, after) = (3 + dice.below(6), 4 + dice.below(8), dice.below(4));
        let mut merges = 0;
        for second in 0..before + within + after {
            let mut next = Vec::new();
            if second >= before && second < before + within && merges < 3 && dice.below(3) == 0 {
                let count = told.customers.len() as u64;
                let [a, b] = told.roots([dice.below(count) as usize, dice.below(count) as usize]).await;
                if a != b {
                    let (survivor, loser) = (a.min(b), a.max(b));
                    next.push(Step::Merge { survivor, loser });
                    undone.push(loser);
                    merges += 1;
                }
            }
            if second > before && !undone.is_empty() && (second >= before + within || dice.below(4) == 0) {
                let place = dice.below(undone.len() as u64) as usize;
                next.push(Step::Split(undone.swap_remove(place)));
            }
            let said = Said::new(&mut dice, second as i64);
            let there = plain.hear(&said).await;
            next.push(Step::Hear(said));
            for step in next {
                let here = told.take(&step).await;
                if here.is_some_and(|here| outcome(&here) != outcome(&there)) {
                    return None;
                }
                steps.push(step);
            }
        }
        steps.extend(undone.into_iter().map(Step::Split));
        (merges > 0).then_some(Self { seed, steps })
    }

    /// Whether records that come one after the other are told in one transaction.
    fn in_groups(&self) -> bool {
        !self.seed.is_multiple_of(3)
    }

    /// Tells it to two tenants of `store`, and compares these.
    async fn tell(&self, store: &dyn Customers) {
        let seed = self.seed;
        let (mut told, mut plain) =
            (World::new(store, &format!("told-{seed}")), World::new(store, &format!("plain-{seed}")));
        let there = plain.hear_all(self.steps.iter().filter_map(Step::record)).await;
        let mut here = Vec::new();
        for steps in self.steps.chunk_by(|a, b| self.in_groups() && a.record().and(b.record()).is_some()) {
            match steps {
                [step] => here.extend(told.take(step).await),
                _ => here.extend(told.hear_all(steps.iter().filter_map(Step::record)).await),
            }
        }
        let outcomes = |replies: &[Identified]| replies.iter().map(outcome).collect::<Vec<_>>();
        assert_eq!(outcomes(&here), outcomes(&there), "history {seed}");
        let (told, plain) = (told.portrait().await, plain.portrait().await);
        for (here, there) in told.iter().zip(&plain) {
            assert_eq!(here, there, "history {seed}");
        }
        assert_eq!(told.len(), plain.len(), "history {seed}");
    }
}

impl Step {
    fn record(&self) -> Option<&Said> {
        match self {
            Self::Hear(said) => Some(said),
            _ => None,
        }
    }
}

/// What becomes of a record, as far as it is the same for both twins: what a guard lets through depends on who is one
/// with whom.
fn outcome(reply: &Identified) -> (Vec<(Option<usize>, Guard)>, usize) {
    (reply.refused.iter().map(|refused| (refused.claim, refused.guard)).collect(), reply.merged.len())
}
