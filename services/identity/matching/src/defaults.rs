//! The shipped model: what holds for people's names, dates, addresses, e-mails and phones in general.
//!
//! The m-probabilities are those of moderately dirty customer data (a tenth of the values misspelt, one person in five
//! moved); the u-probabilities those of large populations. Data replaces the u-probabilities and the frequencies
//! ([`crate::train::adapt`]), training the m-probabilities ([`crate::train::Trainer`]).

use std::collections::BTreeSet;

use crate::{
    frequency::Frequencies,
    level::{COMPARISONS, Comparison, address, birth, name},
    model::{Model, Probabilities, Thresholds},
    weight::Weight,
};

/// The model before any data.
pub fn model() -> Model {
    Model {
        version: "shipped-1".into(),
        // One match among 100,000 pairs, until the number of records is known.
        prior: Weight(-16_610),
        relatives: Weight(-16_610),
        shared: Comparison::ALL.into_iter().map(shared_by_relatives).collect(),
        coverage: Weight::ZERO,
        thresholds: Thresholds { merge: Weight(MERGE), review: Weight(REVIEW) },
        comparisons: (0..COMPARISONS).map(|index| probabilities(Comparison::ALL[index])).collect(),
        frequencies: Frequencies::default(),
        stop_keys: BTreeSet::new(),
    }
}

/// Odds of about 9 to 1 for the weakest merge; the mean merge is far above it.
const MERGE: i32 = 3_300;
/// Odds of about 1 to 2.
const REVIEW: i32 = -1_000;

/// What people of one household have in common. Fathers and sons share a name, twins a birth date, couples an address
/// for mail.
fn shared_by_relatives(comparison: Comparison) -> f64 {
    match comparison {
        Comparison::Surname => 0.75,
        Comparison::Address => 0.85,
        Comparison::Phone => 0.35,
        Comparison::Email => 0.10,
        Comparison::GivenName | Comparison::BirthDate => 0.015,
        Comparison::MiddleName => 0.03,
        Comparison::Organisation | Comparison::Extra => 0.20,
        Comparison::Identifier => 1e-4,
        Comparison::NameOrder | Comparison::Generation | Comparison::Gender => 0.0,
    }
}

/// Level by level from level 1 on: m, u.
fn probabilities(comparison: Comparison) -> Probabilities {
    let levels: &[(f64, f64)] = match comparison {
        Comparison::GivenName => {
            &[(0.72, 6e-3), (0.05, 4e-3), (0.12, 2e-3), (0.03, 0.01), (0.90, 0.07), (0.008, 0.04), (0.04, 0.92)]
        }
        Comparison::Surname => {
            &[(0.78, 3e-3), (0.03, 5e-4), (0.09, 1e-3), (0.03, 6e-3), (0.90, 0.07), (0.02, 0.03), (0.04, 0.95)]
        }
        Comparison::NameOrder => &[(0.5, 0.5), (0.025, 0.4)],
        Comparison::MiddleName => &[(0.62, 0.02), (0.90, 0.07), (0.08, 0.02), (0.12, 0.90)],
        Comparison::Generation => &[(0.97, 0.5), (0.03, 0.5)],
        Comparison::BirthDate => &[
            (0.78, 4e-5),
            (0.02, 4e-5),
            (0.05, 3e-4),
            (0.03, 5e-4),
            (0.03, 4e-4),
            (0.01, 9e-4),
            (0.015, 2.3e-3),
            (0.015, 3.5e-3),
            (0.90, 0.012),
            (0.01, 0.014),
            (0.04, 0.97),
        ],
        Comparison::Address => return addresses(),
        Comparison::Email => &[(0.70, 1e-5), (0.10, 1e-5), (0.02, 0.01), (0.02, 0.01), (0.16, 1.0)],
        Comparison::Phone => &[(0.70, 1e-5), (0.90, 2e-5), (0.06, 2e-5), (0.24, 1.0)],
        Comparison::Identifier => &[(0.90, 1e-6), (0.06, 1e-5), (0.04, 1.0)],
        Comparison::Gender => &[(0.97, 0.5), (0.03, 0.5)],
        Comparison::Organisation => &[(0.55, 1e-4), (0.14, 2e-4), (0.16, 2e-3), (0.15, 0.99)],
        Comparison::Extra => &[(0.65, 1e-3), (0.12, 1e-3), (0.10, 0.01), (0.13, 0.99)],
    };
    let fixed: &[u8] = match comparison {
        Comparison::GivenName | Comparison::Surname => &[name::INITIAL],
        Comparison::NameOrder => &[1, 2],
        Comparison::MiddleName => &[crate::level::middle::INITIAL],
        Comparison::BirthDate => &[birth::PARTIAL],
        Comparison::Email => &[crate::level::email::SAME_LOCAL_PART, crate::level::email::SIMILAR],
        Comparison::Phone => &[crate::level::phone::SUFFIX],
        _ => &[],
    };
    let mut result = Probabilities { m: vec![0.0], u: vec![0.0], class: vec![0] };
    for (at, (m, u)) in levels.iter().enumerate() {
        result.m.push(*m);
        result.u.push(*u);
        result.class.push(u8::from(!fixed.contains(&(at as u8 + 1))));
    }
    result.normalize();
    result
}

