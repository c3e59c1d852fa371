//! Fitting a model to data without labels.

mod expect;

pub use expect::{Label, State, Trainer};

use crate::{
    batch::match_records,
    block::{self, Blocks},
    compare::{Found, Sink, compare},
    corpus::{Corpus, RecordIndex},
    frequency::SMOOTHING,
    guard::CannotLinks,
    level::{COMPARISONS, Comparison},
    lexicon::mix,
    model::{LEVELS, Model},
    score::{Scorer, Total},
    weight::Weight,
};

/// The weight of the shipped u-probabilities, in pairs.
const SHIPPED: f64 = 2_000.0;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Decides which pairs are drawn; the same seed and data give the same model.
    pub seed: u64,
    /// How many random pairs the u-probabilities are read from, at most.
    pub random_pairs: u64,
    /// Rounds of training, at most.
    pub rounds: u32,
}

impl Default for Options {
    /// What [`adapt`] does.
    fn default() -> Options {
        Options { seed: 0, random_pairs: 500_000, rounds: 10 }
    }
}

/// Fits a model to a whole data set: frequencies of values, stop keys from the sizes of blocks, u-probabilities from
/// random pairs, the rest by [`Trainer`]. Thresholds stay. Deterministic; needs no labels.
///
/// Values of the corpus are weighed by the new model.
pub fn adapt(base: &Model, corpus: &mut Corpus) -> Model {
    let options = Options::default();
    let prepared = prepare(base, corpus, options);
    let mut trainer = Trainer::new(&prepared, corpus, &[], options.seed);
    trainer.run(options.rounds, |_| {});
    finish(trainer.model(), corpus)
}

/// The first step of [`adapt`], before training.
pub fn prepare(base: &Model, corpus: &mut Corpus, options: Options) -> Model {
    let mut model = base.clone();
    model.frequencies = corpus.frequencies();
    model.prior = Weight::bits(-(corpus.len() as f64 + SMOOTHING).log2());
    model.relatives = model.prior;
    model.coverage = Weight::ZERO;
    model.stop_keys = block::stop_keys(corpus, block::LARGEST_BLOCK);
    model.version = format!("{}+{}", base.version, corpus.len());
    corpus.weigh(&model.frequencies);
    estimate_u(&mut model, corpus, options);
    model
}

/// The last step of [`adapt`], after training.
pub fn finish(mut model: Model, corpus: &Corpus) -> Model {
    model.coverage = coverage(&model, corpus);
    model
}

/// Below this share of records with exactly one partner, having none says nothing.
const COVERED: f64 = 0.95;

/// See [`Model::coverage`]: counted from what clusters without it.
fn coverage(model: &Model, corpus: &Corpus) -> Weight {
    let records = corpus.len() as f64;
    // As many matches as a data set has in which everybody is there twice.
    let matches = model.prior.as_bits().exp2() * records * (records - 1.0) / 2.0;
    if !(0.45..0.6).contains(&(matches / records)) {
        return Weight::ZERO;
    }
    if many_are_alone(model, corpus) {
        return Weight::ZERO;
    }
    let outcome = match_records(model, corpus, &CannotLinks::default());
    let mut sizes = vec![0u32; corpus.len()];
    outcome.cluster.iter().for_each(|cluster| sizes[*cluster as usize] += 1);
    let paired = 2.0 * sizes.iter().filter(|size| **size == 2).count() as f64;
    let covered = paired / (records + 2.0);
    if covered < COVERED { Weight::ZERO } else { Weight::bits((covered / (1.0 - covered)).log2()) }
}

/// About so many records show whether it is worth the time to match all of them.
const SHOWN: u64 = 2_500;

