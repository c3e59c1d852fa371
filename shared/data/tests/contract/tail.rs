//! The tail: from now on, everywhere, and honest about what it missed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use data::{Feed, FeedBatch, FeedSource, Watch, tail};
use futures::{StreamExt, stream::BoxStream};
use parking_lot::Mutex;
use terms::{Fault, Reason, Service};
use testkit::eventually;
use tokio_util::sync::CancellationToken;

use crate::support::{names, publish, stores};

/// Breaks off after a few batches, time and again.
struct Flaky {
    feed: Feed,
    opened: AtomicU32,
}

#[async_trait]
impl FeedSource for Flaky {
    fn service(&self) -> Service {
        self.feed.service()
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<FeedBatch, Fault>>, Fault> {
        let broken = || Fault::new(Reason::PeerUnavailable, "broken off");
        if self.opened.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
            return Err(broken());
        }
        let batches = self.feed.watch(watch).await?;
        Ok(batches.take(3).chain(futures::stream::once(async move { Err(broken()) })).boxed())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_breaks_off_misses_nothing() {
    for store in stores().await {
        let before = publish(&store, "before", 0..10).await;
        store.settle(&before.revision, Duration::from_secs(20)).await.unwrap();
        let heard: Arc<Mutex<Vec<FeedBatch>>> = Arc::default();
        let shutdown = CancellationToken::new();
        let source = Arc::new(Flaky { feed: store.feed(), opened: AtomicU32::new(0) });
        let hearing = heard.clone();
        let task = tail(source, move |batch| hearing.lock().push(batch.clone()), shutdown.clone());
        eventually("it begins", || async { !heard.lock().is_empty() }).await;
        for round in 0..5u64 {
            publish(&store, &format!("{round}/"), 0..10).await;
            let came = || heard.lock().iter().map(|batch| batch.entries.len()).sum::<usize>();
            eventually("the entries", || async { came() as u64 >= (round + 1) * 10 }).await;
        }
        shutdown.cancel();
        task.await.unwrap();
        let heard = heard.lock();
        let entries: Vec<_> = heard.iter().flat_map(|batch| batch.entries.clone()).collect();
        let expected: Vec<String> = (0..5).flat_map(|r| (0..10).map(move |i| format!("{r}/{i}"))).collect();
        let mut came = names(&entries);
        came.sort();
        assert_eq!(came, expected, "{}", store.name());
        assert!(heard[0].restarted && heard[1..].iter().all(|batch| !batch.restarted));
    }
}