/// Premise and area: the area says less when the premise agrees already. One class each for what is known: the area
/// alone, the premise alone, both.
fn addresses() -> Probabilities {
    const M_PREMISE: [f64; 4] = [0.60, 0.14, 0.05, 0.21];
    const U_PREMISE: [f64; 4] = [2e-5, 4e-5, 8e-4, 0.99914];
    const M_AREA: [f64; 4] = [0.70, 0.10, 0.08, 0.12];
    const U_AREA: [f64; 4] = [6e-3, 0.01, 0.01, 0.974];
    /// By premise: the area, given the premise.
    const M_BOTH: [[f64; 4]; 4] =
        [[0.75, 0.18, 0.03, 0.04], [0.75, 0.18, 0.03, 0.04], [0.70, 0.18, 0.04, 0.08], [0.35, 0.15, 0.05, 0.45]];
    const U_BOTH: [[f64; 4]; 4] =
        [[0.30, 0.20, 0.05, 0.45], [0.20, 0.15, 0.05, 0.60], [0.05, 0.08, 0.03, 0.84], [6e-3, 0.01, 0.01, 0.974]];
    let mut result = Probabilities { m: vec![0.0; 25], u: vec![0.0; 25], class: vec![0; 25] };
    let mut set = |premise: u8, area: u8, m: f64, u: f64, class: u8| {
        let level = usize::from(address::level(premise, area));
        (result.m[level], result.u[level], result.class[level]) = (m, u, class);
    };
    for at in 0..4 {
        let level = at as u8 + 1;
        set(0, level, M_AREA[at], U_AREA[at], 1);
        set(level, 0, M_PREMISE[at], U_PREMISE[at], 2);
        for area in 0..4 {
            let (m, u) = (M_PREMISE[at] * M_BOTH[at][area], U_PREMISE[at] * U_BOTH[at][area]);
            set(level, area as u8 + 1, m, u, 3);
        }
    }
    result.normalize();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_a_probability() {
        let model = model();
        for comparison in Comparison::ALL {
            let probabilities = model.probabilities(comparison);
            assert_eq!(probabilities.m.len(), comparison.levels().len(), "{comparison:?}");
            assert!(probabilities.m[1..].iter().chain(&probabilities.u[1..]).all(|p| *p > 0.0 && *p <= 1.0));
        }
    }

    #[test]
    fn agreement_speaks_for_and_difference_against() {
        let weights = model().weights();
        for comparison in Comparison::ALL.into_iter().filter(|c| *c != Comparison::NameOrder) {
            let last = comparison.levels().len() as u8 - 1;
            let first = if comparison == Comparison::Address { 6 } else { 1 };
            assert!(weights.of(comparison, first) > Weight::ZERO, "{comparison:?}");
            assert!(weights.of(comparison, last) < Weight::ZERO, "{comparison:?}");
        }
    }
}
