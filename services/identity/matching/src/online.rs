//! One record at a time, with the outcome of the whole.
//!
//! The model is frozen, so whether two records are compared, their score and what guards say depend on the two alone.
//! Each record that arrives, changes or goes is compared with those that share a blocking key; the connected component
//! of pairs that it touches is clustered anew. As batch clustering treats each component for itself, the clusters after
//! any order of arrival are those of the batch over the same records with the same model.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    block::{Key, keys},
    cluster::{Edge, Rules, agglomerate},
    corpus::{Corpus, RecordIndex},
    explain::{Explanation, explain},
    guard::CannotLinks,
    model::{Model, Weights},
    record::{Record, RecordKey},
    score::Scorer,
    weight::Weight,
};

/// A cluster is named by the least key of its records.
pub type ClusterKey = RecordKey;

/// What one change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Clusters that were touched, as they are now: name and records, ascending.
    pub clusters: Vec<(ClusterKey, Vec<RecordKey>)>,
    /// Pairs of the record from the review threshold on, best first, with whether they are in one cluster now.
    pub candidates: Vec<Candidate>,
    /// Blocks that were passed over because they have outgrown the model: train it anew.
    pub degraded: usize,
}

/// A record that may be the same person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub record: RecordKey,
    pub score: Weight,
    pub joined: bool,
}

/// Blocks that grow beyond this since the model was fitted are passed over, and the change says so; until then online
/// and batch agree.
const OUTGROWN: usize = 20_000;

/// Records, their pairs and their clusters, kept up to date.
pub struct OnlineMatcher {
    model: Model,
    weights: Weights,
    corpus: Corpus,
    cannot_links: CannotLinks,
    blocks: FxHashMap<Key, Vec<RecordIndex>>,
    /// Pairs from the lower of review threshold and [`Rules::floor`] on, in both directions.
    edges: FxHashMap<RecordIndex, FxHashMap<RecordIndex, Weight>>,
    /// By record: its cluster; records that were removed have none.
    cluster: FxHashMap<RecordIndex, ClusterKey>,
    members: FxHashMap<ClusterKey, Vec<RecordIndex>>,
}

impl OnlineMatcher {
    pub fn new(model: Model) -> OnlineMatcher {
        OnlineMatcher {
            weights: model.weights(),
            model,
            corpus: Corpus::new(),
            cannot_links: CannotLinks::default(),
            blocks: FxHashMap::default(),
            edges: FxHashMap::default(),
            cluster: FxHashMap::default(),
            members: FxHashMap::default(),
        }
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.cluster.len()
    }

    pub fn is_empty(&self) -> bool {
        self.cluster.is_empty()
    }

    /// The cluster of a record.
    pub fn cluster_of(&self, record: RecordKey) -> Option<ClusterKey> {
        self.cluster.get(&self.corpus.index(record)?).copied()
    }

    /// The records of a cluster, ascending.
    pub fn members(&self, cluster: ClusterKey) -> Vec<RecordKey> {
        let members = self.members.get(&cluster);
        members.into_iter().flatten().map(|index| self.corpus.key(*index)).collect()
    }

    /// Adds a record, or replaces the one of the same key.
    pub fn upsert(&mut self, record: &Record) -> Change {
        let mut touched = self.corpus.index(record.key).map(|index| self.unlink(index)).unwrap_or_default();
        let index = self.corpus.push(record);
        self.corpus.weigh_last(index, &self.model.frequencies);
        let (candidates, degraded) = self.link(index);
        touched.insert(index);
        touched.extend(candidates.iter().map(|edge| edge.b));
        let clusters = self.recluster(touched);
        let review = self.model.thresholds.review;
        let candidates = candidates.into_iter().filter(|edge| edge.score >= review).map(|edge| Candidate {
            record: self.corpus.key(edge.b),
            score: edge.score,
            joined: self.cluster.get(&edge.b) == self.cluster.get(&index),
        });
        Change { candidates: candidates.collect(), clusters, degraded }
    }

    /// Removes a record; what it held together is clustered anew.
    pub fn remove(&mut self, record: RecordKey) -> Change {
        let Some(index) = self.corpus.index(record).filter(|index| self.cluster.contains_key(index)) else {
            return Change::default();
        };
        let mut touched = self.unlink(index);
        if let Some(cluster) = self.cluster.remove(&index)
            && let Some(members) = self.members.remove(&cluster)
        {
            touched.extend(members.into_iter().filter(|member| *member != index));
        }
        Change { clusters: self.recluster(touched), ..Change::default() }
    }

    /// Declares two records to be two people, or takes that back.
    pub fn set_cannot_link(&mut self, a: RecordKey, b: RecordKey, forbidden: bool) -> Change {
        let changed = if forbidden { self.cannot_links.insert(a, b) } else { self.cannot_links.remove(a, b) };
        let touched = [a, b].into_iter().filter_map(|key| self.corpus.index(key));
        let touched: BTreeSet<RecordIndex> = touched.filter(|index| self.cluster.contains_key(index)).collect();
        if changed { Change { clusters: self.recluster(touched), ..Change::default() } } else { Change::default() }
    }

