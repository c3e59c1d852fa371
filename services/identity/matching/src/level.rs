//! Comparisons and their levels: how two records agree on a group of fields.
//!
//! A comparison looks at one group of fields that belong together (correlated fields are one group, so that their
//! evidence is not counted twice) and finds exactly one level. Level 0 of every comparison is [`MISSING`]: a value is
//! absent on one side, which says nothing.

use serde::{Deserialize, Serialize};

/// The index of a comparison in a model's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Comparison {
    GivenName,
    Surname,
    /// Whether given name and surname had to change places to agree.
    NameOrder,
    MiddleName,
    /// Senior, junior, the third.
    Generation,
    BirthDate,
    /// Premise and area together.
    Address,
    Email,
    Phone,
    Identifier,
    Gender,
    Organisation,
    /// Fields of any other name; each is compared for itself with the same levels and weights.
    Extra,
}

/// How many comparisons there are.
pub const COMPARISONS: usize = 13;

/// A level, by its place in [`Comparison::levels`].
pub type Level = u8;

/// A value is absent on one side at least, or cannot be compared (names in two scripts).
pub const MISSING: Level = 0;

impl Comparison {
    pub const ALL: [Comparison; COMPARISONS] = [
        Comparison::GivenName,
        Comparison::Surname,
        Comparison::NameOrder,
        Comparison::MiddleName,
        Comparison::Generation,
        Comparison::BirthDate,
        Comparison::Address,
        Comparison::Email,
        Comparison::Phone,
        Comparison::Identifier,
        Comparison::Gender,
        Comparison::Organisation,
        Comparison::Extra,
    ];

    pub fn index(self) -> usize {
        self as usize
    }

    /// What a steward calls it.
    pub fn label(self) -> &'static str {
        match self {
            Comparison::GivenName => "given name",
            Comparison::Surname => "surname",
            Comparison::NameOrder => "order of names",
            Comparison::MiddleName => "middle name",
            Comparison::Generation => "generation",
            Comparison::BirthDate => "birth date",
            Comparison::Address => "address",
            Comparison::Email => "e-mail",
            Comparison::Phone => "phone",
            Comparison::Identifier => "identifier",
            Comparison::Gender => "gender",
            Comparison::Organisation => "organisation",
            Comparison::Extra => "other field",
        }
    }

    /// The levels by their number, each with what it says. Level 0 is [`MISSING`].
    pub fn levels(self) -> &'static [&'static str] {
        match self {
            Comparison::GivenName | Comparison::Surname => &name::LABELS,
            Comparison::NameOrder => &["missing", "as written", "transposed"],
            Comparison::MiddleName => &middle::LABELS,
            Comparison::Generation => &["missing", "same", "different"],
            Comparison::BirthDate => &birth::LABELS,
            Comparison::Address => &address::LABELS,
            Comparison::Email => &email::LABELS,
            Comparison::Phone => &phone::LABELS,
            Comparison::Identifier => &["missing", "same", "one character apart", "different"],
            Comparison::Gender => &["missing", "same", "different"],
            Comparison::Organisation | Comparison::Extra => &text::LABELS,
        }
    }
}

/// Levels of given names and surnames.
pub mod name {
    pub const EXACT: u8 = 1;
    /// A nickname; for a surname of several words: one word in common.
    pub const RELATED: u8 = 2;
    /// One edit apart, or Jaro-Winkler of .94 at least.
    pub const CLOSE: u8 = 3;
    /// They sound alike, or Jaro-Winkler of .88 at least.
    pub const SIMILAR: u8 = 4;
    pub const INITIAL: u8 = 5;
    /// Jaro-Winkler of .75 at least.
    pub const WEAK: u8 = 6;
    pub const DIFFERENT: u8 = 7;
    pub(super) const LABELS: [&str; 8] = [
        "missing",
        "same",
        "related (nickname, or a word in common)",
        "nearly the same",
        "similar",
        "same initial",
        "somewhat similar",
        "different",
    ];
}

/// Levels of the order of names.
pub mod order {
    pub const STRAIGHT: u8 = 1;
    pub const TRANSPOSED: u8 = 2;
}

/// Levels of middle names.
pub mod middle {
    pub const EXACT: u8 = 1;
    pub const INITIAL: u8 = 2;
    pub const SIMILAR: u8 = 3;
    pub const DIFFERENT: u8 = 4;
    pub(super) const LABELS: [&str; 5] = ["missing", "same", "same initial", "similar", "different"];
}

