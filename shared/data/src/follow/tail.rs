//! Hearing a feed as it comes: for caches. Not durable; every replica hears everything.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use terms::{Fault, PARTITIONS, Position, Reason};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::feed::{FeedBatch, FeedSource, Watch, WatchFrom};

const HEARTBEAT: Duration = Duration::from_secs(10);

/// Follows all partitions from now on, until `shutdown`. `on_batch` hears every batch and must not block. The first
/// batch, and one after the tail lost its place, says `restarted`: entries before it may have been missed.
pub fn tail(
    source: Arc<dyn FeedSource>,
    on_batch: impl Fn(&FeedBatch) + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let span = tracing::info_span!("tail", service = %source.service());
    let run = async move {
        let mut place = Vec::new();
        let mut faults = 0u32;
        loop {
            let fault = tokio::select! {
                () = shutdown.cancelled() => return,
                fault = watch(&*source, &on_batch, &mut place, &mut faults) => fault,
            };
            if fault.reason() == Reason::FeedCursorExpired {
                place.clear();
            }
            faults = (faults + 1).min(7);
            let pause = Duration::from_millis(50) * 2u32.pow(faults);
            tracing::warn!(fault = ?fault, pause = ?pause, "the feed broke off; taking it up again");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    };
    tokio::spawn(run.instrument(span))
}

/// Watches until something breaks. `place` is where to take it up again; empty: now.
async fn watch(
    source: &dyn FeedSource,
    on_batch: &(impl Fn(&FeedBatch) + Send + Sync),
    place: &mut Vec<(u16, Position)>,
    faults: &mut u32,
) -> Fault {
    let mut restarted = place.len() < usize::from(PARTITIONS);
    let from = if restarted { WatchFrom::Now } else { WatchFrom::Cursors(place.clone()) };
    let silent = || Fault::new(Reason::PeerUnavailable, "the feed fell silent");
    let opened = timeout(HEARTBEAT * 2, source.watch(Watch { heartbeat: HEARTBEAT, ..Watch::new(from) })).await;
    let mut batches = match opened {
        Ok(Ok(batches)) => batches,
        Ok(Err(fault)) => return fault,
        Err(_) => return silent(),
    };
    loop {
        let mut batch = match timeout(HEARTBEAT * 2, batches.next()).await {
            Ok(Some(Ok(batch))) => batch,
            Ok(Some(Err(fault))) => return fault,
            Ok(None) => return Fault::new(Reason::PeerUnavailable, "the feed ended"),
            Err(_) => return silent(),
        };
        *faults = 0;
        for &(partition, at) in &batch.cursors {
            match place.iter_mut().find(|(p, _)| *p == partition) {
                Some((_, known)) => *known = at.max(*known),
                None => place.push((partition, at)),
            }
        }
        batch.restarted = std::mem::take(&mut restarted);
        on_batch(&batch);
    }
}
