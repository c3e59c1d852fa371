//! How fast: printed, for whoever asks (`cargo test -p data --release -- --ignored --nocapture throughput`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use data::{WatchFrom, follow};
use futures::{StreamExt, future::join_all};
use terms::Service;
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::{
    consumers::{Effects, effects},
    support::{customer, follower_store, publish, record, stores, watch},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn published_and_consumed() {
    for source in stores().await {
        let name = source.name();
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let _task = follow(
            store.clone(),
            Arc::new(source.feed()),
            Arc::new(Effects::default()),
            data::FollowOptions::default(),
            shutdown.clone(),
        );
        eventually("it follows", || async { store.following()[0].held == 64 }).await;

        let began = Instant::now();
        for round in 0..100u64 {
            publish(&source, &format!("{round}/"), round * 1_000..(round + 1) * 1_000).await;
        }
        let published = began.elapsed();
        eventually("all effects", || async { effects(&store).await == 100_000 }).await;
        let consumed = began.elapsed();
        println!(
            "{name}: 100,000 entries by 1,000: published {:.0}/s, with one effect each {:.0}/s",
            1e5 / published.as_secs_f64(),
            1e5 / consumed.as_secs_f64()
        );

        let began = Instant::now();
        let writers = (0..64u64).map(|w| {
            let source = source.store();
            tokio::spawn(async move {
                for i in 0..100 {
                    record(&source, customer(w * 100 + i), &format!("w{w}/{i}")).await.unwrap();
                }
            })
        });
        join_all(writers).await;
        println!("{name}: single writes, 64 in flight: {:.0}/s", 6_400.0 / began.elapsed().as_secs_f64());
        eventually("all effects", || async { effects(&store).await == 106_400 }).await;
        shutdown.cancel();

        let mut live = watch(&source.feed(), WatchFrom::Now).await;
        live.next().await.unwrap().unwrap();
        let mut waits = Vec::new();
        for i in 0..200u64 {
            record(&source, customer(i), "latency").await.unwrap();
            let acknowledged = Instant::now();
            let _ = live.next().await.unwrap().unwrap();
            waits.push(acknowledged.elapsed());
        }
        waits.sort();
        println!("{name}: commit to watcher: median {:?}, p99 {:?}", waits[100], waits[198]);
        assert!(waits[100] < Duration::from_secs(1));
    }
}