/// Levels that say yes or no.
pub mod same {
    pub const YES: u8 = 1;
    pub const NO: u8 = 2;
}

/// Levels of birth dates.
pub mod birth {
    pub const EXACT: u8 = 1;
    pub const SWAPPED: u8 = 2;
    pub const DAY_TYPO: u8 = 3;
    pub const MONTH_TYPO: u8 = 4;
    pub const YEAR_TYPO: u8 = 5;
    pub const OTHER_DAY: u8 = 6;
    pub const OTHER_YEAR: u8 = 7;
    pub const NEAR: u8 = 8;
    /// What both know agrees, and one knows only a part.
    pub const PARTIAL: u8 = 9;
    pub const SAME_YEAR: u8 = 10;
    pub const DIFFERENT: u8 = 11;
    pub(super) const LABELS: [&str; 12] = [
        "missing",
        "same",
        "day and month swapped",
        "a digit of the day apart",
        "month differs",
        "a digit of the year apart",
        "day differs",
        "year differs",
        "a few weeks or digits apart",
        "agree as far as known",
        "same year only",
        "different",
    ];
}

/// Levels of addresses: a level of the premise times a level of the area.
pub mod address {
    use super::Level;

    pub const ABSENT: u8 = 0;
    pub const PREMISE_EXACT: u8 = 1;
    pub const PREMISE_SIMILAR: u8 = 2;
    pub const PREMISE_STREET: u8 = 3;
    pub const PREMISE_DIFFERENT: u8 = 4;
    /// Postcode and locality agree.
    pub const AREA_EXACT: u8 = 1;
    /// One of them agrees.
    pub const AREA_ONE: u8 = 2;
    pub const AREA_SIMILAR: u8 = 3;
    pub const AREA_DIFFERENT: u8 = 4;
    /// The level of a premise and an area; both absent is [`super::MISSING`].
    pub const fn level(premise: u8, area: u8) -> Level {
        premise * 5 + area
    }
    /// The premise's level within an address's level.
    pub const fn premise(level: Level) -> u8 {
        level / 5
    }
    /// The area's level within an address's level.
    pub const fn area(level: Level) -> u8 {
        level % 5
    }
    pub(super) const LABELS: [&str; 25] = [
        "missing",
        "same area",
        "same postcode or place",
        "similar area",
        "another area",
        "same premise",
        "same premise and area",
        "same premise, same postcode or place",
        "same premise, similar area",
        "same premise, another area",
        "similar premise",
        "similar premise, same area",
        "similar premise, same postcode or place",
        "similar premise, similar area",
        "similar premise, another area",
        "same street",
        "same street and area",
        "same street, same postcode or place",
        "same street, similar area",
        "same street, another area",
        "another premise",
        "another premise, same area",
        "another premise, same postcode or place",
        "another premise, similar area",
        "another premise and area",
    ];
}

/// Levels of e-mail addresses.
pub mod email {
    pub const EXACT: u8 = 1;
    /// One edit or Jaro-Winkler of .95.
    pub const CLOSE: u8 = 2;
    pub const SAME_LOCAL_PART: u8 = 3;
    pub const SIMILAR: u8 = 4;
    pub const DIFFERENT: u8 = 5;
    pub(super) const LABELS: [&str; 6] =
        ["missing", "same", "nearly the same", "same name before the @", "similar", "different"];
}

/// Levels of phone numbers.
pub mod phone {
    pub const EXACT: u8 = 1;
    /// One is the end of the other, seven digits at least.
    pub const SUFFIX: u8 = 2;
    pub const CLOSE: u8 = 3;
    pub const DIFFERENT: u8 = 4;
    pub(super) const LABELS: [&str; 5] = ["missing", "same", "same without prefix", "one digit apart", "different"];
}

/// Levels of identifiers.
pub mod identifier {
    pub const EXACT: u8 = 1;
    pub const CLOSE: u8 = 2;
    pub const DIFFERENT: u8 = 3;
}

/// Levels of organisations and of fields that the model knows nothing else about.
pub mod text {
    pub const EXACT: u8 = 1;
    pub const CLOSE: u8 = 2;
    pub const SIMILAR: u8 = 3;
    pub const DIFFERENT: u8 = 4;
    pub(super) const LABELS: [&str; 5] = ["missing", "same", "nearly the same", "similar", "different"];
}
