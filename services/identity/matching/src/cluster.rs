//! From pairs to people: agglomerative clustering with vetoes.
//!
//! A *proposal* is a pair above the merge threshold that no guard holds back. Proposals are taken in descending order of
//! score (ties by the records' keys). A proposal joins two clusters if
//!
//! - no pair across them is vetoed or in conflict,
//! - the mean score of all pairs across them speaks for one person: a record is accepted by its evidence against the
//!   whole cluster, not by one neighbour,
//! - and it is not ambiguous: if a third cluster that cannot be the same person as one of the two has an equally good
//!   claim on the other, neither gets it.
//!
//! Connected components alone would chain strangers together through one bad link.
//!
//! Only proposals join, so the clusters of a data set are those of the connected components of its proposals, each for
//! itself. The outcome depends on the records, the model and the cannot-links, and not on any order.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    corpus::RecordIndex,
    guard::{CannotLinks, Veto, Vetoes, conflict, lacks, permits, vetoes},
    model::Thresholds,
    score::Scorer,
    weight::Weight,
};

/// A scored pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    pub a: RecordIndex,
    pub b: RecordIndex,
    pub score: Weight,
}

/// What clustering needs to know.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    pub scorer: Scorer<'a>,
    pub cannot_links: &'a CannotLinks,
    pub thresholds: Thresholds,
    /// See [`crate::model::Model::coverage`].
    pub coverage: Weight,
}

impl Rules<'_> {
    /// Pairs from this score on take part in clustering.
    pub fn floor(&self) -> Weight {
        self.thresholds.merge - self.coverage
    }

    fn edge(&self, a: RecordIndex, b: RecordIndex) -> Edge {
        Edge { a, b, score: self.scorer.score(a, b) }
    }
}

/// One pair counts no more than this in a mean: one identical pair does not speak for all others.
const MOST: Weight = Weight(15_000);
/// Nor does one pair count against by more.
const LEAST: Weight = Weight(-15_000);
/// A claim is equally good if its score is no more than this below the other.
const AMBIGUOUS: Weight = Weight(1_000);

/// Connected components by the proposals, each ascending by record key; records without a proposal are left out.
pub fn components(scorer: Scorer<'_>, edges: &[Edge]) -> Vec<Vec<RecordIndex>> {
    let mut parents: FxHashMap<RecordIndex, RecordIndex> = FxHashMap::default();
    fn root(parents: &mut FxHashMap<RecordIndex, RecordIndex>, mut at: RecordIndex) -> RecordIndex {
        while let Some(parent) = parents.get(&at).copied().filter(|parent| *parent != at) {
            let grandparent = parents.get(&parent).copied().unwrap_or(parent);
            parents.insert(at, grandparent);
            at = grandparent;
        }
        parents.entry(at).or_insert(at);
        at
    }
    for edge in edges {
        let (a, b) = (root(&mut parents, edge.a), root(&mut parents, edge.b));
        if a != b {
            parents.insert(a.max(b), a.min(b));
        }
    }
    let mut members: FxHashMap<RecordIndex, Vec<RecordIndex>> = FxHashMap::default();
    let all: Vec<RecordIndex> = parents.keys().copied().collect();
    for index in all {
        members.entry(root(&mut parents, index)).or_default().push(index);
    }
    let key = |index: &RecordIndex| scorer.corpus().key(*index);
    let mut components: Vec<Vec<RecordIndex>> = members.into_values().collect();
    components.iter_mut().for_each(|component| component.sort_unstable_by_key(key));
    components.sort_unstable_by_key(|component| key(&component[0]));
    components
}

/// Clusters one component. `edges` are the pairs within it from [`Rules::floor`] on, in any order. Clusters and their
/// records ascend by key.
pub fn agglomerate(rules: Rules<'_>, component: &[RecordIndex], edges: &mut [Edge]) -> Vec<Vec<RecordIndex>> {
    let corpus = rules.scorer.corpus();
    let ends = |edge: &Edge| {
        let (a, b) = (corpus.key(edge.a), corpus.key(edge.b));
        (a.min(b), a.max(b))
    };
    edges.sort_unstable_by(|x, y| y.score.cmp(&x.score).then_with(|| ends(x).cmp(&ends(y))));
    let merge = rules.thresholds.merge;
    let proposals: Vec<Edge> =
        edges.iter().copied().filter(|edge| permits(rules.scorer, rules.cannot_links, merge, *edge)).collect();
    let mut forming = Forming::new(rules, component, &proposals);
    for edge in &proposals {
        forming.consider(*edge);
    }
    if rules.coverage > Weight::ZERO {
        forming.pair_up(edges);
    }
    let mut clusters = forming.clusters;
    clusters.retain(|cluster| !cluster.is_empty());
    clusters.iter_mut().for_each(|cluster| cluster.sort_unstable_by_key(|index| corpus.key(*index)));
    clusters.sort_unstable_by_key(|cluster| corpus.key(cluster[0]));
    clusters
}

/// All pairs across two clusters.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// Of the bounded scores.
    sum: i64,
    conflict: Vetoes,
}

/// Clusters of one component while they form.
struct Forming<'a> {
    rules: Rules<'a>,
    place: FxHashMap<RecordIndex, usize>,
    cluster_of: Vec<usize>,
    clusters: Vec<Vec<RecordIndex>>,
    /// Proposals by record.
    claims: FxHashMap<RecordIndex, Vec<(RecordIndex, Weight)>>,
    /// What is known of pairs of clusters.
    links: FxHashMap<(usize, usize), Link>,
    /// Pairs of clusters that were refused as they are now.
    refused: FxHashSet<(usize, usize)>,
}

