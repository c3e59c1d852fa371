//! Marks that did not get through to Redis: kept, merged and sent again once it answers.

use std::{collections::HashMap, sync::Weak, time::Duration};

use terms::Position;

use super::{BATCH, Redis};
use crate::{
    recent::Mark,
    section::{Key, Section},
};

/// Bounded. What does not fit is dropped and counted; the time to live of what is cached bounds the harm.
#[derive(Debug)]
pub(super) struct Lost {
    marks: HashMap<Key, Mark>,
    capacity: usize,
    dropped: u64,
}

impl Lost {
    pub(super) fn new(capacity: usize) -> Self {
        Self { marks: HashMap::new(), capacity, dropped: 0 }
    }

    pub(super) fn mark(&mut self, key: &Key, section: Section, to: Position) {
        if let Some(mark) = self.room(key) {
            mark.stamp.raise(section, to);
        }
    }

    pub(super) fn bury(&mut self, key: &Key) {
        if let Some(mark) = self.room(key) {
            mark.erased = true;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    fn room(&mut self, key: &Key) -> Option<&mut Mark> {
        if self.marks.len() >= self.capacity && !self.marks.contains_key(key) {
            self.dropped += 1;
            return None;
        }
        Some(self.marks.entry(key.clone()).or_default())
    }

    fn take(&mut self, n: usize) -> Vec<(Key, Mark)> {
        let keys: Vec<Key> = self.marks.keys().take(n).cloned().collect();
        keys.into_iter().filter_map(|key| self.marks.remove_entry(&key)).collect()
    }

    fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

/// Sends lost marks again, every `pause`, until the level is dropped.
pub(super) fn retry(redis: Weak<Redis>, pause: Duration) {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(pause).await;
            let Some(redis) = redis.upgrade() else { return };
            redis.resend().await;
        }
    });
}

impl Redis {
    async fn resend(&self) {
        while !self.lost.lock().is_empty() {
            let batch = self.lost.lock().take(BATCH);
            let marks: Vec<_> = batch
                .iter()
                .flat_map(|(key, mark)| Section::ALL.map(|section| (key, section, mark.stamp.at(section))))
                .filter(|(_, _, position)| *position > Position::START)
                .collect();
            let mut sent = marks.is_empty() || self.send_marks(&marks).await;
            for (key, _) in batch.iter().filter(|(_, mark)| mark.erased) {
                sent = sent && self.send_tombstone(key).await;
            }
            if !sent {
                let mut lost = self.lost.lock();
                for (key, mark) in &batch {
                    Section::ALL.iter().for_each(|s| lost.mark(key, *s, mark.stamp.at(*s)));
                    if mark.erased {
                        lost.bury(key);
                    }
                }
                return;
            }
        }
    }
}
