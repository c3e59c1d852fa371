//! Merging and splitting by hand.

use std::sync::Arc;

use terms::{Caller, CustomerId, CustomerRef, Reason};

use super::{caller, get, given, identifier, once, trait_of};
use crate::{
    cannot_link::CannotLinkId,
    customer::Customer,
    history::HistoryKind,
    identify::Guard,
    list_identity_history::HistoryQuery,
    merge_customers::MergeCustomers,
    ports::Customers,
    record::RecordId,
    split_customer::{Parted, SplitCustomer},
};

pub(super) async fn run(store: &dyn Customers) {
    the_named_survivor_keeps_the_id(store, &caller("by-hand")).await;
    a_merge_is_refused_and_overridden(store, &caller("overrides")).await;
    an_alias_is_given_back(store, &caller("gives-back")).await;
    the_creator_is_split_out(store, &caller("creator")).await;
    the_larger_share_keeps_the_id(store, &caller("share")).await;
    a_split_record_takes_its_identifiers_along(store, &caller("record")).await;
    what_was_taken_apart_stays_apart(store, &caller("apart")).await;
    a_cannot_link_goes_with_its_id(store, &caller("bound")).await;
    an_empty_split_is_refused(store, &caller("empty")).await;
    what_is_tried_changes_nothing(store, &caller("tried")).await;
    a_retried_request_gets_the_same_verdict(store, &caller("retried")).await;
}

fn merge(survivor: CustomerId, losers: &[CustomerId]) -> MergeCustomers {
    MergeCustomers {
        survivor: CustomerRef::Id(survivor),
        losers: losers.iter().map(|id| CustomerRef::Id(*id)).collect(),
        reason: "the steward knows".to_owned(),
        override_guards: false,
        etag: String::new(),
        validate_only: false,
        policy: Arc::default(),
    }
}

fn split(customer: CustomerId) -> SplitCustomer {
    SplitCustomer {
        customer: CustomerRef::Id(customer),
        identifiers: Vec::new(),
        records: Vec::new(),
        alias: None,
        reason: "two people".to_owned(),
        etag: String::new(),
        validate_only: false,
        policy: Arc::default(),
    }
}

fn of(customer: CustomerId, identifiers: &[&str]) -> SplitCustomer {
    SplitCustomer { identifiers: identifiers.iter().map(|text| identifier(text)).collect(), ..split(customer) }
}

async fn parted(store: &dyn Customers, caller: &Caller, command: SplitCustomer) -> Parted {
    store.split(caller, None, command).await.expect("split").value
}

async fn new(store: &dyn Customers, caller: &Caller, name: &str) -> (CustomerId, RecordId) {
    let reply = given(&[&format!("crm:{name}")]).source("crm", name).says(name, name).identify(store, caller).await;
    (reply.customer.unwrap(), reply.record.unwrap())
}

fn names(customer: &Customer) -> Vec<&str> {
    let led = customer.identifiers.iter().filter(|known| !known.demoted);
    led.map(|known| known.identifier.value.as_str()).collect()
}

async fn leads(store: &dyn Customers, caller: &Caller, text: &str) -> CustomerId {
    store.leads(&caller.tenant, &[identifier(text)]).await.unwrap()[0].expect("known").customer
}

async fn the_named_survivor_keeps_the_id(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _), (c, _)) =
        (new(store, caller, "a").await, new(store, caller, "b").await, new(store, caller, "c").await);
    let stale = MergeCustomers { etag: "0-0".to_owned(), ..merge(b, &[a]) };
    assert_eq!(store.merge(caller, None, stale).await.unwrap_err().reason(), Reason::EtagStale);
    let etag = get(store, caller, b).await.etag();
    let written = store.merge(caller, None, MergeCustomers { etag, ..merge(b, &[a, c, a]) }).await.unwrap();
    assert!(!written.revision.is_empty());
    let customer = get(store, caller, a).await;
    assert_eq!(customer, written.value.customer);
    assert_eq!((customer.id, written.value.merged), (b, vec![a, c]));
    assert_eq!((customer.aliases.clone(), customer.record_count), (vec![a, c], 3));
    assert_eq!(names(&customer), ["a", "b", "c"]);
    assert!(["a", "b", "c"].iter().all(|name| trait_of(&customer, name).is_some()));
    let again = store.merge(caller, None, merge(b, &[a])).await.unwrap().value;
    assert_eq!((again.merged.len(), again.customer), (0, customer), "they are one already");
    let history = store.history(&caller.tenant, c, HistoryQuery::ALL).await.unwrap();
    let merges: Vec<_> = history.iter().filter(|entry| entry.kind == HistoryKind::Merge).collect();
    assert_eq!(merges.iter().map(|m| (m.customer, m.other)).collect::<Vec<_>>(), [(b, Some(a)), (b, Some(c))]);
    assert_eq!((merges[0].why(), merges[0].record), ("the steward knows", None));
    let nobody = MergeCustomers { losers: vec![CustomerRef::Identifier(identifier("crm:x"))], ..merge(b, &[]) };
    assert_eq!(store.merge(caller, None, nobody).await.unwrap_err().reason(), Reason::CustomerNotFound);
}

