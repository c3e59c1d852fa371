//! Creating, linking, merging, updating.

use terms::{Caller, CustomerId, Reason};

use super::{at, caller, get, given, identifier, once, trait_of};
use crate::{
    history::HistoryKind,
    identify::{Evidence, Guard},
    list_identity_history::HistoryQuery,
    ports::Customers,
};

pub(super) async fn run(store: &dyn Customers) {
    a_new_record_makes_a_customer(store, &caller("creates")).await;
    the_same_record_is_updated(store, &caller("updates")).await;
    a_repetition_changes_nothing(store, &caller("repeats")).await;
    a_shared_identifier_links(store, &caller("links")).await;
    the_oldest_survives_a_merge(store, &caller("merges")).await;
    aliases_resolve_in_one_hop(store, &caller("chains")).await;
    the_most_recent_value_wins(store, &caller("survives")).await;
    null_withdraws_what_the_record_said(store, &caller("withdraws")).await;
    a_late_observation_keeps_the_newer_values(store, &caller("late")).await;
    verification_is_of_the_edge(store, &caller("verifies")).await;
    nobody_is_created_when_not_allowed(store, &caller("known")).await;
    validation_stores_nothing(store, &caller("validates")).await;
    a_request_id_counts_once(store, &caller("once")).await;
    many_at_once_are_as_one_after_the_other(store, &caller("many")).await;
    a_merge_in_a_group_is_seen_by_the_rest(store, &caller("group-merge")).await;
    tenants_share_nothing(store).await;
    normal_forms_meet(store, &caller("normal")).await;
}

async fn a_new_record_makes_a_customer(store: &dyn Customers, caller: &Caller) {
    let command = given(&["email:jane@example.org"]).source("crm", "7").says("name", "Jane").command();
    let written = store.identify(caller, None, command).await.unwrap();
    let reply = written.value;
    assert!(reply.created && reply.merged.is_empty() && reply.matched_by.is_empty() && reply.refused.is_empty());
    assert!((reply.confidence - 1.0).abs() < f64::EPSILON);
    assert!(!written.revision.is_empty());
    let customer = get(store, caller, reply.customer.unwrap()).await;
    assert_eq!(customer.record_count, 1);
    assert_eq!(customer.version, 1);
    assert_eq!(customer.created_at, customer.updated_at);
    let name = &customer.traits[0];
    assert_eq!((name.name.as_str(), name.source.as_str(), name.observed_at), ("name", "crm", at(0)));
    assert_eq!((Some(name.record), name.why_it_won.as_str()), (reply.record, "the only value"));
    let email = &customer.identifiers[0];
    assert_eq!(email.identifier, identifier("email:jane@example.org"));
    assert_eq!((email.source.as_str(), email.verified), ("crm", false));
    let history = store.history(&caller.tenant, customer.id, HistoryQuery::ALL).await.unwrap();
    assert_eq!(history.iter().map(|h| h.kind).collect::<Vec<_>>(), [HistoryKind::Create]);
    assert_eq!(history[0].actor, "tester");
}

async fn the_same_record_is_updated(store: &dyn Customers, caller: &Caller) {
    let first = given(&["email:jane@example.org"]).source("crm", "7").says("name", "Jane").says("city", "Bonn");
    let first = first.identify(store, caller).await;
    let second = given(&["phone:+4930901820"]).source("crm", "7").says("name", "Jane Doe").seen(10);
    let second = second.identify(store, caller).await;
    assert_eq!((second.customer, second.record, second.created), (first.customer, first.record, false));
    assert_eq!(second.matched_by[0].evidence, Evidence::SourceKey);
    let customer = get(store, caller, first.customer.unwrap()).await;
    assert_eq!((customer.record_count, customer.version, customer.identifiers.len()), (1, 2, 2));
    assert_eq!(trait_of(&customer, "name"), Some("Jane Doe".into()));
    assert_eq!(trait_of(&customer, "city"), Some("Bonn".into()), "what is not mentioned stays");
}

async fn a_repetition_changes_nothing(store: &dyn Customers, caller: &Caller) {
    let record = given(&["email:jane@example.org"]).says("name", "Jane");
    let first = record.clone().identify(store, caller).await;
    let before = get(store, caller, first.customer.unwrap()).await;
    let again = record.clone().identify(store, caller).await;
    assert_eq!((again.customer, again.record), (first.customer, first.record));
    assert_eq!(get(store, caller, before.id).await, before);
    // Seen again later: the times move, nothing else.
    record.seen(60).identify(store, caller).await;
    let after = get(store, caller, before.id).await;
    assert_eq!((after.version, after.updated_at), (before.version, before.updated_at));
    assert_eq!((after.identifiers[0].first_seen, after.identifiers[0].last_seen), (at(0), at(60)));
    assert_eq!(after.traits[0].observed_at, at(60));
    assert_eq!(store.history(&caller.tenant, before.id, HistoryQuery::ALL).await.unwrap().len(), 1);
}

