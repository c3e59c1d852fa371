//! Whole data sets: block, score, cluster.

use std::cell::Cell;

use rustc_hash::FxHashMap;

use crate::{
    block::{BlockingReport, Blocks},
    cluster::{Edge, Rules, agglomerate, components},
    corpus::{Corpus, RecordIndex},
    guard::CannotLinks,
    model::Model,
    score::Scorer,
};

/// What matching a data set found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The cluster of each record, by its index: the least index of the cluster.
    pub cluster: Vec<RecordIndex>,
    /// Every pair from the lower threshold on, and below it those within one cluster; best first.
    pub pairs: Vec<Edge>,
    /// Pairs in the grey zone, and pairs above it that were not joined; best first.
    pub review: Vec<Edge>,
    pub blocking: BlockingReport,
}

/// Matches all records of a corpus whose values were weighed by this model.
pub fn match_records(model: &Model, corpus: &Corpus, cannot_links: &CannotLinks) -> Outcome {
    match_some_records(model, corpus, cannot_links, |_, _| true, |_, _| true).unwrap_or_default()
}

/// So many pairs are compared between two reports.
const REPORT: u64 = 16_384;

/// The same, where only pairs that are `wanted` are compared. `report` hears how many were, and of how many at most, and
/// says whether to go on; `None` if it did not.
pub fn match_some_records(
    model: &Model,
    corpus: &Corpus,
    cannot_links: &CannotLinks,
    wanted: impl Fn(RecordIndex, RecordIndex) -> bool,
    mut report: impl FnMut(u64, u64) -> bool,
) -> Option<Outcome> {
    let weights = model.weights();
    let scorer = Scorer::new(corpus, &weights);
    let mut edges = Vec::new();
    let least = model.thresholds.review.min(model.thresholds.merge - model.coverage);
    let (mut count, stopped) = (0, Cell::new(false));
    let wanted = |a, b| !stopped.get() && wanted(a, b);
    let blocks = Blocks::new(corpus, &model.stop_keys);
    let most = blocks.pairs_at_most();
    let blocking = blocks.for_some_pairs(wanted, |a, b| {
        if let Some(score) = scorer.score_from(a, b, least) {
            edges.push(Edge { a, b, score });
        }
        count += 1;
        if count % REPORT == 0 && !report(count, most) {
            stopped.set(true);
        }
    });
    if stopped.get() || !report(count, count) {
        return None;
    }
    let cluster = clusters(model, scorer, cannot_links, &edges);
    let apart = |edge: &Edge| cluster[edge.a as usize] != cluster[edge.b as usize];
    edges.retain(|edge| edge.score >= model.thresholds.review || !apart(edge));
    let ends = |edge: &Edge| (corpus.key(edge.a).min(corpus.key(edge.b)), corpus.key(edge.a).max(corpus.key(edge.b)));
    edges.sort_unstable_by(|x, y| y.score.cmp(&x.score).then_with(|| ends(x).cmp(&ends(y))));
    let review = edges.iter().filter(|edge| apart(edge)).copied().collect();
    Some(Outcome { cluster, pairs: edges, review, blocking })
}

/// The cluster of each record.
fn clusters(model: &Model, scorer: Scorer<'_>, cannot_links: &CannotLinks, edges: &[Edge]) -> Vec<RecordIndex> {
    let rules = Rules { scorer, cannot_links, thresholds: model.thresholds, coverage: model.coverage };
    let mut proposals: Vec<Edge> = edges.iter().copied().filter(|edge| edge.score >= rules.floor()).collect();
    let mut cluster: Vec<RecordIndex> = scorer.corpus().indices().collect();
    let components = components(scorer, &proposals);
    let mut component_of: FxHashMap<RecordIndex, usize> = FxHashMap::default();
    for (number, component) in components.iter().enumerate() {
        component_of.extend(component.iter().map(|index| (*index, number)));
    }
    proposals.sort_unstable_by_key(|edge| component_of[&edge.a]);
    for edges in proposals.chunk_by_mut(|x, y| component_of[&x.a] == component_of[&y.a]) {
        let component = &components[component_of[&edges[0].a]];
        for members in agglomerate(rules, component, edges) {
            let least = members.iter().copied().min().unwrap_or_default();
            members.iter().for_each(|index| cluster[*index as usize] = least);
        }
    }
    cluster
}
