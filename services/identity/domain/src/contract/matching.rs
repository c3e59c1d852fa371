//! Records that share no identifier and are one party all the same, or are not.

use std::collections::{BTreeMap, BTreeSet};

use identity_matching::{batch::match_records, corpus::Corpus, guard::CannotLinks};
use serde_json::{Value, json};
use terms::{Caller, CustomerId, Identifier, Reason};

use super::{Given, caller, get, given, parting::all_follows};
use crate::{
    customer::Kind,
    identify::{Evidence, Identified},
    list_customers::{ListQuery, Order},
    matching::{Matcher, likeness},
    policy::Policy,
    ports::Customers,
    record::{Claim, RecordId},
};

pub(super) async fn run(store: &dyn Customers) {
    who_resembles_is_the_same(store, &caller("resembles")).await;
    a_repetition_asks_nobody(store, &caller("resembles-again")).await;
    names_alone_prove_nothing(store, &caller("namesakes")).await;
    relatives_stay_apart(store, &caller("relatives")).await;
    sorts_of_party_are_not_compared(store, &caller("sorts")).await;
    a_group_sees_itself(store, &caller("group-match")).await;
    old_customers_become_one(store, &caller("bridge")).await;
    who_is_only_known_is_found(store, &caller("known-match")).await;
    trying_changes_nothing(store, &caller("tried-match")).await;
    a_changed_record_is_compared_anew(store, &caller("changed-match")).await;
}

/// A record of `source` about somebody.
pub(super) fn about(source: &str, id: &str, traits: &Value) -> Given {
    let traits = traits.as_object().expect("traits");
    let empty = given(&[]).source(source, id);
    traits.iter().fold(empty, |record, (name, value)| record.says(name, value.clone()))
}

/// Jane as the shop knows her.
pub(super) fn jane(id: &str) -> Given {
    about(
        "shop",
        id,
        &json!({ "first_name": "Jane", "last_name": "Kowalski", "dob": "1970-03-01", "street": "12 Elm Street",
                 "city": "Springfield", "email": "jane.kowalski@mail.example" }),
    )
}

/// Jane as the branch wrote her down.
pub(super) fn jayne(id: &str) -> Given {
    about(
        "branch",
        id,
        &json!({ "name": "Jane Kowalsky", "birth_date": "1970-03-01", "address": "12 Elm St, Springfield" }),
    )
}

async fn who_resembles_is_the_same(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    assert!(first.created);
    let second = jayne("1").identify(store, caller).await;
    assert_eq!((second.customer, second.created), (first.customer, false));
    let reason = second.matched_by[0];
    assert!(matches!(reason.evidence, Evidence::Resemblance(weight) if weight > 3_300), "{reason:?}");
    assert_eq!(Some(reason.record), first.record);
    assert!(reason.probability > 0.9 && reason.probability < 1.0);
    assert!(second.merged.is_empty(), "nobody had heard of another customer: {second:?}");
    let customer = get(store, caller, first.customer.unwrap()).await;
    assert_eq!(customer.record_count, 2);
    assert!((customer.confidence - second.confidence).abs() < f64::EPSILON && customer.confidence < 1.0);
    assert_eq!(store.records(&caller.tenant, customer.id).await.unwrap().len(), 2);
    // What leads to the record leads to her.
    let again = given(&["email:jane@second.example"]).source("branch", "1").identify(store, caller).await;
    assert_eq!(again.customer, first.customer);
}

async fn a_repetition_asks_nobody(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    jayne("1").identify(store, caller).await;
    let before = get(store, caller, first.customer.unwrap()).await;
    let again = jayne("1").seen(60).identify(store, caller).await;
    assert_eq!((again.customer, again.candidates.len()), (first.customer, 0));
    assert_eq!(get(store, caller, before.id).await.version, before.version);
}

