//! The store sits the exam of its domain on SQLite and PostgreSQL, and the feed tells what happened and no more.

use std::{sync::Arc, time::Duration};

use data::{FeedSource, Sql, Watch, WatchFrom};
use futures::StreamExt;
use identity::{SqlCustomers, migrations};
use identity_domain::{
    ClaimInput, Customers, Identify, IdentifyInput, MergeCustomers, RecordKey, SourceKey, SplitCustomer, contract,
};
use profile::Marks;
use rapport_proto::feed::v1::event::Event;
use terms::{Caller, CustomerId, CustomerRef, Identifier, Ids, Revision, Service, SystemClock, Timestamp, partition};
use testkit::{TestStore, stores};

fn customers(store: &TestStore) -> Arc<SqlCustomers> {
    let ids = Arc::new(Ids::new(Arc::new(SystemClock)));
    Arc::new(SqlCustomers::new(store.store(), ids, Marks::in_process()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sits_the_exam() {
    for store in stores(Service::Identity, migrations).await {
        contract::run(customers(&store)).await;
        assert_eq!(store.idle_in_transaction().await, 0);
        let left = "SELECT COUNT(*) FROM lookup WHERE customer IS NULL";
        let row = store.reader().row(left, vec![]).await.unwrap().unwrap();
        assert_eq!(row.try_get_by_index::<i64>(0).unwrap(), 0, "{}: rows that led nowhere stayed", store.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_in_any_order_and_at_once_make_one_person() {
    for store in stores(Service::Identity, migrations).await {
        contract::one_person_from_every_order(customers(&store), 1_000).await;
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_with_overlapping_identifiers_make_one_person() {
    for store in stores(Service::Identity, migrations).await {
        contract::two_clients_one_person(customers(&store), 1_000).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_clients_gets_the_last_place() {
    for store in stores(Service::Identity, migrations).await {
        contract::one_of_two_gets_the_last_place(customers(&store), 200).await;
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_verdict_holds() {
    for store in stores(Service::Identity, migrations).await {
        contract::one_verdict_holds(customers(&store), 25).await;
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

/// A thousand; fewer on PostgreSQL, where each takes three times as long; or as many as `RAPPORT_HISTORIES` says.
#[tokio::test(flavor = "multi_thread")]
async fn merge_then_split_is_as_if_nothing_had_happened() {
    let given = std::env::var("RAPPORT_HISTORIES").ok().and_then(|text| text.parse().ok());
    for store in stores(Service::Identity, migrations).await {
        let histories = given.unwrap_or(if store.name() == "postgres" { 300 } else { 1_000 });
        contract::merge_then_split_is_as_if_nothing_had_happened(customers(&store), histories).await;
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

/// Clients that identify, merge and split the same people at once, on two replicas; then an audit. Longer and with more:
/// `RAPPORT_AUDIT_SECONDS`, `RAPPORT_AUDIT_CLIENTS`, `RAPPORT_AUDIT_PEOPLE`.
#[tokio::test(flavor = "multi_thread")]
async fn all_follows_from_the_evidence() {
    let given = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let time = Duration::from_secs(given("RAPPORT_AUDIT_SECONDS", 4));
    let (clients, people) = (given("RAPPORT_AUDIT_CLIENTS", 12) as usize, given("RAPPORT_AUDIT_PEOPLE", 60));
    for store in stores(Service::Identity, migrations).await {
        let customers: Arc<dyn Customers> = match store.name() {
            "postgres" => {
                let ids = Arc::new(Ids::new(Arc::new(SystemClock)));
                let second = SqlCustomers::new(store.another().await, ids, Marks::in_process());
                Arc::new(Alternating { stores: [customers(&store), Arc::new(second)], turn: Default::default() })
            }
            _ => customers(&store),
        };
        let tally = contract::all_follows_from_the_evidence(customers, clients, people, time).await;
        println!("{}: {tally:?}", store.name());
        assert!(tally.merged > 0 && tally.split > 0 && tally.resembled > 0, "{}: {tally:?}", store.name());
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

/// Two replicas that know nothing of each other, on one PostgreSQL.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_make_one_person() {
    for store in stores(Service::Identity, migrations).await {
        if store.name() != "postgres" {
            continue;
        }
        let another = store.another().await;
        let ids = Arc::new(Ids::new(Arc::new(SystemClock)));
        let second = SqlCustomers::new(another, ids, Marks::in_process());
        let both = Arc::new(Alternating { stores: [customers(&store), Arc::new(second)], turn: Default::default() });
        contract::one_person_from_every_order(both, 200).await;
    }
}

fn command(identifiers: &[(&str, &str)], traits: &[(&str, &str)], second: i64) -> Identify {
    let claim = |(namespace, value): &(&str, &str)| ClaimInput {
        namespace: (*namespace).to_owned(),
        value: (*value).to_owned(),
        verified: None,
    };
    let input = IdentifyInput {
        source: "webshop".to_owned(),
        identifiers: identifiers.iter().map(claim).collect(),
        traits: traits.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        observed_at: Some(Timestamp::from_seconds(1_600_000_000 + second)),
        create_if_missing: true,
        ..IdentifyInput::default()
    };
    Identify::check(input, &Arc::default(), Timestamp::from_seconds(2_000_000_000)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_of_the_time_before_guards_are_guarded_too() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let identify = async |command| customers.identify(&caller, None, command).await.unwrap().value;
        let one = identify(command(&[("user_id", "1"), ("email", "j@example.org")], &[], 0)).await;
        // As a migration leaves them.
        let forget = store
            .write(|tx| Box::pin(async move { tx.conn().run("UPDATE customer SET anchors = NULL", vec![]).await }));
        assert_eq!(forget.await.unwrap().value, 1);
        let two = identify(command(&[("user_id", "2"), ("email", "j@example.org")], &[], 1)).await;
        assert!(two.created && two.customer != one.customer && two.refused.len() == 1, "{}: {two:?}", store.name());
        let again = identify(command(&[("user_id", "1"), ("user_id", "3")], &[], 2)).await;
        assert_eq!((again.customer, again.refused.len()), (one.customer, 1), "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_of_the_time_before_splits_are_split_too() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let identify = async |claims: &[(&str, &str)]| {
            customers.identify(&caller, None, command(claims, &[], 0)).await.unwrap().value
        };
        let one = identify(&[("crm", "a")]).await;
        identify(&[("crm", "a"), ("crm", "b")]).await;
        identify(&[("crm", "b")]).await;
        let (two, three) = (identify(&[("crm", "c")]).await, identify(&[("crm", "d")]).await);
        identify(&[("crm", "c"), ("crm", "d")]).await;
        // As migrations leave them.
        let forget = store.write(|tx| {
            Box::pin(async move {
                tx.conn().run("UPDATE alias SET here = NULL, there = NULL", vec![]).await?;
                tx.conn().run("DELETE FROM history WHERE mirror", vec![]).await?;
                tx.conn().run("UPDATE record SET key = NULL", vec![]).await
            })
        });
        assert_eq!(forget.await.unwrap().value, 6);
        let split = SplitCustomer {
            customer: CustomerRef::Id(one.customer.unwrap()),
            identifiers: vec![Identifier { namespace: "crm".to_owned(), value: "b".to_owned() }],
            records: Vec::new(),
            alias: None,
            reason: "a test".to_owned(),
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        let parted = customers.split(&caller, None, split.clone()).await.unwrap().value;
        let again = identify(&[("crm", "a")]).await;
        assert_eq!((again.customer, again.record), (Some(parted.remaining.id), one.record), "{}", store.name());
        assert_eq!(Some(parted.separated.id), one.customer, "{}: two of three records", store.name());
        let alias = SplitCustomer {
            customer: CustomerRef::Id(two.customer.unwrap()),
            identifiers: Vec::new(),
            alias: three.customer,
            ..split
        };
        let parted = customers.split(&caller, None, alias).await.unwrap().value;
        assert_eq!((Some(parted.remaining.id), Some(parted.separated.id)), (two.customer, three.customer));
        assert_eq!(identify(&[("crm", "d")]).await.customer, three.customer, "{}", store.name());
    }
}

/// Every event of the feed so far, by the customer in whose partition it stands.
async fn events(store: &TestStore) -> Vec<(CustomerId, Event)> {
    let watch = Watch::new(WatchFrom::Oldest);
    let mut feed = store.feed().watch(watch).await.unwrap();
    let total = store.count("feed_entry").await as usize;
    let mut events = Vec::new();
    while events.len() < total {
        let batch = feed.next().await.unwrap().unwrap();
        events.extend(batch.entries.iter().map(|e| (e.customer.unwrap(), e.change().unwrap().clone())));
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_what_changed_and_no_more() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let identify = async |command| customers.identify(&caller, None, command).await.unwrap();
        let a = identify(command(&[("crm", "a")], &[("city", "Bonn")], 0)).await.value.customer.unwrap();
        let b = identify(command(&[("crm", "b")], &[("name", "B")], 0)).await.value.customer.unwrap();
        let silent = identify(command(&[("crm", "a")], &[("city", "Bonn")], 5)).await;
        assert_eq!(store.count("feed_entry").await, 2, "{}: seen again is no news", store.name());
        assert!(!silent.revision.is_empty(), "a revision that contains what was seen");
        let merged = identify(command(&[("crm", "a"), ("crm", "b")], &[], 6)).await;
        for id in [a, b] {
            let position = merged.revision.position(Service::Identity, partition(&caller.tenant, id));
            assert!(position.is_some(), "{}: the revision covers both", store.name());
        }
        let events = events(&store).await;
        let Event::CustomerChanged(created) = &events[0].1 else { panic!("{events:?}") };
        assert!(created.created && created.changed_traits == ["city"] && created.changed_namespaces == ["crm"]);
        let merges: Vec<_> = events
            .iter()
            .filter_map(|(place, event)| match event {
                Event::CustomerMerged(merge) => Some((*place, merge.loser.clone(), merge.survivor.clone())),
                _ => None,
            })
            .collect();
        assert!(merges.contains(&(b, b.to_string(), a.to_string())));
        if partition(&caller.tenant, a) != partition(&caller.tenant, b) {
            assert!(merges.contains(&(a, b.to_string(), a.to_string())));
        }
        let Some((place, Event::CustomerChanged(changed))) = events.last() else { panic!("{events:?}") };
        assert_eq!((*place, changed.created), (a, false));
        assert_eq!(changed.changed_traits, ["name"], "what the loser brought");
        let traits = changed.traits.clone().unwrap();
        assert_eq!(traits.fields.keys().collect::<Vec<_>>(), ["city", "name"], "all of the golden record");
        assert!(merged.revision.covers(&Revision::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_of_merges_and_splits_by_hand() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let identify = async |command| customers.identify(&caller, None, command).await.unwrap().value;
        let a = identify(command(&[("crm", "a")], &[("city", "Bonn")], 0)).await.customer.unwrap();
        let b = identify(command(&[("crm", "b")], &[("name", "B")], 0)).await;
        let (b, record) = (b.customer.unwrap(), b.record.unwrap());
        let merge = MergeCustomers {
            survivor: CustomerRef::Id(a),
            losers: vec![CustomerRef::Id(b)],
            reason: "marker-7351".to_owned(),
            override_guards: false,
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        customers.merge(&caller, None, merge).await.unwrap();
        let split = SplitCustomer {
            customer: CustomerRef::Id(a),
            identifiers: Vec::new(),
            records: Vec::new(),
            alias: Some(b),
            reason: "marker-7351".to_owned(),
            etag: String::new(),
            validate_only: false,
            policy: Arc::default(),
        };
        let written = customers.split(&caller, None, split).await.unwrap();
        for id in [a, b] {
            let position = written.revision.position(Service::Identity, partition(&caller.tenant, id));
            assert!(position.is_some(), "{}: the revision covers both", store.name());
        }
        let events = events(&store).await;
        let merged = events.iter().filter_map(|(_, event)| match event {
            Event::CustomerMerged(merged) => Some((merged.manual, merged.loser.clone())),
            _ => None,
        });
        assert!(merged.clone().count() > 0 && merged.into_iter().all(|found| found == (true, b.to_string())));
        let split: Vec<_> = events
            .iter()
            .filter_map(|(place, event)| match event {
                Event::CustomerSplit(split) => Some((*place, split.clone())),
                _ => None,
            })
            .collect();
        let apart = partition(&caller.tenant, a) != partition(&caller.tenant, b);
        assert_eq!(split.len(), 1 + usize::from(apart), "once in each partition");
        let (_, told) = &split[0];
        assert_eq!((&told.from_customer_id, &told.to_customer_id), (&a.to_string(), &b.to_string()));
        assert_eq!((&told.record_ids, &told.customer_ids), (&vec![record.to_string()], &vec![b.to_string()]));
        assert_eq!(told.identifiers.iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), ["b"]);
        let last = |id: CustomerId| {
            let of = |(place, event): &&(CustomerId, Event)| *place == id && matches!(event, Event::CustomerChanged(_));
            match events.iter().rev().find(of) {
                Some((_, Event::CustomerChanged(changed))) => changed.clone(),
                _ => panic!("{events:?}"),
            }
        };
        let traits =
            |id| last(id).traits.unwrap().fields.into_iter().filter(|(_, v)| v.kind != null()).collect::<Vec<_>>();
        assert_eq!(traits(a).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["city"]);
        assert_eq!(traits(b).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["name"]);
        assert!(last(a).changed_traits.contains(&"name".to_owned()), "what went");
        let sql = "SELECT reason || actor FROM history";
        for row in store.reader().rows(sql, vec![]).await.unwrap() {
            let text: String = row.try_get_by_index(0).unwrap();
            assert!(!text.contains("marker"), "{}: somebody's words in the clear", store.name());
        }
    }
}

/// Records that no longer resemble each other part as by a split, and nobody is told of a person who did it.
#[tokio::test(flavor = "multi_thread")]
async fn the_feed_tells_of_those_who_part() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let tell = async |id: &str, name: &str, born: &str, at: i64| {
            let traits = [("name", name), ("dob", born), ("address", "12 Elm Street, Springfield")];
            let mut command = command(&[("crm", id)], &traits, at);
            command.key = RecordKey { source: "crm".to_owned(), key: SourceKey::Given(id.to_owned()) };
            customers.identify(&caller, None, command).await.unwrap()
        };
        let a = tell("a", "Jane Kowalski", "1970-03-01", 0).await.value.customer.unwrap();
        let joined = tell("b", "Jane Kowalsky", "1970-03-01", 0).await.value;
        assert_eq!(joined.customer, Some(a), "{}", store.name());
        let written = tell("b", "Otto Prendergast", "1941-11-23", 60).await;
        let b = written.value.customer.unwrap();
        assert_ne!(a, b, "{}", store.name());
        for id in [a, b] {
            let position = written.revision.position(Service::Identity, partition(&caller.tenant, id));
            assert!(position.is_some(), "{}: the revision covers both", store.name());
        }
        let events = events(&store).await;
        let split = events.iter().find_map(|(_, event)| match event {
            Event::CustomerSplit(split) => Some(split.clone()),
            _ => None,
        });
        let told = split.expect("a split");
        assert_eq!((&told.from_customer_id, &told.to_customer_id), (&a.to_string(), &b.to_string()));
        assert_eq!(told.record_ids, [joined.record.unwrap().to_string()]);
        assert_eq!(told.customer_ids, [b.to_string()]);
        assert_eq!(told.identifiers.iter().map(|i| i.value.as_str()).collect::<Vec<_>>(), ["b"]);
        let last = |id: CustomerId| {
            let of = |(place, event): &&(CustomerId, Event)| *place == id && matches!(event, Event::CustomerChanged(_));
            match events.iter().rev().find(of) {
                Some((_, Event::CustomerChanged(changed))) => {
                    changed.traits.clone().unwrap().fields["name"].kind.clone()
                }
                _ => panic!("{events:?}"),
            }
        };
        let named = |name: &str| Some(prost_types::value::Kind::StringValue(name.to_owned()));
        assert_eq!((last(a), last(b)), (named("Jane Kowalski"), named("Otto Prendergast")), "{}", store.name());
        assert_eq!(store.count("cannot_link").await, 0);
    }
}

fn null() -> Option<prost_types::value::Kind> {
    Some(prost_types::value::Kind::NullValue(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_value_of_an_identifier_or_trait_is_stored_in_the_clear_outside_of_sealed_columns() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(&store);
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        let command = command(&[("crm", "marker-7351")], &[("note", "marker-7351")], 0);
        customers.identify(&caller, None, command).await.unwrap();
        for (table, columns) in [
            ("lookup", "tenant"),
            ("history", "kind || actor || reason"),
            ("record", "source"),
            ("evidence", "kind || namespace || actor"),
        ] {
            let sql = format!("SELECT {columns} FROM {table}");
            for row in store.reader().rows(&sql, vec![]).await.unwrap() {
                let text: String = row.try_get_by_index(0).unwrap();
                assert!(!text.contains("marker"), "{}: {table}", store.name());
            }
        }
    }
}

/// Sends every call to the next of two stores.
struct Alternating {
    stores: [Arc<dyn Customers>; 2],
    turn: std::sync::atomic::AtomicUsize,
}

impl Alternating {
    fn next(&self) -> &dyn Customers {
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        &*self.stores[turn % 2]
    }
}

mod alternating {
    use async_trait::async_trait;
    use identity_domain::{
        Claim, Customer, Customers, HistoryEntry, HistoryQuery, Identified, Identify, Lead, Merge, MergeCustomers,
        Merged, Parted, Record, SplitCustomer, Verdicts, explain_identity::Word, list_customers::ListQuery,
    };
    use terms::{Caller, CustomerId, Fault, Identifier, Once, Tenant, Written};

    use super::Alternating;

    #[async_trait]
    impl Customers for Alternating {
        async fn identify(
            &self,
            caller: &Caller,
            once: Option<Once>,
            command: Identify,
        ) -> Result<Written<Identified>, Fault> {
            self.next().identify(caller, once, command).await
        }
        async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
            self.next().identify_many(caller, commands).await
        }
        async fn merge(
            &self,
            caller: &Caller,
            once: Option<Once>,
            command: MergeCustomers,
        ) -> Result<Written<Merged>, Fault> {
            self.next().merge(caller, once, command).await
        }
        async fn split(
            &self,
            caller: &Caller,
            once: Option<Once>,
            command: SplitCustomer,
        ) -> Result<Written<Parted>, Fault> {
            self.next().split(caller, once, command).await
        }
        async fn merges(&self, tenant: &Tenant, id: CustomerId) -> Result<Vec<Merge>, Fault> {
            self.next().merges(tenant, id).await
        }
        async fn words(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Word>, Fault> {
            self.next().words(tenant, ids).await
        }
        async fn leads(&self, tenant: &Tenant, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault> {
            self.next().leads(tenant, identifiers).await
        }
        async fn resolve(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault> {
            self.next().resolve(tenant, ids).await
        }
        async fn get(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault> {
            self.next().get(tenant, ids).await
        }
        async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault> {
            self.next().list(tenant, query).await
        }
        async fn records(&self, tenant: &Tenant, id: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault> {
            self.next().records(tenant, id).await
        }
        async fn history(
            &self,
            tenant: &Tenant,
            id: CustomerId,
            query: HistoryQuery,
        ) -> Result<Vec<HistoryEntry>, Fault> {
            self.next().history(tenant, id, query).await
        }
    }
}
