//! The score of a pair: the prior and the weights of all comparisons.

use crate::{
    compare::{Context, Found, Sink, compare},
    corpus::{Corpus, RecordIndex},
    level::{COMPARISONS, Comparison, Level},
    model::Weights,
    weight::Weight,
};

/// Scores pairs of one corpus by one model. Scoring allocates nothing.
#[derive(Clone, Copy)]
pub struct Scorer<'a> {
    context: Context<'a>,
}

impl<'a> Scorer<'a> {
    pub fn new(corpus: &'a Corpus, weights: &'a Weights) -> Scorer<'a> {
        Scorer { context: Context { corpus, weights } }
    }

    pub fn corpus(&self) -> &'a Corpus {
        self.context.corpus
    }

    /// The match weight of a pair, prior included. The same in either order.
    pub fn score(&self, a: RecordIndex, b: RecordIndex) -> Weight {
        let mut total = Total { weights: self.context.weights, sum: self.context.weights.prior };
        compare(self.context, a, b, &mut total);
        total.sum
    }

    /// The level of every comparison of a pair.
    pub fn pattern(&self, a: RecordIndex, b: RecordIndex) -> Pattern {
        let mut pattern = Pattern::default();
        compare(self.context, a, b, &mut pattern);
        pattern
    }

    pub(crate) fn context(&self) -> Context<'a> {
        self.context
    }
}

struct Total<'a> {
    weights: &'a Weights,
    sum: Weight,
}

impl Sink for Total<'_> {
    #[inline]
    fn note(&mut self, comparison: Comparison, found: Found) {
        self.sum += found.weight(self.weights, comparison);
    }
}

/// The levels of a pair, by [`Comparison::index`]; of several other fields the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(pub [Level; COMPARISONS]);

impl Pattern {
    pub fn level(&self, comparison: Comparison) -> Level {
        self.0[comparison.index()]
    }
}

impl Sink for Pattern {
    fn note(&mut self, comparison: Comparison, found: Found) {
        let level = &mut self.0[comparison.index()];
        if *level == crate::level::MISSING {
            *level = found.level;
        }
    }
}
