//! Recency, frequency and monetary value.
//!
//! Definitions of Fader and Hardie ("Counting your customers the easy way", Marketing Science 24, 2005): for a customer
//! with purchases at times t_0 < … < t_x, observed until now,
//!
//! - `x` (frequency): repeat purchases, that is purchases less the first;
//! - `t_x` (recency): age at the last purchase, t_x − t_0, zero without repeat;
//! - `T` (age): now − t_0;
//! - `m` (monetary): mean value of the repeat purchases.
//!
//! Every purchase counts by itself, also two on one day. Amounts are those in the customer's main currency: the most
//! frequent one, the alphabetically first at a tie. Purchases without a value count as purchases, not in the mean.
//!
//! Scores are quintiles (Hughes, "Strategic Database Marketing"): the tenant's purchasers in order of the figure, and
//! of their id where figures tie, in five parts of equal size; 5 is the most recent, the most frequent, the highest
//! mean value of all purchases. Since ids break ties, parts stay equal and a score moves only when the order does.

use std::collections::BTreeMap;

use terms::{CustomerId, Timestamp};

/// A purchase, as far as value is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purchase {
    /// When it happened.
    pub at: Timestamp,
    /// What it was worth, in millionths of a unit of `currency`.
    pub micros: Option<i64>,
    /// ISO 4217; empty when it has no value.
    pub currency: String,
    /// Whether the customer bought of their own accord.
    pub organic: bool,
}

/// What a customer's purchases say.
#[derive(Debug, Clone, PartialEq)]
pub struct Rfm {
    /// Purchases in all.
    pub purchases: i64,
    /// t_0.
    pub first: Timestamp,
    /// When the last purchase happened.
    pub last: Timestamp,
    /// T, in microseconds.
    pub age: i64,
    /// m, in millionths; `None` without a repeat purchase that has a value.
    pub monetary: Option<i64>,
    /// Mean value of all purchases, in millionths; `None` without one that has a value. The monetary score ranks it.
    pub mean: Option<i64>,
    /// Sum of all purchases, in millionths.
    pub total: i64,
    /// ISO 4217; empty without a value.
    pub currency: String,
    /// Share of the purchases that were organic.
    pub organic_share: f64,
}

impl Rfm {
    /// Sums up purchases until `now`, in any order; `None` without any. Later ones do not count yet.
    pub fn of(purchases: &[Purchase], now: Timestamp) -> Option<Self> {
        let past: Vec<&Purchase> = {
            let mut past: Vec<_> = purchases.iter().filter(|p| p.at <= now).collect();
            past.sort_by_key(|p| p.at);
            past
        };
        let (first, last) = (past.first()?.at, past.last()?.at);
        let currency = main_currency(past.iter().filter(|p| p.micros.is_some()).map(|p| (p.currency.as_str(), 1)));
        let value = |p: &&Purchase| p.micros.filter(|_| p.currency == currency);
        let all: Vec<i64> = past.iter().filter_map(value).collect();
        let repeats: Vec<i64> = past.iter().skip(1).filter_map(value).collect();
        let organic = past.iter().filter(|p| p.organic).count();
        Some(Self {
            purchases: past.len() as i64,
            first,
            last,
            age: now.micros() - first.micros(),
            monetary: mean(sum(&repeats), repeats.len() as i64),
            mean: mean(sum(&all), all.len() as i64),
            total: sum(&all),
            currency,
            organic_share: organic as f64 / past.len() as f64,
        })
    }

    /// x.
    pub fn frequency(&self) -> i64 {
        self.purchases - 1
    }

    /// t_x, in microseconds.
    pub fn recency(&self) -> i64 {
        self.last.micros() - self.first.micros()
    }
}

fn sum(values: &[i64]) -> i64 {
    values.iter().fold(0, |sum, v| i64::saturating_add(sum, *v))
}

/// Rounded towards zero; `None` of none.
fn mean(sum: i64, count: i64) -> Option<i64> {
    (count > 0).then(|| sum / count)
}

/// The currency with the most purchases; the alphabetically first at a tie.
pub fn main_currency<'a>(counts: impl Iterator<Item = (&'a str, i64)>) -> String {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for (currency, count) in counts {
        *sums.entry(currency).or_default() += count;
    }
    // `max_by_key` takes the last of equals: go backwards.
    sums.iter().rev().max_by_key(|(_, count)| **count).map_or_else(String::new, |(currency, _)| (*currency).to_owned())
}

/// What one purchaser brings to the order of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Who.
    pub customer: CustomerId,
    /// Purchases.
    pub purchases: i64,
    /// The last purchase.
    pub last: Timestamp,
    /// Mean value in the main currency, in millionths; 0 without one.
    pub mean: i64,
}

/// The three scores, 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// 5: the most recent.
    pub recency: i32,
    /// 5: the most frequent.
    pub frequency: i32,
    /// 5: the highest mean value.
    pub monetary: i32,
}

/// Where the quintiles of a tenant's purchasers begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quintiles {
    recency: Cuts,
    frequency: Cuts,
    monetary: Cuts,
    /// How many purchasers stand behind it.
    pub purchasers: usize,
}

