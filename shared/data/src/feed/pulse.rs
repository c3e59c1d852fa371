//! The newest entries in memory, and the one task per store that looks for more.
//!
//! Every watcher of this process shares it: an idle feed costs one query per poll, and an entry is read and decoded
//! once however many follow. On SQLite, where this process is the writer, entries come straight from the commit.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use terms::{CustomerId, Fault, Position, Tenant};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Entry,
    outbox::{self, Range},
    prune,
};
use crate::{config::Dialect, store::Shared};

/// How many entries are kept in memory.
const KEPT: usize = 2_048;
/// How many are read at a time.
const BATCH: usize = 1_000;

/// The newest entries, without a gap.
#[derive(Debug, Default)]
struct Ring {
    /// Entries after this are here; `None` until the first look.
    from: Option<Position>,
    /// Everything up to this has been seen.
    to: Position,
    entries: VecDeque<Entry>,
}

impl Ring {
    fn push(&mut self, entries: impl IntoIterator<Item = Entry>, to: Position) {
        self.entries.extend(entries);
        self.to = self.to.max(to);
        while self.entries.len() > KEPT {
            if let Some(gone) = self.entries.pop_front() {
                self.from = Some(gone.position);
            }
        }
    }
}

/// What the memory has after a position.
pub(crate) enum Recent {
    /// These, and everything up to the position has been seen.
    Entries(Vec<Entry>, Position),
    /// The memory does not reach back so far.
    Forgotten,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    ring: Mutex<Ring>,
    beat: watch::Sender<u64>,
    started: AtomicBool,
}

impl Pulse {
    /// Takes up to `limit` entries after `after`.
    pub(crate) fn recent(&self, after: Position, limit: usize) -> Recent {
        let ring = self.ring.lock();
        if ring.from.is_none_or(|from| after < from) {
            return Recent::Forgotten;
        }
        let first = ring.entries.partition_point(|entry| entry.position <= after);
        let entries: Vec<Entry> = ring.entries.iter().skip(first).take(limit).cloned().collect();
        let to = match entries.last() {
            Some(last) if first + entries.len() < ring.entries.len() => last.position,
            _ => ring.to,
        };
        Recent::Entries(entries, to.max(after))
    }

    /// Hears of new entries.
    pub(crate) fn listen(&self) -> watch::Receiver<u64> {
        self.beat.subscribe()
    }

    fn beat(&self) {
        self.beat.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// SQLite: what this process has just committed, in order. Ignored if it does not join on to what is here: the
    /// next poll then reads it.
    pub(crate) fn committed(&self, entries: Vec<Entry>) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
        let (first, last) = (first.position, last.position);
        {
            let mut ring = self.ring.lock();
            if ring.from.is_none() || first.seq != ring.to.seq + 1 {
                return;
            }
            ring.push(entries, last);
        }
        self.beat();
    }

    /// Empties what is here of erased customers.
    pub(crate) fn forget(&self, erased: &[(Tenant, CustomerId)]) {
        if erased.is_empty() {
            return;
        }
        for entry in &mut self.ring.lock().entries {
            let is_erased = |(tenant, customer): &(Tenant, CustomerId)| {
                entry.tenant == *tenant && entry.customer == Some(*customer) && entry.kind != prune::KEPT_KIND
            };
            if erased.iter().any(is_erased) {
                entry.event = Arc::default();
                entry.actor = Arc::from("");
            }
        }
    }

    /// Notes what a poll found after `after`.
    fn found(&self, after: Position, glance: outbox::Glance) {
        let fresh = {
            let mut ring = self.ring.lock();
            match ring.from {
                None => {
                    ring.from = Some(glance.to);
                    ring.to = glance.to;
                    true
                }
                // The writer may have pushed since the poll began: keep what is not there yet.
                Some(_) => {
                    debug_assert!(after <= ring.to);
                    let known = ring.to;
                    let entries: Vec<Entry> = glance.entries.into_iter().filter(|e| e.position > known).collect();
                    let fresh = !entries.is_empty();
                    ring.push(entries, glance.to);
                    fresh
                }
            }
        };
        if fresh {
            self.beat();
        }
    }

