//! Records that were joined because they resembled each other, until one of them says something else.

use serde_json::{Value, json};
use terms::{Caller, CustomerId};

use super::{
    Given, caller, get, given,
    matching::{about, jane, jayne},
    trait_of,
};
use crate::{
    golden::Golden,
    history::{HistoryEntry, HistoryKind},
    identify::Identified,
    list_customers::{ListQuery, Order},
    list_identity_history::HistoryQuery,
    policy::Policy,
    ports::Customers,
};

pub(super) async fn run(store: &dyn Customers) {
    who_is_somebody_else_leaves(store, &caller("parts")).await;
    who_is_named_no_more_leaves(store, &caller("parts-retracted")).await;
    the_others_stay(store, &caller("parts-middle")).await;
    identifiers_hold(store, &caller("parts-identifiers")).await;
    what_came_along_goes_along(store, &caller("parts-along")).await;
    joined_and_parted_at_once(store, &caller("parts-at-once")).await;
}

/// The record that was Jayne's is about somebody else.
fn wilhelmina(id: &str) -> Given {
    let traits =
        json!({ "name": "Wilhelmina Oberholzer", "birth_date": "1941-11-23", "address": "3 Birch Lane, Ghent" });
    about("branch", id, &traits).seen(60)
}

async fn now(store: &dyn Customers, caller: &Caller, of: &Identified) -> CustomerId {
    store.resolve(&caller.tenant, &[of.customer.unwrap()]).await.unwrap()[0].expect("somebody")
}

async fn splits(store: &dyn Customers, caller: &Caller, id: CustomerId) -> Vec<HistoryEntry> {
    let mut entries = store.history(&caller.tenant, id, HistoryQuery::ALL).await.unwrap();
    entries.retain(|entry| entry.kind == HistoryKind::Split);
    entries
}

/// Everything that is kept of customers follows from their records.
pub(super) async fn all_follows(store: &dyn Customers, caller: &Caller) {
    let query = ListQuery { search: None, order: Order::default(), after: None, limit: 1_000 };
    for customer in store.list(&caller.tenant, query).await.unwrap() {
        let records = store.records(&caller.tenant, customer.id).await.unwrap();
        assert_eq!(records.len(), customer.record_count as usize, "{customer:?}");
        let golden = Golden::of(&Policy::default(), records.iter().map(|(record, _)| record));
        let kept: Vec<(&str, &Value)> = customer.traits.iter().map(|t| (t.name.as_str(), &t.value)).collect();
        let right: Vec<(&str, &Value)> = golden.traits.iter().map(|(name, won)| (name.as_str(), &won.value)).collect();
        assert_eq!(kept, right, "{customer:?}");
        for alias in &customer.aliases {
            assert_eq!(store.resolve(&caller.tenant, &[*alias]).await.unwrap(), [Some(customer.id)]);
        }
    }
}

async fn who_is_somebody_else_leaves(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    let second = jayne("1").identify(store, caller).await;
    assert_eq!(second.customer, first.customer);
    let told = wilhelmina("1").identify(store, caller).await;
    assert_ne!(told.customer, first.customer, "{told:?}");
    assert!(!told.created && told.merged.is_empty() && (told.confidence - 1.0).abs() < f64::EPSILON, "{told:?}");
    let (jane, other) = (get(store, caller, first.customer.unwrap()).await, now(store, caller, &told).await);
    let other = get(store, caller, other).await;
    assert_eq!((jane.record_count, other.record_count), (1, 1));
    assert!((jane.confidence - 1.0).abs() < f64::EPSILON);
    assert_eq!((trait_of(&jane, "name"), trait_of(&other, "name")), (None, Some("Wilhelmina Oberholzer".into())));
    all_follows(store, caller).await;
    let entries = splits(store, caller, jane.id).await;
    let [entry] = entries.as_slice() else { panic!("one entry: {entries:?}") };
    assert_eq!((entry.customer, entry.other, entry.record), (jane.id, Some(other.id), told.record));
    assert!(entry.why().contains("no longer match"), "{entry:?}");
    assert!(splits(store, caller, other.id).await.len() == 1, "in the history of both");
    // Nobody said that they are two: if the source was right the first time, they are one again.
    assert!(store.words(&caller.tenant, &[jane.id, other.id]).await.unwrap().is_empty());
    let again = jayne("1").seen(120).identify(store, caller).await;
    assert_eq!((again.customer, again.merged.clone()), (Some(jane.id), vec![other.id]), "{again:?}");
    let merges = store.merges(&caller.tenant, jane.id).await.unwrap();
    assert_eq!((merges.len(), merges[0].loser), (1, other.id));
    all_follows(store, caller).await;
    // And once more: it has the same id as before.
    let told = wilhelmina("1").seen(180).identify(store, caller).await;
    assert_eq!(told.customer, Some(other.id));
    all_follows(store, caller).await;
}

