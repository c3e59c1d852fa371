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
        Scorer { context: Context::new(corpus, weights) }
    }

    pub fn corpus(&self) -> &'a Corpus {
        self.context.corpus
    }

    /// The match weight of a pair, prior included. The same in either order.
    pub fn score(&self, a: RecordIndex, b: RecordIndex) -> Weight {
        let mut total = Total::new(self.context.weights);
        compare(self.context, a, b, &mut total);
        total.score()
    }

    /// The same if it reaches `least`. Of most pairs it takes less than all comparisons to see that it does not.
    pub fn score_from(&self, a: RecordIndex, b: RecordIndex, least: Weight) -> Option<Weight> {
        let mut hope = Hope { total: Total::new(self.context.weights), least };
        compare(self.context, a, b, &mut hope);
        Some(hope.total.score()).filter(|score| *score >= least)
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

/// Sums for one person and for two relatives, both against strangers.
pub(crate) struct Total<'a> {
    weights: &'a Weights,
    person: Weight,
    relatives: Weight,
}

impl<'a> Total<'a> {
    pub(crate) fn new(weights: &'a Weights) -> Total<'a> {
        Total { weights, person: weights.prior, relatives: weights.relatives }
    }
    pub(crate) fn relatives(&self) -> Weight {
        self.relatives
    }
    #[inline]
    pub(crate) fn score(&self) -> Weight {
        self.person - against_strangers(self.relatives)
    }
}

impl Sink for Total<'_> {
    #[inline]
    fn note(&mut self, comparison: Comparison, found: Found) {
        self.person += found.weight(self.weights, comparison);
        self.relatives += self.weights.of_relatives(comparison, found.level, found.adjustment);
    }
}

/// Sums as long as the score may reach the least that matters.
struct Hope<'a> {
    total: Total<'a>,
    least: Weight,
}

impl Sink for Hope<'_> {
    #[inline]
    fn note(&mut self, comparison: Comparison, found: Found) {
        self.total.note(comparison, found);
    }
    /// What relatives explain only lowers the score.
    #[inline]
    fn cares(&self, most: Weight) -> bool {
        self.total.person + most >= self.least
    }
}

/// What being strangers or relatives is worth against being strangers: log2 (1 + 2^relatives).
pub(crate) fn against_strangers(relatives: Weight) -> Weight {
    const NEGLIGIBLE: Weight = Weight(-11_000);
    const CERTAIN: Weight = Weight(20_000);
    if relatives < NEGLIGIBLE {
        Weight::ZERO
    } else if relatives > CERTAIN {
        relatives
    } else {
        Weight::bits(relatives.as_bits().exp2().ln_1p() / std::f64::consts::LN_2)
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
