//! What an `Identify` answers.

use serde::{Deserialize, Serialize};
use terms::CustomerId;

use crate::{matching::CandidateId, record::RecordId};

/// What kind of evidence led to a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Evidence {
    /// The same source and source record id.
    SourceKey,
    /// A shared unique identifier: its place among the command's claims. The value itself is in the request.
    Identifier(usize),
    /// The records resemble each other: the match weight, in thousandths of a bit.
    Resemblance(i32),
}

/// One piece of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MatchReason {
    /// What kind.
    pub evidence: Evidence,
    /// The record on the other side.
    pub record: RecordId,
    /// The probability that the two sides are one; 1 where it is certain by policy.
    pub probability: f64,
}

/// What keeps records apart, or keeps a record as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Guard {
    /// The value stands for no value: `n/a`, `test@test.com`, zeros alone.
    BlockedValue,
    /// The customer has another value in a namespace that allows one.
    UniqueConflict,
    /// The customer has as many values as the namespace allows within its period.
    LimitExceeded,
    /// The identifier is shared by several customers.
    SharedIdentifier,
    /// Something of higher priority leads to another customer.
    LowerPriority,
    /// The two sides were split by hand.
    CannotLink,
    /// Both sides have proof of an identifier of one namespace, and these differ.
    VerifiedConflict,
    /// A person, a household and an organisation are never one.
    KindMismatch,
    /// A newer observation of the same record is stored; it keeps what it says.
    StaleRecord,
    /// Birth dates with proof are further apart than typing errors explain.
    BirthDate,
    /// Senior and junior.
    Generation,
}

impl Guard {
    /// The name in stored histories and in metadata of errors, as in `rapport.identity.v1.IdentityGuard`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BlockedValue => "BLOCKED_VALUE",
            Self::UniqueConflict => "UNIQUE_CONFLICT",
            Self::LimitExceeded => "LIMIT_EXCEEDED",
            Self::SharedIdentifier => "SHARED_IDENTIFIER",
            Self::LowerPriority => "LOWER_PRIORITY",
            Self::CannotLink => "CANNOT_LINK",
            Self::VerifiedConflict => "VERIFIED_CONFLICT",
            Self::KindMismatch => "KIND_MISMATCH",
            Self::StaleRecord => "STALE_RECORD",
            Self::BirthDate => "BIRTH_DATE",
            Self::Generation => "GENERATION",
        }
    }
}

/// Something that a guard refused. Holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The guard.
    pub guard: Guard,
    /// The place among the command's claims of the identifier concerned; `None` if it is about none.
    #[serde(default)]
    pub claim: Option<usize>,
    /// The customer to whom the link would have led.
    #[serde(default)]
    pub customer: Option<CustomerId>,
    /// What happened, in one sentence.
    pub detail: String,
    /// Whether the pair was put into the review queue instead.
    #[serde(default)]
    pub in_review: bool,
}

impl Refusal {
    /// By a guard, with one sentence that says why.
    pub fn new(guard: Guard, detail: impl Into<String>) -> Self {
        Self { guard, claim: None, customer: None, detail: detail.into(), in_review: false }
    }
}

/// Who it is. Holds no personal data, so that it can be recorded for idempotency as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identified {
    /// The customer; the survivor after any merge. `None` where `validate_only` would create one.
    pub customer: Option<CustomerId>,
    /// Whether the customer is new.
    pub created: bool,
    /// How sure it is that everything linked to the customer is one party, 0 to 1.
    pub confidence: f64,
    /// The evidence that led to the customer; empty if created.
    pub matched_by: Vec<MatchReason>,
    /// Customers merged into it by this call.
    pub merged: Vec<CustomerId>,
    /// What a guard refused.
    pub refused: Vec<Refusal>,
    /// The stored record. `None` where `validate_only` would create one.
    pub record: Option<RecordId>,
    /// Pairs that this call put into the review queue.
    #[serde(default)]
    pub candidates: Vec<CandidateId>,
}