/// The first of the second to the fifth part, each as figure and id.
type Cuts = Vec<(i64, CustomerId)>;

impl Quintiles {
    /// Cuts the purchasers into five parts, once by each figure.
    pub fn of(tallies: &[Tally]) -> Self {
        Self {
            recency: cut(tallies, |t| t.last.micros()),
            frequency: cut(tallies, |t| t.purchases),
            monetary: cut(tallies, |t| t.mean),
            purchasers: tallies.len(),
        }
    }

    /// Where a purchaser stands; one who was not among them stands where they would have.
    pub fn scores(&self, customer: CustomerId, rfm: &Rfm) -> Scores {
        Scores {
            recency: score(&self.recency, rfm.last.micros(), customer),
            frequency: score(&self.frequency, rfm.purchases, customer),
            monetary: score(&self.monetary, rfm.mean.unwrap_or(0), customer),
        }
    }
}

fn cut(tallies: &[Tally], figure: impl Fn(&Tally) -> i64) -> Cuts {
    let mut order: Cuts = tallies.iter().map(|t| (figure(t), t.customer)).collect();
    order.sort_unstable();
    let n = order.len();
    // Rank r of n is in part r·5/n: part q begins at the least r with r·5 ≥ q·n.
    (1..5).filter_map(|q| order.get((q * n).div_ceil(5)).copied()).collect()
}

fn score(cuts: &Cuts, figure: i64, customer: CustomerId) -> i32 {
    1 + cuts.iter().filter(|cut| **cut <= (figure, customer)).count() as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn customer(n: u128) -> CustomerId {
        CustomerId::from_uuid(Uuid::from_u128(n))
    }

    fn purchase(day: i64, units: i64, currency: &str) -> Purchase {
        Purchase {
            at: Timestamp(day * DAY),
            micros: Some(units * 1_000_000),
            currency: currency.into(),
            organic: day % 2 == 0,
        }
    }

    #[test]
    fn the_terms_of_fader_and_hardie() {
        let purchases =
            [purchase(30, 20, "EUR"), purchase(10, 50, "EUR"), purchase(40, 40, "EUR"), purchase(99, 1, "EUR")];
        let rfm = Rfm::of(&purchases, Timestamp(70 * DAY)).unwrap();
        assert_eq!((rfm.frequency(), rfm.recency(), rfm.age), (2, 30 * DAY, 60 * DAY));
        assert_eq!(rfm.monetary, Some(30_000_000), "the first purchase does not count in m");
        assert_eq!((rfm.total, rfm.mean), (110_000_000, Some(36_666_666)));
        assert_eq!(Rfm::of(&purchases, Timestamp(5 * DAY)), None);
    }

    #[test]
    fn one_purchase_is_no_repeat() {
        let rfm = Rfm::of(&[purchase(10, 50, "EUR")], Timestamp(11 * DAY)).unwrap();
        assert_eq!((rfm.frequency(), rfm.recency(), rfm.monetary), (0, 0, None));
    }

    #[test]
    fn amounts_are_of_the_main_currency() {
        let purchases = [purchase(1, 10, "EUR"), purchase(2, 1000, "JPY"), purchase(3, 30, "EUR")];
        let rfm = Rfm::of(&purchases, Timestamp(4 * DAY)).unwrap();
        assert_eq!((rfm.currency.as_str(), rfm.total, rfm.monetary), ("EUR", 40_000_000, Some(30_000_000)));
        assert_eq!(main_currency([("USD", 2), ("EUR", 2)].into_iter()), "EUR");
    }

    fn tally(n: u128, purchases: i64) -> Tally {
        Tally { customer: customer(n), purchases, last: Timestamp(n as i64), mean: 0 }
    }

    fn rfm(purchases: i64, last: i64) -> Rfm {
        Rfm {
            purchases,
            first: Timestamp(0),
            last: Timestamp(last),
            age: 0,
            monetary: None,
            mean: None,
            total: 0,
            currency: String::new(),
            organic_share: 1.0,
        }
    }

    #[test]
    fn ties_go_by_id_so_that_parts_are_equal() {
        let tallies: Vec<_> = (0..10).map(|n| tally(n, 7)).collect();
        let quintiles = Quintiles::of(&tallies);
        let scores: Vec<_> = (0..10).map(|n| quintiles.scores(customer(n), &rfm(7, n as i64)).frequency).collect();
        assert_eq!(scores, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    }

    proptest! {
        #[test]
        fn scores_are_the_ranks_in_five_parts(counts in prop::collection::vec(1i64..6, 1..60)) {
            let tallies: Vec<_> = counts.iter().enumerate().map(|(n, c)| tally(n as u128, *c)).collect();
            let quintiles = Quintiles::of(&tallies);
            let mut order: Vec<_> = tallies.iter().map(|t| (t.purchases, t.customer)).collect();
            order.sort();
            for (rank, (purchases, customer)) in order.iter().enumerate() {
                let score = quintiles.scores(*customer, &rfm(*purchases, 0)).frequency;
                prop_assert_eq!(score as usize, 1 + rank * 5 / order.len());
            }
        }
    }
}
