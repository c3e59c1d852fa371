//! One replica: effects once, in order, whatever fails.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use data::{Consumer, Entry, FollowOptions, Sql, Start, Store, StoreOptions, Tx, follow};
use parking_lot::Mutex;
use terms::{Fault, Reason, Revision, Service, SystemClock, partition};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{customer, event, follower_store, migrations, name_of, number, publish, record, stores, tenant};

/// Writes a row for every entry, and publishes one of its own.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) label: String,
    /// Refuses entries of this name.
    pub(crate) refuses: Mutex<BTreeSet<String>>,
    pub(crate) panics: AtomicBool,
    pub(crate) store_fails: AtomicU32,
    pub(crate) order: Mutex<Vec<String>>,
    pub(crate) revisions: Mutex<Vec<Revision>>,
    pub(crate) rebuilt: AtomicU32,
    pub(crate) kinds: &'static [&'static str],
}

#[async_trait::async_trait]
impl Consumer for Effects {
    fn name(&self) -> &'static str {
        "effects"
    }

    fn kinds(&self) -> &'static [&'static str] {
        self.kinds
    }

    async fn apply(&self, tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
        for entry in entries {
            let name = name_of(entry);
            let sql = "INSERT INTO effect (consumer, entry, customer) VALUES ($1, $2, $3)";
            let customer = entry.customer.map(|c| c.to_string()).unwrap_or_default();
            tx.conn().run(sql, vec![self.label.as_str().into(), name.as_str().into(), customer.into()]).await?;
            if self.refuses.lock().contains(&name) {
                assert!(!self.panics.load(Ordering::Relaxed), "on purpose");
                return Err(Fault::new(Reason::Internal, "poison"));
            }
            if let Some(customer) = entry.customer {
                tx.publish(&entry.tenant, customer, event(&name));
            }
        }
        if self.store_fails.load(Ordering::Relaxed) > 0 {
            self.store_fails.fetch_sub(1, Ordering::Relaxed);
            return Err(Fault::new(Reason::StoreUnavailable, "blinked"));
        }
        Ok(())
    }

    async fn applied(&self, entries: &[Entry], revision: &Revision) {
        self.order.lock().extend(entries.iter().map(name_of));
        self.revisions.lock().push(revision.clone());
    }

    async fn rebuild(&self, _: &Tx, _: &[u16]) -> Result<(), Fault> {
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

pub(crate) fn quick() -> FollowOptions {
    FollowOptions {
        lease: Some(Duration::from_millis(600)),
        backoff: Duration::from_millis(5),
        ..FollowOptions::default()
    }
}

pub(crate) async fn effects(store: &Store) -> i64 {
    number(store, "SELECT COUNT(*) FROM effect").await
}

pub(crate) async fn distinct(store: &Store) -> i64 {
    number(store, "SELECT COUNT(DISTINCT entry) FROM effect").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn effects_happen_once_and_in_order() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let consumer = Arc::new(Effects::default());
        let shutdown = CancellationToken::new();
        publish(&source, "early", 0..500).await;
        let task = follow(store.clone(), Arc::new(source.feed()), consumer.clone(), quick(), shutdown.clone());
        for i in 0..50 {
            record(&source, customer(i % 3), &format!("late{i}")).await.unwrap();
        }
        eventually("all effects", || async { effects(&store).await == 550 }).await;
        assert_eq!(distinct(&store).await, 550, "{}", source.name());
        for who in 0..3 {
            let of: Vec<usize> = consumer
                .order
                .lock()
                .iter()
                .filter_map(|n| n.strip_prefix("late")?.parse().ok())
                .filter(|i| i % 3 == who)
                .collect();
            assert!(of.is_sorted(), "{}: customer {who} out of order", source.name());
        }
        // What it published is a feed of its own, and its revision went with it.
        assert_eq!(number(&store, "SELECT COUNT(*) FROM feed_entry").await, 550);
        assert!(consumer.revisions.lock().iter().all(|r| r.of(Service::Segmentation).count() > 0));
        shutdown.cancel();
        task.await.unwrap();
        assert_eq!(number(&store, "SELECT COUNT(*) FROM feed_cursor WHERE owner <> ''").await, 0);

        // The next start goes on where this one stopped.
        publish(&source, "more", 0..10).await;
        let shutdown = CancellationToken::new();
        let _task = follow(store.clone(), Arc::new(source.feed()), consumer.clone(), quick(), shutdown.clone());
        eventually("the rest", || async { effects(&store).await == 560 }).await;
        assert_eq!(distinct(&store).await, 560);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_can_begin_now() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let before = publish(&source, "before", 0..100).await;
        source.settle(&before.revision, Duration::from_secs(20)).await.unwrap();
        let options = FollowOptions { start: Start::Now, ..quick() };
        let shutdown = CancellationToken::new();
        let _task =
            follow(store.clone(), Arc::new(source.feed()), Arc::new(Effects::default()), options, shutdown.clone());
        eventually("it follows", || async { store.following()[0].held == 64 }).await;
        publish(&source, "after", 0..100).await;
        eventually("all effects", || async { effects(&store).await == 100 }).await;
        assert_eq!(number(&store, "SELECT COUNT(*) FROM effect WHERE entry LIKE 'before%'").await, 0);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_cannot_be_applied_stops_its_partition_alone() {
    for panics in [false, true] {
        for source in stores().await {
            let store = follower_store(&source, Service::Segmentation).await;
            let consumer = Arc::new(Effects { panics: AtomicBool::new(panics), ..Effects::default() });
            consumer.refuses.lock().insert("b3".to_owned());
            let poisoned = partition(&tenant(), customer(3));
            publish(&source, "a", 0..200).await;
            publish(&source, "b", 0..200).await;
            publish(&source, "c", 0..200).await;
            let behind: Vec<u64> = (0..200).filter(|i| partition(&tenant(), customer(*i)) == poisoned).collect();
            // Of its partition: everything before it is applied, it and what follows are not.
            let missing = behind.iter().filter(|i| **i >= 3).count() + behind.len();
            let shutdown = CancellationToken::new();
            let _task = follow(store.clone(), Arc::new(source.feed()), consumer.clone(), quick(), shutdown.clone());
            let expected = 600 - missing as i64;
            eventually("all the others", || async { effects(&store).await == expected }).await;
            let following = store.following().remove(0);
            assert_eq!((following.stalled, following.failed > 0), (vec![poisoned], true), "{}", source.name());
            publish(&source, "d", 0..200).await;
            let expected = expected + 200 - behind.len() as i64;
            eventually("the others go on", || async { effects(&store).await == expected }).await;

            consumer.refuses.lock().clear();
            eventually("the rest", || async { effects(&store).await == 800 }).await;
            assert_eq!(distinct(&store).await, 800);
            eventually("nothing is stalled", || async { store.following()[0].stalled.is_empty() }).await;
            let of: Vec<String> = consumer.order.lock().iter().filter(|n| n[1..] == *"3").cloned().collect();
            assert_eq!(of, ["a3", "b3", "c3", "d3"]);
            shutdown.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_blinks_costs_a_retry() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let consumer = Arc::new(Effects { store_fails: AtomicU32::new(3), ..Effects::default() });
        publish(&source, "a", 0..100).await;
        let shutdown = CancellationToken::new();
        let _task = follow(store.clone(), Arc::new(source.feed()), consumer.clone(), quick(), shutdown.clone());
        eventually("all effects", || async { effects(&store).await == 100 }).await;
        assert_eq!(distinct(&store).await, 100);
        assert!(store.following()[0].stalled.is_empty(), "{}", source.name());
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_fell_behind_rebuilds_and_goes_on() {
    let clock = testkit::clock();
    let sources = testkit::stores_with(Service::Interaction, migrations, || StoreOptions::new(clock.clone())).await;
    for source in sources {
        let options = StoreOptions::new(Arc::new(SystemClock));
        let store = source.database().open(Service::Segmentation, migrations(), options).await;
        publish(&source, "lost", 0..100).await;
        clock.advance(Duration::from_secs(8 * 24 * 3600));
        eventually("old entries go", || async {
            source.prune().await.unwrap();
            source.count("feed_entry").await == 0
        })
        .await;
        let consumer = Arc::new(Effects::default());
        let shutdown = CancellationToken::new();
        let _task = follow(store.clone(), Arc::new(source.feed()), consumer.clone(), quick(), shutdown.clone());
        eventually("it rebuilds", || async { consumer.rebuilt.load(Ordering::Relaxed) > 0 }).await;
        publish(&source, "new", 0..100).await;
        eventually("it goes on", || async { effects(&store).await >= 100 }).await;
        assert_eq!(distinct(&store).await, 100, "{}", source.name());
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_filter_skips_moves_the_cursor_too() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let consumer = Arc::new(Effects { kinds: &["customer"], ..Effects::default() });
        let shutdown = CancellationToken::new();
        let _task = follow(store.clone(), Arc::new(source.feed()), consumer, quick(), shutdown.clone());
        let skipped = record(&source, customer(1), "skipped").await.unwrap().revision;
        store.reach("effects", &skipped, Duration::from_secs(20)).await.unwrap();
        assert_eq!(effects(&store).await, 0, "{}", source.name());
        shutdown.cancel();
    }
}
