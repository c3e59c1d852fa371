//! Match weights as whole numbers, so that sums are exact and independent of their order.

use std::{fmt, iter::Sum, ops};

use serde::{Deserialize, Serialize};

/// A match weight: log2 of a Bayes factor, in thousandths of a bit. Positive speaks for one person, negative for two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub i32);

impl Weight {
    pub const ZERO: Weight = Weight(0);

    /// From bits, rounded to the nearest thousandth.
    pub fn bits(bits: f64) -> Weight {
        Weight((bits * 1000.0).round().clamp(-1e6, 1e6) as i32)
    }
    /// log2 of a ratio of two probabilities.
    pub fn of_ratio(m: f64, u: f64) -> Weight {
        Weight::bits((m.max(1e-12) / u.max(1e-12)).log2())
    }
    pub fn as_bits(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
    /// The probability that odds of this weight stand for.
    pub fn probability(self) -> f64 {
        1.0 / (1.0 + (-self.as_bits()).exp2())
    }
    pub fn clamp(self, least: Weight, most: Weight) -> Weight {
        Weight(self.0.clamp(least.0, most.0))
    }
}

impl ops::Add for Weight {
    type Output = Weight;
    fn add(self, other: Weight) -> Weight {
        Weight(self.0 + other.0)
    }
}

impl ops::AddAssign for Weight {
    fn add_assign(&mut self, other: Weight) {
        self.0 += other.0;
    }
}

impl ops::Sub for Weight {
    type Output = Weight;
    fn sub(self, other: Weight) -> Weight {
        Weight(self.0 - other.0)
    }
}

impl ops::Neg for Weight {
    type Output = Weight;
    fn neg(self) -> Weight {
        Weight(-self.0)
    }
}

impl Sum for Weight {
    fn sum<I: Iterator<Item = Weight>>(weights: I) -> Weight {
        weights.fold(Weight::ZERO, |sum, weight| sum + weight)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.3}", self.as_bits())
    }
}
