//! A service's own feed, from its own outbox.

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use terms::{Fault, PARTITIONS, Position, Reason, Service};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Entry, FeedBatch, FeedSource, Watch, WatchFrom,
    outbox::{self, Glance, Range},
    pulse::{Pulse, Recent},
};
use crate::store::Shared;

/// The feed of the service that owns the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed {
    shared: Arc<Shared>,
}

impl Feed {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Where every partition begins: now, or before the oldest entry kept.
    pub(crate) async fn begin(&self, now: bool) -> Result<Vec<(u16, Position)>, Fault> {
        if now {
            let horizon = outbox::horizon(self.shared.reader()).await?;
            return Ok((0..PARTITIONS).map(|p| (p, horizon)).collect());
        }
        Ok(oldest(&outbox::pruned(self.shared.reader()).await?))
    }

    /// Checks that nothing after the cursors was pruned.
    async fn check_kept(&self, cursors: &[(u16, Position)]) -> Result<(), Fault> {
        let pruned = outbox::pruned(self.shared.reader()).await?;
        let expired = |(partition, position): &&(u16, Position)| {
            pruned.iter().any(|(p, until)| p == partition && until > position)
        };
        match cursors.iter().find(expired) {
            None => Ok(()),
            Some((partition, _)) => Err(expired_fault(self.shared.service, *partition)),
        }
    }

    /// Moves cursors after which there is nothing to the horizon, so that a quiet partition does not make the reader
    /// begin far back.
    async fn settle(&self, cursors: &mut [(u16, Position)]) -> Result<Position, Fault> {
        let horizon = outbox::horizon(self.shared.reader()).await?;
        let partitions: Vec<u16> = cursors.iter().map(|(p, _)| *p).collect();
        let newest = outbox::newest(self.shared.reader(), &partitions).await?;
        for (partition, position) in cursors {
            let more = newest.iter().any(|(p, newest)| p == partition && newest > position);
            if !more {
                *position = horizon.max(*position);
            }
        }
        Ok(horizon)
    }
}

fn expired_fault(service: Service, partition: u16) -> Fault {
    let message = "the cursor points before what is kept; begin again from a snapshot";
    Fault::new(Reason::FeedCursorExpired, message)
        .with("service", service.name())
        .with("partition", partition.to_string())
}

#[async_trait]
impl FeedSource for Feed {
    fn service(&self) -> Service {
        self.shared.service
    }

    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<FeedBatch, Fault>>, Fault> {
        Pulse::start(&self.shared);
        let beats = self.shared.pulse.listen();
        let (cursors, behind, scanned) = match &watch.from {
            WatchFrom::Now => {
                let cursors = self.begin(true).await?;
                let horizon = cursors.first().map(|(_, horizon)| *horizon).unwrap_or_default();
                (cursors, Vec::new(), horizon)
            }
            WatchFrom::Oldest => (self.begin(false).await?, Vec::new(), Position::START),
            WatchFrom::Cursors(cursors) => {
                let mut cursors = checked(cursors)?;
                self.check_kept(&cursors).await?;
                let horizon = self.settle(&mut cursors).await?;
                let behind = cursors.iter().filter(|(_, at)| *at < horizon).map(|(p, _)| *p).collect();
                (cursors, behind, horizon)
            }
        };
        let whole = cursors.len() == usize::from(PARTITIONS);
        let reader = Reader { feed: self.clone(), watch, cursors, whole, behind, next: 0, scanned, beats, first: true };
        let stream = stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(batch) => Some((Ok(batch), Some(reader))),
                Err(fault) => Some((Err(fault), None)),
            }
        });
        Ok(stream.boxed())
    }
}

/// Where the oldest kept entry of each partition can come after.
fn oldest(pruned: &[(u16, Position)]) -> Vec<(u16, Position)> {
    let start = |p: u16| pruned.iter().find(|(q, _)| *q == p).map_or(Position::START, |(_, until)| *until);
    (0..PARTITIONS).map(|p| (p, start(p))).collect()
}

/// Each partition once, in order.
fn checked(cursors: &[(u16, Position)]) -> Result<Vec<(u16, Position)>, Fault> {
    let mut cursors = cursors.to_vec();
    cursors.sort_unstable();
    cursors.dedup_by_key(|(partition, _)| *partition);
    match cursors.last() {
        None => Err(Fault::invalid("partitions", Reason::InvalidFields, "is empty; name at least one")),
        Some((last, _)) if *last >= PARTITIONS => {
            let description = format!("names partition {last}; there are {PARTITIONS}, from 0");
            Err(Fault::invalid("partitions", Reason::InvalidFields, description))
        }
        Some(_) => Ok(cursors),
    }
}

