//! Which records are filed under which blocking keys: 8 bytes for each key of a record, and 16 for the record.
//!
//! An entry is a part of the key and the place of the record: two keys may share their part (of 40 bits), and a record
//! that was filed anew is still found under its former keys. So whoever is found is only a candidate.

use identity_domain::RecordId;

/// A key under which a record is filed, every bit as random as any other.
pub(super) type Filed = u64;

const SHARDS: usize = 256;

/// A shard keeps so many entries apart from the others at least, until they are merged.
const RECENT: usize = 256;

/// See the module.
pub(super) struct Index {
    /// The number of the last filing that is in here.
    upto: i64,
    records: Vec<RecordId>,
    /// By the highest 8 bits of the key.
    shards: Vec<Shard>,
}

/// Entries in ascending order: 32 bits of the key, 32 bits of the record's place.
#[derive(Default)]
struct Shard {
    most: Vec<u64>,
    /// Those that came last: cheap to insert into.
    recent: Vec<u64>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { upto: 0, records: Vec::new(), shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// The number of the last filing that is in here.
    pub(super) fn upto(&self) -> i64 {
        self.upto
    }

    /// How many filings are in here: a record that was filed anew counts again.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Adds a filing; one that is in here already changes nothing. Filings come in the order of their numbers.
    pub(super) fn add(&mut self, number: i64, record: RecordId, keys: &[Filed]) {
        let Ok(place) = u32::try_from(self.records.len()) else { return };
        if number <= self.upto {
            return;
        }
        self.upto = number;
        self.records.push(record);
        for key in keys {
            let (shard, part) = split(*key);
            if let Some(shard) = self.shards.get_mut(shard) {
                shard.add(u64::from(part) << 32 | u64::from(place));
            }
        }
    }

    /// How many entries a key has.
    pub(super) fn count(&self, key: Filed) -> usize {
        let (shard, part) = split(key);
        self.shards.get(shard).map_or(0, |shard| shard.under(part).iter().map(|run| run.len()).sum())
    }

    /// Whoever may be filed under a key.
    pub(super) fn under(&self, key: Filed) -> impl Iterator<Item = RecordId> {
        let (shard, part) = split(key);
        let entries = self.shards.get(shard).into_iter().flat_map(move |shard| shard.under(part)).flatten();
        entries.filter_map(|entry| self.records.get((entry & u64::from(u32::MAX)) as usize).copied())
    }
}

fn split(key: Filed) -> (usize, u32) {
    ((key >> 56) as usize, (key >> 24) as u32)
}

impl Shard {
    fn add(&mut self, entry: u64) {
        match self.recent.last() {
            Some(last) if *last > entry => {
                let at = self.recent.partition_point(|known| *known < entry);
                self.recent.insert(at, entry);
            }
            _ => self.recent.push(entry),
        }
        if self.recent.len() >= RECENT.max(self.most.len() / 32) {
            self.most.reserve_exact(self.recent.len());
            self.most.append(&mut self.recent);
            // Two runs: the sort merges them.
            self.most.sort();
        }
    }

    /// The entries whose key has this part.
    fn under(&self, part: u32) -> [&[u64]; 2] {
        [run(&self.most, part), run(&self.recent, part)]
    }
}

/// The entries of one part among entries in order.
fn run(entries: &[u64], part: u32) -> &[u64] {
    let first = u64::from(part) << 32;
    let rest = entries.split_at(entries.partition_point(|entry| *entry < first)).1;
    // Blocks are small: counting on is faster than searching.
    let end = rest.iter().position(|entry| entry >> 32 != u64::from(part)).unwrap_or(rest.len());
    rest.split_at(end).0
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use identity_matching::lexicon::mix;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn record(n: u64) -> RecordId {
        RecordId::from_uuid(Uuid::from_u64_pair(7, n))
    }

    proptest! {
        /// Whoever was filed under a key is found under it, and nobody else as long as no two keys share their part.
        #[test]
        fn finds_whoever_was_filed(filings in prop::collection::vec(prop::collection::btree_set(0u64..400, 0..12), 0..600)) {
            let mut index = Index::new();
            let mut known: BTreeMap<u64, BTreeSet<RecordId>> = BTreeMap::new();
            for (n, keys) in (1..).zip(&filings) {
                let record = record(n % 97);
                let keys: Vec<Filed> = keys.iter().map(|key| mix(*key + 1)).collect();
                index.add(n as i64, record, &keys);
                // Hearing of it twice is hearing of it once.
                index.add(n as i64, record, &keys);
                keys.iter().for_each(|key| { known.entry(*key).or_default().insert(record); });
            }
            prop_assert_eq!((index.upto(), index.len()), (filings.len() as i64, filings.len()));
            for key in (0..400).map(|key| mix(key + 1)) {
                let found: BTreeSet<RecordId> = index.under(key).collect();
                prop_assert_eq!(&found, &known.remove(&key).unwrap_or_default());
                prop_assert!(index.count(key) >= found.len());
            }
        }
    }

    #[test]
    fn a_key_of_very_many_is_counted() {
        let mut index = Index::new();
        for n in 1..=5_000 {
            index.add(n, record(n as u64), &[42 << 56 | 42 << 24, mix(n as u64)]);
        }
        assert_eq!(index.count(42 << 56 | 42 << 24), 5_000);
        assert_eq!(index.under(mix(77)).collect::<Vec<_>>(), [record(77)]);
        assert_eq!(index.count(mix(77_777_777)), 0);
    }
}