async fn names_alone_prove_nothing(store: &dyn Customers, caller: &Caller) {
    let mut ids = BTreeSet::new();
    for n in 0..3 {
        let record = about("crm", &n.to_string(), &json!({ "name": "Jane Kowalski" }));
        ids.insert(record.identify(store, caller).await.customer);
    }
    for city in ["Springfield", "Shelbyville"] {
        let record = about("erp", city, &json!({ "name": "Jane Kowalski", "city": city }));
        ids.insert(record.identify(store, caller).await.customer);
    }
    assert_eq!(ids.len(), 5);
}

async fn relatives_stay_apart(store: &dyn Customers, caller: &Caller) {
    let home = |given: &str, family: &str, born: &str| {
        json!({ "first_name": given, "last_name": family, "dob": born, "street": "7 Oak Road", "zip": "12345",
                "city": "Springfield", "phone": "202-555-0147" })
    };
    let mut ids = BTreeSet::new();
    for (n, traits) in [
        home("Martha", "Prendergast", "1944-02-11"),
        // Twins.
        home("Albert", "Prendergast", "1971-05-06"),
        home("Gustav", "Prendergast", "1971-05-06"),
        home("Henry", "Prendergast Sr", "1943-07-30"),
        home("Henry", "Prendergast Jr", "1969-12-01"),
    ]
    .into_iter()
    .enumerate()
    {
        let reply = about("crm", &n.to_string(), &traits).identify(store, caller).await;
        assert!(reply.created, "{traits}: {reply:?}");
        ids.insert(reply.customer);
    }
    assert_eq!(ids.len(), 5);
}

async fn sorts_of_party_are_not_compared(store: &dyn Customers, caller: &Caller) {
    let traits = json!({ "name": "Kowalski & Sons", "street": "12 Elm Street", "city": "Springfield",
                         "phone": "202-555-0101" });
    let mut ids = BTreeSet::new();
    for kind in [Kind::Person, Kind::Household, Kind::Organization] {
        let mut record = about("crm", kind.as_str(), &traits);
        record.0.kind = Some(kind);
        let reply = record.identify(store, caller).await;
        assert!(reply.created && reply.candidates.is_empty(), "{kind:?}: {reply:?}");
        ids.insert(reply.customer);
    }
    assert_eq!(ids.len(), 3);
}

async fn a_group_sees_itself(store: &dyn Customers, caller: &Caller) {
    let commands = vec![jayne("1").command(), given(&["crm:x"]).command(), jane("1").command(), jane("2").command()];
    let verdicts: Vec<Identified> =
        store.identify_many(caller, commands).await.unwrap().value.into_iter().map(Result::unwrap).collect();
    assert_eq!(verdicts[0].customer, verdicts[2].customer);
    assert_eq!(verdicts[0].customer, verdicts[3].customer);
    assert_ne!(verdicts[0].customer, verdicts[1].customer);
    let customer = get(store, caller, verdicts[0].customer.unwrap()).await;
    assert_eq!(customer.record_count, 3, "{verdicts:?}");
    assert!(verdicts.iter().all(|reply| reply.merged.is_empty()), "nobody had heard of another: {verdicts:?}");
}

/// Two that do not know of each other, until a record resembles both.
async fn old_customers_become_one(store: &dyn Customers, caller: &Caller) {
    let one =
        json!({ "name": "Ottilie Vandenberg", "email": "ottilie.vandenberg@mail.example", "phone": "202-555-0188" });
    let two = json!({ "name": "Ottilie Vandenberg", "dob": "1961-08-19", "address": "3 Birch Lane, Shelbyville" });
    let both = json!({ "name": "Ottilie Vandenberg", "email": "ottilie.vandenberg@mail.example",
                       "phone": "202-555-0188", "dob": "1961-08-19", "address": "3 Birch Lane, Shelbyville" });
    let first = about("a", "1", &one).identify(store, caller).await.customer;
    let second = about("b", "1", &two).identify(store, caller).await;
    assert!(second.created, "nothing but the name agrees");
    let third = about("c", "1", &both).identify(store, caller).await;
    assert_eq!((third.customer, third.merged.clone()), (first, vec![second.customer.unwrap()]), "{third:?}");
    let customer = get(store, caller, second.customer.unwrap()).await;
    assert_eq!((Some(customer.id), customer.record_count), (first, 3));
}

