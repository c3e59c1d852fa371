//! Several replicas: they share the partitions, take over from each other, and no effect happens twice.

use std::{sync::Arc, time::Duration};

use data::{Sql, Store, follow};
use futures::future::join_all;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use terms::Service;
use testkit::{TestStore, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    consumers::{Effects, distinct, effects, quick},
    support::{customer, follower_store, number, publish, record, stores},
};

fn replica(store: &Store, source: &TestStore, label: &str, shutdown: &CancellationToken) -> JoinHandle<()> {
    let consumer = Arc::new(Effects { label: label.to_owned(), ..Effects::default() });
    follow(store.clone(), Arc::new(source.feed()), consumer, quick(), shutdown.clone())
}

async fn owners(store: &Store) -> Vec<i64> {
    let sql = "SELECT COUNT(*) FROM feed_cursor WHERE owner <> '' GROUP BY owner ORDER BY 1";
    let rows = store.reader().rows(sql, vec![]).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_and_take_over() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let one = replica(&store, &source, "one", &shutdown);
        eventually("one holds all", || async { owners(&store).await == [64] }).await;
        let _two = replica(&store, &source, "two", &shutdown);
        eventually("two share", || async { owners(&store).await == [32, 32] }).await;
        let _three = replica(&store, &source, "three", &shutdown);
        eventually("three share", || async { owners(&store).await == [20, 22, 22] }).await;
        publish(&source, "a", 0..500).await;
        eventually("all effects", || async { effects(&store).await == 500 }).await;
        assert_eq!(number(&store, "SELECT COUNT(DISTINCT consumer) FROM effect").await, 3);

        // One stops without giving anything back: its leases run out.
        one.abort();
        publish(&source, "b", 0..500).await;
        eventually("the others take over", || async { effects(&store).await == 1_000 }).await;
        eventually("and share", || async { owners(&store).await == [32, 32] }).await;
        assert_eq!(distinct(&store).await, 1_000, "{}", source.name());
        shutdown.cancel();
        eventually("all is given back", || async { owners(&store).await.is_empty() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_lost_its_lease_writes_nothing() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let _zombie = replica(&store, &source, "zombie", &shutdown);
        eventually("it holds all", || async { owners(&store).await == [64] }).await;
        publish(&source, "a", 0..64).await;
        eventually("it works", || async { effects(&store).await == 64 }).await;
        // Behind its back every partition goes to somebody else, for long.
        let taken = store.write(|tx| {
            Box::pin(async move {
                // On SQLite another process's lease is worth nothing: take a name of this process.
                let sql = "UPDATE feed_cursor SET owner = owner || 'x', lease_until = 9000000000000000000";
                tx.conn().run(sql, vec![]).await
            })
        });
        assert_eq!(taken.await.unwrap().value, 64);
        publish(&source, "b", 0..64).await;
        eventually("it notices", || async { store.following()[0].held == 0 }).await;
        assert_eq!(effects(&store).await, 64, "{}", source.name());
        let freed = store
            .write(|tx| Box::pin(async move { tx.conn().run("UPDATE feed_cursor SET lease_until = 0", vec![]).await }));
        freed.await.unwrap();
        eventually("it works again", || async { effects(&store).await == 128 }).await;
        assert_eq!(distinct(&store).await, 128);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_happen_once_whatever_is_killed_when() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let writing = {
            let source = source.store();
            tokio::spawn(async move {
                let writers = (0..4u64).map(|w| {
                    let source = source.clone();
                    async move {
                        for i in 0..100 {
                            record(&source, customer(w * 100 + i), &format!("{w}/{i}")).await.unwrap();
                        }
                    }
                });
                join_all(writers).await;
            })
        };
        let mut random = StdRng::seed_from_u64(17);
        let mut replicas: Vec<JoinHandle<()>> = Vec::new();
        for round in 0..12 {
            replicas.push(replica(&store, &source, &format!("r{round}"), &shutdown));
            replicas.shuffle(&mut random);
            let seen = effects(&store).await;
            let step = random.random_range(1..30);
            // Until some progress was made, or all is done: then somebody dies.
            eventually("progress", || async { effects(&store).await >= (seen + step).min(400) }).await;
            if replicas.len() > 2 {
                for killed in replicas.drain(..random.random_range(1..3)) {
                    killed.abort();
                }
            }
        }
        writing.await.unwrap();
        eventually("all effects", || async { effects(&store).await >= 400 }).await;
        assert_eq!((effects(&store).await, distinct(&store).await), (400, 400), "{}", source.name());
        assert_eq!(number(&store, "SELECT COUNT(*) FROM feed_entry").await, 400);
        shutdown.cancel();
        eventually("no session idle in transaction", || async { source.idle_in_transaction().await == 0 }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_in_different_processes() {
    for source in stores().await.iter().filter(|store| store.dialect() == data::Dialect::Postgres) {
        let first = follower_store(source, Service::Segmentation).await;
        let second = follower_store(source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let _one = replica(&first, source, "one", &shutdown);
        let two = replica(&second, source, "two", &shutdown);
        eventually("two share", || async { owners(&first).await == [32, 32] }).await;
        let revision = record(source, customer(5), "seen").await.unwrap().revision;
        // Whichever replica applied it, both know.
        for store in [&first, &second] {
            store.reach("effects", &revision, Duration::from_secs(20)).await.unwrap();
        }
        assert_eq!(effects(&second).await, 1);
        two.abort();
        shutdown.cancel();
    }
}
