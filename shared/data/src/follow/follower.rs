//! The loop of one replica: lease, watch, apply.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::StreamExt;
use terms::{Fault, PARTITIONS, Position, Reason};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Consumer, FollowOptions, Following, Start,
    apply::{Outcome, apply, by_partition, one_by_one},
    lease::{Move, Replica},
    metrics::Metrics,
};
use crate::{
    config::Dialect,
    feed::{FeedBatch, FeedSource, Watch, WatchFrom},
    store::Store,
};

pub(super) struct Follower {
    store: Store,
    source: Arc<dyn FeedSource>,
    consumer: Arc<dyn Consumer>,
    options: FollowOptions,
    shutdown: CancellationToken,
    replica: Replica,
    metrics: Metrics,
    held: BTreeMap<u16, Place>,
    renew_at: Instant,
    /// Since something was last heard.
    faults: u32,
}

/// Where a held partition stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The cursor's row.
    durable: Position,
    /// How far it has been read: beyond the cursor when there was nothing.
    read: Position,
    /// Set while an entry of it cannot be applied.
    stalled: Option<Stall>,
}

#[derive(Debug, Clone, Copy)]
struct Stall {
    until: Instant,
    pause: Duration,
}

/// The longest pause before an entry that cannot be applied is tried again.
const LONGEST_STALL: Duration = Duration::from_secs(60);

/// Why a watch ended without a fault.
enum Next {
    /// What is held changed: watch anew.
    Rewatch,
    Shutdown,
}

impl Follower {
    pub(super) fn new(
        store: Store,
        source: Arc<dyn FeedSource>,
        consumer: Arc<dyn Consumer>,
        options: FollowOptions,
        shutdown: CancellationToken,
    ) -> Self {
        let default = match store.dialect() {
            Dialect::Sqlite => Duration::from_secs(60),
            Dialect::Postgres => store.shared().options.feed_lease,
        };
        let replica = Replica::new(consumer.name(), source.service(), options.lease.unwrap_or(default));
        let metrics = Metrics::new(consumer.name(), source.service());
        Self {
            store,
            source,
            consumer,
            options,
            shutdown,
            replica,
            metrics,
            held: BTreeMap::new(),
            renew_at: Instant::now(),
            faults: 0,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            match self.session().await {
                Ok(Next::Shutdown) => break,
                Ok(Next::Rewatch) => {}
                Err(fault) => {
                    self.metrics.failed();
                    self.tell(|told| told.failed += 1);
                    let pause = self.options.backoff * 2u32.pow(self.faults.min(6));
                    self.faults += 1;
                    tracing::warn!(fault = ?fault, pause = ?pause, "following failed; trying again");
                    tokio::select! {
                        () = self.shutdown.cancelled() => break,
                        () = sleep(pause) => {}
                    }
                }
            }
        }
        match timeout(Duration::from_secs(5), self.replica.release(&self.store)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => tracing::warn!(fault = ?fault, "leases were not given back; they run out"),
            Err(_) => tracing::warn!("leases were not given back in time; they run out"),
        }
    }