async fn who_is_only_known_is_found(store: &dyn Customers, caller: &Caller) {
    let fault = store.identify(caller, None, jayne("1").only_known().command()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CustomerNotFound);
    let first = jane("1").identify(store, caller).await;
    assert_eq!(get(store, caller, first.customer.unwrap()).await.record_count, 1, "nothing stayed of the refused");
    assert_eq!(jayne("1").only_known().identify(store, caller).await.customer, first.customer);
}

async fn trying_changes_nothing(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    let tried = jayne("1").validate_only().identify(store, caller).await;
    assert_eq!((tried.customer, tried.created, tried.record), (first.customer, false, None));
    let customer = get(store, caller, first.customer.unwrap()).await;
    assert_eq!((customer.record_count, customer.version), (1, 1));
}

/// What a record says later counts as if it had said so at once.
async fn a_changed_record_is_compared_anew(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    let vague = about("branch", "1", &json!({ "name": "J. Kowalski", "city": "Springfield" }));
    let vague = vague.identify(store, caller).await;
    assert!(vague.created);
    let told = jayne("1").seen(60).identify(store, caller).await;
    assert_eq!((told.customer, told.merged.clone()), (first.customer, vec![vague.customer.unwrap()]), "{told:?}");
}

/// Sets of records.
pub type Parts = BTreeSet<BTreeSet<RecordId>>;

/// The customers of a tenant as sets of records, and what the batch makes of the same records by this matcher.
///
/// # Panics
/// When the store fails.
pub async fn customers_and_the_batch(store: &dyn Customers, tenant: &str, matcher: &Matcher) -> (Parts, Parts) {
    compared_with_the_batch(store, &caller(tenant), matcher).await
}

async fn compared_with_the_batch(store: &dyn Customers, caller: &Caller, matcher: &Matcher) -> (Parts, Parts) {
    let query = ListQuery { search: None, order: Order::default(), after: None, limit: 1_000 };
    let customers = store.list(&caller.tenant, query).await.expect("a list");
    let policy = Policy::default();
    let (mut online, mut corpus, mut records) = (BTreeSet::new(), Corpus::new(), Vec::new());
    let mut rest: BTreeMap<RecordId, CustomerId> = BTreeMap::new();
    for customer in customers {
        let theirs = store.records(&caller.tenant, customer.id).await.expect("records");
        assert_eq!(theirs.len(), customer.record_count as usize);
        for (record, claims) in &theirs {
            let claims: Vec<_> = claims.iter().collect();
            match likeness(record, &claims, &|namespace| policy.number(namespace)) {
                Some(likeness) => {
                    corpus.push(&likeness.compared);
                    records.push(record.id);
                }
                None => drop(rest.insert(record.id, customer.id)),
            }
        }
        online.insert(theirs.into_iter().map(|(record, _)| record.id).collect());
    }
    corpus.weigh(&matcher.model().frequencies);
    let outcome = match_records(matcher.model(), &corpus, &CannotLinks::default());
    let mut clusters: BTreeMap<u32, BTreeSet<RecordId>> = BTreeMap::new();
    for (record, cluster) in records.into_iter().zip(outcome.cluster) {
        clusters.entry(cluster).or_default().insert(record);
    }
    let alone = rest.into_keys().map(|record| BTreeSet::from([record]));
    (online, clusters.into_values().chain(alone).collect())
}