async fn a_shared_identifier_links(store: &dyn Customers, caller: &Caller) {
    let first = given(&["email:jane@example.org"]).source("crm", "7").identify(store, caller).await;
    let second = given(&["device:d1", "email:jane@example.org"]).source("web", "9").identify(store, caller).await;
    assert_eq!((second.customer, second.created), (first.customer, false));
    assert_ne!(second.record, first.record);
    let reason = second.matched_by[0];
    assert_eq!((reason.evidence, Some(reason.record)), (Evidence::Identifier(1), first.record));
    let customer = get(store, caller, first.customer.unwrap()).await;
    assert_eq!((customer.record_count, customer.identifiers.len()), (2, 2));
    let history = store.history(&caller.tenant, customer.id, HistoryQuery::ALL).await.unwrap();
    assert_eq!(history[1].kind, HistoryKind::Link);
    assert_eq!(history[1].reason, "shares email");
}

async fn the_oldest_survives_a_merge(store: &dyn Customers, caller: &Caller) {
    let a = given(&["email:a@example.org"]).says("name", "A").says("only_a", 1).identify(store, caller).await;
    let b = given(&["phone:+4930901820"]).says("name", "B").says("only_b", 2).seen(5).identify(store, caller).await;
    let joined = given(&["phone:+4930901820", "email:a@example.org"]).source("crm", "1").identify(store, caller).await;
    assert_eq!((joined.customer, joined.merged.clone()), (a.customer, vec![b.customer.unwrap()]));
    assert!(!joined.created);
    let customer = get(store, caller, b.customer.unwrap()).await;
    assert_eq!(Some(customer.id), a.customer);
    assert_eq!(customer.aliases, [b.customer.unwrap()]);
    assert_eq!((customer.record_count, customer.identifiers.len()), (3, 2));
    assert_eq!(trait_of(&customer, "name"), Some("B".into()));
    assert_eq!((trait_of(&customer, "only_a"), trait_of(&customer, "only_b")), (Some(1.into()), Some(2.into())));
    let name = customer.traits.iter().find(|t| t.name == "name").unwrap();
    assert_eq!((name.why_it_won.as_str(), Some(name.record)), ("most recent of 2", b.record));
    assert_eq!(store.records(&caller.tenant, customer.id).await.unwrap().len(), 3);
    let history = store.history(&caller.tenant, customer.id, HistoryQuery::ALL).await.unwrap();
    let merge = history.iter().find(|entry| entry.kind == HistoryKind::Merge).unwrap();
    assert_eq!((merge.customer, merge.other, merge.record), (customer.id, b.customer, joined.record));
    assert_eq!(history.len(), 4, "{history:?}");
}

async fn aliases_resolve_in_one_hop(store: &dyn Customers, caller: &Caller) {
    let mut ids: Vec<CustomerId> = Vec::new();
    for name in ["a", "b", "c", "d"] {
        ids.push(given(&[&format!("crm:{name}")]).identify(store, caller).await.customer.unwrap());
    }
    // c swallows d, b swallows c, a swallows b.
    for pair in [["crm:c", "crm:d"], ["crm:b", "crm:d"], ["crm:a", "crm:c"]] {
        given(&pair).identify(store, caller).await;
    }
    let resolved = store.resolve(&caller.tenant, &ids).await.unwrap();
    assert_eq!(resolved, vec![Some(ids[0]); 4]);
    let customer = get(store, caller, ids[3]).await;
    assert_eq!(customer.aliases, ids[1..].to_vec());
    assert_eq!(customer.record_count, 7);
}

async fn the_most_recent_value_wins(store: &dyn Customers, caller: &Caller) {
    let newest = given(&["email:j@example.org"]).source("crm", "1").says("city", "Rome").seen(20);
    let id = newest.identify(store, caller).await.customer.unwrap();
    given(&["email:j@example.org"]).source("erp", "1").says("city", "Bonn").seen(10).identify(store, caller).await;
    assert_eq!(trait_of(&get(store, caller, id).await, "city"), Some("Rome".into()));
    // The other source sees it again, later.
    given(&["email:j@example.org"]).source("erp", "1").says("city", "Bonn").seen(30).identify(store, caller).await;
    let customer = get(store, caller, id).await;
    assert_eq!(trait_of(&customer, "city"), Some("Bonn".into()));
    assert_eq!((customer.traits[0].source.as_str(), customer.traits[0].observed_at), ("erp", at(30)));
}

