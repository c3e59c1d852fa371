//! The matcher in force: a frozen model, compiled.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, LazyLock},
};

use identity_matching::{
    block::{Key, keys},
    corpus::Corpus,
    model::{Model, Thresholds, Weights},
    weight::Weight,
};

use super::likeness::Likeness;

/// A model with its tables. Cheap to clone.
#[derive(Clone)]
pub struct Matcher(Arc<Inner>);

struct Inner {
    number: i64,
    model: Model,
    weights: Weights,
    retiring: Vec<BTreeSet<Key>>,
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matcher({}, {})", self.0.number, self.0.model.version)
    }
}

impl Default for Matcher {
    /// The shipped model, number 0; its weights are worked out once.
    fn default() -> Self {
        static SHIPPED: LazyLock<Matcher> = LazyLock::new(|| Matcher::new(0, Model::default(), Vec::new()));
        SHIPPED.clone()
    }
}

impl Matcher {
    /// `number` counts the matchers of a tenant from 1 on. `retiring` are the stop keys of former models by which some
    /// records are still filed: who looks for a record looks under these as well.
    pub fn new(number: i64, model: Model, retiring: Vec<BTreeSet<Key>>) -> Self {
        Self(Arc::new(Inner { number, weights: model.weights(), model, retiring }))
    }

    /// Which of the tenant's matchers; 0 is the shipped one.
    pub fn number(&self) -> i64 {
        self.0.number
    }

    /// Names the model in evidence and explanations.
    pub fn version(&self) -> &str {
        &self.0.model.version
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// The model's tables.
    pub fn weights(&self) -> &Weights {
        &self.0.weights
    }

    /// Whether all records are filed under the model's own keys.
    pub fn is_settled(&self) -> bool {
        self.0.retiring.is_empty()
    }

    /// The stop keys by which records are filed: the model's, and those of former models.
    pub fn filed_by(&self) -> impl Iterator<Item = &BTreeSet<Key>> {
        self.0.retiring.iter().chain([&self.0.model.stop_keys])
    }

    /// The thresholds: what the policy says in probabilities, and what the model ships where it says nothing.
    pub fn thresholds(&self, upper: Option<f64>, lower: Option<f64>) -> Thresholds {
        let shipped = self.0.model.thresholds;
        let merge = upper.map_or(shipped.merge, bits);
        Thresholds { merge, review: lower.map_or(shipped.review, bits).min(merge) }
    }

    /// The keys under which a record is filed from now on.
    pub fn keys(&self, likeness: &Likeness) -> Vec<Key> {
        let mut corpus = Corpus::new();
        let index = corpus.push(&likeness.compared);
        let mut own = Vec::new();
        keys(&corpus, &self.0.model.stop_keys, index, &mut own);
        own
    }

    /// Every key under which a record is filed, or was under a former model.
    pub fn all_keys(&self, likeness: &Likeness) -> BTreeSet<Key> {
        let mut corpus = Corpus::new();
        let index = corpus.push(&likeness.compared);
        let (mut all, mut own) = (BTreeSet::new(), Vec::new());
        for stop_keys in self.filed_by() {
            keys(&corpus, stop_keys, index, &mut own);
            all.extend(own.iter().copied());
        }
        all
    }
}

/// The weight that a probability stands for: log2 of its odds.
fn bits(probability: f64) -> Weight {
    let probability = probability.clamp(1e-9, 1.0 - 1e-9);
    Weight::of_ratio(probability, 1.0 - probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_policy_where_it_has_any() {
        let matcher = Matcher::default();
        let shipped = matcher.thresholds(None, None);
        assert_eq!((shipped.merge, shipped.review), (Weight(3_300), Weight(-1_000)));
        let set = matcher.thresholds(Some(0.99), Some(0.5));
        assert_eq!((set.merge, set.review), (Weight::bits(99f64.log2()), Weight::ZERO));
        let low = matcher.thresholds(Some(0.2), None);
        assert_eq!(low.review, low.merge.min(Weight(-1_000)));
    }
}