    /// Why two records are one person, or why not.
    pub fn explain(&self, a: RecordKey, b: RecordKey) -> Option<Explanation> {
        let (a, b) = (self.corpus.index(a)?, self.corpus.index(b)?);
        Some(explain(&self.model.version, self.rules(), a, b))
    }

    fn scorer(&self) -> Scorer<'_> {
        Scorer::new(&self.corpus, &self.weights)
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            scorer: self.scorer(),
            cannot_links: &self.cannot_links,
            thresholds: self.model.thresholds,
            coverage: self.model.coverage,
        }
    }

    /// Compares a record with those that share a key, and remembers its pairs and keys. Best first.
    fn link(&mut self, index: RecordIndex) -> (Vec<Edge>, usize) {
        let mut own = Vec::new();
        keys(&self.corpus, &self.model.stop_keys, index, &mut own);
        let mut others: FxHashSet<RecordIndex> = FxHashSet::default();
        let mut degraded = 0;
        for key in &own {
            let block = self.blocks.entry(*key).or_default();
            if block.len() > OUTGROWN {
                degraded += 1;
            } else {
                others.extend(block.iter().copied());
            }
            block.push(index);
        }
        others.remove(&index);
        let scorer = self.scorer();
        let least = self.model.thresholds.review.min(self.rules().floor());
        let mut edges: Vec<Edge> = others
            .into_iter()
            .map(|other| Edge { a: index, b: other, score: scorer.score(index, other) })
            .filter(|edge| edge.score >= least)
            .collect();
        edges.sort_unstable_by_key(|edge| (std::cmp::Reverse(edge.score), self.corpus.key(edge.b)));
        for edge in &edges {
            self.edges.entry(edge.a).or_default().insert(edge.b, edge.score);
            self.edges.entry(edge.b).or_default().insert(edge.a, edge.score);
        }
        (edges, degraded)
    }

    /// Forgets a record's keys and pairs; returns whom it was paired with.
    fn unlink(&mut self, index: RecordIndex) -> BTreeSet<RecordIndex> {
        let mut own = Vec::new();
        keys(&self.corpus, &self.model.stop_keys, index, &mut own);
        for key in own {
            if let Some(block) = self.blocks.get_mut(&key) {
                block.retain(|other| *other != index);
                if block.is_empty() {
                    self.blocks.remove(&key);
                }
            }
        }
        let others = self.edges.remove(&index).unwrap_or_default();
        for other in others.keys() {
            if let Some(edges) = self.edges.get_mut(other) {
                edges.remove(&index);
            }
        }
        others.into_keys().collect()
    }

    /// Clusters the components of these records anew.
    fn recluster(&mut self, seeds: BTreeSet<RecordIndex>) -> Vec<(ClusterKey, Vec<RecordKey>)> {
        let mut seen: FxHashSet<RecordIndex> = FxHashSet::default();
        let mut clusters = Vec::new();
        for seed in seeds {
            if !seen.contains(&seed) {
                let (component, mut edges) = self.component(seed);
                seen.extend(component.iter().copied());
                clusters.extend(agglomerate(self.rules(), &component, &mut edges));
            }
        }
        for cluster in &clusters {
            for index in cluster {
                if let Some(old) = self.cluster.remove(index) {
                    self.members.remove(&old);
                }
            }
        }
        let mut named: Vec<(ClusterKey, Vec<RecordKey>)> = Vec::new();
        for cluster in clusters {
            let keys: Vec<RecordKey> = cluster.iter().map(|index| self.corpus.key(*index)).collect();
            let name = keys[0];
            cluster.iter().for_each(|index| {
                self.cluster.insert(*index, name);
            });
            self.members.insert(name, cluster);
            named.push((name, keys));
        }
        named.sort_unstable();
        named
    }

    /// The records that pairs from the floor on connect with this one, ascending by key, and these pairs.
    fn component(&self, seed: RecordIndex) -> (Vec<RecordIndex>, Vec<Edge>) {
        let floor = self.rules().floor();
        let mut component = vec![seed];
        let mut seen: FxHashSet<RecordIndex> = FxHashSet::from_iter([seed]);
        let mut edges = Vec::new();
        let mut at = 0;
        while let Some(a) = component.get(at).copied() {
            at += 1;
            for (b, score) in self.edges.get(&a).into_iter().flatten().filter(|(_, score)| **score >= floor) {
                if self.corpus.key(a) < self.corpus.key(*b) {
                    edges.push(Edge { a, b: *b, score: *score });
                }
                if seen.insert(*b) {
                    component.push(*b);
                }
            }
        }
        component.sort_unstable_by_key(|index| self.corpus.key(*index));
        (component, edges)
    }
}