async fn null_withdraws_what_the_record_said(store: &dyn Customers, caller: &Caller) {
    use serde_json::Value::Null;
    let crm = given(&["email:j@example.org"]).source("crm", "1").says("city", "Rome").says("age", 40).seen(20);
    let id = crm.identify(store, caller).await.customer.unwrap();
    given(&["email:j@example.org"]).source("erp", "1").says("city", "Bonn").seen(10).identify(store, caller).await;
    given(&[]).source("crm", "1").says("city", Null).says("age", Null).seen(30).identify(store, caller).await;
    let customer = get(store, caller, id).await;
    assert_eq!(trait_of(&customer, "city"), Some("Bonn".into()), "what the other record says holds again");
    assert_eq!(customer.traits[0].why_it_won, "the only value");
    assert_eq!(trait_of(&customer, "age"), None);
    // What was said before the withdrawal and arrives late stays withdrawn.
    given(&[]).source("crm", "1").says("city", "Oslo").seen(25).identify(store, caller).await;
    assert_eq!(trait_of(&get(store, caller, id).await, "city"), Some("Bonn".into()));
}

async fn a_late_observation_keeps_the_newer_values(store: &dyn Customers, caller: &Caller) {
    let id = given(&[]).source("crm", "1").says("city", "Rome").seen(20).identify(store, caller).await.customer;
    let late = given(&["email:j@example.org"]).source("crm", "1").says("city", "Bonn").says("age", 40).seen(10);
    let late = late.identify(store, caller).await;
    assert_eq!(late.refused.iter().map(|r| r.guard).collect::<Vec<_>>(), [Guard::StaleRecord]);
    let customer = get(store, caller, id.unwrap()).await;
    assert_eq!((trait_of(&customer, "city"), trait_of(&customer, "age")), (Some("Rome".into()), Some(40.into())));
    assert_eq!(customer.identifiers.len(), 1);
}

async fn verification_is_of_the_edge(store: &dyn Customers, caller: &Caller) {
    let id = given(&["email:j@example.org"]).source("crm", "1").identify(store, caller).await.customer.unwrap();
    assert!(!get(store, caller, id).await.identifiers[0].verified);
    let proven = given(&["email:j@example.org"]).source("crm", "1").verified().seen(5).command();
    let written = store.identify(caller, None, proven).await.unwrap();
    assert!(!written.revision.is_empty());
    let customer = get(store, caller, id).await;
    assert!(customer.identifiers[0].verified);
    assert_eq!(customer.version, 2);
}

async fn nobody_is_created_when_not_allowed(store: &dyn Customers, caller: &Caller) {
    let fault = store.identify(caller, None, given(&["crm:1"]).only_known().command()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::CustomerNotFound);
    assert_eq!(store.leads(&caller.tenant, &[identifier("crm:1")]).await.unwrap(), [None]);
    let id = given(&["crm:1"]).identify(store, caller).await.customer;
    assert_eq!(given(&["crm:1"]).only_known().identify(store, caller).await.customer, id);
}

async fn validation_stores_nothing(store: &dyn Customers, caller: &Caller) {
    let written = store.identify(caller, None, given(&["crm:1"]).validate_only().command()).await.unwrap();
    assert!(written.value.created && written.value.customer.is_none() && written.value.record.is_none());
    assert!(written.revision.is_empty());
    let a = given(&["crm:1"]).identify(store, caller).await;
    let b = given(&["crm:2"]).identify(store, caller).await;
    let would = given(&["crm:1", "crm:2"]).validate_only().identify(store, caller).await;
    assert_eq!((would.customer, would.merged), (a.customer, vec![b.customer.unwrap()]));
    let still = store.resolve(&caller.tenant, &[b.customer.unwrap()]).await.unwrap();
    assert_eq!(still, [b.customer]);
}

async fn a_request_id_counts_once(store: &dyn Customers, caller: &Caller) {
    let command = || given(&["crm:1"]).says("city", "Rome").command();
    let first = store.identify(caller, once(&caller.tenant, "r1", 1), command()).await.unwrap();
    assert!(!first.replayed && first.value.created);
    let again = store.identify(caller, once(&caller.tenant, "r1", 1), command()).await.unwrap();
    assert!(again.replayed);
    assert_eq!((again.value, again.revision), (first.value, first.revision));
    let fault = store.identify(caller, once(&caller.tenant, "r1", 2), command()).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::RequestIdReused);
}

