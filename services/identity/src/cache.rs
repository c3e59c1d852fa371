//! Customers in process, as they go onto the wire. Losing any of it costs speed, never truth.
//!
//! An entry carries a stamp: the position that the store had reached before the entry was read, so every change up to
//! the stamp shows in it. A mark says that a customer changed at a position: an older entry goes, and a load that is
//! under way does not put in what it read before. Marks come from this process's own writes at once, and from the
//! feed for those of other replicas. What no event tells, the times of observation that move when nothing else does,
//! may be up to the time to live behind.

use std::{collections::HashMap, sync::Arc, time::Duration};

use moka::sync::Cache;
use parking_lot::Mutex;
use prost::Message;
use rapport_proto::identity::v1::Customer;
use terms::{CustomerId, Position, Tenant};

/// How long an entry stays at most.
const TIME_TO_LIVE: Duration = Duration::from_secs(60);

type Key = (Tenant, CustomerId);

/// A customer and what shows in it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Every change up to here shows.
    pub(crate) stamp: Position,
    /// The newest change of the customer's partition that surely shows: what a reader may demand elsewhere.
    pub(crate) newest: Position,
    /// The customer's partition.
    pub(crate) partition: u16,
    /// The customer as it goes onto the wire.
    pub(crate) customer: Customer,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct CustomerCache {
    entries: Cache<Key, Arc<Entry>>,
    /// Ids that were merged away, each with its survivor, and up to where that is right.
    hints: Cache<Key, (CustomerId, Position)>,
    /// Held while an entry is put in or marked, so that neither overlooks the other.
    flights: Mutex<Flights>,
}

/// The loads under way.
#[derive(Debug, Default)]
struct Flights {
    /// Rises when marks may have been missed.
    epoch: u64,
    of: HashMap<Key, Flight>,
}

/// The loads of one customer.
#[derive(Debug, Default)]
struct Flight {
    loads: u32,
    /// The latest mark since the first of them began.
    marked: Position,
}

/// Loads that have begun; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Loading<'c> {
    cache: &'c CustomerCache,
    keys: Vec<Key>,
    epoch: u64,
}

impl CustomerCache {
    /// Holds about `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let weight = |_: &Key, entry: &Arc<Entry>| {
            // Decoded, a message takes several times its length.
            u32::try_from(entry.customer.encoded_len().saturating_mul(4).saturating_add(256)).unwrap_or(u32::MAX)
        };
        Self {
            entries: Cache::builder().max_capacity(bytes).weigher(weight).time_to_live(TIME_TO_LIVE).build(),
            hints: Cache::builder().max_capacity(bytes / 1_024).time_to_live(TIME_TO_LIVE).build(),
            flights: Mutex::default(),
        }
    }

    /// The customer that an id means, if what is held of it shows every change up to `demanded`.
    pub(crate) fn get(&self, tenant: &Tenant, id: CustomerId, demanded: Position) -> Option<Arc<Entry>> {
        let key = (tenant.clone(), id);
        if let Some(entry) = self.entries.get(&key) {
            return (entry.stamp >= demanded).then_some(entry);
        }
        let (survivor, _) = self.hints.get(&key).filter(|(_, stamp)| *stamp >= demanded)?;
        self.entries.get(&(key.0, survivor)).filter(|entry| entry.stamp >= demanded)
    }

    /// Begins to load customers; before the stamp is taken.
    pub(crate) fn load(&self, tenant: &Tenant, ids: &[CustomerId]) -> Loading<'_> {
        let keys: Vec<Key> = ids.iter().map(|id| (tenant.clone(), *id)).collect();
        let mut flights = self.flights.lock();
        for key in &keys {
            flights.of.entry(key.clone()).or_default().loads += 1;
        }
        Loading { cache: self, keys, epoch: flights.epoch }
    }

    /// The customer changed at `position`.
    pub(crate) fn mark(&self, tenant: &Tenant, id: CustomerId, position: Position) {
        let key = (tenant.clone(), id);
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.of.get_mut(&key) {
            flight.marked = flight.marked.max(position);
        }
        if self.entries.get(&key).is_some_and(|entry| entry.stamp < position) {
            self.entries.invalidate(&key);
        }
        // It may be an alias no more, or another's.
        self.hints.invalidate(&key);
    }

    /// Changes may have been missed: nothing that is held, and nothing that is being loaded, counts.
    pub(crate) fn clear(&self) {
        let mut flights = self.flights.lock();
        flights.epoch += 1;
        self.entries.invalidate_all();
        self.hints.invalidate_all();
    }
}

