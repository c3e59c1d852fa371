//! Migrations: once each, also when several processes begin together.

use data::StoreOptions;
use futures::future::join_all;
use terms::{Service, SystemClock};
use testkit::Database;

use crate::support::migrations;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_migrate_at_once() {
    for database in Database::each().await {
        let options = || StoreOptions::new(std::sync::Arc::new(SystemClock));
        let opens = (0..4).map(|_| data::Store::open(&database.config, Service::Identity, migrations(), options()));
        let stores: Vec<_> = join_all(opens).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(stores[0].pending_migrations().await.unwrap().len(), 8, "{}", database.name);
        for outcome in join_all(stores.iter().map(data::Store::migrate)).await {
            outcome.unwrap();
        }
        assert!(stores[1].pending_migrations().await.unwrap().is_empty());
        stores[2].migrate().await.unwrap();
        // Another service in the same database has tables of its own.
        let other = database.open(Service::Segmentation, migrations(), options()).await;
        assert_eq!(crate::support::number(&other, "SELECT COUNT(*) FROM tally").await, 0);
    }
}

#[tokio::test]
async fn a_store_in_memory_is_gone_afterwards() {
    let options = StoreOptions::new(std::sync::Arc::new(SystemClock));
    let store = data::Store::open(&data::StoreConfig::SqliteMemory, Service::Identity, migrations(), options.clone());
    let store = store.await.unwrap();
    store.migrate().await.unwrap();
    crate::support::record(&store, crate::support::customer(1), "a").await.unwrap();
    let other = data::Store::open(&data::StoreConfig::SqliteMemory, Service::Identity, migrations(), options);
    let other = other.await.unwrap();
    assert_eq!(other.pending_migrations().await.unwrap().len(), 8);
}
