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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Guard {
    /// A newer observation of the same record is stored; it keeps what it says.
    StaleRecord,
}

/// Something that a guard refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The guard.
    pub guard: Guard,
    /// What happened, in one sentence.
    pub detail: String,
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
