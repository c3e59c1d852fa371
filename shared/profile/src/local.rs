//! The level in process: decoded profiles, each with the marks that arrived since.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use parking_lot::Mutex;
use terms::{CustomerId, Position};
use tokio::sync::watch;

use crate::{
    recent::{Mark, Recent},
    section::{Held, Key, Section, Stamp},
};

/// What is held of one customer.
#[derive(Debug)]
pub(crate) struct Entry<P> {
    pub(crate) what: What<P>,
    /// The sections that `what` was made from.
    pub(crate) sections: [Option<Held>; 3],
    marks: Mutex<Stamp>,
    stale: AtomicBool,
}

#[derive(Debug)]
pub(crate) enum What<P> {
    Profile(Arc<P>),
    /// The customer was merged; only the identity section is held.
    Merged(CustomerId),
    Erased,
}

impl<P> Entry<P> {
    pub(crate) fn new(what: What<P>, sections: [Option<Held>; 3], marks: Stamp) -> Self {
        let entry = Self { what, sections, marks: Mutex::new(marks), stale: AtomicBool::new(false) };
        entry.stale.store(entry.is_stale(&marks), Ordering::Release);
        entry
    }

    pub(crate) fn erased() -> Self {
        Self::new(What::Erased, [const { None }; 3], Stamp::default())
    }

    /// Whether it may answer a read that demands `demand`.
    pub(crate) fn answers(&self, demand: &Stamp) -> bool {
        if matches!(self.what, What::Erased) {
            return true;
        }
        if self.stale.load(Ordering::Acquire) {
            return false;
        }
        demand.is_empty() || self.held().all(|(section, held)| held.stamp.shows(section, demand))
    }

    pub(crate) fn marks(&self) -> Stamp {
        *self.marks.lock()
    }

    fn raise(&self, section: Section, to: Position) {
        let mut marks = self.marks.lock();
        marks.raise(section, to);
        if self.is_stale(&marks) {
            self.stale.store(true, Ordering::Release);
        }
    }

    fn is_stale(&self, marks: &Stamp) -> bool {
        self.held().any(|(section, held)| held.stamp.at(section) < marks.at(section))
    }

    fn held(&self) -> impl Iterator<Item = (Section, &Held)> {
        Section::ALL.into_iter().zip(&self.sections).filter_map(|(section, held)| Some((section, held.as_ref()?)))
    }

    /// Bytes, roughly: the messages, and as much again for what was decoded from them.
    fn weight(&self) -> u32 {
        let bytes: usize = self.held().map(|(_, held)| held.bytes.len()).sum();
        u32::try_from(256 + 2 * bytes).unwrap_or(u32::MAX)
    }
}

/// A load under way. `None` until it ends.
pub(crate) type Outcome<P> = Option<Result<Arc<Entry<P>>, Arc<terms::Fault>>>;

/// What the level knew when a load began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known {
    /// What is stale.
    pub(crate) marks: Mark,
    /// How often everything had been forgotten.
    generation: u64,
}

/// What a reader finds in process.
pub(crate) enum Lookup<P> {
    /// An entry that answers.
    Hit(Arc<Entry<P>>),
    /// Someone loads it already.
    Join(watch::Receiver<Outcome<P>>),
    /// Load it: what is held of it, and what is known to be stale.
    Lead { held: Option<Arc<Entry<P>>>, known: Known, done: watch::Sender<Outcome<P>> },
}

/// A bounded cache with single flight. Marks and ends of loads of one customer exclude each other, so that neither
/// can slip by the other.
pub(crate) struct Local<P> {
    cache: Cache<Key, Arc<Entry<P>>>,
    shards: Vec<Mutex<Shard<P>>>,
    hasher: RandomState,
    generation: AtomicU64,
}

struct Shard<P> {
    flights: HashMap<Key, watch::Receiver<Outcome<P>>>,
    recent: Recent,
}

const SHARDS: usize = 64;

