//! Many clients at once identify, merge and split the same people; then everything that is stored must follow from the
//! evidence.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future;
use terms::{Caller, CustomerId, CustomerRef, Reason};

use super::{caller, given, histories::Dice, identifier};
use crate::{
    customer::Customer,
    golden::Golden,
    identify::{Evidence, MatchReason},
    list_customers::{ListQuery, Order},
    merge_customers::MergeCustomers,
    policy::Policy,
    ports::Customers,
    split_customer::SplitCustomer,
};

const HEADS: [&str; 8] = ["Aber", "Bram", "Crog", "Dunst", "Ever", "Fitz", "Gold", "Hux"];
const TAILS: [&str; 5] = ["nathy", "wick", "able", "morris", "ley"];

/// How many identifiers a person has.
const EACH: u64 = 4;

/// Lets `clients` loose on `people` for a time, then audits.
///
/// # Panics
/// When a call fails that should not, or something that is stored does not follow from the evidence.
pub async fn all_follows_from_the_evidence(
    store: Arc<dyn Customers>,
    clients: usize,
    people: u64,
    time: Duration,
) -> Tally {
    let caller = caller("audit");
    let until = Instant::now() + time;
    let clients = (0..clients).map(|client| {
        let (store, caller) = (store.clone(), caller.clone());
        tokio::spawn(async move {
            let mut client =
                Client { store: &*store, caller: &caller, dice: Dice(client as u64), people, tally: Tally::default() };
            let mut ids = BTreeSet::new();
            while Instant::now() < until {
                client.act(&mut ids).await;
            }
            (client.tally, ids)
        })
    });
    let mut tally = Tally::default();
    let mut ids = BTreeSet::new();
    for client in future::join_all(clients).await {
        let (more, seen) = client.expect("no panic");
        tally.identified += more.identified;
        tally.resembled += more.resembled;
        tally.merged += more.merged;
        tally.split += more.split;
        ids.extend(seen);
    }
    audit(&*store, &caller, people, &ids).await;
    tally
}

/// How often something was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// Records.
    pub identified: usize,
    /// Records that were joined to others because they resemble them.
    pub resembled: usize,
    /// Merges by hand.
    pub merged: usize,
    /// Splits.
    pub split: usize,
}

struct Client<'a> {
    store: &'a dyn Customers,
    caller: &'a Caller,
    dice: Dice,
    people: u64,
    tally: Tally,
}

impl Client<'_> {
    fn name(&mut self, person: u64) -> String {
        format!("crm:{person}-{}", self.dice.below(EACH))
    }

    async fn act(&mut self, ids: &mut BTreeSet<CustomerId>) {
        match self.dice.below(10) {
            0 => self.merge(ids).await,
            1 | 2 => self.split(ids).await,
            3..=5 => self.resemble(ids).await,
            _ => self.identify(ids).await,
        }
    }

    async fn identify(&mut self, ids: &mut BTreeSet<CustomerId>) {
        let person = self.dice.below(self.people);
        let other = if self.dice.below(20) == 0 { self.dice.below(self.people) } else { person };
        let names = [self.name(person), self.name(other)];
        let key = format!("{person}-{}", self.dice.below(12));
        let (city, second) = (self.dice.below(5), self.dice.below(100) as i64);
        let record = given(&[&names[0], &names[1]])
            .source("shop", &key)
            .says("city", city)
            .says(&format!("of-{key}"), city)
            .seen(second);
        let reply = record.identify(self.store, self.caller).await;
        ids.extend(reply.customer.into_iter().chain(reply.merged));
        self.tally.identified += 1;
    }

    /// A record that carries one identifier, or none, and looks like somebody; now and then like somebody else than before.
    async fn resemble(&mut self, ids: &mut BTreeSet<CustomerId>) {
        let person = self.dice.below(self.people);
        // More often, and all people would soon be one.
        let face = if self.dice.below(12) == 0 { self.dice.below(self.people) } else { person };
        let name = self.name(person);
        let carried: &[&str] = if self.dice.below(3) == 0 { &[&name] } else { &[] };
        let (head, tail) = (HEADS[face as usize % 8], TAILS[face as usize / 8 % 5]);
        let street = ["Street", "St"][self.dice.below(2) as usize];
        let record = given(carried)
            .source("desk", &format!("{person}-{}", self.dice.below(6)))
            .says("name", format!("{} {head}{tail}", ["Rosalind", "Rosalynd"][self.dice.below(2) as usize]))
            .says("dob", format!("19{}-{:02}-{:02}", 30 + face % 70, 1 + face * 5 % 12, 1 + face * 11 % 28))
            .says("address", format!("{} {tail} {street}, {head}ville", 3 + face))
            .seen(self.dice.below(100) as i64);
        let reply = record.identify(self.store, self.caller).await;
        let alike = |reason: &MatchReason| matches!(reason.evidence, Evidence::Resemblance(_));
        self.tally.resembled += usize::from(reply.matched_by.iter().any(alike));
        ids.extend(reply.customer.into_iter().chain(reply.merged));
    }

    /// A reference to somebody, who may not be known yet.
    fn somebody(&mut self) -> CustomerRef {
        let person = self.dice.below(self.people);
        CustomerRef::Identifier(identifier(&self.name(person)))
    }

    async fn merge(&mut self, ids: &mut BTreeSet<CustomerId>) {
        let command = MergeCustomers {
            survivor: self.somebody(),
            losers: vec![self.somebody()],
            reason: "a test".to_owned(),
            override_guards: self.dice.below(2) == 0,
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        match self.store.merge(self.caller, None, command).await {
            Ok(written) => {
                ids.insert(written.value.customer.id);
                self.tally.merged += written.value.merged.len();
            }
            Err(fault) => {
                assert!(matches!(fault.reason(), Reason::CustomerNotFound | Reason::MergeRefused), "{fault:?}");
            }
        }
    }

    async fn split(&mut self, ids: &mut BTreeSet<CustomerId>) {
        let CustomerRef::Identifier(known) = self.somebody() else { return };
        let tenant = &self.caller.tenant;
        let Some(lead) = self.store.leads(tenant, std::slice::from_ref(&known)).await.unwrap()[0] else { return };
        let Some(customer) = self.store.get(tenant, &[lead.customer]).await.unwrap().pop().flatten() else { return };
        let mut command = SplitCustomer {
            customer: CustomerRef::Id(customer.id),
            identifiers: Vec::new(),
            records: Vec::new(),
            alias: None,
            reason: "a test".to_owned(),
            etag: if self.dice.below(4) == 0 { customer.etag() } else { String::new() },
            validate_only: false,
            policy: Arc::default(),
        };
        match (self.dice.below(3), customer.aliases.len() as u64) {
            (0, _) => command.records.push(lead.record),
            (1, _) | (_, 0) => command.identifiers.push(known),
            (_, many) => command.alias = customer.aliases.get(self.dice.below(many) as usize).copied(),
        }
        match self.store.split(self.caller, None, command).await {
            Ok(written) => {
                ids.extend([written.value.remaining.id, written.value.separated.id]);
                self.tally.split += 1;
            }
            // Others were faster.
            Err(fault) => assert!(
                matches!(
                    fault.reason(),
                    Reason::CustomerNotFound
                        | Reason::RecordNotFound
                        | Reason::IdentifierNotFound
                        | Reason::SplitEmpty
                        | Reason::EtagStale
                ),
                "{fault:?}"
            ),
        }
    }
}

