//! What a customer told us, and whether it holds.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::{CustomerId, Id, Timestamp, id};

use crate::{
    arrival::Arrival,
    boundary::BoundaryId,
    interaction::{InteractionId, codes},
};

/// The id of a statement, `stmt_…`.
pub type StatementId = Id<id::Statement>;

codes! {
    /// What sort of thing a customer told us.
    StatementKind {
        /// A fact about the customer.
        Fact = 1 "fact",
        /// What they like better.
        Preference = 2 "preference",
        /// A job that they want done, or an outcome by which they judge it.
        Need = 3 "need",
        /// What went wrong for them.
        Complaint = 4 "complaint",
        /// What went well for them.
        Praise = 5 "praise",
        /// What they are going to do.
        Intent = 6 "intent",
        /// What they will never accept; it sets a boundary.
        Boundary = 7 "boundary",
    }
}

/// A statement as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// The customer to whom it belongs now.
    pub customer: CustomerId,
    /// How it came in.
    pub arrival: Arrival,
    /// What it is about: a dotted key.
    pub topic: String,
    /// What they said about it.
    pub value: Value,
    /// What sort of statement.
    pub kind: StatementKind,
    /// The interaction in which it was said.
    pub source_interaction: Option<InteractionId>,
    /// How sure it is that they meant this, above 0 and up to 1.
    pub confidence: f64,
    /// When it stops holding.
    pub valid_until: Option<Timestamp>,
    /// Their own words; may be empty.
    pub utterance: String,
    /// Event time.
    pub occurred_at: Timestamp,
    /// Record time.
    pub recorded_at: Timestamp,
    /// When and why it was taken back.
    pub retraction: Option<Ending>,
    /// The system that reported it; may be empty.
    pub source: String,
    /// The boundary that it set.
    pub boundary: Option<BoundaryId>,
    /// What the caller gave under an id of its own: the same id with other content is refused.
    pub fingerprint: Option<[u8; 32]>,
}

/// How something ended by someone's wish: a retraction, a lifting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Record time.
    pub at: Timestamp,
    /// In the customer's words where possible; may be empty.
    pub reason: String,
}

/// Whether a statement holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementState {
    /// It holds.
    Current = 1,
    /// A newer one on the same topic stands.
    Superseded = 2,
    /// Its validity is over.
    Expired = 3,
    /// It was taken back.
    Retracted = 4,
}

impl StatementState {
    /// The name in filters and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::Retracted => "retracted",
        }
    }
}

/// A statement and how it stands among the others of its customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The statement.
    pub statement: Statement,
    /// Whether it holds.
    pub state: StatementState,
    /// The one that stands on its topic instead.
    pub superseded_by: Option<StatementId>,
}

impl Statement {
    /// What decides between statements on one topic: event time, then the id.
    pub fn order(&self) -> (Timestamp, StatementId) {
        (self.occurred_at, self.id)
    }

    /// Whether its validity is over at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| until <= now)
    }

    /// How it stands when `head` is the one that stands on its topic.
    pub fn standing(self, head: Option<StatementId>, now: Timestamp) -> Standing {
        let superseded_by = head.filter(|head| *head != self.id && self.retraction.is_none());
        let state = if self.retraction.is_some() {
            StatementState::Retracted
        } else if superseded_by.is_some() {
            StatementState::Superseded
        } else if self.expired(now) {
            StatementState::Expired
        } else {
            StatementState::Current
        };
        Standing { statement: self, state, superseded_by }
    }

    /// An opaque tag that changes with every change of the statement itself.
    pub fn etag(&self) -> String {
        etag(self.retraction.as_ref())
    }
}

/// The tag of something that changes only by ending.
pub(crate) fn etag(ending: Option<&Ending>) -> String {
    match ending {
        None => "1".to_owned(),
        Some(ending) => format!("2-{:x}", ending.at.micros()),
    }
}

/// The one that stands among the statements on one topic of one customer: the newest by event time that was not taken
/// back. It stands also when its validity is over: what it replaced does not come back by the clock.
pub fn head<'a>(topic: impl IntoIterator<Item = &'a Statement>) -> Option<&'a Statement> {
    topic.into_iter().filter(|s| s.retraction.is_none()).max_by_key(|s| s.order())
}