async fn a_merge_is_refused_and_overridden(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _)) = (new(store, caller, "a").await, new(store, caller, "b").await);
    store.merge(caller, None, merge(a, &[b])).await.unwrap();
    parted(store, caller, SplitCustomer { alias: Some(b), ..split(a) }).await;
    let refused = store.merge(caller, None, merge(b, &[a])).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::MergeRefused);
    let forced = MergeCustomers { override_guards: true, ..merge(a, &[b]) };
    let merged = store.merge(caller, None, forced).await.unwrap().value;
    assert_eq!(merged.refused.iter().map(|r| r.guard).collect::<Vec<_>>(), [Guard::CannotLink]);
    parted(store, caller, SplitCustomer { alias: Some(b), ..split(a) }).await;
    assert_eq!(store.merge(caller, None, merge(b, &[a])).await.unwrap_err().reason(), Reason::MergeRefused);
}

async fn an_alias_is_given_back(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _)) = (new(store, caller, "a").await, new(store, caller, "b").await);
    let before = (get(store, caller, a).await, get(store, caller, b).await);
    let joined = given(&["crm:a", "crm:b"]).source("till", "1").says("both", 1).identify(store, caller).await;
    assert_eq!((joined.customer, joined.merged), (Some(a), vec![b]));
    // In between: by an identifier of the alias, with a new one; by an identifier of the survivor; and by the alias's record.
    let late = given(&["crm:b", "crm:b2"]).source("till", "2").says("late", 1).identify(store, caller).await;
    given(&["crm:a"]).source("till", "3").says("own", 1).identify(store, caller).await;
    given(&["crm:b3"]).source("crm", "b").says("b", "new").seen(9).identify(store, caller).await;
    assert_eq!(late.customer, Some(a));
    let parted = parted(store, caller, SplitCustomer { alias: Some(b), ..split(b) }).await;
    let (kept, back) = (get(store, caller, a).await, get(store, caller, b).await);
    assert_eq!((&parted.remaining, &parted.separated), (&kept, &back));
    assert_eq!((kept.id, back.id, kept.aliases.len(), back.aliases.len()), (a, b, 0, 0));
    assert_eq!((names(&kept), names(&back)), (vec!["a"], vec!["b", "b2", "b3"]));
    assert_eq!((kept.record_count, back.record_count), (3, 2));
    assert_eq!((back.created_at, kept.created_at), (before.1.created_at, before.0.created_at));
    assert_eq!((trait_of(&back, "late"), trait_of(&back, "b")), (Some(1.into()), Some("new".into())));
    assert_eq!((trait_of(&back, "both"), trait_of(&back, "a"), trait_of(&kept, "b")), (None, None, None));
    for (text, id) in [("crm:a", a), ("crm:b", b), ("crm:b2", b), ("crm:b3", b)] {
        assert_eq!(leads(store, caller, text).await, id, "{text}");
    }
    // The record that had joined them is the survivor's, and joins them no more.
    let again = given(&["crm:a", "crm:b"]).source("till", "1").says("both", 2).seen(20).identify(store, caller).await;
    given(&["crm:a", "crm:b"]).source("till", "4").seen(20).identify(store, caller).await;
    assert_eq!((again.customer, again.merged.len(), again.refused[0].guard), (Some(a), 0, Guard::CannotLink));
    for id in [a, b] {
        let history = store.history(&caller.tenant, id, HistoryQuery::ALL).await.unwrap();
        let split = history.iter().find(|entry| entry.kind == HistoryKind::Split).expect("in both histories");
        assert_eq!((split.customer, split.other, split.why()), (a, Some(b), "two people"));
        assert!(history.iter().any(|entry| entry.kind == HistoryKind::Refuse && entry.other == Some(b)), "{history:?}");
    }
}

