//! Expectation-maximisation over the pairs that blocking finds (Dempster, Laird and Rubin 1977; Winkler 1988).
//!
//! Pairs are of three kinds: one person, relatives, strangers. Random pairs have fixed u; each round expects of which
//! kind every pair is, and then counts anew how frequent the kinds are and how one person's records agree (m).

use serde::{Deserialize, Serialize};

use super::salt;
use crate::{
    block::Blocks,
    compare::{Found, Sink, compare},
    corpus::{Corpus, RecordIndex},
    level::{COMPARISONS, Comparison, Level},
    lexicon::mix,
    model::{LEVELS, Model, Probabilities, Weights},
    score::{Scorer, against_strangers},
    weight::Weight,
};

/// About so many pairs are looked at in each round; of more, a sample.
const SAMPLE: u64 = 500_000;

/// The weight of the shipped m-probabilities, in pairs.
const SHIPPED: f64 = 200.0;

/// Imagined pairs of one person and of relatives, a pair of each for every 1/30 of the records: a few records cannot
/// show that there are no households.
const IMAGINED: f64 = 30.0;

/// A level is no more frequent than so many times what is shipped. Fields that depend on each other (names, and mailboxes
/// named after them) otherwise lead training to find namesakes where it should find people.
const FARTHEST: f64 = 4.0;

/// Training has converged when no probability moves by more.
const CONVERGED: f64 = 1e-4;

/// A steward's decision about a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub a: RecordIndex,
    pub b: RecordIndex,
    pub same: bool,
}

/// How far training has come. Training that starts from this state goes on as if it had never stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub round: u32,
    /// The largest change of a probability in the last round.
    pub change: f64,
    /// Natural logarithm of the likelihood of the levels of all pairs that are compared, at the beginning of the last
    /// round: each a mixture of one person, relatives and strangers. Where a sample is looked at, it stands for all.
    pub likelihood: f64,
    pub prior: Weight,
    pub relatives: Weight,
    pub comparisons: Vec<Probabilities>,
}

impl State {
    pub fn has_converged(&self) -> bool {
        self.change <= CONVERGED
    }
}

/// A pair, as training sees it.
#[derive(Clone, Debug, Default)]
struct Observation {
    levels: [Level; COMPARISONS],
    adjustments: [i32; COMPARISONS],
    label: Option<bool>,
}

/// What a pair is taken for.
struct Expected {
    one: f64,
    relatives: f64,
    /// log2 of the likelihood against that of strangers.
    likelihood: f64,
}

impl Sink for Observation {
    fn note(&mut self, comparison: Comparison, found: Found) {
        let at = comparison.index();
        if self.levels[at] == 0 {
            self.levels[at] = found.level;
            self.adjustments[at] = found.adjustment.0;
        }
    }
}

impl Observation {
    /// log2 of the probability of its levels among strangers.
    fn among_strangers(&self, model: &Model) -> f64 {
        let found =
            Comparison::ALL.into_iter().map(|comparison| (comparison, usize::from(self.levels[comparison.index()])));
        found.filter(|(_, level)| *level > 0).map(|(c, level)| model.probabilities(c).u[level].max(1e-12).log2()).sum()
    }

    /// The probabilities that this is one person, and that these are relatives.
    fn expect(&self, weights: &Weights) -> Expected {
        let (mut person, mut relatives) = (weights.prior, weights.relatives);
        for comparison in Comparison::ALL {
            let (level, adjustment) = (self.levels[comparison.index()], Weight(self.adjustments[comparison.index()]));
            if level > 0 {
                person += weights.of(comparison, level) + adjustment;
                relatives += weights.of_relatives(comparison, level, adjustment);
            }
        }
        // Most pairs are strangers beyond doubt.
        const NEVER: Weight = Weight(-17_000);
        let likelihood = if person < NEVER && relatives < NEVER {
            0.0
        } else {
            // At most a few hundred bits: no overflow.
            (1.0 + person.as_bits().exp2() + relatives.as_bits().exp2()).log2()
        };
        if let Some(same) = self.label {
            return Expected { one: f64::from(u8::from(same)), relatives: 0.0, likelihood };
        }
        let one = if person < NEVER { 0.0 } else { (person - against_strangers(relatives)).probability() };
        let relatives = if relatives < NEVER { 0.0 } else { (relatives - against_strangers(person)).probability() };
        Expected { one, relatives, likelihood }
    }
}

/// Trains a model on a corpus, round by round. Deterministic.
pub struct Trainer {
    base: Model,
    observations: Vec<Observation>,
    /// How many pairs an observation stands for.
    each: f64,
    records: f64,
    /// log2 of the likelihood of all observed levels among strangers: the same in every round.
    strangers: f64,
    state: State,
}