    fn to(&self) -> Option<Position> {
        let ring = self.ring.lock();
        ring.from.map(|_| ring.to)
    }

    /// Starts the task, once per store. It ends with the store.
    pub(crate) fn start(shared: &Arc<Shared>) {
        if !shared.pulse.started.swap(true, Ordering::Relaxed) {
            tokio::spawn(run(Arc::downgrade(shared)));
        }
    }
}

async fn run(shared: Weak<Shared>) {
    let (Some(mut hints), Some(mut pace)) =
        (shared.upgrade().map(|s| s.options.hints.listen(s.service)), shared.upgrade().map(|s| Pace::new(&s)))
    else {
        return;
    };
    loop {
        let pause = match shared.upgrade() {
            None => return,
            Some(shared) => match shared.bounded(look(&shared)).await {
                Ok(seen) => pace.after(seen),
                Err(fault) => {
                    tracing::warn!(service = %shared.service, fault = ?fault, "the feed cannot be read; trying again");
                    pace.after_fault()
                }
            },
        };
        tokio::select! {
            () = hints.woken() => pace.hinted(),
            () = sleep(pause) => {}
        }
    }
}

/// What a look found.
struct Seen {
    entries: bool,
    more: bool,
    held_back: bool,
}

async fn look(shared: &Arc<Shared>) -> Result<Seen, Fault> {
    let pulse = &shared.pulse;
    let Some(after) = pulse.to() else {
        let to = outbox::horizon(shared.reader()).await?;
        pulse.found(to, outbox::Glance { to, ..outbox::Glance::default() });
        return Ok(Seen { entries: false, more: false, held_back: false });
    };
    let range = Range { after, partitions: None, limit: BATCH };
    let glance = outbox::read(shared.reader(), &shared.options.sealer, range).await?;
    let seen = Seen { entries: !glance.entries.is_empty(), more: glance.cut, held_back: glance.held_back };
    pulse.found(after, glance);
    Ok(seen)
}

/// How soon to look again.
struct Pace {
    busy: Duration,
    idle: Duration,
    last_entry: Instant,
    /// While entries wait for an older transaction to end: 1 ms, 2 ms, 4 ms, … 20 ms.
    waiting: Duration,
    faults: u32,
}

const SOONEST: Duration = Duration::from_millis(1);
const LATEST_WAITING: Duration = Duration::from_millis(20);

impl Pace {
    fn new(shared: &Shared) -> Self {
        let hinted = shared.dialect() == Dialect::Sqlite || shared.options.hints.reach_all();
        let (busy, idle) = match shared.options.poll {
            Some(poll) => (poll, poll),
            None if hinted => (Duration::from_secs(1), Duration::from_secs(1)),
            None => (Duration::from_millis(20), Duration::from_millis(100)),
        };
        Self { busy, idle, last_entry: Instant::now(), waiting: SOONEST, faults: 0 }
    }

    fn hinted(&mut self) {
        self.waiting = SOONEST;
    }

    fn after(&mut self, seen: Seen) -> Duration {
        self.faults = 0;
        if seen.entries {
            self.last_entry = Instant::now();
        }
        if seen.more {
            return Duration::ZERO;
        }
        if seen.held_back {
            let pause = self.waiting;
            self.waiting = (pause * 2).min(LATEST_WAITING);
            return pause.min(self.busy);
        }
        self.waiting = SOONEST;
        if self.last_entry.elapsed() < Duration::from_secs(5) { self.busy } else { self.idle }
    }

    fn after_fault(&mut self) -> Duration {
        self.faults = (self.faults + 1).min(6);
        (Duration::from_millis(50) * 2u32.pow(self.faults)).max(self.busy)
    }
}