impl<P: Send + Sync + 'static> Local<P> {
    /// At most `bytes` in all, each entry for `ttl` at most; marks are remembered for `window`.
    pub(crate) fn new(bytes: u64, ttl: Duration, window: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Key, entry: &Arc<Entry<P>>| entry.weight())
            .time_to_live(ttl)
            .build();
        let shards = (0..SHARDS)
            .map(|_| Mutex::new(Shard { flights: HashMap::new(), recent: Recent::new(window, 2_048) }))
            .collect();
        Self { cache, shards, hasher: RandomState::new(), generation: AtomicU64::new(0) }
    }

    /// An entry that answers `demand`, without taking part in a load.
    pub(crate) fn hit(&self, key: &Key, demand: &Stamp) -> Option<Arc<Entry<P>>> {
        self.cache.get(key).filter(|entry| entry.answers(demand))
    }

    pub(crate) fn look_up(&self, key: &Key, demand: &Stamp) -> Lookup<P> {
        let mut shard = self.shard(key).lock();
        let held = self.cache.get(key);
        if let Some(entry) = held.as_ref().filter(|entry| entry.answers(demand)) {
            return Lookup::Hit(entry.clone());
        }
        if let Some(flight) = shard.flights.get(key) {
            return Lookup::Join(flight.clone());
        }
        let mut marks = shard.recent.get(key);
        if let Some(entry) = &held {
            marks.stamp.merge(&entry.marks());
        }
        let (done, flight) = watch::channel(None);
        shard.flights.insert(key.clone(), flight);
        let known = Known { marks, generation: self.generation.load(Ordering::Acquire) };
        Lookup::Lead { held, known, done }
    }

    /// Ends a load that began with `known`; gives the entry that others may share.
    ///
    /// A mark that arrived meanwhile goes into the entry: a section older than it is stale from the start. Marks that
    /// were known before were honoured by the load, whatever the stamps say: an owner's answer is fresh even while a
    /// long transaction holds its stamp back.
    pub(crate) fn land(
        &self,
        key: &Key,
        what: What<P>,
        sections: [Option<Held>; 3],
        known: &Known,
        keep: bool,
    ) -> Arc<Entry<P>> {
        let mut shard = self.shard(key).lock();
        let (marks, now) = (&known.marks, shard.recent.get(key));
        let keep = keep && known.generation == self.generation.load(Ordering::Acquire);
        let entry = if now.erased && !marks.erased {
            Entry::erased()
        } else {
            let mut news = Stamp::default();
            for section in Section::ALL {
                if now.stamp.at(section) > marks.stamp.at(section) {
                    news.raise(section, now.stamp.at(section));
                }
            }
            Entry::new(what, sections, news)
        };
        let entry = Arc::new(entry);
        if keep {
            self.cache.insert(key.clone(), entry.clone());
        }
        shard.flights.remove(key);
        entry
    }

    /// Ends a load that failed.
    pub(crate) fn crash(&self, key: &Key) {
        self.shard(key).lock().flights.remove(key);
    }

    pub(crate) fn entries(&self) -> u64 {
        self.cache.entry_count()
    }

    fn shard(&self, key: &Key) -> &Mutex<Shard<P>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// What marks do to a level in process, whatever it decodes.
pub(crate) trait Marked: Send + Sync {
    fn mark(&self, key: &Key, section: Section, to: Position);
    fn bury(&self, key: &Key);
    /// Drops everything: marks may have been missed.
    fn forget(&self);
}

impl<P: Send + Sync + 'static> Marked for Local<P> {
    fn mark(&self, key: &Key, section: Section, to: Position) {
        let mut shard = self.shard(key).lock();
        shard.recent.raise(key, section, to);
        if self.cache.contains_key(key)
            && let Some(entry) = self.cache.get(key)
        {
            entry.raise(section, to);
        }
    }

    fn bury(&self, key: &Key) {
        let mut shard = self.shard(key).lock();
        shard.recent.bury(key);
        self.cache.insert(key.clone(), Arc::new(Entry::erased()));
    }

    fn forget(&self) {
        // First the number: a load that lands between the two is not kept, and one that landed before is dropped.
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate_all();
    }
}
