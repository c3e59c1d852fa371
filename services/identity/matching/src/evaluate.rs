//! How right clusters are, given the truth.

use rustc_hash::FxHashMap;

/// Pairs that were joined, and those that should have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    pub true_positives: u64,
    pub false_positives: u64,
    pub false_negatives: u64,
}

impl Confusion {
    /// Of the pairs that were joined, how many rightly so; 1 if none was.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }
    /// Of the pairs that belong together, how many were joined.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }
    /// The harmonic mean of both.
    pub fn f1(&self) -> f64 {
        let twice = 2 * self.true_positives;
        ratio(twice, twice + self.false_positives + self.false_negatives)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// Compares two partitions of the same records, each given as a label by record, by the pairs within their clusters.
pub fn clusters<T, P>(truth: &[T], predicted: &[P]) -> Confusion
where
    T: Eq + std::hash::Hash,
    P: Eq + std::hash::Hash,
{
    let mut by_truth: FxHashMap<&T, u64> = FxHashMap::default();
    let mut by_prediction: FxHashMap<&P, u64> = FxHashMap::default();
    let mut by_both: FxHashMap<(&T, &P), u64> = FxHashMap::default();
    for (t, p) in truth.iter().zip(predicted) {
        *by_truth.entry(t).or_default() += 1;
        *by_prediction.entry(p).or_default() += 1;
        *by_both.entry((t, p)).or_default() += 1;
    }
    let pairs = |count: &u64| count * count.saturating_sub(1) / 2;
    let both: u64 = by_both.values().map(pairs).sum();
    Confusion {
        true_positives: both,
        false_positives: by_prediction.values().map(pairs).sum::<u64>() - both,
        false_negatives: by_truth.values().map(pairs).sum::<u64>() - both,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted() {
        let confusion = clusters(&["a", "a", "a", "b"], &[1, 1, 2, 2]);
        assert_eq!(confusion, Confusion { true_positives: 1, false_positives: 1, false_negatives: 2 });
        assert!((confusion.f1() - 0.4).abs() < 1e-9);
    }
}
