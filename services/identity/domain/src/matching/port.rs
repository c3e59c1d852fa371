//! What a store tells of matching.

use async_trait::async_trait;
use terms::{Caller, Fault, Once, Tenant, Timestamp, Written};

use super::{
    candidate::{Candidate, CandidateId, CandidateQuery},
    matcher::Matcher,
    search::Known,
};
use crate::{
    decide_match_candidate::{DecideMatchCandidate, Decided, Label},
    record::{Claim, RecordId},
};

/// What is filed of some records, and the matcher in force, all of one moment.
#[derive(Debug, Clone)]
pub struct Dossier {
    /// The matcher in force.
    pub matcher: Matcher,
    /// What is compared of each record that is compared at all.
    pub known: Vec<Known>,
    /// The stored pairs among these records, each once, the lesser first.
    pub pairs: Vec<(RecordId, RecordId)>,
    /// What these records claim.
    pub claims: Vec<(RecordId, Claim)>,
}

/// A matcher, and where it comes from.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The matcher.
    pub matcher: Matcher,
    /// Whether it is in force.
    pub active: bool,
    /// How many records it was trained on; 0 for the shipped one.
    pub records: u64,
    /// When it was trained (record time); `None` for the shipped one.
    pub created_at: Option<Timestamp>,
}

impl Trained {
    /// The shipped matcher.
    pub fn shipped(active: bool) -> Self {
        Self { matcher: Matcher::default(), active, records: 0, created_at: None }
    }
}

/// The review queue, and what the matcher knows.
#[async_trait]
pub trait Matches: Send + Sync + 'static {
    /// A part of the review queue. Customers have the names that they have now, and what was open and no longer stands
    /// is obsolete.
    ///
    /// # Errors
    /// What the store says.
    async fn candidates(&self, tenant: &Tenant, query: CandidateQuery) -> Result<Vec<Candidate>, Fault>;

    /// One pair of the review queue, in the same way.
    ///
    /// # Errors
    /// What the store says.
    async fn candidate(&self, tenant: &Tenant, id: CandidateId) -> Result<Option<Candidate>, Fault>;

    /// Decides on a pair of the review queue: reads all of its customers, decides, and commits like
    /// [`crate::Customers::merge`].
    ///
    /// # Errors
    /// What the decision says; [`terms::Reason::RequestIdReused`]; what the store says.
    async fn decide(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: DecideMatchCandidate,
    ) -> Result<Written<Decided>, Fault>;

    /// What stewards decided and nobody has undone since, in the order of the records: what the matcher may learn from.
    ///
    /// # Errors
    /// What the store says.
    async fn labels(&self, tenant: &Tenant) -> Result<Vec<Label>, Fault>;

    /// A matcher by its version; an empty version: the one in force. `default` is the shipped one.
    ///
    /// # Errors
    /// What the store says.
    async fn matcher(&self, tenant: &Tenant, version: &str) -> Result<Option<Trained>, Fault>;

    /// What is filed of these records.
    ///
    /// # Errors
    /// What the store says.
    async fn dossier(&self, tenant: &Tenant, records: &[RecordId]) -> Result<Dossier, Fault>;
}