async fn many_at_once_are_as_one_after_the_other(store: &dyn Customers, caller: &Caller) {
    let commands = vec![
        given(&["crm:1"]).says("n", 1).seen(1).command(),
        given(&["crm:2"]).only_known().command(),
        given(&["crm:1", "crm:3"]).says("n", 2).seen(2).command(),
        given(&["crm:3"]).source("web", "x").says("n", 3).seen(3).command(),
        given(&[]).source("web", "x").says("n", serde_json::Value::Null).seen(4).command(),
        given(&["crm:9"]).validate_only().command(),
    ];
    let written = store.identify_many(caller, commands).await.unwrap();
    assert!(!written.revision.is_empty());
    let verdicts = written.value;
    let id = verdicts[0].as_ref().unwrap().customer.unwrap();
    assert!(verdicts[0].as_ref().unwrap().created);
    assert_eq!(verdicts[1].as_ref().unwrap_err().reason(), Reason::CustomerNotFound);
    for verdict in &verdicts[2..5] {
        let verdict = verdict.as_ref().unwrap();
        assert_eq!((verdict.customer, verdict.created), (Some(id), false));
    }
    assert_eq!(verdicts[5].as_ref().unwrap().customer, None);
    let customer = get(store, caller, id).await;
    assert_eq!((customer.record_count, customer.identifiers.len()), (3, 2));
    assert_eq!(trait_of(&customer, "n"), Some(2.into()));
    let unclaimed = [identifier("crm:2"), identifier("crm:9")];
    assert_eq!(store.leads(&caller.tenant, &unclaimed).await.unwrap(), [None, None]);
}

async fn a_merge_in_a_group_is_seen_by_the_rest(store: &dyn Customers, caller: &Caller) {
    let old = given(&["crm:old"]).says("a", 1).identify(store, caller).await.customer.unwrap();
    let commands = vec![
        given(&["crm:1"]).says("b", 2).command(),
        given(&["crm:2"]).says("c", 3).command(),
        given(&["crm:1", "crm:2"]).command(),
        given(&["crm:2", "crm:old"]).command(),
        given(&["crm:1"]).source("web", "x").says("d", 4).command(),
    ];
    let verdicts = store.identify_many(caller, commands).await.unwrap().value;
    let ids: Vec<_> = verdicts.iter().map(|v| v.as_ref().unwrap().customer.unwrap()).collect();
    assert_eq!(ids[3..], [old, old]);
    assert_eq!(store.resolve(&caller.tenant, &ids).await.unwrap(), vec![Some(old); 5]);
    let customer = get(store, caller, ids[1]).await;
    assert_eq!((customer.record_count, customer.identifiers.len(), customer.aliases.len()), (6, 3, 2));
    for name in ["a", "b", "c", "d"] {
        assert!(trait_of(&customer, name).is_some(), "{name}");
    }
    assert_eq!(store.records(&caller.tenant, old).await.unwrap().len(), 6);
}

async fn tenants_share_nothing(store: &dyn Customers) {
    let (one, two) = (caller("tenant-one"), caller("tenant-two"));
    let mine = given(&["email:j@example.org"]).source("crm", "1").identify(store, &one).await;
    let theirs = given(&["email:j@example.org"]).source("crm", "1").identify(store, &two).await;
    assert!(theirs.created && theirs.customer != mine.customer);
    let foreign = [mine.customer.unwrap()];
    assert_eq!(store.resolve(&two.tenant, &foreign).await.unwrap(), [None]);
    assert_eq!(store.get(&two.tenant, &foreign).await.unwrap(), [None]);
    assert!(store.records(&two.tenant, foreign[0]).await.unwrap().is_empty());
    assert!(store.history(&two.tenant, foreign[0], HistoryQuery::ALL).await.unwrap().is_empty());
}

async fn normal_forms_meet(store: &dyn Customers, caller: &Caller) {
    let a = given(&["email: Jane@Example.ORG "]).identify(store, caller).await;
    let b = given(&["email:jane@example.org"]).identify(store, caller).await;
    assert_eq!((a.customer, a.record), (b.customer, b.record));
    let customer = get(store, caller, a.customer.unwrap()).await;
    assert_eq!(customer.identifiers[0].raw_value, "Jane@Example.ORG");
    assert_eq!(customer.identifiers[0].identifier.value, "jane@example.org");
}