impl Loading<'_> {
    /// Puts in what was found for `asked`. Of an id that was merged away only the way to the survivor is kept.
    pub(crate) fn put(&self, tenant: &Tenant, asked: CustomerId, found: CustomerId, entry: Arc<Entry>) {
        let key = (tenant.clone(), asked);
        let flights = self.cache.flights.lock();
        let overtaken = flights.of.get(&key).is_none_or(|flight| flight.marked > entry.stamp);
        if flights.epoch != self.epoch || overtaken {
            return;
        }
        if found == asked {
            self.cache.entries.insert(key, entry);
        } else {
            self.cache.hints.insert(key, (found, entry.stamp));
        }
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut flights = self.cache.flights.lock();
        for key in self.keys.drain(..) {
            if let Some(flight) = flights.of.get_mut(&key) {
                flight.loads -= 1;
                if flight.loads == 0 {
                    flights.of.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn at(seq: i64) -> Position {
        Position { xid: 0, seq }
    }

    fn id(n: u128) -> CustomerId {
        CustomerId::from_uuid(Uuid::from_u128(n))
    }

    fn entry(stamp: Position) -> Arc<Entry> {
        Arc::new(Entry { stamp, newest: stamp, partition: 0, customer: Customer::default() })
    }

    fn fixture() -> (CustomerCache, Tenant) {
        (CustomerCache::new(1 << 20), "t".parse().unwrap())
    }

    #[test]
    fn a_mark_outdates_what_was_read_before_it() {
        let (cache, tenant) = fixture();
        cache.load(&tenant, &[id(1)]).put(&tenant, id(1), id(1), entry(at(4)));
        assert!(cache.get(&tenant, id(1), at(4)).is_some());
        assert!(cache.get(&tenant, id(1), at(5)).is_none(), "it shows nothing of 5");
        cache.mark(&tenant, id(1), at(4));
        assert!(cache.get(&tenant, id(1), at(0)).is_some(), "it shows 4");
        cache.mark(&tenant, id(1), at(5));
        assert!(cache.get(&tenant, id(1), at(0)).is_none());
    }

    #[test]
    fn a_mark_overtakes_a_load() {
        let (cache, tenant) = fixture();
        let (early, late) = (cache.load(&tenant, &[id(1)]), cache.load(&tenant, &[id(1)]));
        cache.mark(&tenant, id(1), at(5));
        early.put(&tenant, id(1), id(1), entry(at(4)));
        drop(early);
        assert!(cache.get(&tenant, id(1), at(0)).is_none());
        late.put(&tenant, id(1), id(1), entry(at(5)));
        assert!(cache.get(&tenant, id(1), at(5)).is_some());
        drop(late);
        assert!(cache.flights.lock().of.is_empty());
    }

    #[test]
    fn an_alias_leads_on() {
        let (cache, tenant) = fixture();
        let load = cache.load(&tenant, &[id(1), id(2)]);
        load.put(&tenant, id(2), id(1), entry(at(4)));
        assert!(cache.get(&tenant, id(2), at(0)).is_none());
        load.put(&tenant, id(1), id(1), entry(at(4)));
        assert!(cache.get(&tenant, id(2), at(0)).is_some());
        cache.mark(&tenant, id(1), at(5));
        assert!(cache.get(&tenant, id(2), at(0)).is_none());
    }

    #[test]
    fn an_id_that_was_given_back_leads_nowhere_else() {
        let (cache, tenant) = fixture();
        let load = cache.load(&tenant, &[id(1), id(2)]);
        load.put(&tenant, id(2), id(1), entry(at(4)));
        load.put(&tenant, id(1), id(1), entry(at(6)));
        assert!(cache.get(&tenant, id(2), at(0)).is_some());
        cache.mark(&tenant, id(2), at(5));
        assert!(cache.get(&tenant, id(2), at(0)).is_none(), "split at 5; its former survivor is newer and no help");
        load.put(&tenant, id(2), id(1), entry(at(4)));
        assert!(cache.get(&tenant, id(2), at(0)).is_none(), "read before the split");
    }

    #[test]
    fn nothing_survives_a_gap_in_the_feed() {
        let (cache, tenant) = fixture();
        let load = cache.load(&tenant, &[id(1)]);
        load.put(&tenant, id(1), id(1), entry(at(4)));
        cache.clear();
        assert!(cache.get(&tenant, id(1), at(0)).is_none());
        load.put(&tenant, id(1), id(1), entry(at(4)));
        assert!(cache.get(&tenant, id(1), at(0)).is_none());
    }
}
