//! The blocks of a whole corpus: which keys are too common, and which pairs share a key.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::{Key, Rule, refined_keys};
use crate::corpus::{Corpus, RecordIndex};

/// Blocks larger than this are refined: pairs then grow with the records, and not with their square.
pub const LARGEST_BLOCK: usize = 50;

/// The stop keys of a corpus: keys that more than `largest` records share, refined ones among them.
pub fn stop_keys(corpus: &Corpus, largest: usize) -> BTreeSet<Key> {
    let raw = Filed::new(corpus, &|_| false);
    let stop = raw.commoner_than(largest);
    // Refined keys can be too common as well. No other key becomes more common by refining.
    let mut refined = Filed::default();
    let mut buffer = Vec::new();
    for index in corpus.indices().filter(|index| raw.of(*index).iter().any(|key| stop.contains(key))) {
        refined_keys(corpus, &|key| stop.contains(&key), index, &mut buffer);
        buffer.retain(|key| Rule::of(*key) == Some(Rule::Refined));
        refined.file(&buffer);
    }
    stop.into_iter().chain(refined.commoner_than(largest)).collect()
}

/// The keys of records, one record after the other.
struct Filed {
    keys: Vec<Key>,
    offsets: Vec<u32>,
}

impl Default for Filed {
    fn default() -> Filed {
        Filed { keys: Vec::new(), offsets: vec![0] }
    }
}

impl Filed {
    fn new(corpus: &Corpus, is_stop: &impl Fn(Key) -> bool) -> Filed {
        let mut filed = Filed::default();
        let mut buffer = Vec::new();
        for index in corpus.indices() {
            refined_keys(corpus, is_stop, index, &mut buffer);
            filed.file(&buffer);
        }
        filed
    }

    fn file(&mut self, keys: &[Key]) {
        self.keys.extend_from_slice(keys);
        self.offsets.push(self.keys.len() as u32);
    }

    fn of(&self, index: RecordIndex) -> &[Key] {
        let at = index as usize;
        &self.keys[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// Keeps the keys that are `wanted`.
    fn retain(&mut self, wanted: impl Fn(Key) -> bool) {
        let (mut from, mut kept) = (0, 0);
        for end in &mut self.offsets[1..] {
            for at in from..*end as usize {
                if wanted(self.keys[at]) {
                    self.keys[kept] = self.keys[at];
                    kept += 1;
                }
            }
            from = *end as usize;
            *end = kept as u32;
        }
        self.keys.truncate(kept);
        self.keys.shrink_to_fit();
    }

    /// Keys with their records, ascending.
    fn by_key(&self) -> Vec<(Key, RecordIndex)> {
        let mut members = Vec::with_capacity(self.keys.len());
        for index in 0..self.offsets.len() as RecordIndex - 1 {
            members.extend(self.of(index).iter().map(|key| (*key, index)));
        }
        members.sort_unstable();
        members
    }

    /// The keys that more than `most` records share.
    fn commoner_than(&self, most: usize) -> FxHashSet<Key> {
        let tally = Tally::of(&self.keys);
        let mut candidates: Vec<Key> = self.keys.iter().copied().filter(|key| tally.may_exceed(*key, most)).collect();
        candidates.sort_unstable();
        candidates.chunk_by(|a, b| a == b).filter(|block| block.len() > most).map(|block| block[0]).collect()
    }
}

/// Counts keys roughly, keys that share a place together: a count is never too small. Most keys are one record's alone,
/// and need not be sorted to know it.
struct Tally(Vec<u8>);

impl Tally {
    fn of(keys: &[Key]) -> Tally {
        let mut tally = Tally(vec![0; (2 * keys.len()).next_power_of_two()]);
        for key in keys {
            let place = tally.place(*key);
            tally.0[place] = tally.0[place].saturating_add(1);
        }
        tally
    }

    /// Whether a key may occur more than `most` times; `false` is certain.
    fn may_exceed(&self, key: Key, most: usize) -> bool {
        let count = self.0[self.place(key)];
        count == u8::MAX || usize::from(count) > most
    }

    /// The bits of a key below its rule are mixed well; the rule sets those of one value apart.
    fn place(&self, key: Key) -> usize {
        (key ^ key >> 53) as usize & (self.0.len() - 1)
    }
}

/// What blocking a whole corpus found, rule by rule: blocks, pairs and what was too common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockingReport {
    /// By rule: how many blocks of two or more, and how many pairs they hold, pairs in several blocks counted once.
    pub rules: Vec<(Rule, u64, u64)>,
    pub pairs: u64,
    /// Keys that were refined or dropped.
    pub stop_keys: usize,
}

/// The blocks of a whole corpus, numbered in the order of their keys.
pub struct Blocks {
    /// Members of all blocks, one block after the other.
    members: Vec<RecordIndex>,
    /// Where each block begins, and the rule behind it.
    blocks: Vec<(u32, u8)>,
    /// The blocks of all records, one record after the other.
    memberships: Vec<u32>,
    offsets: Vec<u32>,
    stop_keys: usize,
}

impl Blocks {
    pub fn new(corpus: &Corpus, stop_keys: &BTreeSet<Key>) -> Blocks {
        let is_stop: FxHashSet<Key> = stop_keys.iter().copied().collect();
        let mut filed = Filed::new(corpus, &|key| is_stop.contains(&key));
        let tally = Tally::of(&filed.keys);
        filed.retain(|key| tally.may_exceed(key, 1));
        drop(tally);
        Blocks::of(filed, stop_keys.len())
    }

