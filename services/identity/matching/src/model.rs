//! What is believed: m- and u-probabilities, frequencies, prior and thresholds, frozen under one version.
//!
//! For a level of a comparison, m is the probability that two records of one person fall into it, u that two records of
//! two people do (Fellegi and Sunter 1969). Their ratio is the Bayes factor, its log2 the match weight.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    defaults,
    frequency::{Field, Frequencies},
    level::{COMPARISONS, Comparison, Level, MISSING},
    weight::Weight,
};

/// Above `merge` records are one person without asking; from `review` on a steward is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    pub merge: Weight,
    pub review: Weight,
}

/// m- and u-probabilities of one comparison, by level. Within each class of levels they sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probabilities {
    pub m: Vec<f64>,
    pub u: Vec<f64>,
    /// Levels of one class are alternatives; class 0 holds levels whose weight stays as shipped, because how often
    /// they occur depends on how a source writes and not on who is who (initials, partial dates).
    pub class: Vec<u8>,
}

impl Probabilities {
    pub fn weight(&self, level: Level) -> Weight {
        match level {
            MISSING => Weight::ZERO,
            level => Weight::of_ratio(self.m[usize::from(level)], self.u[usize::from(level)]),
        }
    }

    /// The classes that are fitted: all but class 0.
    pub fn classes(&self) -> BTreeSet<u8> {
        self.class.iter().copied().filter(|class| *class > 0).collect()
    }

    /// The levels of a class.
    pub fn members(&self, class: u8) -> Vec<usize> {
        (0..self.class.len()).filter(|at| self.class[*at] == class).collect()
    }

    /// Scales m and u to sum 1 within each class but class 0.
    pub fn normalize(&mut self) {
        for class in self.classes() {
            let members = self.members(class);
            for values in [&mut self.m, &mut self.u] {
                let sum: f64 = members.iter().map(|at| values[*at]).sum();
                if sum > 0.0 {
                    members.iter().for_each(|at| values[*at] /= sum);
                }
            }
        }
    }
}

/// A matching model. Plain data: it is stored, versioned and explained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Names the model in explanations and in stored evidence.
    pub version: String,
    /// log2 of the odds that two records drawn at random are one person, against strangers.
    pub prior: Weight,
    /// log2 of the odds that two records drawn at random are two relatives (people of one household), against strangers.
    pub relatives: Weight,
    /// What it is worth that two records have nobody else: log2 of the odds that a record has a partner, where nearly
    /// all have (two files of the same people); else zero.
    pub coverage: Weight,
    /// By [`Comparison::index`]: the probability that two relatives share what it compares, as one person would.
    pub shared: Vec<f64>,
    pub thresholds: Thresholds,
    /// By [`Comparison::index`].
    pub comparisons: Vec<Probabilities>,
    pub frequencies: Frequencies,
    /// Blocking keys that are too common to block on; see [`crate::block`].
    pub stop_keys: BTreeSet<u64>,
}

impl Default for Model {
    fn default() -> Model {
        defaults::model()
    }
}

impl Model {
    pub fn probabilities(&self, comparison: Comparison) -> &Probabilities {
        &self.comparisons[comparison.index()]
    }

    /// The model as tables of whole numbers, for scoring.
    pub fn weights(&self) -> Weights {
        let mut table = [[Weight::ZERO; LEVELS]; COMPARISONS];
        let mut relative = [[Weight::ZERO; LEVELS]; COMPARISONS];
        for comparison in Comparison::ALL {
            let probabilities = self.probabilities(comparison);
            for level in 1..comparison.levels().len() {
                table[comparison.index()][level] = probabilities.weight(level as Level);
                let (m, u, shared) = (probabilities.m[level], probabilities.u[level], self.shared[comparison.index()]);
                relative[comparison.index()][level] = Weight::of_ratio(shared * m + (1.0 - shared) * u, u);
            }
        }
        let exact = |comparison: Comparison, level: Level| {
            Weight::bits(-self.probabilities(comparison).u[usize::from(level)].max(1e-12).log2())
        };
        use crate::level::address;
        let mut usual = [Weight::ZERO; crate::frequency::FIELD_COUNT];
        for (field, weight) in [
            (Field::GivenName, exact(Comparison::GivenName, 1)),
            (Field::Surname, exact(Comparison::Surname, 1)),
            (Field::BirthDate, exact(Comparison::BirthDate, 1)),
            (Field::Premise, exact(Comparison::Address, address::level(address::PREMISE_EXACT, 0))),
            (Field::Locality, exact(Comparison::Address, address::level(0, address::AREA_EXACT))),
            (Field::Postcode, exact(Comparison::Address, address::level(0, address::AREA_EXACT))),
            (Field::Email, exact(Comparison::Email, 1)),
            (Field::Phone, exact(Comparison::Phone, 1)),
            (Field::Identifier, exact(Comparison::Identifier, 1)),
            (Field::Organisation, exact(Comparison::Organisation, 1)),
            (Field::Extra, exact(Comparison::Extra, 1)),
        ] {
            usual[field as usize] = weight;
        }
        Weights { prior: self.prior, relatives: self.relatives, table, relative, usual }
    }
}

/// More levels than any comparison has.
pub const LEVELS: usize = 25;

/// A model, compiled.
#[derive(Clone, Debug)]
pub struct Weights {
    pub prior: Weight,
    pub relatives: Weight,
    table: [[Weight; LEVELS]; COMPARISONS],
    relative: [[Weight; LEVELS]; COMPARISONS],
    /// -log2 u of the exact level: the surprise that the level's weight already contains.
    usual: [Weight; crate::frequency::FIELD_COUNT],
}

impl Weights {
    #[inline]
    pub fn of(&self, comparison: Comparison, level: Level) -> Weight {
        self.table[comparison.index()][usize::from(level)]
    }
    /// The weight of a level for being relatives, with the adjustment of the value that is shared.
    #[inline]
    pub fn of_relatives(&self, comparison: Comparison, level: Level, adjustment: Weight) -> Weight {
        let weight = self.relative[comparison.index()][usize::from(level)];
        if weight > Weight::ZERO { (weight + adjustment).max(Weight::ZERO) } else { weight }
    }
    #[inline]
    pub fn usual(&self, field: Field) -> Weight {
        self.usual[field as usize]
    }
}
