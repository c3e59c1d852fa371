//! The review queue: pairs of customers that may be one, and what was decided of them.

use identity_matching::weight::Weight;
use serde::{Deserialize, Serialize};
use terms::{CustomerId, Id, IdKind, Timestamp};
use uuid::Uuid;

use crate::{identify::Refusal, record::RecordId};

/// Marks pairs of the review queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchCandidate {}

impl IdKind for MatchCandidate {
    const PREFIX: &'static str = "mcd";
}

/// The id of a pair, `mcd_…`. It is made of the ids of the two customers: the same question has the same id, whoever
/// asks it again.
pub type CandidateId = Id<MatchCandidate>;

/// The id of the pair of two customers.
pub fn candidate_id(a: CustomerId, b: CustomerId) -> CandidateId {
    let (a, b) = (a.min(b).uuid().as_u128(), a.max(b).uuid().as_u128());
    // Both are random already; the multiplier of PCG (O'Neill 2014) keeps them from cancelling each other.
    let mixed = a.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645) ^ b.rotate_left(64).wrapping_add(b);
    Id::from_uuid(uuid::Builder::from_custom_bytes(mixed.to_be_bytes()).into_uuid())
}

/// Where a pair stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidateState {
    /// It waits for a decision.
    Open,
    /// Decided: one customer.
    Accepted,
    /// Decided: two customers.
    Rejected,
    /// The customers changed so that the question no longer stands.
    Obsolete,
}

impl CandidateState {
    /// The stored name, which is also that in filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Obsolete => "obsolete",
        }
    }

    /// Reads the stored name.
    pub fn parse(stored: &str) -> Option<Self> {
        [Self::Open, Self::Accepted, Self::Rejected, Self::Obsolete].into_iter().find(|state| state.as_str() == stored)
    }
}

/// A pair that goes to review.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// One customer, the lesser id.
    pub left: CustomerId,
    /// The other.
    pub right: CustomerId,
    /// The record of `left` that resembles one of `right` most.
    pub left_record: RecordId,
    /// The record of `right`.
    pub right_record: RecordId,
    /// Their match weight.
    pub score: Weight,
    /// The model that found it.
    pub model: String,
    /// Guards that keep the two apart until somebody decides.
    pub guards: Vec<Refusal>,
}

impl Proposal {
    /// The id of the pair.
    pub fn id(&self) -> CandidateId {
        candidate_id(self.left, self.right)
    }
}

/// A pair as it stands in the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its id.
    pub id: CandidateId,
    /// What is asked. The customers are those of the time at which it was asked.
    pub proposal: Proposal,
    /// Where it stands. What is stored as open is obsolete once the customers became one, or parted from the records.
    pub state: CandidateState,
    /// Who decided.
    pub decided_by: Option<String>,
    /// Why, as decided.
    pub reason: Option<String>,
    /// When it was first asked (record time).
    pub created_at: Timestamp,
    /// When it last changed (record time).
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

impl Candidate {
    /// The pair as it stands now: with the present names of its customers, and obsolete if it was open and they became
    /// one, or no longer have the records that resemble each other. Customers that were decided to be one keep the names
    /// of then. `now` gives whom a customer means, `owner` to whom a record belongs.
    #[must_use]
    pub fn standing(
        mut self,
        now: impl Fn(CustomerId) -> CustomerId,
        owner: impl Fn(RecordId) -> Option<CustomerId>,
    ) -> Self {
        let Proposal { left, right, left_record, right_record, .. } = self.proposal;
        let (left, right) = (now(left), now(right));
        let stands = left != right && owner(left_record) == Some(left) && owner(right_record) == Some(right);
        if self.state == CandidateState::Open && !stands {
            self.state = CandidateState::Obsolete;
        }
        if self.state != CandidateState::Accepted {
            (self.proposal.left, self.proposal.right) = (left, right);
        }
        self
    }

    /// The etag of this state.
    pub fn etag(&self) -> String {
        format!("{:x}-{:x}", self.version, self.updated_at.micros())
    }
}

/// In which order the queue is read; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CandidateOrder {
    /// By time of creation, not by weight.
    pub by_time: bool,
    /// From the least to the greatest.
    pub ascending: bool,
}

/// Where a page of the queue begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CandidatePlace {
    /// The weight in thousandths of a bit, or the time in microseconds.
    pub at: i64,
    /// The pair.
    pub id: CandidateId,
}

impl CandidateOrder {
    /// Where a pair stands in the order.
    pub fn place(self, candidate: &Candidate) -> CandidatePlace {
        let at = if self.by_time { candidate.created_at.micros() } else { candidate.proposal.score.0.into() };
        CandidatePlace { at, id: candidate.id }
    }
}

impl CandidatePlace {
    /// For a page token.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.at.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        bytes
    }

    /// From a page token; `None` for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (at, id) = bytes.split_first_chunk::<8>()?;
        let id: [u8; 16] = id.try_into().ok()?;
        Some(Self { at: i64::from_be_bytes(*at), id: Id::from_uuid(Uuid::from_bytes(id)) })
    }
}

/// Which part of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateQuery {
    /// Only pairs with this customer, or with one that was merged into it.
    pub customer: Option<CustomerId>,
    /// Only pairs that are stored in this state. Open ones may turn out obsolete.
    pub state: CandidateState,
    /// In which order.
    pub order: CandidateOrder,
    /// Only those behind this place.
    pub after: Option<CandidatePlace>,
    /// At most this many.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_id() {
        let id = |n: u128| CustomerId::from_uuid(Uuid::from_u128(n));
        assert_eq!(candidate_id(id(5), id(9)), candidate_id(id(9), id(5)));
        assert_ne!(candidate_id(id(5), id(9)), candidate_id(id(5), id(8)));
        assert_ne!(candidate_id(id(5), id(9)), candidate_id(id(4), id(9)));
        let text = candidate_id(id(5), id(9)).to_string();
        assert_eq!(text.parse::<CandidateId>().unwrap(), candidate_id(id(5), id(9)));
    }

    #[test]
    fn places_and_back() {
        let place = CandidatePlace { at: -7, id: Id::from_uuid(Uuid::from_u128(3)) };
        assert_eq!(CandidatePlace::from_bytes(&place.to_bytes()), Some(place));
        assert_eq!(CandidatePlace::from_bytes(&[1]), None);
    }
}