    /// The blocks that have a record in them that was drawn.
    pub(crate) fn around(corpus: &Corpus, stop_keys: &BTreeSet<Key>, drawn: &[bool]) -> Blocks {
        let is_stop: FxHashSet<Key> = stop_keys.iter().copied().collect();
        let mut filed = Filed::new(corpus, &|key| is_stop.contains(&key));
        let drawn = corpus.indices().filter(|index| drawn[*index as usize]);
        let theirs: FxHashSet<Key> = drawn.flat_map(|index| filed.of(index)).copied().collect();
        filed.retain(|key| theirs.contains(&key));
        Blocks::of(filed, stop_keys.len())
    }

    fn of(filed: Filed, stop_keys: usize) -> Blocks {
        let by_key = filed.by_key();
        let Filed { keys, mut offsets } = filed;
        drop(keys);
        let mut memberships = vec![0; by_key.len()];
        let mut next = offsets.clone();
        let (mut members, mut blocks) = (Vec::with_capacity(by_key.len()), Vec::new());
        for block in by_key.chunk_by(|a, b| a.0 == b.0).filter(|block| block.len() > 1) {
            for (_, index) in block {
                let place = &mut next[*index as usize];
                memberships[*place as usize] = blocks.len() as u32;
                *place += 1;
            }
            blocks.push((members.len() as u32, (block[0].0 >> 56) as u8));
            members.extend(block.iter().map(|(_, index)| *index));
        }
        // Places that were meant for keys that nobody shares are empty.
        let mut kept = 0;
        for (offset, end) in offsets.iter_mut().zip(next) {
            let place = *offset as usize..end as usize;
            let length = place.len();
            *offset = kept as u32;
            memberships.copy_within(place, kept);
            kept += length;
        }
        memberships.truncate(kept);
        Blocks { members, blocks, memberships, offsets, stop_keys }
    }

    /// Calls `visit` once for every pair of records that share a key.
    pub fn for_each_pair(&self, visit: impl FnMut(RecordIndex, RecordIndex)) -> BlockingReport {
        self.for_some_pairs(|_, _| true, visit)
    }

    /// Calls `visit` once for every pair of records that share a key and that are `wanted`.
    ///
    /// A block's turn comes with its first record: what was looked at for one block is near at hand for the next.
    pub fn for_some_pairs(
        &self,
        wanted: impl Fn(RecordIndex, RecordIndex) -> bool,
        mut visit: impl FnMut(RecordIndex, RecordIndex),
    ) -> BlockingReport {
        let mut by_rule = [(0, 0); Rule::ALL.len() + 1];
        for first in 0..self.offsets.len() - 1 {
            for number in self.blocks_of(first as RecordIndex) {
                let block = self.members_of(*number as usize);
                if block[0] != first as RecordIndex {
                    continue;
                }
                let (blocks, pairs) = &mut by_rule[usize::from(self.blocks[*number as usize].1)];
                *blocks += 1;
                for (at, a) in block.iter().enumerate() {
                    for b in &block[at + 1..] {
                        // A pair belongs to the first block that it shares.
                        if wanted(*a, *b) && self.first_shared(*a, *b) == Some(*number) {
                            *pairs += 1;
                            visit(*a, *b);
                        }
                    }
                }
            }
        }
        let rules: Vec<(Rule, u64, u64)> = Rule::ALL
            .into_iter()
            .map(|rule| (rule, by_rule[rule as usize].0, by_rule[rule as usize].1))
            .filter(|(_, blocks, _)| *blocks > 0)
            .collect();
        BlockingReport { pairs: rules.iter().map(|(_, _, pairs)| pairs).sum(), rules, stop_keys: self.stop_keys }
    }

    /// How many pairs there are, those in several blocks counted in each.
    pub fn pairs_at_most(&self) -> u64 {
        let sizes = (0..self.blocks.len()).map(|number| self.members_of(number).len());
        sizes.map(|size| (size * (size - 1) / 2) as u64).sum()
    }

    fn members_of(&self, number: usize) -> &[RecordIndex] {
        let end = self.blocks.get(number + 1).map_or(self.members.len(), |(start, _)| *start as usize);
        &self.members[self.blocks[number].0 as usize..end]
    }

    fn blocks_of(&self, index: RecordIndex) -> &[u32] {
        let at = index as usize;
        &self.memberships[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    /// The first block of both. Steps are taken without branches: which list is behind cannot be foretold.
    fn first_shared(&self, a: RecordIndex, b: RecordIndex) -> Option<u32> {
        let (xs, ys) = (self.blocks_of(a), self.blocks_of(b));
        let (mut at_x, mut at_y) = (0, 0);
        while let (Some(x), Some(y)) = (xs.get(at_x), ys.get(at_y)) {
            if x == y {
                return Some(*x);
            }
            at_x += usize::from(x < y);
            at_y += usize::from(y < x);
        }
        None
    }
}