/// Whether far more records have nobody than [`COVERED`] allows: certain of a sample, which it takes no clusters to see.
fn many_are_alone(model: &Model, corpus: &Corpus) -> bool {
    let every = corpus.len() as u64 / SHOWN;
    if every < 2 {
        return false;
    }
    // Drawn by the records' keys, whatever their order.
    let drawn: Vec<bool> = corpus.indices().map(|index| mix(corpus.key(index) as u64).is_multiple_of(every)).collect();
    let weights = model.weights();
    let scorer = Scorer::new(corpus, &weights);
    let mut alone = drawn.clone();
    let pairs = |a: RecordIndex, b: RecordIndex| drawn[a as usize] || drawn[b as usize];
    Blocks::around(corpus, &model.stop_keys, &drawn).for_some_pairs(pairs, |a, b| {
        if (alone[a as usize] || alone[b as usize]) && scorer.score_from(a, b, model.thresholds.merge).is_some() {
            (alone[a as usize], alone[b as usize]) = (false, false);
        }
    });
    let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count() as f64;
    count(&alone) > 2.0 * (1.0 - COVERED) * count(&drawn)
}

/// u-probabilities from random pairs. A pair counts by its probability of being strangers, or the few matches among the
/// pairs of a small data set would pass for chance.
fn estimate_u(model: &mut Model, corpus: &Corpus, options: Options) {
    let weights = model.weights();
    let scorer = Scorer::new(corpus, &weights);
    let mut counts = [[0.0; LEVELS]; COMPARISONS];
    for_random_pairs(corpus, options, |a, b| {
        let mut tally = Tally { total: Total::new(&weights), found: [0; COMPARISONS] };
        compare(scorer.context(), a, b, &mut tally);
        let stranger = 1.0 - tally.total.score().probability();
        for (comparison, level) in tally.found.iter().enumerate().filter(|(_, level)| **level > 0) {
            counts[comparison][usize::from(*level)] += stranger;
        }
    });
    for comparison in Comparison::ALL {
        let counts = &counts[comparison.index()];
        let probabilities = &mut model.comparisons[comparison.index()];
        for class in probabilities.classes() {
            let members = probabilities.members(class);
            let total: f64 = members.iter().map(|at| counts[*at]).sum();
            for at in members {
                probabilities.u[at] = (counts[at] + SHIPPED * probabilities.u[at]) / (total + SHIPPED);
            }
        }
    }
}

/// Levels and sums of one pair.
struct Tally<'a> {
    total: Total<'a>,
    found: [u8; COMPARISONS],
}

impl Sink for Tally<'_> {
    fn note(&mut self, comparison: Comparison, found: Found) {
        self.total.note(comparison, found);
        let level = &mut self.found[comparison.index()];
        if *level == 0 {
            *level = found.level;
        }
    }
}

/// At most so many random pairs share a record, unless there are too few records.
const DRAWN_WITH: usize = 8;

/// Visits random pairs of records, or each pair once if there are no more than asked for. The same every time, whatever
/// the order of the records.
///
/// Records are drawn in a row, and each is paired with the few that follow it: what was just looked at is near at hand,
/// and looking it up is most of the work.
fn for_random_pairs(corpus: &Corpus, options: Options, mut visit: impl FnMut(RecordIndex, RecordIndex)) {
    let (n, most) = (corpus.len(), options.random_pairs as usize);
    if n < 2 {
        return;
    }
    if n * (n - 1) / 2 <= most {
        for a in corpus.indices() {
            (a + 1..n as RecordIndex).for_each(|b| visit(a, b));
        }
        return;
    }
    let salt = salt(options.seed);
    let mut row: Vec<RecordIndex> = corpus.indices().collect();
    row.sort_by_cached_key(|index| (mix(corpus.key(*index) as u64 ^ salt), corpus.key(*index)));
    let following = most.div_ceil(n).max(DRAWN_WITH);
    let pairs = (0..n).flat_map(|at| (1..=following).map(move |next| (at, (at + next) % n)));
    pairs.filter(|(a, b)| a != b).take(most).for_each(|(a, b)| visit(row[a], row[b]));
}

/// What a seed adds to a draw; nothing for 0.
fn salt(seed: u64) -> u64 {
    if seed == 0 { 0 } else { mix(seed) }
}
