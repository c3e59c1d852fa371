//! Marks that arrived lately, for customers that the level in process does not hold.
//!
//! A mark may overtake the section that it makes stale: a load may be under way, or Redis may hear of the mark a
//! moment later. So marks are remembered for longer than any load takes. Exact while they are few; when they are many
//! the older ones are folded into one floor per partition, which costs loads and never truth.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use terms::{PARTITIONS, Position};

use crate::section::{Key, Section, Stamp};

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mark {
    pub(crate) stamp: Stamp,
    pub(crate) erased: bool,
}

#[derive(Debug)]
pub(crate) struct Recent {
    window: Duration,
    capacity: usize,
    young: HashMap<Key, Mark>,
    old: HashMap<Key, Mark>,
    turned: Instant,
    floors: Vec<Stamp>,
}

impl Recent {
    /// Remembers each mark for `window` at least, and up to `2 * capacity` of them exactly.
    pub(crate) fn new(window: Duration, capacity: usize) -> Self {
        Self {
            window,
            capacity: capacity.max(1),
            young: HashMap::new(),
            old: HashMap::new(),
            turned: Instant::now(),
            floors: Vec::new(),
        }
    }

    /// What is known of the customer.
    pub(crate) fn get(&self, key: &Key) -> Mark {
        let mut mark = Mark { stamp: self.floor(key), erased: false };
        for known in [self.young.get(key), self.old.get(key)].into_iter().flatten() {
            mark.stamp.merge(&known.stamp);
            mark.erased |= known.erased;
        }
        mark
    }

    pub(crate) fn raise(&mut self, key: &Key, section: Section, to: Position) {
        self.entry(key).stamp.raise(section, to);
    }

    pub(crate) fn bury(&mut self, key: &Key) {
        self.entry(key).erased = true;
    }

    fn entry(&mut self, key: &Key) -> &mut Mark {
        if self.turned.elapsed() >= self.window {
            self.old = std::mem::take(&mut self.young);
            self.turned = Instant::now();
        } else if self.young.len() >= self.capacity {
            let old = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.fold(old);
            self.turned = Instant::now();
        }
        self.young.entry(key.clone()).or_default()
    }

    fn fold(&mut self, marks: HashMap<Key, Mark>) {
        if self.floors.is_empty() {
            self.floors = vec![Stamp::default(); usize::from(PARTITIONS)];
        }
        for (key, mark) in marks {
            if let Some(floor) = self.floors.get_mut(usize::from(key.partition())) {
                floor.merge(&mark.stamp);
            }
            // A tombstone has no position: keep it.
            if mark.erased {
                self.old.entry(key).or_default().erased = true;
            }
        }
    }

    fn floor(&self, key: &Key) -> Stamp {
        if self.floors.is_empty() {
            return Stamp::default();
        }
        self.floors.get(usize::from(key.partition())).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use terms::CustomerId;

    use super::*;

    fn key(n: u128) -> Key {
        Key::new(&"t".parse().unwrap(), CustomerId::from_uuid(uuid::Uuid::from_u128(n)))
    }

    fn at(seq: i64) -> Position {
        Position { xid: 1, seq }
    }

    #[test]
    fn remembers_the_latest() {
        let mut recent = Recent::new(Duration::from_secs(60), 8);
        recent.raise(&key(1), Section::Identity, at(5));
        recent.raise(&key(1), Section::Identity, at(3));
        assert_eq!(recent.get(&key(1)).stamp.at(Section::Identity), at(5));
        assert!(recent.get(&key(2)).stamp.is_empty());
    }

    #[test]
    fn forgets_nothing_when_marks_are_many() {
        let mut recent = Recent::new(Duration::from_secs(60), 4);
        for n in 0..1_000 {
            recent.raise(&key(n), Section::Interaction, at(n as i64));
        }
        recent.bury(&key(1_000));
        for n in 1_001..1_100 {
            recent.raise(&key(n), Section::Interaction, at(n as i64));
        }
        for n in 0..1_000 {
            assert!(recent.get(&key(n)).stamp.at(Section::Interaction) >= at(n as i64));
        }
        assert!(recent.get(&key(1_000)).erased);
    }

    #[test]
    fn forgets_after_two_windows() {
        let mut recent = Recent::new(Duration::ZERO, 4);
        recent.raise(&key(1), Section::Identity, at(5));
        recent.raise(&key(2), Section::Identity, at(5));
        assert_eq!(recent.get(&key(1)).stamp.at(Section::Identity), at(5));
        recent.raise(&key(3), Section::Identity, at(5));
        assert!(recent.get(&key(1)).stamp.is_empty());
    }
}
