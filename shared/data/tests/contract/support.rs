//! A small service: customers with tallies, every count published.

use std::{sync::Arc, time::Duration};

use data::{Entry, FeedBatch, FeedSource, OrFault, Sql, Store, StoreOptions, Tx, Watch, WatchFrom, Written};
use futures::{FutureExt, StreamExt, stream::BoxStream};
use rapport_proto::feed::v1::{OutcomeReported, event::Event};
use sea_orm_migration::prelude::*;
use terms::{CustomerId, Fault, Id, Service, SystemClock, Tenant};
use testkit::TestStore;
use uuid::Uuid;

pub(crate) struct Tallies;

impl MigrationName for Tallies {
    fn name(&self) -> &str {
        "m20260102_000001_tally"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Tallies {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables = "CREATE TABLE tally (tenant TEXT NOT NULL, name TEXT NOT NULL, n BIGINT NOT NULL, \
                      PRIMARY KEY (tenant, name)); \
                      CREATE TABLE effect (consumer TEXT NOT NULL, entry TEXT NOT NULL, customer TEXT NOT NULL);";
        manager.get_connection().execute_unprepared(tables).await.map(drop)
    }
}

pub(crate) fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(Tallies)]
}

/// Interaction's store on every database.
pub(crate) async fn stores() -> Vec<TestStore> {
    testkit::stores(Service::Interaction, migrations).await
}

/// The store of a service that follows, on the same database.
pub(crate) async fn follower_store(on: &TestStore, service: Service) -> Store {
    on.database().open(service, migrations(), StoreOptions::new(Arc::new(SystemClock))).await
}

pub(crate) fn tenant() -> Tenant {
    "acme".parse().unwrap()
}

/// The `n`th customer; ids spread over the partitions.
pub(crate) fn customer(n: u64) -> CustomerId {
    Id::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n) * 0x9e37_79b9))
}

pub(crate) fn event(name: &str) -> Event {
    Event::OutcomeReported(OutcomeReported { decision_id: name.to_owned(), ..OutcomeReported::default() })
}

pub(crate) fn name_of(entry: &Entry) -> String {
    match entry.change() {
        Some(Event::OutcomeReported(outcome)) => outcome.decision_id.clone(),
        _ => String::new(),
    }
}

/// Adds 1 to a tally.
pub(crate) async fn count(tx: &Tx, name: &str) -> Result<i64, Fault> {
    let sql = "INSERT INTO tally (tenant, name, n) VALUES ($1, $2, 1) \
               ON CONFLICT (tenant, name) DO UPDATE SET n = tally.n + 1 RETURNING n";
    let row = tx.conn().row(sql, vec![tenant().as_str().into(), name.into()]).await?.expect("a row");
    row.try_get_by_index(0).or_fault()
}

/// Counts `name` for a customer and publishes it, in one transaction.
pub(crate) async fn record(store: &Store, customer: CustomerId, name: &str) -> Result<Written<i64>, Fault> {
    let name = name.to_owned();
    store
        .write(move |tx| {
            let name = name.clone();
            async move {
                let n = count(tx, &name).await?;
                tx.publish(&tenant(), customer, event(&name));
                Ok(n)
            }
            .boxed()
        })
        .await
}

/// Publishes many entries in one transaction: `<prefix><i>` for customer `i`.
pub(crate) async fn publish(store: &Store, prefix: &str, range: std::ops::Range<u64>) -> Written<()> {
    let prefix = prefix.to_owned();
    let written = store.write(move |tx| {
        for i in range.clone() {
            tx.publish(&tenant(), customer(i), event(&format!("{prefix}{i}")));
        }
        async { Ok(()) }.boxed()
    });
    written.await.unwrap()
}

pub(crate) async fn number(store: &Store, sql: &str) -> i64 {
    let row = store.reader().row(sql, vec![]).await.unwrap().unwrap();
    row.try_get_by_index::<Option<i64>>(0).unwrap().unwrap_or_default()
}

pub(crate) type Batches = BoxStream<'static, Result<FeedBatch, Fault>>;

pub(crate) async fn watch(source: &dyn FeedSource, from: WatchFrom) -> Batches {
    source.watch(Watch::new(from)).await.unwrap()
}

/// Reads until `n` entries have come.
pub(crate) async fn entries(batches: &mut Batches, n: usize) -> Vec<Entry> {
    let mut all = Vec::new();
    while all.len() < n {
        let batch = tokio::time::timeout(Duration::from_secs(20), batches.next()).await;
        let batch = batch.unwrap_or_else(|_| panic!("{} of {n} entries came", all.len()));
        all.extend(batch.expect("the feed goes on").unwrap().entries);
    }
    all
}

pub(crate) fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(name_of).collect()
}
