//! Merge, then split: as if nothing had happened, whatever came in between.
//!
//! Each history is told to two tenants. One hears of merges by hand, and later of the splits that undo them; the other
//! hears of the records alone. In the end everything that can be read is the same, but for version and times of change.
//! A history in which a record itself joins what a steward had joined, or had taken apart, has no such twin: it is
//! passed over.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream};
use serde_json::Value;
use terms::{Caller, CustomerId, CustomerRef};

use super::{caller, given, identifier};
use crate::{
    identify::Identified,
    list_customers::{ListQuery, Order},
    merge_customers::MergeCustomers,
    ports::Customers,
    record::RecordId,
    split_customer::SplitCustomer,
};

/// How many identifiers there are in a history.
const IDENTIFIERS: u64 = 12;

/// Tells histories until `wanted` of them have had a twin.
///
/// # Panics
/// When anything can be read that would not have been without the merges and splits.
pub async fn merge_then_split_is_as_if_nothing_had_happened(store: Arc<dyn Customers>, wanted: usize) {
    let (mut twins, mut next) = (0, 0);
    while twins < wanted {
        let told = stream::iter(next..next + 64).map(|seed| {
            let store = store.clone();
            async move { history(&*store, seed).await }
        });
        let told: Vec<bool> = told.buffer_unordered(16).collect().await;
        twins += told.into_iter().filter(|twin| *twin).count();
        next += 64;
    }
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

    async fn tell(&self, store: &dyn Customers, caller: &Caller) -> Identified {
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
        record.identify(store, caller).await
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
        let reply = said.tell(self.store, &self.caller).await;
        if reply.created {
            self.customers.extend(reply.customer);
        }
        let next = self.records.len();
        self.records.entry(reply.record.unwrap()).or_insert(next);
        reply
    }

    async fn root(&self, id: CustomerId) -> CustomerId {
        self.store.resolve(&self.caller.tenant, &[id]).await.unwrap()[0].unwrap()
    }

    /// Merges two customers by hand, the older one survives; gives the loser.
    async fn merge(&self, dice: &mut Dice) -> Option<CustomerId> {
        let count = self.customers.len() as u64;
        let (a, b) = (self.customers[dice.below(count) as usize], self.customers[dice.below(count) as usize]);
        let (a, b) = (self.root(a).await, self.root(b).await);
        if a == b {
            return None;
        }
        let (survivor, loser) = (a.min(b), a.max(b));
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
        Some(loser)
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

/// Tells one history; whether it had a twin.
async fn history(store: &dyn Customers, seed: u64) -> bool {
    let mut dice = Dice(seed);
    let (mut told, mut plain) =
        (World::new(store, &format!("told-{seed}")), World::new(store, &format!("plain-{seed}")));
    let mut undone: Vec<CustomerId> = Vec::new();
    let (before, within, after) = (3 + dice.below(6), 4 + dice.below(8), dice.below(4));
    let mut merges = 0;
    for step in 0..before + within + after {
        if step >= before && step < before + within && merges < 3 && dice.below(3) == 0 {
            let loser = told.merge(&mut dice).await;
            merges += usize::from(loser.is_some());
            undone.extend(loser);
        }
        if step > before && !undone.is_empty() && (step >= before + within || dice.below(4) == 0) {
            let place = dice.below(undone.len() as u64) as usize;
            told.split(undone.swap_remove(place)).await;
        }
        let said = Said::new(&mut dice, step as i64);
        let (here, there) = (told.hear(&said).await, plain.hear(&said).await);
        // What a guard lets through depends on who is one with whom.
        let refused = |reply: &Identified| reply.refused.iter().map(|r| (r.claim, r.guard)).collect::<Vec<_>>();
        if refused(&here) != refused(&there) || here.merged.len() != there.merged.len() {
            return false;
        }
    }
    for alias in undone {
        told.split(alias).await;
    }
    if merges == 0 {
        return false;
    }
    let (told, plain) = (told.portrait().await, plain.portrait().await);
    for (here, there) in told.iter().zip(&plain) {
        assert_eq!(here, there, "history {seed}");
    }
    assert_eq!(told.len(), plain.len(), "history {seed}");
    true
}
