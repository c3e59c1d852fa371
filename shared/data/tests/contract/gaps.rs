//! PostgreSQL commits out of order: a reader never passes an entry that may still become visible.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use data::{Dialect, FeedSource, Watch, WatchFrom};
use futures::{FutureExt, StreamExt, future::join_all};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use testkit::TestStore;

use crate::support::{customer, entries, event, name_of, publish, record, stores, tenant, watch};

const INSERT: &str = "INSERT INTO interaction.feed_entry (partition, tenant, customer, kind, actor, at) \
                      VALUES (7, 'acme', '01900000-0000-7000-8000-000000000001', 'stalled', '', 0)";

/// A session of its own, apart from the store's pools.
async fn session(store: &TestStore) -> sea_orm::DatabaseConnection {
    let data::StoreConfig::Postgres { url, .. } = &store.database().config else { panic!("PostgreSQL only") };
    Database::connect(url).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_commits_late_is_not_skipped() {
    for store in stores().await.iter().filter(|store| store.dialect() == Dialect::Postgres) {
        let mut live = watch(&store.feed(), WatchFrom::Oldest).await;
        live.next().await.unwrap().unwrap();
        let session = session(store).await;
        let stalled = session.begin().await.unwrap();
        stalled.execute_unprepared(INSERT).await.unwrap();
        for i in 0..5 {
            record(store, customer(i), &format!("fast{i}")).await.unwrap();
        }
        // They are committed, and readable; they are held back all the same.
        assert_eq!(store.count("feed_entry").await, 5);
        let early = tokio::time::timeout(Duration::from_millis(300), live.next()).await;
        assert!(early.is_err(), "{early:?}");
        stalled.commit().await.unwrap();
        let came = entries(&mut live, 6).await;
        assert_eq!(came[0].kind, "stalled");
        assert_eq!(came[1..].iter().map(name_of).collect::<Vec<_>>(), ["fast0", "fast1", "fast2", "fast3", "fast4"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_rolled_back_holds_nobody_up() {
    for store in stores().await.iter().filter(|store| store.dialect() == Dialect::Postgres) {
        let mut live = watch(&store.feed(), WatchFrom::Oldest).await;
        let session = session(store).await;
        let stalled = session.begin().await.unwrap();
        stalled.execute_unprepared(INSERT).await.unwrap();
        record(store, customer(1), "fast").await.unwrap();
        stalled.rollback().await.unwrap();
        assert_eq!(name_of(&entries(&mut live, 1).await[0]), "fast");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_dawdle_lose_nothing_to_any_reader() {
    for store in stores().await {
        let done = Arc::new(AtomicBool::new(false));
        // Readers that begin anew all the time, each from where the last one stood.
        let readers = (0..3u64).map(|seed| {
            let (store, done) = (store.store(), done.clone());
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed);
                let mut cursors: Vec<_> = (0..terms::PARTITIONS).map(|p| (p, terms::Position::START)).collect();
                let mut seen = Vec::new();
                while seen.len() < 400 {
                    assert!(!done.load(Ordering::Relaxed) || seen.len() <= 400);
                    let watch = Watch {
                        max_entries: random.random_range(1..40),
                        ..Watch::new(WatchFrom::Cursors(cursors.clone()))
                    };
                    let mut batches = store.feed().watch(watch).await.unwrap();
                    for _ in 0..random.random_range(1..6) {
                        let Ok(Some(batch)) = tokio::time::timeout(Duration::from_millis(50), batches.next()).await
                        else {
                            break;
                        };
                        let batch = batch.unwrap();
                        for (partition, at) in batch.cursors {
                            cursors[usize::from(partition)].1 = at;
                        }
                        seen.extend(batch.entries);
                    }
                }
                seen
            })
        });
        let readers: Vec<_> = readers.collect();
        let writers = (0..8u64).map(|w| {
            let store = store.store();
            async move {
                let mut random = StdRng::seed_from_u64(100 + w);
                for i in 0..50 {
                    let pause = Duration::from_micros(random.random_range(0..4_000));
                    let n = w * 50 + i;
                    let written = store.write(move |tx| {
                        async move {
                            // The transaction takes its id, then dawdles, then publishes and commits.
                            crate::support::count(tx, &format!("n{n}")).await?;
                            tokio::time::sleep(pause).await;
                            tx.publish(&tenant(), customer(n), event(&format!("n{n}")));
                            Ok(())
                        }
                        .boxed()
                    });
                    written.await.unwrap();
                }
            }
        });
        join_all(writers).await;
        done.store(true, Ordering::Relaxed);
        for reader in readers {
            let seen = tokio::time::timeout(Duration::from_secs(30), reader).await.expect("all entries come").unwrap();
            assert_eq!(seen.len(), 400, "{}", store.name());
            assert_eq!(seen.iter().map(name_of).collect::<BTreeSet<_>>().len(), 400, "{}", store.name());
            for p in 0..terms::PARTITIONS {
                let of: Vec<_> = seen.iter().filter(|e| e.partition == p).map(|e| e.position).collect();
                assert!(of.is_sorted(), "{}: partition {p} out of order", store.name());
            }
        }
        publish(&store, "end", 0..1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_rise_when_the_data_moves_to_a_cluster_with_lower_ids() {
    for store in stores().await.iter().filter(|store| store.dialect() == Dialect::Postgres) {
        let before = publish(store, "before", 0..10).await;
        store.settle(&before.revision, Duration::from_secs(20)).await.unwrap();
        // As a dump brings them: entries of transactions that this cluster has yet to come to.
        let moved = session(store).await;
        moved.execute_unprepared("UPDATE interaction.feed_entry SET xid = xid + 1000000000").await.unwrap();
        let restored = store.another().await;
        restored.migrate().await.unwrap();
        let mut live = watch(&restored.feed(), WatchFrom::Oldest).await;
        let old = entries(&mut live, 10).await;
        let after = publish(&restored, "after", 0..10).await;
        let new = entries(&mut live, 10).await;
        assert!(new.iter().all(|entry| name_of(entry).starts_with("after") && entry.position > old[9].position));
        restored.settle(&after.revision, Duration::from_secs(20)).await.unwrap();
        // Once is enough.
        let base = "SELECT base FROM feed_base";
        let base_before = crate::support::number(&restored, base).await;
        restored.migrate().await.unwrap();
        assert_eq!(crate::support::number(&restored, base).await, base_before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_holds_the_feed_back_shows() {
    for store in stores().await.iter().filter(|store| store.dialect() == Dialect::Postgres) {
        let session = session(store).await;
        let stalled = session.begin().await.unwrap();
        stalled.execute_unprepared(INSERT).await.unwrap();
        record(store, customer(1), "waits").await.unwrap();
        testkit::eventually("it shows", || async { store.held_back().await.unwrap() > Duration::from_millis(20) })
            .await;
        stalled.rollback().await.unwrap();
        testkit::eventually("it is over", || async { store.held_back().await.unwrap() == Duration::ZERO }).await;
    }
}
