//! Why a pair is one person, or why not: the waterfall of weights, what stands in the way, and the verdict.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{Edge, Rules},
    compare::{Found, Sink, compare},
    corpus::RecordIndex,
    guard::{CERTAIN, Veto, doubts, permits, vetoes},
    level::{Comparison, Level},
    model::Weights,
    score::{Total, against_strangers},
    weight::Weight,
};

/// A step of the waterfall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// How likely any two records are one person, before anything is known of them.
    Prior { weight: Weight },
    /// A comparison at its level. `weight` is that of the level, `adjustment` what this value adds to it: agreeing on a
    /// rare value says more.
    Level { comparison: Comparison, level: Level, weight: Weight, adjustment: Weight },
    /// What speaks for two people of one household as well as for one person.
    Relatives { weight: Weight },
}

impl Step {
    /// What the step adds to the score.
    pub fn total(&self) -> Weight {
        match self {
            Step::Prior { weight } | Step::Relatives { weight } => *weight,
            Step::Level { weight, adjustment, .. } => *weight + *adjustment,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Prior { weight } => write!(f, "{weight} before looking: few pairs of records are one person"),
            Step::Relatives { weight } => write!(f, "{weight} people of one household would agree on this as well"),
            Step::Level { comparison, level, weight, adjustment } => {
                let text = comparison.levels().get(usize::from(*level)).copied().unwrap_or("unknown");
                write!(f, "{} {}: {text}", *weight + *adjustment, comparison.label())?;
                match adjustment.cmp(&Weight::ZERO) {
                    std::cmp::Ordering::Less => write!(f, " ({adjustment} because the value is common)"),
                    std::cmp::Ordering::Greater => write!(f, " ({adjustment} because the value is rare)"),
                    std::cmp::Ordering::Equal => Ok(()),
                }
            }
        }
    }
}

/// What is to be done with a pair, as far as the pair alone can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// One person, unless the clusters of the two speak against it.
    Merge,
    /// A steward decides.
    Review,
    Apart,
}

/// The explanation of one pair. [`Explanation::score`] is the sum of its steps, to the last thousandth of a bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    pub model: String,
    pub steps: Vec<Step>,
    pub score: Weight,
    pub verdict: Verdict,
    /// What forbids to join the two.
    pub vetoes: Vec<Veto>,
    /// What must be outweighed to join the two.
    pub doubts: Vec<Veto>,
    pub merge_threshold: Weight,
    pub review_threshold: Weight,
}

struct Waterfall<'a> {
    weights: &'a Weights,
    steps: Vec<Step>,
    total: Total<'a>,
}

impl Sink for Waterfall<'_> {
    fn note(&mut self, comparison: Comparison, found: Found) {
        self.total.note(comparison, found);
        let weight = self.weights.of(comparison, found.level);
        if found.level != crate::level::MISSING {
            let adjustment = found.adjustment;
            self.steps.push(Step::Level { comparison, level: found.level, weight, adjustment });
        }
    }
}

/// Explains a pair; `model` names the model behind the rules.
pub fn explain(model: &str, rules: Rules<'_>, a: RecordIndex, b: RecordIndex) -> Explanation {
    let Rules { scorer, cannot_links, thresholds, .. } = rules;
    let weights = scorer.context().weights;
    let steps = vec![Step::Prior { weight: weights.prior }];
    let mut waterfall = Waterfall { weights, steps, total: Total::new(weights) };
    compare(scorer.context(), a, b, &mut waterfall);
    let Waterfall { mut steps, total, .. } = waterfall;
    steps.sort_by_key(|step| match step {
        Step::Level { comparison, .. } => Some(*comparison),
        _ => None,
    });
    let relatives = -against_strangers(total.relatives());
    if relatives != Weight::ZERO {
        steps.push(Step::Relatives { weight: relatives });
    }
    let score = total.score();
    let vetoes: Vec<Veto> = vetoes(scorer.corpus(), cannot_links, a, b).iter().collect();
    let doubts: Vec<Veto> = doubts(scorer, a, b).iter().collect();
    let verdict = if score < thresholds.review || vetoes.contains(&Veto::CannotLink) {
        Verdict::Apart
    } else if permits(scorer, cannot_links, thresholds.merge, Edge { a, b, score }) {
        Verdict::Merge
    } else {
        Verdict::Review
    };
    Explanation {
        model: model.to_owned(),
        steps,
        score,
        verdict,
        vetoes,
        doubts,
        merge_threshold: thresholds.merge,
        review_threshold: thresholds.review,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        let percent = 100.0 * self.score.probability();
        writeln!(f, "{} in all, a probability of {percent:.2} % (model {})", self.score, self.model)?;
        let (merge, review) = (self.merge_threshold, self.review_threshold);
        match self.verdict {
            Verdict::Merge => writeln!(f, "One person: from {merge} on nobody is asked.")?,
            Verdict::Review if self.score < merge => {
                writeln!(f, "For review: between {review} and {merge} a steward decides.")?;
            }
            Verdict::Review => writeln!(f, "For review, although the score reaches {merge}.")?,
            Verdict::Apart if self.score < review => writeln!(f, "Two people: below {review}.")?,
            Verdict::Apart => writeln!(f, "Two people.")?,
        }
        for veto in &self.vetoes {
            writeln!(f, "Not joined: {}.", veto.reason())?;
        }
        for doubt in &self.doubts {
            writeln!(f, "In doubt: {}; {} more than the threshold would outweigh it.", doubt.reason(), CERTAIN)?;
        }
        Ok(())
    }
}