/// However these records arrive, and in whatever groups, and whatever they say when they are told anew, the customers are
/// the clusters of the batch over all of them. A record with an `id` is told anew if it was told before.
///
/// # Panics
/// When they are not.
pub async fn any_order_ends_in_the_batch(store: &dyn Customers, tenant: &str, groups: Vec<Vec<Value>>) {
    let caller = caller(tenant);
    let mut number = 0;
    for group in groups {
        for reply in tell(store, &caller, &group, &mut number).await {
            let found = store.resolve(&caller.tenant, &[reply.customer.expect("a customer")]).await.expect("resolved");
            assert_eq!(found, [reply.customer], "the answer names a survivor");
        }
        let (online, batch) = compared_with_the_batch(store, &caller, &Matcher::default()).await;
        assert_eq!(online, batch, "{tenant}: {group:?}");
    }
    all_follows(store, &caller).await;
}

/// The customers of a tenant are the clusters of the batch over all of their records.
///
/// # Panics
/// When they are not.
pub async fn ends_in_the_batch(store: &dyn Customers, tenant: &str) {
    let caller = caller(tenant);
    let (online, batch) = compared_with_the_batch(store, &caller, &Matcher::default()).await;
    assert_eq!(online, batch, "{tenant}");
    all_follows(store, &caller).await;
}

/// The same where records carry identifiers, by their namespaces, in `identifiers`: what is kept of customers follows from
/// their records, records of one cluster are of one customer, and nothing else is but by an identifier. No record says what
/// a guard would refuse.
///
/// # Panics
/// When it is not so.
pub async fn identifiers_and_resemblance(store: &dyn Customers, tenant: &str, groups: Vec<Vec<Value>>) {
    let caller = caller(tenant);
    let mut number = 0;
    for group in groups {
        tell(store, &caller, &group, &mut number).await;
        all_follows(store, &caller).await;
        let (online, batch) = compared_with_the_batch(store, &caller, &Matcher::default()).await;
        for cluster in &batch {
            assert!(online.iter().any(|customer| customer.is_superset(cluster)), "{tenant}: {cluster:?} is torn apart");
        }
        held_together(store, &caller, &batch).await;
    }
}

/// Tells a group of records.
async fn tell(store: &dyn Customers, caller: &Caller, group: &[Value], number: &mut i64) -> Vec<Identified> {
    let mut commands = Vec::new();
    for traits in group {
        *number += 1;
        let known = traits["id"].as_str().filter(|id| !id.is_empty());
        let id = known.map_or_else(|| number.to_string(), str::to_owned);
        let mut record = about("town", &id, traits).seen(*number);
        let identifiers = traits["identifiers"].as_array().into_iter().flatten().filter_map(Value::as_str);
        record.0.identifiers.clone_from(&given(&identifiers.collect::<Vec<_>>()).0.identifiers);
        commands.push(record.command());
    }
    let verdicts = store.identify_many(caller, commands).await.expect("identified").value;
    verdicts.into_iter().map(|verdict| verdict.expect("a verdict")).collect()
}

/// Clusters and shared identifiers connect the records of each customer.
async fn held_together(store: &dyn Customers, caller: &Caller, clusters: &Parts) {
    let query = ListQuery { search: None, order: Order::default(), after: None, limit: 1_000 };
    for customer in store.list(&caller.tenant, query).await.expect("a list") {
        let records = store.records(&caller.tenant, customer.id).await.expect("records");
        let identifiers = |(_, claims): &(_, Vec<Claim>)| -> BTreeSet<Identifier> {
            claims.iter().map(|claim| claim.identifier.clone()).collect()
        };
        let mut open: Vec<usize> = vec![0];
        let mut reached = BTreeSet::from([0]);
        while let Some(at) = open.pop() {
            let (own, record) = (identifiers(&records[at]), records[at].0.id);
            for (place, other) in records.iter().enumerate() {
                let alike = clusters.iter().any(|cluster| cluster.contains(&record) && cluster.contains(&other.0.id));
                if (alike || !own.is_disjoint(&identifiers(other))) && reached.insert(place) {
                    open.push(place);
                }
            }
        }
        assert_eq!(reached.len(), records.len(), "nothing holds {customer:?} together");
    }
}
