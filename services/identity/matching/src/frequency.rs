//! Term frequencies: agreeing on a rare value says more than agreeing on a common one.
//!
//! A value that is held by a share f of the records agrees by chance with probability f, so an agreement on it carries
//! -log2 f bits ("surprise") in place of the -log2 u of the average value; the difference is the term-frequency
//! adjustment (Newcombe and Kennedy 1962; Winkler 1989).

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::weight::Weight;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Field {
    GivenName,
    Surname,
    BirthDate,
    /// Number and street.
    Premise,
    Locality,
    Postcode,
    Email,
    Phone,
    Identifier,
    Organisation,
    Extra,
}

/// How many fields are counted.
pub const FIELD_COUNT: usize = 11;

impl Field {
    pub const ALL: [Field; FIELD_COUNT] = [
        Field::GivenName,
        Field::Surname,
        Field::BirthDate,
        Field::Premise,
        Field::Locality,
        Field::Postcode,
        Field::Email,
        Field::Phone,
        Field::Identifier,
        Field::Organisation,
        Field::Extra,
    ];

    /// Whether strangers share a value only by accident: an address, a number. Then it is counted by the surnames that
    /// come with it, as one person has many records and one household many people, and neither makes it common. What
    /// many surnames come with is an office, a shelter, a filler: it says little.
    pub fn is_identifying(self) -> bool {
        matches!(self, Field::Premise | Field::Email | Field::Phone | Field::Identifier)
    }

    /// The chance that a stranger has a value that was never counted, in a population of any size: what is known before
    /// any data.
    fn typical(self) -> f64 {
        match self {
            Field::GivenName => 5e-4,
            Field::Surname => 2e-4,
            Field::BirthDate => 4e-5,
            Field::Premise => 5e-5,
            Field::Locality => 1e-3,
            Field::Postcode => 3e-4,
            Field::Email | Field::Phone | Field::Identifier => 5e-5,
            Field::Organisation => 1e-5,
            Field::Extra => 1e-2,
        }
    }
}

/// The weight of typical values against counts, in records: a few records cannot show that a value is rare.
pub const SMOOTHING: f64 = 200.0;

/// How often a given misspelling of a name is typed, relative to the name: about one name in ten is misspelt, in one of
/// some hundred ways. A spelling that is more frequent than that is a name of its own.
const MISSPELLINGS: f64 = 300.0;

/// An address, number or mailbox that people of so many surnames use identifies nobody.
const HUB: f64 = 6.0;

/// What an agreement on a value carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surprise {
    /// -log2 of the share of records with this value.
    pub exact: Weight,
    /// -log2 of the chance that the value is genuine, in units of that of being a misspelling: how much a *near*
    /// agreement with this value can carry at most.
    pub genuine: Weight,
}

/// A value that nothing is known about and that is never compared.
pub const UNKNOWN: Surprise = Surprise { exact: Weight(0), genuine: Weight(i32::MAX / 4) };

/// What a near agreement of two values carries: the chance of the more frequent one, unless the rarer one is too
/// frequent to be a misspelling of it.
pub fn near(a: Surprise, b: Surprise) -> Weight {
    a.exact.min(b.exact).min(a.genuine.max(b.genuine))
}

/// Counts of the values of one field, by stable hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// How many times the field had a value.
    pub total: u64,
    /// Values that occurred at least twice.
    counts: FxHashMap<u64, u32>,
}

impl Counts {
    pub fn from_values(values: impl Iterator<Item = u64>) -> Counts {
        let mut counts = FxHashMap::default();
        let mut total = 0;
        for value in values {
            *counts.entry(value).or_insert(0) += 1;
            total += 1;
        }
        Counts::keep(counts, total)
    }

    /// Counts each value once for each of its companions; a companion of 0 is none.
    pub fn by_companions(mut pairs: Vec<(u64, u64)>) -> Counts {
        let total = pairs.len() as u64;
        pairs.sort_unstable();
        pairs.dedup();
        let mut counts = FxHashMap::default();
        for (value, _) in pairs.into_iter().filter(|(_, companion)| *companion != 0) {
            *counts.entry(value).or_insert(0) += 1;
        }
        Counts::keep(counts, total)
    }

    fn keep(mut counts: FxHashMap<u64, u32>, total: u64) -> Counts {
        counts.retain(|_, count| *count > 1);
        counts.shrink_to_fit();
        Counts { total, counts }
    }

    pub fn count(&self, value: u64) -> u32 {
        self.counts.get(&value).copied().unwrap_or(1)
    }

    fn surprise(&self, field: Field, value: u64) -> Surprise {
        let count = f64::from(self.count(value));
        let size = self.total as f64 + SMOOTHING;
        // Whoever agrees on a value is two records at least, of one surname at least.
        let others = if field.is_identifying() { count - 1.0 } else { count.max(2.0) };
        let share = (others + SMOOTHING * field.typical()) / size;
        let share = if field.is_identifying() && count >= HUB { share.max(0.5) } else { share };
        let genuine = (count - 1.0) * MISSPELLINGS / size;
        Surprise {
            exact: Weight::bits(-share.log2()),
            genuine: if genuine > 0.0 { Weight::bits(-genuine.log2()) } else { UNKNOWN.genuine },
        }
    }
}

/// Counts of every field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Frequencies {
    fields: [Counts; FIELD_COUNT],
}

impl Frequencies {
    pub fn field(&self, field: Field) -> &Counts {
        &self.fields[field as usize]
    }
    pub fn set(&mut self, field: Field, counts: Counts) {
        self.fields[field as usize] = counts;
    }
    pub fn surprise(&self, field: Field, value: u64) -> Surprise {
        self.field(field).surprise(field, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> Frequencies {
        let mut frequencies = Frequencies::default();
        let values = std::iter::repeat_n(1, 1000).chain(std::iter::repeat_n(2, 10)).chain(100..10_000);
        frequencies.set(Field::Surname, Counts::from_values(values));
        frequencies
    }

    #[test]
    fn rare_values_carry_more() {
        let frequencies = counts();
        let [common, some, unique] = [1, 2, 100].map(|value| frequencies.surprise(Field::Surname, value).exact);
        assert!(common < some && some < unique);
    }

    #[test]
    fn a_near_agreement_of_two_frequent_values_is_two_names() {
        let frequencies = counts();
        let [common, some, unique] = [1, 2, 100].map(|value| frequencies.surprise(Field::Surname, value));
        assert_eq!(near(common, unique), common.exact);
        assert!(near(common, some) < near(common, unique));
    }
}
