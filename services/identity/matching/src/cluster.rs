//! From pairs to people: agglomerative clustering with vetoes.
//!
//! A match above the threshold is a proposal. Proposals are taken in descending order of score (ties by the records'
//! keys). A proposal joins two clusters if no pair across them is vetoed and the mean score of all pairs across them
//! speaks for one person: a record is accepted by its evidence against the whole cluster, not by one neighbour.
//! Connected components alone would chain strangers together through one bad link.
//!
//! Only proposals join, so the clusters of a data set are those of the connected components of its proposals, each for
//! itself. The outcome depends on the records, the model and the cannot-links, and not on any order.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    corpus::RecordIndex,
    guard::{CannotLinks, vetoes},
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
    /// The least mean score across two clusters that are joined.
    pub cohesion: Weight,
}

/// One pair counts no more than this in a mean: one identical pair does not speak for all others.
const MOST: Weight = Weight(15_000);
/// Nor does one pair count against by more.
const LEAST: Weight = Weight(-15_000);

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

/// Clusters one component. `edges` are the proposals within it, in any order. Clusters and their records ascend by key.
pub fn agglomerate(rules: Rules<'_>, component: &[RecordIndex], edges: &mut [Edge]) -> Vec<Vec<RecordIndex>> {
    let corpus = rules.scorer.corpus();
    let key = |index: RecordIndex| corpus.key(index);
    let ends = |edge: &Edge| (key(edge.a).min(key(edge.b)), key(edge.a).max(key(edge.b)));
    edges.sort_unstable_by(|x, y| y.score.cmp(&x.score).then_with(|| ends(x).cmp(&ends(y))));
    let place: FxHashMap<RecordIndex, usize> = component.iter().enumerate().map(|(at, index)| (*index, at)).collect();
    let mut cluster_of: Vec<usize> = (0..component.len()).collect();
    let mut clusters: Vec<Vec<RecordIndex>> = component.iter().map(|index| vec![*index]).collect();
    let mut refused: FxHashSet<(usize, usize)> = FxHashSet::default();
    for edge in edges.iter() {
        let (x, y) = (cluster_of[place[&edge.a]], cluster_of[place[&edge.b]]);
        let (kept, gone) = (x.min(y), x.max(y));
        if kept == gone || refused.contains(&(kept, gone)) {
            continue;
        }
        match cohere(rules, &clusters[kept], &clusters[gone]) {
            Cohesion::Join => {
                let moved = std::mem::take(&mut clusters[gone]);
                moved.iter().for_each(|index| cluster_of[place[index]] = kept);
                clusters[kept].extend(moved);
                refused.retain(|(a, b)| *a != kept && *b != kept);
            }
            // A veto stays: clusters only grow.
            Cohesion::Vetoed | Cohesion::Apart => {
                refused.insert((kept, gone));
            }
        }
    }
    clusters.retain(|cluster| !cluster.is_empty());
    clusters.iter_mut().for_each(|cluster| cluster.sort_unstable_by_key(|index| key(*index)));
    clusters.sort_unstable_by_key(|cluster| key(cluster[0]));
    clusters
}

enum Cohesion {
    Join,
    Vetoed,
    Apart,
}

fn cohere(rules: Rules<'_>, xs: &[RecordIndex], ys: &[RecordIndex]) -> Cohesion {
    let corpus = rules.scorer.corpus();
    let mut sum = 0i64;
    for x in xs {
        for y in ys {
            if !vetoes(corpus, rules.cannot_links, *x, *y).is_empty() {
                return Cohesion::Vetoed;
            }
            sum += i64::from(rules.scorer.score(*x, *y).clamp(LEAST, MOST).0);
        }
    }
    let pairs = (xs.len() * ys.len()) as i64;
    if sum >= i64::from(rules.cohesion.0) * pairs { Cohesion::Join } else { Cohesion::Apart }
}
