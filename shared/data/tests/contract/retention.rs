//! Old entries go, and whoever needed them is told.

use std::time::Duration;

use data::{FeedSource, StoreOptions, Watch, WatchFrom};
use futures::StreamExt;
use terms::{PARTITIONS, Position, Reason, Service, partition};

use crate::support::{customer, entries, migrations, names, publish, record, tenant, watch};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_before_what_is_kept_has_expired() {
    let clock = testkit::clock();
    let stores = testkit::stores_with(Service::Interaction, migrations, || StoreOptions::new(clock.clone())).await;
    for store in stores {
        publish(&store, "old", 0..300).await;
        let old = entries(&mut watch(&store.feed(), WatchFrom::Oldest).await, 300).await;
        clock.advance(WEEK - Duration::from_secs(60));
        publish(&store, "young", 0..10).await;
        assert_eq!(store.prune().await.unwrap().entries, 0);
        clock.advance(Duration::from_secs(120));
        // On PostgreSQL an entry can go when no older transaction runs.
        testkit::eventually("the old entries go", || async {
            store.prune().await.unwrap();
            store.count("feed_entry").await == 10
        })
        .await;

        let start: Vec<_> = (0..PARTITIONS).map(|p| (p, Position::START)).collect();
        let expired = store.feed().watch(Watch::new(WatchFrom::Cursors(start))).await.err().unwrap();
        assert_eq!(expired.reason(), Reason::FeedCursorExpired, "{}", store.name());
        // A consumer that had read all the old ones goes on; one that missed the last does not.
        let p = partition(&tenant(), customer(0));
        let of: Vec<_> = old.iter().filter(|e| e.partition == p).map(|e| e.position).collect();
        assert!(of.len() > 1);
        let missed = WatchFrom::Cursors(vec![(p, of[of.len() - 2])]);
        assert!(store.feed().watch(Watch::new(missed)).await.is_err());
        let kept = WatchFrom::Cursors(vec![(p, of[of.len() - 1])]);
        let mut batches = watch(&store.feed(), kept).await;
        assert_eq!(names(&entries(&mut batches, 1).await), ["young0"]);
        // From the oldest kept, it is ten.
        assert_eq!(entries(&mut watch(&store.feed(), WatchFrom::Oldest).await, 10).await.len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_pruned_empty_goes_on_counting() {
    let clock = testkit::clock();
    let stores = testkit::stores_with(Service::Interaction, migrations, || StoreOptions::new(clock.clone())).await;
    for store in stores {
        let before = record(&store, customer(1), "a").await.unwrap().revision;
        clock.advance(WEEK * 2);
        testkit::eventually("all entries go", || async {
            store.prune().await.unwrap();
            store.count("feed_entry").await == 0
        })
        .await;
        let restarted = store.another().await;
        let mut batches = watch(&restarted.feed(), WatchFrom::Now).await;
        batches.next().await.unwrap().unwrap();
        let after = record(&restarted, customer(1), "b").await.unwrap().revision;
        assert!(after.covers(&before) && after != before, "{}", store.name());
        assert_eq!(names(&entries(&mut batches, 1).await), ["b"]);
    }
}