    /// One watch, from its beginning to its end.
    async fn session(&mut self) -> Result<Next, Fault> {
        if self.shutdown.is_cancelled() {
            return Ok(Next::Shutdown);
        }
        if Instant::now() >= self.renew_at {
            self.renew().await?;
        }
        let cursors = self.active();
        if cursors.is_empty() {
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Next::Shutdown),
                () = sleep_until(self.wake_at()) => return Ok(Next::Rewatch),
            }
        }
        let watch = Watch {
            kinds: self.consumer.kinds().iter().map(|kind| (*kind).to_owned()).collect(),
            heartbeat: (self.options.silence / 2).max(Duration::from_secs(1)),
            max_entries: self.options.batch.unwrap_or(self.store.shared().options.feed_batch).max(1),
            ..Watch::new(WatchFrom::Cursors(cursors.clone()))
        };
        let opened = tokio::select! {
            () = self.shutdown.cancelled() => return Ok(Next::Shutdown),
            opened = timeout(self.options.silence, self.source.watch(watch)) => opened,
        };
        let mut batches = match opened.map_err(|_| silent())? {
            Ok(batches) => batches,
            Err(fault) if fault.reason() == Reason::FeedCursorExpired => return self.rebuild(&cursors).await,
            Err(fault) => return Err(fault),
        };
        loop {
            // A stalled partition whose time has come is not watched yet.
            if self.active().len() > cursors.len() {
                return Ok(Next::Rewatch);
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(Next::Shutdown),
                () = sleep_until(self.wake_at()) => {
                    if Instant::now() < self.renew_at || self.renew().await? {
                        return Ok(Next::Rewatch);
                    }
                }
                batch = timeout(self.options.silence, batches.next()) => match batch {
                    Ok(Some(Ok(batch))) => if self.take(batch).await? { return Ok(Next::Rewatch) },
                    Ok(Some(Err(fault))) if fault.reason() == Reason::FeedCursorExpired => {
                        return self.rebuild(&cursors).await;
                    }
                    Ok(Some(Err(fault))) => return Err(fault),
                    Ok(None) => return Err(Fault::new(Reason::PeerUnavailable, "the feed ended")),
                    Err(_) => return Err(silent()),
                },
            }
        }
    }

    /// What to watch: held, and not stalled.
    fn active(&self) -> Vec<(u16, Position)> {
        let now = Instant::now();
        let due = |place: &Place| place.stalled.is_none_or(|stall| stall.until <= now);
        self.held.iter().filter(|(_, place)| due(place)).map(|(p, place)| (*p, place.read)).collect()
    }

    /// When to look up from the feed: to renew, or to try a stalled partition again.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        let stalls = self.held.values().filter_map(|place| place.stalled.map(|stall| stall.until));
        stalls.filter(|until| *until > now).chain([self.renew_at]).min().unwrap_or(self.renew_at)
    }

    /// Renews the leases. Says whether what is held changed.
    async fn renew(&mut self) -> Result<bool, Fault> {
        if self.held.is_empty() && !self.replica.has_cursors(&self.store).await? {
            let start = match self.options.start {
                Start::Oldest => BTreeMap::new(),
                Start::Now => self.now().await?,
            };
            self.replica.make_cursors(&self.store, start).await?;
        }
        let began = Instant::now();
        let held = match self.replica.renew(&self.store).await {
            Ok(held) => held,
            Err(fault) => {
                self.held.clear();
                return Err(fault);
            }
        };
        let third = self.replica.lease / 3;
        self.renew_at = began + if held.wants_more { third.min(Duration::from_millis(500)) } else { third };
        let before: Vec<(u16, Position)> = self.held.iter().map(|(p, place)| (*p, place.durable)).collect();
        let after: Vec<(u16, Position)> = held.cursors.iter().map(|(p, at)| (*p, *at)).collect();
        let changed = before != after;
        let known = std::mem::take(&mut self.held);
        for (partition, durable) in held.cursors {
            let place = match known.get(&partition) {
                Some(place) if place.durable == durable => *place,
                _ => Place { durable, read: durable, stalled: None },
            };
            self.held.insert(partition, place);
        }
        let shared = self.store.shared();
        shared.progress.reached(self.replica.consumer, self.replica.service, &after);
        self.tell_places();
        if changed {
            tracing::info!(partitions = self.held.len(), "holds its share of the feed");
        }
        Ok(changed)
    }

    /// Where the feed ends now.
    async fn now(&self) -> Result<BTreeMap<u16, Position>, Fault> {
        let first = async {
            let mut batches = self.source.watch(Watch::new(WatchFrom::Now)).await?;
            let ended = || Fault::new(Reason::PeerUnavailable, "the feed ended");
            batches.next().await.unwrap_or_else(|| Err(ended()))
        };
        let first = timeout(self.options.silence, first).await.map_err(|_| silent())??;
        Ok(first.cursors.into_iter().collect())
    }

    /// Takes one batch. Says whether to watch anew.
    async fn take(&mut self, batch: FeedBatch) -> Result<bool, Fault> {
        let heard = self.store.clock().now();
        self.tell(|told| told.heard = Some(heard));
        let filtered = !self.consumer.kinds().is_empty();
        let moves: Vec<Move> = batch
            .cursors
            .iter()
            .filter_map(|(partition, to)| {
                let place = self.held.get(partition)?;
                (*to > place.durable).then_some(Move { partition: *partition, from: place.durable, to: *to })
            })
            .collect();
        // Nothing to do, and nothing that was skipped: the cursors can stay where they are.
        if batch.entries.is_empty() && (!filtered || moves.is_empty()) {
            for (partition, to) in batch.cursors {
                if let Some(place) = self.held.get_mut(&partition) {
                    place.read = place.read.max(to);
                }
            }
            return Ok(false);
        }
        let held = &self.held;
        let fresh =
            |entry: &crate::feed::Entry| held.get(&entry.partition).is_some_and(|place| entry.position > place.durable);
        let entries: Vec<_> = batch.entries.into_iter().filter(fresh).collect();
        let last = entries.last().map(|entry| entry.at);
        let count = entries.len();
        if moves.is_empty() {
            return Ok(false);
        }
        let parts = by_partition(entries.clone(), &moves);
        match apply(&self.store, &self.replica, &self.consumer, entries, moves.clone()).await {
            Outcome::Applied => {
                self.faults = 0;
                self.moved(&moves, count, last);
                Ok(false)
            }
            Outcome::Fenced => self.fenced(),
            Outcome::Passing(fault) => Err(fault),
            Outcome::Refused(_) => self.isolate(parts).await,
        }
    }

    /// Something in the batch cannot be applied: finds which entry, applies everything before it and all other
    /// partitions, and lets its partition wait.
    async fn isolate(&mut self, parts: Vec<(Vec<crate::feed::Entry>, Move)>) -> Result<bool, Fault> {
        for (entries, step) in parts {
            for (entries, step) in if entries.is_empty() { vec![(entries, step)] } else { one_by_one(entries, step) } {
                let what = entries.first().map(|e| (e.position, e.kind.clone(), e.at));
                let count = entries.len();
                match apply(&self.store, &self.replica, &self.consumer, entries, vec![step]).await {
                    Outcome::Applied => self.moved(&[step], count, what.map(|(_, _, at)| at)),
                    Outcome::Fenced => return self.fenced(),
                    Outcome::Passing(fault) => return Err(fault),
                    Outcome::Refused(fault) => {
                        self.stall(step.partition);
                        if let Some((position, kind, _)) = what {
                            tracing::error!(
                                partition = step.partition, xid = position.xid, seq = position.seq, kind = %kind,
                                fault = ?fault, "an entry cannot be applied; its partition waits"
                            );
                        }
                        break;
                    }
                }
            }
        }
        Ok(true)
    }

    fn stall(&mut self, partition: u16) {
        let first = self.options.backoff * 8;
        if let Some(place) = self.held.get_mut(&partition) {
            let pause = place.stalled.map_or(first, |stall| (stall.pause * 2).min(LONGEST_STALL));
            place.stalled = Some(Stall { until: Instant::now() + pause, pause });
            place.read = place.durable;
        }
        self.metrics.failed();
        self.tell(|told| told.failed += 1);
        self.tell_places();
    }

    fn fenced(&mut self) -> Result<bool, Fault> {
        tracing::info!("another replica has taken over a partition");
        self.held.clear();
        self.renew_at = Instant::now();
        Ok(true)
    }

    /// Notes what was committed.
    fn moved(&mut self, moves: &[Move], count: usize, last: Option<terms::Timestamp>) {
        let mut recovered = false;
        for step in moves {
            if let Some(place) = self.held.get_mut(&step.partition) {
                recovered |= place.stalled.is_some();
                *place = Place { durable: step.to, read: step.to, stalled: None };
            }
        }
        let cursors: Vec<(u16, Position)> = moves.iter().map(|step| (step.partition, step.to)).collect();
        self.store.shared().progress.reached(self.replica.consumer, self.replica.service, &cursors);
        let now = self.store.clock().now();
        if let Some(at) = last {
            let age = now.micros().saturating_sub(at.micros());
            self.metrics.applied(Duration::from_micros(u64::try_from(age).unwrap_or_default()));
        }
        self.tell(|told| {
            told.applied += count as u64;
            if let Some(at) = last {
                told.last = Some((at, now));
            }
        });
        if recovered {
            self.tell_places();
        }
    }

    /// The entries after the cursors are gone: the consumer makes good for them, and the cursors jump.
    async fn rebuild(&mut self, cursors: &[(u16, Position)]) -> Result<Next, Fault> {
        let partitions: Vec<u16> = cursors.iter().map(|(partition, _)| *partition).collect();
        tracing::warn!(partitions = partitions.len(), "the cursors are older than what the feed keeps");
        // Where the feed stands before the snapshot is taken: everything later comes as entries.
        let start = self.now().await?;
        let moves: Vec<Move> = partitions
            .iter()
            .filter_map(|partition| {
                let place = self.held.get(partition)?;
                let to = start.get(partition).copied()?;
                Some(Move { partition: *partition, from: place.durable, to: to.max(place.durable) })
            })
            .collect();
        if moves.is_empty() {
            return Err(Fault::new(Reason::PeerUnavailable, "the feed does not say where it stands"));
        }
        let (replica, consumer, steps) = (self.replica.clone(), self.consumer.clone(), moves.clone());
        let partitions = Arc::new(partitions);
        self.store
            .write(move |tx| {
                let (replica, consumer) = (replica.clone(), consumer.clone());
                let (partitions, steps) = (partitions.clone(), steps.clone());
                Box::pin(async move {
                    if !replica.advance(tx, &steps).await? {
                        return Err(Fault::new(Reason::WriteConflict, "another replica has the partition"));
                    }
                    consumer.rebuild(tx, &partitions).await
                })
            })
            .await?;
        self.moved(&moves, 0, None);
        Ok(Next::Rewatch)
    }

    fn tell(&self, change: impl FnOnce(&mut Following)) {
        self.store.shared().progress.update(self.replica.consumer, self.replica.service, change);
    }

    fn tell_places(&self) {
        let stalled: Vec<u16> =
            self.held.iter().filter(|(_, place)| place.stalled.is_some()).map(|(p, _)| *p).collect();
        let held = self.held.len().min(usize::from(PARTITIONS));
        self.metrics.places(held, stalled.len());
        self.tell(|told| {
            told.held = held;
            told.stalled = stalled;
        });
    }
}

fn silent() -> Fault {
    Fault::new(Reason::PeerUnavailable, "the feed fell silent")
}
