//! Expectation-maximisation over the pairs that blocking finds (Dempster, Laird and Rubin 1977; Winkler 1988).
//!
//! Three kinds of pairs: one person, relatives, strangers. u is fixed by random pairs.

use crate::{
    block::Blocks,
    compare::{Found, Sink, compare},
    corpus::Corpus,
    level::{COMPARISONS, Comparison, Level},
    model::{LEVELS, Model, Weights},
    score::{Scorer, against_strangers},
    weight::Weight,
};

/// A pair, as training sees it.
#[derive(Clone, Debug, Default)]
struct Observation {
    levels: [Level; COMPARISONS],
    adjustments: [i32; COMPARISONS],
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
    /// The probabilities that this is one person, and that these are relatives.
    fn expect(&self, weights: &Weights) -> (f64, f64) {
        let (mut person, mut relatives) = (weights.prior, weights.relatives);
        for comparison in Comparison::ALL {
            let (level, adjustment) = (self.levels[comparison.index()], Weight(self.adjustments[comparison.index()]));
            if level > 0 {
                person += weights.of(comparison, level) + adjustment;
                relatives += weights.of_relatives(comparison, level, adjustment);
            }
        }
        let one = (person - against_strangers(relatives)).probability();
        let related = (relatives - against_strangers(person)).probability();
        (one, related)
    }
}

pub fn maximise(model: &mut Model, corpus: &Corpus) {
    let rounds: usize = std::env::var("ROUNDS").map_or(10, |v| v.parse().unwrap_or(10));
    let strength: f64 = std::env::var("STRENGTH").map_or(200.0, |v| v.parse().unwrap_or(200.0));
    let imagined: f64 = std::env::var("IMAG").map_or(30.0, |v| v.parse().unwrap_or(30.0));
    let weights = model.weights();
    let scorer = Scorer::new(corpus, &weights);
    let mut observations = Vec::new();
    Blocks::new(corpus, &model.stop_keys).for_each_pair(|a, b| {
        let mut observation = Observation::default();
        compare(scorer.context(), a, b, &mut observation);
        observations.push(observation);
    });
    let n = corpus.len() as f64;
    let all = n * (n - 1.0) / 2.0;
    let base = model.clone();
    for _ in 0..rounds {
        let weights = model.weights();
        let (mut matches, mut relatives) = (0.0, 0.0);
        let mut counts = [[0.0; LEVELS]; COMPARISONS];
        for observation in &observations {
            let (one, related) = observation.expect(&weights);
            matches += one;
            relatives += related;
            for (comparison, level) in observation.levels.iter().enumerate().filter(|(_, level)| **level > 0) {
                counts[comparison][usize::from(*level)] += one;
            }
        }
        // A few imagined pairs keep small data sets from extremes.
        model.prior = Weight::bits(((matches + imagined) / (all + n * imagined)).log2());
        model.relatives = Weight::bits(((relatives + imagined) / (all + n * imagined)).log2());
        for comparison in Comparison::ALL {
            let counts = &counts[comparison.index()];
            let shipped = &base.comparisons[comparison.index()];
            let probabilities = &mut model.comparisons[comparison.index()];
            for class in 1..=3 {
                let members: Vec<usize> =
                    (1..shipped.class.len()).filter(|at| shipped.class[*at] == class).collect();
                let total: f64 = members.iter().map(|at| counts[*at]).sum();
                for at in members {
                    probabilities.m[at] = (counts[at] + strength * shipped.m[at]) / (total + strength);
                }
            }
        }
    }
    if std::env::var("SHOW").is_ok() {
        eprintln!("prior {} (n {}), relatives {}", model.prior, -(n).log2(), model.relatives);
        for comparison in Comparison::ALL {
            let p = model.probabilities(comparison);
            eprintln!("{:?}", comparison);
            for l in 1..p.m.len() { eprintln!("   {:40} m {:.4} u {:.6} w {}", comparison.levels()[l], p.m[l], p.u[l], p.weight(l as u8)); }
        }
    }
}