async fn the_creator_is_split_out(store: &dyn Customers, caller: &Caller) {
    let (a, first) = new(store, caller, "a").await;
    given(&["crm:a", "crm:b"]).source("till", "b").says("b", 1).identify(store, caller).await;
    given(&["crm:a", "crm:c"]).source("till", "c").says("c", 1).identify(store, caller).await;
    let parted = parted(store, caller, of(a, &["crm:a"])).await;
    assert_eq!((names(&parted.remaining), names(&parted.separated)), (vec!["b", "c"], vec!["a"]));
    assert_eq!((parted.remaining.id, parted.separated.record_count), (a, 1), "two of three records");
    assert_ne!(parted.separated.id, a);
    assert!(parted.id_rule.contains("has 2 of the 3 records"), "{}", parted.id_rule);
    let records = store.records(&caller.tenant, parted.separated.id).await.unwrap();
    assert!(records.iter().any(|(record, _)| record.id == first));
    assert_eq!(leads(store, caller, "crm:a").await, parted.separated.id);
    assert_eq!((leads(store, caller, "crm:b").await, leads(store, caller, "crm:c").await), (a, a));
    assert_eq!(trait_of(&parted.separated, "a"), Some("a".into()));
    assert_eq!(trait_of(&parted.remaining, "a"), None);
    // It is known again by its key, and its identifier.
    let again = given(&["crm:a"]).source("crm", "a").says("a", 2).seen(5).identify(store, caller).await;
    assert_eq!((again.customer, again.record), (Some(parted.separated.id), Some(first)));
    assert_eq!(get(store, caller, parted.separated.id).await.record_count, parted.separated.record_count);
}

async fn the_larger_share_keeps_the_id(store: &dyn Customers, caller: &Caller) {
    let (id, record) = new(store, caller, "a").await;
    given(&["crm:a", "crm:b"]).source("till", "1").identify(store, caller).await;
    for key in ["2", "3"] {
        given(&["crm:b"]).source("till", key).identify(store, caller).await;
    }
    let parted = parted(store, caller, of(id, &["crm:b"])).await;
    assert_eq!((parted.separated.id, parted.separated.record_count), (id, 3), "{}", parted.id_rule);
    assert_ne!(parted.remaining.id, id);
    assert_eq!(names(&parted.remaining), ["a"]);
    let records = store.records(&caller.tenant, parted.remaining.id).await.unwrap();
    assert_eq!(records.iter().map(|(record, _)| record.id).collect::<Vec<_>>(), [record]);
}

async fn a_split_record_takes_its_identifiers_along(store: &dyn Customers, caller: &Caller) {
    let (id, _) = new(store, caller, "a").await;
    let other = given(&["crm:a", "crm:b"]).source("till", "1").says("b", 1).identify(store, caller).await;
    let command = SplitCustomer { records: vec![other.record.unwrap()], ..split(id) };
    let parted = parted(store, caller, command).await;
    assert_eq!((names(&parted.remaining), names(&parted.separated)), (vec!["a"], vec!["b"]));
    assert_eq!((parted.remaining.id, parted.separated.record_count), (id, 1));
    let repeated = given(&["crm:a", "crm:b"]).source("till", "1").says("b", 2).seen(3).identify(store, caller).await;
    assert_eq!((repeated.customer, repeated.merged.len()), (Some(parted.separated.id), 0), "it stays where it is");
}

async fn what_was_taken_apart_stays_apart(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _)) = (new(store, caller, "a").await, new(store, caller, "b").await);
    store.merge(caller, None, merge(a, &[b])).await.unwrap();
    parted(store, caller, SplitCustomer { alias: Some(b), ..split(a) }).await;
    let new = given(&["crm:b", "crm:a"]).source("till", "9").identify(store, caller).await;
    assert_eq!((new.customer, new.merged.len(), new.created), (Some(a), 0, false), "the older one");
    assert_eq!(new.refused.iter().map(|r| r.guard).collect::<Vec<_>>(), [Guard::CannotLink]);
    assert_eq!((names(&get(store, caller, a).await), names(&get(store, caller, b).await)), (vec!["a"], vec!["b"]));
    // A third that is one with either leads no further.
    let third = given(&["crm:c", "crm:b"]).identify(store, caller).await;
    assert_eq!(third.customer, Some(b));
    let both = given(&["crm:c", "crm:a"]).source("till", "10").identify(store, caller).await;
    assert_eq!((both.merged.len(), both.refused.len()), (0, 1));
}

