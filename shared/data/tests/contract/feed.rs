//! Reading the feed: all of it, in order, from anywhere.

use std::{collections::BTreeMap, time::Duration};

use data::{Entry, FeedSource, Watch, WatchFrom};
use futures::{FutureExt, StreamExt, future::join_all};
use rapport_proto::feed::v1::{CustomerMerged, event::Event};
use terms::{PARTITIONS, Position, partition};
use testkit::eventually_some;

use crate::support::{customer, entries, event, name_of, names, publish, record, stores, tenant, watch};

fn is_in_order(entries: &[Entry]) -> bool {
    entries.windows(2).all(|pair| pair[0].position < pair[1].position)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_once_and_in_order() {
    for store in stores().await {
        let mut live = watch(&store.feed(), WatchFrom::Oldest).await;
        let writers = (0..30u64).map(|w| {
            let store = store.store();
            async move {
                for i in 0..4 {
                    publish(&store, &format!("{w}/{i}/"), 0..25).await;
                }
            }
        });
        join_all(writers).await;
        let came = entries(&mut live, 3_000).await;
        assert!(is_in_order(&came), "{}", store.name());
        assert!(came.iter().all(|e| e.partition == partition(&tenant(), e.customer.unwrap())));
        assert!(came.iter().all(|e| e.kind == "outcome.reported" && &*e.actor == "interaction"));
        // Afterwards, from the table.
        let again = entries(&mut watch(&store.feed(), WatchFrom::Oldest).await, 3_000).await;
        assert_eq!(came, again);
        // By another process, which never held them in memory.
        let other = store.another().await;
        assert_eq!(came, entries(&mut watch(&other.feed(), WatchFrom::Oldest).await, 3_000).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_resumes_at_every_cursor() {
    for store in stores().await {
        for round in 0..20u64 {
            publish(&store, &format!("{round}/"), 0..50).await;
        }
        let all = entries(&mut watch(&store.feed(), WatchFrom::Oldest).await, 1_000).await;
        for cut in [0, 1, 333, 999] {
            let mut cursors: BTreeMap<u16, Position> = (0..PARTITIONS).map(|p| (p, Position::START)).collect();
            for entry in &all[..cut] {
                cursors.insert(entry.partition, entry.position);
            }
            let mut rest = entries(
                &mut watch(&store.feed(), WatchFrom::Cursors(cursors.into_iter().collect())).await,
                1_000 - cut,
            )
            .await;
            rest.sort_by_key(|entry| entry.position);
            assert_eq!(rest, all[cut..], "{} after {cut}", store.name());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_partitions_some_kinds_one_tenant() {
    for store in stores().await {
        let other = "other".parse().unwrap();
        let written = store.write(move |tx| {
            for i in 0..100 {
                tx.publish(&tenant(), customer(i), event(&format!("o{i}")));
                tx.publish(&tenant(), customer(i), Event::CustomerMerged(CustomerMerged::default()));
                tx.publish(&other, customer(i), event(&format!("foreign{i}")));
            }
            async { Ok(()) }.boxed()
        });
        let revision = written.await.unwrap().revision;
        store.settle(&revision, Duration::from_secs(20)).await.unwrap();
        let of = |watch: Watch| {
            let feed = store.feed();
            async move {
                let mut batches = feed.watch(Watch { heartbeat: Duration::from_secs(60), ..watch }).await.unwrap();
                let mut all = Vec::new();
                while let Some(batch) =
                    tokio::time::timeout(Duration::from_millis(200), batches.next()).await.ok().flatten()
                {
                    all.extend(batch.unwrap().entries);
                }
                all
            }
        };
        let merged = of(Watch { kinds: vec!["customer".to_owned()], ..Watch::new(WatchFrom::Oldest) }).await;
        assert_eq!(merged.len(), 100);
        assert!(merged.iter().all(|e| e.kind == "customer.merged"));
        let ours = of(Watch { tenant: Some(tenant()), ..Watch::new(WatchFrom::Oldest) }).await;
        assert_eq!(ours.len(), 200);
        assert!(ours.iter().all(|e| e.tenant == tenant()));
        let few = vec![(3, Position::START), (40, Position::START)];
        let partitions = of(Watch::new(WatchFrom::Cursors(few))).await;
        assert!(!partitions.is_empty() && partitions.iter().all(|e| [3, 40].contains(&e.partition)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn now_is_after_everything_before() {
    for store in stores().await {
        let before = publish(&store, "before", 0..10).await;
        // Now is the horizon: what an older transaction still holds back comes after it.
        store.settle(&before.revision, Duration::from_secs(20)).await.unwrap();
        let mut batches = watch(&store.feed(), WatchFrom::Now).await;
        let first = batches.next().await.unwrap().unwrap();
        assert!(first.entries.is_empty());
        assert_eq!(first.cursors.len(), usize::from(PARTITIONS));
        publish(&store, "after", 0..10).await;
        let came = entries(&mut batches, 10).await;
        assert!(names(&came).iter().all(|name| name.starts_with("after")), "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_broken_by_heartbeats() {
    for store in stores().await {
        let before = publish(&store, "x", 0..1).await;
        store.settle(&before.revision, Duration::from_secs(20)).await.unwrap();
        let watch = Watch { heartbeat: Duration::from_millis(50), ..Watch::new(WatchFrom::Now) };
        let mut batches = store.feed().watch(watch).await.unwrap();
        for _ in 0..3 {
            let batch = batches.next().await.unwrap().unwrap();
            assert_eq!((batch.entries.len(), batch.cursors.len()), (0, usize::from(PARTITIONS)));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_falls_behind_the_memory_misses_nothing() {
    for store in stores().await {
        let mut slow = watch(&store.feed(), WatchFrom::Oldest).await;
        let mut fast = watch(&store.feed(), WatchFrom::Oldest).await;
        publish(&store, "first", 0..1).await;
        entries(&mut slow, 1).await;
        for round in 0..12u64 {
            publish(&store, &format!("{round}/"), 0..500).await;
        }
        let (slow, fast) = (entries(&mut slow, 6_000).await, entries(&mut fast, 6_001).await);
        assert!(is_in_order(&slow), "{}", store.name());
        assert_eq!(slow, fast[1..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_hears_without_hints() {
    for store in stores().await {
        let other = store.another().await;
        let mut batches = watch(&other.feed(), WatchFrom::Now).await;
        record(&store, customer(1), "told").await.unwrap();
        let came = entries(&mut batches, 1).await;
        assert_eq!(name_of(&came[0]), "told");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_horizon_covers_what_was_acknowledged() {
    for store in stores().await {
        let written = record(&store, customer(1), "a").await.unwrap();
        let horizon = store.settle(&written.revision, Duration::from_secs(10)).await.unwrap();
        let (_, position) = written.revision.of(store.service()).next().unwrap();
        assert!(horizon >= position);
        eventually_some("the horizon itself", || async {
            let horizon = store.horizon().await.unwrap();
            (horizon >= position).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_repeated_write_can_answer_with_what_it_saw() {
    for store in stores().await {
        let first = record(&store, customer(1), "a").await.unwrap();
        record(&store, customer(2), "b").await.unwrap();
        let seen = store.write(|tx| {
            tx.observe(&tenant(), customer(1));
            async { Ok(()) }.boxed()
        });
        assert_eq!(seen.await.unwrap().revision, first.revision, "{}", store.name());
    }
}