impl<'a> Forming<'a> {
    fn new(rules: Rules<'a>, component: &[RecordIndex], proposals: &[Edge]) -> Forming<'a> {
        let mut claims: FxHashMap<RecordIndex, Vec<(RecordIndex, Weight)>> = FxHashMap::default();
        for edge in proposals {
            claims.entry(edge.a).or_default().push((edge.b, edge.score));
            claims.entry(edge.b).or_default().push((edge.a, edge.score));
        }
        Forming {
            rules,
            place: component.iter().enumerate().map(|(at, index)| (*index, at)).collect(),
            cluster_of: (0..component.len()).collect(),
            clusters: component.iter().map(|index| vec![*index]).collect(),
            claims,
            links: FxHashMap::default(),
            refused: FxHashSet::default(),
        }
    }

    fn cluster(&self, index: RecordIndex) -> usize {
        self.cluster_of[self.place[&index]]
    }

    fn consider(&mut self, edge: Edge) {
        let (x, y) = (self.cluster(edge.a), self.cluster(edge.b));
        let (kept, gone) = (x.min(y), x.max(y));
        if kept == gone || self.refused.contains(&(kept, gone)) {
            return;
        }
        if self.cohere(kept, gone)
            && !self.is_contested(kept, gone, edge.score)
            && !self.is_contested(gone, kept, edge.score)
        {
            self.join(kept, gone);
        } else {
            self.refused.insert((kept, gone));
        }
    }

    fn join(&mut self, kept: usize, gone: usize) {
        let moved = std::mem::take(&mut self.clusters[gone]);
        for index in &moved {
            self.cluster_of[self.place[index]] = kept;
        }
        self.clusters[kept].extend(moved);
        for other in 0..self.clusters.len() {
            let ends = |at: usize| (at.min(other), at.max(other));
            let (one, two) = (self.links.remove(&ends(kept)), self.links.remove(&ends(gone)));
            if let (Some(one), Some(two)) = (one, two)
                && other != kept
                && other != gone
            {
                let both = Link { sum: one.sum + two.sum, conflict: one.conflict.union(two.conflict) };
                self.links.insert(ends(kept), both);
            }
        }
        self.refused.retain(|(a, b)| *a != kept && *b != kept && *a != gone && *b != gone);
    }

    /// Whether all pairs across two clusters together speak for one person.
    fn cohere(&mut self, x: usize, y: usize) -> bool {
        let pairs = (self.clusters[x].len() * self.clusters[y].len()) as i64;
        let link = self.link(x, y);
        // Birth dates of one person may be far apart in a few of many records.
        let free = link.conflict.is_empty() || link.conflict.is_only(Veto::BirthDate);
        free && link.sum >= i64::from(self.rules.thresholds.review.0) * pairs
    }

    /// All pairs across two clusters, looked at once: what is known of parts is kept when they join.
    fn link(&mut self, x: usize, y: usize) -> Link {
        let ends = (x.min(y), x.max(y));
        if let Some(link) = self.links.get(&ends) {
            return *link;
        }
        let rules = &self.rules;
        let mut link = Link::default();
        for a in &self.clusters[x] {
            for b in &self.clusters[y] {
                let edge = rules.edge(*a, *b);
                link.sum += i64::from(edge.score.clamp(LEAST, MOST).0);
                let conflict = conflict(rules.scorer, rules.cannot_links, rules.thresholds.merge, edge);
                link.conflict = link.conflict.union(conflict.unwrap_or_default());
            }
        }
        self.links.insert(ends, link);
        link
    }

    /// Whether a third cluster, which cannot be the same as `other`, has an equally good claim on `wanted`, which has
    /// nothing to tell them apart by.
    fn is_contested(&mut self, wanted: usize, other: usize, score: Weight) -> bool {
        let claims = self.clusters[wanted].iter().filter_map(|index| self.claims.get(index)).flatten();
        let rivals: BTreeSet<usize> = claims
            .filter(|(_, claim)| *claim + AMBIGUOUS >= score)
            .map(|(rival, _)| self.cluster(*rival))
            .filter(|rival| *rival != wanted && *rival != other)
            .collect();
        rivals.into_iter().any(|rival| self.exclude(rival, other, wanted))
    }

    fn exclude(&mut self, x: usize, y: usize, wanted: usize) -> bool {
        let conflict = self.link(x, y).conflict;
        let corpus = self.rules.scorer.corpus();
        !conflict.is_empty() && self.clusters[wanted].iter().all(|index| lacks(corpus, *index, conflict))
    }

    /// Joins records that are alone, and have nobody but each other.
    fn pair_up(&mut self, edges: &[Edge]) {
        let mut partners: FxHashMap<RecordIndex, u32> = FxHashMap::default();
        for edge in edges {
            *partners.entry(edge.a).or_default() += 1;
            *partners.entry(edge.b).or_default() += 1;
        }
        for edge in edges {
            let (x, y) = (self.cluster(edge.a), self.cluster(edge.b));
            let alone = self.clusters[x].len() == 1 && self.clusters[y].len() == 1;
            if alone
                && partners[&edge.a] == 1
                && partners[&edge.b] == 1
                && vetoes(self.rules.scorer.corpus(), self.rules.cannot_links, edge.a, edge.b).is_empty()
            {
                self.join(x.min(y), x.max(y));
            }
        }
    }
}