async fn a_cannot_link_goes_with_its_id(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _), (c, _)) =
        (new(store, caller, "a").await, new(store, caller, "b").await, new(store, caller, "c").await);
    store.merge(caller, None, merge(a, &[b])).await.unwrap();
    let links = parted(store, caller, SplitCustomer { alias: Some(b), ..split(a) }).await.cannot_links;
    assert_eq!(links.len(), 1);
    let _: CannotLinkId = links[0];
    store.merge(caller, None, merge(c, &[b])).await.unwrap();
    let refused = store.merge(caller, None, merge(a, &[c])).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::MergeRefused, "b is in c");
    parted(store, caller, SplitCustomer { alias: Some(b), ..split(c) }).await;
    store.merge(caller, None, merge(a, &[c])).await.expect("c alone was never kept apart from a");
}

async fn an_empty_split_is_refused(store: &dyn Customers, caller: &Caller) {
    let (id, record) = new(store, caller, "a").await;
    let (other, foreign) = new(store, caller, "z").await;
    let reason = async |command| store.split(caller, None, command).await.unwrap_err().reason();
    assert_eq!(reason(of(id, &["crm:a"])).await, Reason::SplitEmpty);
    assert_eq!(reason(SplitCustomer { records: vec![record], ..split(id) }).await, Reason::SplitEmpty);
    assert_eq!(reason(SplitCustomer { records: vec![foreign], ..split(id) }).await, Reason::RecordNotFound);
    assert_eq!(reason(of(id, &["crm:z"])).await, Reason::IdentifierNotFound);
    assert_eq!(reason(of(id, &["crm:nobody"])).await, Reason::IdentifierNotFound);
    assert_eq!(reason(SplitCustomer { alias: Some(other), ..split(id) }).await, Reason::CustomerNotFound);
    assert_eq!(reason(SplitCustomer { etag: "0-0".to_owned(), ..of(id, &["crm:a"]) }).await, Reason::EtagStale);
    let nobody = SplitCustomer { customer: CustomerRef::Identifier(identifier("crm:nobody")), ..of(id, &["crm:a"]) };
    assert_eq!(reason(nobody).await, Reason::CustomerNotFound);
}

async fn what_is_tried_changes_nothing(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _)) = (new(store, caller, "a").await, new(store, caller, "b").await);
    let before = (get(store, caller, a).await, get(store, caller, b).await);
    let tried = store.merge(caller, None, MergeCustomers { validate_only: true, ..merge(a, &[b]) }).await.unwrap();
    assert!(tried.revision.is_empty());
    assert_eq!((tried.value.customer.id, tried.value.customer.record_count), (a, 2));
    assert_eq!((get(store, caller, a).await, get(store, caller, b).await), before);
    store.merge(caller, None, merge(a, &[b])).await.unwrap();
    let merged = get(store, caller, a).await;
    let tried = SplitCustomer { validate_only: true, alias: Some(b), ..split(a) };
    let tried = store.split(caller, None, tried).await.unwrap();
    assert!(tried.revision.is_empty());
    assert_eq!((tried.value.remaining.id, tried.value.separated.id), (a, b));
    assert_eq!(get(store, caller, b).await, merged);
}

async fn a_retried_request_gets_the_same_verdict(store: &dyn Customers, caller: &Caller) {
    let ((a, _), (b, _)) = (new(store, caller, "a").await, new(store, caller, "b").await);
    let key = |fingerprint| once(&caller.tenant, "one", fingerprint);
    let first = store.merge(caller, key(1), merge(a, &[b])).await.unwrap();
    let again = store.merge(caller, key(1), merge(a, &[b])).await.unwrap();
    assert_eq!((&again.value, &again.revision, again.replayed), (&first.value, &first.revision, true));
    let other = store.merge(caller, key(2), merge(b, &[a])).await.unwrap_err();
    assert_eq!(other.reason(), Reason::RequestIdReused);
    let key = |fingerprint| once(&caller.tenant, "two", fingerprint);
    let command = SplitCustomer { alias: Some(b), ..split(a) };
    let first = store.split(caller, key(1), command.clone()).await.unwrap();
    given(&["crm:b"]).source("till", "7").identify(store, caller).await;
    let again = store.split(caller, key(1), command).await.unwrap();
    assert_eq!((&again.value, &again.revision, again.replayed), (&first.value, &first.revision, true));
}