impl Trainer {
    /// Starts from a model by which the corpus was weighed. `seed` decides which pairs are looked at where there are too
    /// many.
    pub fn new(base: &Model, corpus: &Corpus, labels: &[Label], seed: u64) -> Trainer {
        let state = State {
            round: 0,
            change: f64::INFINITY,
            likelihood: f64::NEG_INFINITY,
            prior: base.prior,
            relatives: base.relatives,
            comparisons: base.comparisons.clone(),
        };
        Trainer::resume(base, corpus, labels, seed, state)
    }

    /// Goes on from a state that training with the same model, corpus, labels and seed reached.
    pub fn resume(base: &Model, corpus: &Corpus, labels: &[Label], seed: u64, state: State) -> Trainer {
        let weights = base.weights();
        let scorer = Scorer::new(corpus, &weights);
        let blocks = Blocks::new(corpus, &base.stop_keys);
        let every = blocks.pairs_at_most().div_ceil(SAMPLE).max(1);
        let observe = |a: RecordIndex, b: RecordIndex, label: Option<bool>| {
            let mut observation = Observation { label, ..Observation::default() };
            compare(scorer.context(), a, b, &mut observation);
            observation
        };
        let mut observations = Vec::new();
        // Drawn by the records' keys, whatever their order.
        let salt = salt(seed);
        let draws: Vec<u64> = corpus.indices().map(|index| mix(corpus.key(index) as u64 ^ salt)).collect();
        let drawn = |a: RecordIndex, b: RecordIndex| {
            every == 1 || mix(draws[a as usize].wrapping_add(draws[b as usize])).is_multiple_of(every)
        };
        blocks.for_some_pairs(drawn, |a, b| observations.push(observe(a, b, None)));
        observations.extend(labels.iter().map(|label| observe(label.a, label.b, Some(label.same))));
        let strangers = observations.iter().filter(|o| o.label.is_none()).map(|o| o.among_strangers(base)).sum();
        let (each, records) = (every as f64, corpus.len() as f64);
        Trainer { base: base.clone(), observations, each, records, strangers, state }
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// One round of expectation and maximisation.
    pub fn step(&mut self) -> &State {
        let weights = self.model().weights();
        // Odds of the three kinds are given against strangers.
        let none = (1.0 + weights.prior.as_bits().exp2() + weights.relatives.as_bits().exp2()).log2();
        let (mut matches, mut relatives, mut likelihood) = (0.0, 0.0, self.strangers);
        let mut counts = [[0.0; LEVELS]; COMPARISONS];
        for observation in &self.observations {
            let expected = observation.expect(&weights);
            let one = expected.one;
            if observation.label.is_none() {
                likelihood += expected.likelihood - none;
                matches += one;
                relatives += expected.relatives;
            }
            for (comparison, level) in observation.levels.iter().enumerate().filter(|(_, level)| **level > 0) {
                counts[comparison][usize::from(*level)] += one;
            }
        }
        let pairs = self.records * (self.records - 1.0) / 2.0;
        let share =
            |count: f64| Weight::bits(((count * self.each + IMAGINED) / (pairs + self.records * IMAGINED)).log2());
        let mut change: f64 = 0.0;
        for comparison in Comparison::ALL {
            let shipped = &self.base.comparisons[comparison.index()];
            let fitted = &mut self.state.comparisons[comparison.index()];
            change = change.max(fit(shipped, fitted, &counts[comparison.index()]));
        }
        (self.state.prior, self.state.relatives) = (share(matches), share(relatives));
        self.state.change = change;
        self.state.likelihood = likelihood * self.each * std::f64::consts::LN_2;
        self.state.round += 1;
        &self.state
    }

    /// Steps until nothing moves, or `most` rounds are done; tells of each round.
    pub fn run(&mut self, most: u32, mut progress: impl FnMut(&State)) {
        while self.state.round < most && !self.state.has_converged() {
            self.step();
            progress(&self.state);
        }
    }

    /// The model as trained so far.
    pub fn model(&self) -> Model {
        Model {
            prior: self.state.prior,
            relatives: self.state.relatives,
            comparisons: self.state.comparisons.clone(),
            ..self.base.clone()
        }
    }
}

/// Counts and shipped values make new m-probabilities; returns the largest change.
fn fit(shipped: &Probabilities, fitted: &mut Probabilities, counts: &[f64]) -> f64 {
    let mut change: f64 = 0.0;
    for class in shipped.classes() {
        let members = shipped.members(class);
        let total: f64 = members.iter().map(|at| counts[*at]).sum();
        for at in members {
            let m = (counts[at] + SHIPPED * shipped.m[at]) / (total + SHIPPED);
            let m = m.min(FARTHEST * shipped.m[at]);
            change = change.max((m - fitted.m[at]).abs());
            fitted.m[at] = m;
        }
    }
    change
}