async fn who_is_named_no_more_leaves(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    assert_eq!(jayne("1").identify(store, caller).await.customer, first.customer);
    let unnamed = about("branch", "1", &json!({ "name": null })).seen(60).identify(store, caller).await;
    assert_ne!(unnamed.customer, first.customer, "{unnamed:?}");
    assert_eq!(get(store, caller, first.customer.unwrap()).await.record_count, 1);
    all_follows(store, caller).await;
}

async fn the_others_stay(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    let second = jayne("1").identify(store, caller).await;
    let third = jayne("2").identify(store, caller).await;
    assert!(second.customer == first.customer && third.customer == first.customer);
    let told = wilhelmina("1").identify(store, caller).await;
    assert_eq!(get(store, caller, first.customer.unwrap()).await.record_count, 2);
    assert_eq!(get(store, caller, told.customer.unwrap()).await.record_count, 1);
    // The oldest record leaves; who keeps the id does not matter, who is with whom does.
    let other = json!({ "first_name": "Otto", "last_name": "Prendergast", "dob": "1950-01-02", "street": "7 Oak Road",
                        "city": "Bonn", "email": "otto@mail.example" });
    let left = about("shop", "1", &other).seen(120).identify(store, caller).await;
    let stayed = jayne("2").seen(180).identify(store, caller).await;
    assert_ne!(left.customer, stayed.customer);
    for id in [&left, &stayed, &told] {
        assert_eq!(get(store, caller, id.customer.unwrap()).await.record_count, 1);
    }
    all_follows(store, caller).await;
}

/// A record that carries identifiers of both holds them together, whenever it came.
async fn identifiers_hold(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    jayne("1").identify(store, caller).await;
    for (identifier, source) in [("crm:a", "shop"), ("crm:b", "branch")] {
        given(&[identifier]).source(source, "1").seen(10).identify(store, caller).await;
    }
    let both = given(&["crm:a", "crm:b"]).source("till", "1").identify(store, caller).await;
    assert_eq!(both.customer, first.customer);
    let told = wilhelmina("1").identify(store, caller).await;
    assert_eq!(told.customer, first.customer, "{told:?}");
    assert_eq!(get(store, caller, first.customer.unwrap()).await.record_count, 3);
    assert!(splits(store, caller, first.customer.unwrap()).await.is_empty());
    all_follows(store, caller).await;
}

/// What arrived under an identifier of the record that leaves goes with it.
async fn what_came_along_goes_along(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    jayne("1").identify(store, caller).await;
    given(&["crm:b", "device:d"]).source("branch", "1").seen(10).identify(store, caller).await;
    let visit = given(&["crm:b"]).source("web", "7").says("city", "Ghent").identify(store, caller).await;
    assert_eq!(visit.customer, first.customer);
    // A device of hers that Jane's own record carries as well: it proves nothing, and stays where it leads.
    given(&["device:d"]).source("shop", "1").seen(20).identify(store, caller).await;
    let told = wilhelmina("1").identify(store, caller).await;
    assert_ne!(told.customer, first.customer);
    let other = get(store, caller, told.customer.unwrap()).await;
    assert_eq!((other.record_count, trait_of(&other, "city")), (2, Some("Ghent".into())));
    let found =
        store.leads(&caller.tenant, &[super::identifier("crm:b"), super::identifier("device:d")]).await.unwrap();
    assert!(found.iter().all(|lead| lead.unwrap().customer == other.id), "{found:?}");
    let jane = get(store, caller, first.customer.unwrap()).await;
    let device = jane.identifiers.iter().find(|known| known.identifier.namespace == "device");
    assert!(device.is_some_and(|known| known.demoted), "{jane:?}");
    let visit = given(&["crm:b"]).source("web", "8").identify(store, caller).await;
    assert_eq!(visit.customer, Some(other.id));
    all_follows(store, caller).await;
}

/// One record, in one call, leaves those that it resembled, and is joined to others by an identifier and by resemblance.
async fn joined_and_parted_at_once(store: &dyn Customers, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    jayne("1").identify(store, caller).await;
    let account = given(&["crm:w"]).source("till", "1").says("note", "x").identify(store, caller).await;
    let known = wilhelmina("9").seen(5).identify(store, caller).await;
    let mut told = wilhelmina("1");
    told.0.identifiers.clone_from(&given(&["crm:w"]).0.identifiers);
    let told = told.identify(store, caller).await;
    assert_ne!(now(store, caller, &told).await, now(store, caller, &first).await, "{told:?}");
    assert_eq!(Some(now(store, caller, &told).await), told.customer);
    for other in [&account, &known] {
        assert_eq!(Some(now(store, caller, other).await), told.customer, "{other:?}");
    }
    assert_eq!(get(store, caller, told.customer.unwrap()).await.record_count, 3);
    assert_eq!(get(store, caller, first.customer.unwrap()).await.record_count, 1);
    all_follows(store, caller).await;
}