/// One watcher.
struct Reader {
    feed: Feed,
    watch: Watch,
    /// How far each watched partition has been read, in order of partition.
    cursors: Vec<(u16, Position)>,
    /// Whether all partitions are watched.
    whole: bool,
    /// The partitions that are still behind `scanned`: read one by one, in turn, before the rest is read in feed order.
    behind: Vec<u16>,
    next: usize,
    /// Everything in partitions that are not behind has been read up to here.
    scanned: Position,
    beats: watch::Receiver<u64>,
    first: bool,
}

impl Reader {
    async fn next(&mut self) -> Result<FeedBatch, Fault> {
        let deadline = Instant::now() + self.watch.heartbeat;
        loop {
            if std::mem::take(&mut self.first) {
                return Ok(self.heartbeat());
            }
            self.beats.mark_unchanged();
            let (batch, caught_up) = if self.behind.is_empty() { self.go_on().await? } else { self.catch_up().await? };
            let moved = !batch.entries.is_empty() || (!self.watch.kinds.is_empty() && !batch.cursors.is_empty());
            if moved {
                return Ok(batch);
            }
            if !caught_up {
                continue;
            }
            tokio::select! {
                beat = self.beats.changed() => {
                    if beat.is_err() {
                        return Err(Fault::new(Reason::ShuttingDown, "the feed is closed"));
                    }
                }
                () = sleep_until(deadline) => return Ok(self.heartbeat()),
            }
        }
    }

    fn heartbeat(&self) -> FeedBatch {
        FeedBatch { cursors: self.cursors.clone(), ..FeedBatch::default() }
    }

    /// Reads on in feed order, over all watched partitions: from memory, or from the table if that is too far back.
    async fn go_on(&mut self) -> Result<(FeedBatch, bool), Fault> {
        let limit = self.watch.max_entries.max(1);
        let shared = &self.feed.shared;
        let (entries, to, caught_up) = match shared.pulse.recent(self.scanned, limit) {
            Recent::Entries(entries, to) => {
                let caught_up = entries.len() < limit;
                (entries, to, caught_up)
            }
            Recent::Forgotten => {
                let watched: Vec<u16> = self.cursors.iter().map(|(p, _)| *p).collect();
                let partitions = (!self.whole).then_some(watched.as_slice());
                let range = Range { after: self.scanned, partitions, limit };
                let read = outbox::read(shared.reader(), &shared.options.sealer, range);
                let Glance { entries, to, cut, .. } = shared.bounded(read).await?;
                // After the read: what was pruned meanwhile is noticed.
                self.feed.check_kept(&self.cursors).await?;
                (entries, to, !cut)
            }
        };
        let batch = self.take(entries);
        self.scanned = to;
        for (_, at) in &mut self.cursors {
            *at = to.max(*at);
        }
        Ok((batch, caught_up))
    }

    /// Reads one of the partitions that are behind, up to where the others are.
    async fn catch_up(&mut self) -> Result<(FeedBatch, bool), Fault> {
        self.next %= self.behind.len();
        let Some(&partition) = self.behind.get(self.next) else { return Ok((FeedBatch::default(), false)) };
        let after = self.cursors.iter().find(|(p, _)| *p == partition).map_or(Position::START, |(_, at)| *at);
        let range = Range { after, partitions: Some(&[partition]), limit: self.watch.max_entries.max(1) };
        let shared = &self.feed.shared;
        let mut glance = shared.bounded(outbox::read(shared.reader(), &shared.options.sealer, range)).await?;
        self.feed.check_kept(&[(partition, after)]).await?;
        let reached = glance.to >= self.scanned;
        glance.entries.retain(|entry| entry.position <= self.scanned);
        let batch = self.take(glance.entries);
        let to = if reached { self.scanned } else { glance.to };
        if let Some((_, at)) = self.cursors.iter_mut().find(|(p, _)| *p == partition) {
            *at = to.max(*at);
        }
        if reached {
            self.behind.swap_remove(self.next);
        } else {
            self.next += 1;
        }
        Ok((batch, false))
    }

    /// Picks what the watcher asked for, and notes which partitions moved.
    fn take(&self, entries: Vec<Entry>) -> FeedBatch {
        let mut batch = FeedBatch::default();
        for entry in entries {
            let Ok(place) = self.cursors.binary_search_by_key(&entry.partition, |(p, _)| *p) else { continue };
            if self.cursors.get(place).is_none_or(|(_, at)| entry.position <= *at) {
                continue;
            }
            match batch.cursors.iter_mut().find(|(p, _)| *p == entry.partition) {
                Some((_, at)) => *at = entry.position,
                None => batch.cursors.push((entry.partition, entry.position)),
            }
            if self.watch.wants(&entry) {
                batch.entries.push(entry);
            }
        }
        batch
    }
}