async fn audit(store: &dyn Customers, caller: &Caller, people: u64, ids: &BTreeSet<CustomerId>) {
    let tenant = &caller.tenant;
    let customers = everybody(store, caller).await;
    let mut holds: BTreeMap<String, CustomerId> = BTreeMap::new();
    for customer in &customers {
        for known in customer.identifiers.iter().filter(|known| !known.demoted) {
            let other = holds.insert(known.identifier.value.clone(), customer.id);
            assert_eq!(other, None, "{} belongs to two customers", known.identifier.value);
        }
        follows(store, caller, customer).await;
    }
    for person in 0..people {
        for n in 0..EACH {
            let name = format!("{person}-{n}");
            let lead = store.leads(tenant, &[identifier(&format!("crm:{name}"))]).await.unwrap()[0];
            assert_eq!(lead.map(|lead| lead.customer), holds.get(&name).copied(), "{name}");
        }
    }
    let aliases: Vec<CustomerId> = customers.iter().flat_map(|c| c.aliases.iter().copied()).collect();
    let living: BTreeSet<CustomerId> = customers.iter().map(|c| c.id).collect();
    assert_eq!(aliases.iter().collect::<BTreeSet<_>>().len(), aliases.len(), "an alias of two customers");
    assert!(aliases.iter().all(|alias| !living.contains(alias)), "an alias that is a customer");
    let ids: Vec<CustomerId> = ids.iter().copied().collect();
    for (id, means) in ids.iter().zip(store.resolve(tenant, &ids).await.unwrap()) {
        assert!(means.is_some_and(|means| living.contains(&means)), "{id} leads to nobody");
    }
}

/// The state of a customer is what its records, its edges and its merges say.
async fn follows(store: &dyn Customers, caller: &Caller, customer: &Customer) {
    let records = store.records(&caller.tenant, customer.id).await.unwrap();
    let merges = store.merges(&caller.tenant, customer.id).await.unwrap();
    let id = customer.id;
    assert_eq!(customer.record_count as usize, records.len(), "{id}");
    let golden = Golden::of(&Policy::default(), records.iter().map(|(record, _)| record));
    let kept: BTreeMap<_, _> = customer.traits.iter().map(|t| (&t.name, (&t.value, t.record))).collect();
    let computed: BTreeMap<_, _> = golden.traits.iter().map(|(name, w)| (name, (&w.value, w.origin.record))).collect();
    assert_eq!(kept, computed, "{id}");
    // The ids are a tree of merges, and every record hangs on one of them.
    let mut cluster = BTreeSet::from([id]);
    let mut open = vec![id];
    while let Some(from) = open.pop() {
        let beside = merges.iter().filter(|m| m.here == from || m.there == from);
        for next in beside.map(|m| if m.here == from { m.there } else { m.here }) {
            if cluster.insert(next) {
                open.push(next);
            }
        }
    }
    let expected: BTreeSet<CustomerId> = customer.aliases.iter().copied().chain([id]).collect();
    assert_eq!((cluster, merges.len()), (expected.clone(), customer.aliases.len()), "{id}: {merges:?}");
    assert!(records.iter().all(|(record, _)| expected.contains(&record.home)), "{id}: a record of somebody else");
    // What is linked is what leads here, and nothing else.
    let linked: BTreeSet<_> =
        records.iter().flat_map(|(_, claims)| claims).filter(|c| c.links()).map(|c| c.identifier.clone()).collect();
    let led = customer.identifiers.iter().filter(|known| !known.demoted);
    let own: BTreeSet<_> = led.map(|known| known.identifier.clone()).collect();
    assert!(linked.is_subset(&own), "{id}: {linked:?} of {own:?}");
}

async fn everybody(store: &dyn Customers, caller: &Caller) -> Vec<Customer> {
    let (order, mut after, mut all) = (Order::default(), None, Vec::new());
    loop {
        let page = store.list(&caller.tenant, ListQuery { search: None, order, after, limit: 500 }).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(order.place(last));
        all.extend(page);
    }
}
