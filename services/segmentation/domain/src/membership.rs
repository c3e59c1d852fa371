//! That a customer belongs to a segment, and why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terms::{CustomerId, Timestamp};

use crate::segment::SegmentId;

/// That a customer belongs to a segment, now or at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Since when (the effective time).
    pub since: Timestamp,
    /// Why they entered.
    pub reason: Reason,
    /// The version of the definition under which they entered.
    pub version: i64,
}

/// One customer's memberships.
pub type Memberships = BTreeMap<SegmentId, Membership>;

/// Why a customer entered or left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// An interaction.
    Event = 1,
    /// A golden trait.
    Trait = 2,
    /// A statement was made, superseded, retracted.
    Statement = 3,
    /// Only the clock moved.
    Clock = 4,
    /// The definition changed, the segment is new or gone, or the customer is new.
    Definition = 5,
    /// Customers were merged.
    Merge = 6,
    /// A customer was split.
    Split = 7,
    /// The customer was erased.
    Erasure = 8,
    /// A segment on which this one depends changed.
    Segment = 9,
    /// The list was edited.
    Manual = 10,
    /// Value or needs were computed anew.
    Model = 11,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Event,
        Self::Trait,
        Self::Statement,
        Self::Clock,
        Self::Definition,
        Self::Merge,
        Self::Split,
        Self::Erasure,
        Self::Segment,
        Self::Manual,
        Self::Model,
    ];

    /// The stored form.
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// Reads the stored form.
    pub fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.code() == code)
    }

    /// The word in the feed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Trait => "trait",
            Self::Statement => "statement",
            Self::Clock => "clock",
            Self::Definition => "definition",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Erasure => "erasure",
            Self::Segment => "segment",
            Self::Manual => "manual",
            Self::Model => "model",
        }
    }

    /// Reads the word of the feed.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.word() == word)
    }
}

/// A customer entered or left a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// Who.
    pub customer: CustomerId,
    /// Which segment.
    pub segment: SegmentId,
    /// In or out.
    pub step: Step,
    /// Why.
    pub reason: Reason,
    /// The interaction, statement, customer or segment behind it; empty if none.
    pub cause_id: String,
    /// When it took effect.
    pub at: Timestamp,
    /// The version of the definition.
    pub version: i64,
}

/// In or out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// They belong to it from now on.
    Entered,
    /// They no longer do; what they left.
    Left(Membership),
}

impl Transition {
    /// Whether it is an entry.
    pub fn entered(&self) -> bool {
        matches!(self.step, Step::Entered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_words_are_unambiguous() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert_eq!(Reason::from_word(reason.word()), Some(reason));
        }
        assert_eq!(Reason::from_code(0), None);
    }
}
