//! The ports: where definitions and decisions are kept.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use terms::{CustomerId, Fault, Once, Revision, Tenant, Timestamp, Written};

use crate::{
    catalog::{Catalog, Place},
    get_relationship::Effects,
    profile::{BoundaryId, StatementId},
    report_outcome::{DecisionId, Outcome},
    touchpoint::{Touchpoint, TouchpointId},
    treatment::{Treatment, TreatmentId},
};

/// On whose behalf a write runs, and under which key.
#[derive(Debug, Clone)]
pub struct How {
    /// Whose data.
    pub tenant: Tenant,
    /// Who asked: the subject of the credential.
    pub actor: Arc<str>,
    /// The idempotency key.
    pub once: Option<Once>,
}

/// A definition to store: a new version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// Of a treatment.
    Treatment(Treatment),
    /// Of a touchpoint.
    Touchpoint(Touchpoint),
}

/// Decides over the definitions as they stand; may run more than once.
pub type Define = Box<dyn Fn(&Catalog, Timestamp) -> Result<Definition, Fault> + Send + Sync>;

/// Keeps treatments and touchpoints, every version of them.
#[async_trait]
pub trait Definitions: Send + Sync + 'static {
    /// The definitions; they show what `at_least` contains, and every change that this process stored.
    ///
    /// # Errors
    /// What the store says; [`terms::Reason::RevisionNotReached`].
    async fn catalog(&self, tenant: &Tenant, at_least: &Revision) -> Result<Arc<Catalog>, Fault>;

    /// A version of a treatment, deleted ones too.
    ///
    /// # Errors
    /// What the store says.
    async fn treatment(&self, tenant: &Tenant, id: TreatmentId, version: u64) -> Result<Option<Treatment>, Fault>;

    /// A version of a touchpoint, deleted ones too, with its candidates as they were then.
    ///
    /// # Errors
    /// What the store says.
    async fn touchpoint(&self, tenant: &Tenant, id: TouchpointId, version: u64) -> Result<Option<Place>, Fault>;

    /// A touchpoint with its candidates as they stood in an earlier version of the catalog.
    ///
    /// # Errors
    /// What the store says.
    async fn place_at(&self, tenant: &Tenant, id: TouchpointId, catalog: i64) -> Result<Option<Place>, Fault>;

    /// Runs `decide` alone among the writers of the tenant, and stores what it says.
    ///
    /// # Errors
    /// Those of `decide`; what the store says.
    async fn define(&self, how: How, decide: Define) -> Result<Written<Definition>, Fault>;
}

/// What was known of a customer: the profile as it was read. Many decisions share one.
pub struct Inputs {
    /// Names the content: the beginning of its SHA-256.
    pub digest: [u8; 16],
    /// The content, encoded.
    pub content: Vec<u8>,
    stored: AtomicBool,
}

impl Inputs {
    /// Not stored yet, as far as this process knows.
    pub fn new(digest: [u8; 16], content: Vec<u8>) -> Self {
        Self { digest, content, stored: AtomicBool::new(false) }
    }

    /// Whether the log has them.
    pub fn is_stored(&self) -> bool {
        self.stored.load(Ordering::Acquire)
    }

    /// Notes that a commit put them into the log.
    pub fn set_stored(&self) {
        self.stored.store(true, Ordering::Release);
    }
}

impl fmt::Debug for Inputs {
    /// Without the content: it is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inputs").field("bytes", &self.content.len()).finish_non_exhaustive()
    }
}

/// A decision to log.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Whose.
    pub tenant: Tenant,
    /// Its id; made at `at`.
    pub id: DecisionId,
    /// For whom: the survivor at that time; `None` for someone of whom nothing is known. A merge changes nothing here:
    /// whoever reads of a survivor reads of its aliases too.
    pub customer: Option<CustomerId>,
    /// The former id by which the survivor was named, if it was: a split that gives the id back gives the decision back.
    pub named: Option<CustomerId>,
    /// The look-up key of the identifier that named the customer: a split takes the decision along with it.
    pub arrived_via: Option<[u8; 32]>,
    /// Where.
    pub touchpoint: TouchpointId,
    /// By which definitions.
    pub catalog_version: i64,
    /// When.
    pub at: Timestamp,
    /// What was known.
    pub inputs: Option<Arc<Inputs>>,
    /// Context and result, encoded.
    pub body: Vec<u8>,
    /// What of the customer's own words had an effect.
    pub effects: Vec<Effect>,
    /// What the feed tells of it, if it does. A decision changes nothing that others know; that the customer was heard
    /// does.
    pub news: Option<News>,
}

impl Entry {
    /// The id that the decision belongs to, whoever that id means later.
    pub fn owner(&self) -> Option<CustomerId> {
        self.named.or(self.customer)
    }
}

/// What the feed tells of a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Who asked.
    pub actor: Arc<str>,
    /// Name of the touchpoint.
    pub touchpoint: String,
    /// Names of the treatments, best first.
    pub treatments: Vec<String>,
    /// Whether only the default remained.
    pub defaulted: bool,
}

/// What a statement or boundary did to a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Which.
    pub of: Word,
    /// Whether the result would have been another without it.
    pub changed: bool,
    /// How many treatments it ruled out.
    pub exclusions: u32,
}

/// The customer's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word {
    /// A statement.
    Statement(StatementId),
    /// A boundary.
    Boundary(BoundaryId),
}

/// A decision as logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its id.
    pub id: DecisionId,
    /// Whose it is now.
    pub customer: Option<CustomerId>,
    /// For whom it was made.
    pub arrived_as: Option<CustomerId>,
    /// Where.
    pub touchpoint: TouchpointId,
    /// By which definitions.
    pub catalog_version: i64,
    /// When.
    pub at: Timestamp,
    /// The inputs, if there were any; empty once erased.
    pub inputs: Option<Vec<u8>>,
    /// Context and result; empty once erased.
    pub body: Vec<u8>,
}

/// Reports an outcome, given those that were reported before; may run more than once.
pub type Report = Box<dyn Fn(&[Outcome], Timestamp) -> Result<(Outcome, bool), Fault> + Send + Sync>;

/// Keeps decisions and how they went. Append-only.
#[async_trait]
pub trait DecisionLog: Send + Sync + 'static {
    /// Logs a decision; returns once it is durable. The revision is empty if the feed does not tell of it.
    ///
    /// # Errors
    /// What the store says.
    async fn record(&self, entry: Entry) -> Result<Revision, Fault>;

    /// The same under an idempotency key: gives `reply`, or the reply that was recorded first.
    ///
    /// # Errors
    /// What the store says; [`terms::Reason::RequestIdReused`].
    async fn record_once(&self, once: Once, entry: Entry, reply: Vec<u8>) -> Result<Written<Vec<u8>>, Fault>;

    /// A decision.
    ///
    /// # Errors
    /// What the store says.
    async fn find(&self, tenant: &Tenant, id: DecisionId) -> Result<Option<Logged>, Fault>;

    /// Those of `ids` that are in the log, in any order, without what was known then.
    ///
    /// # Errors
    /// What the store says.
    async fn find_all(&self, tenant: &Tenant, ids: &[DecisionId]) -> Result<Vec<Logged>, Fault>;

    /// The outcomes of a decision, in the order in which they were stored.
    ///
    /// # Errors
    /// What the store says.
    async fn outcomes(&self, tenant: &Tenant, id: DecisionId) -> Result<Vec<Outcome>, Fault>;

    /// Stores an outcome of a decision, unless it is a duplicate.
    ///
    /// # Errors
    /// [`terms::Reason::DecisionNotFound`]; those of `report`; what the store says.
    async fn report(&self, how: How, id: DecisionId, report: Report) -> Result<Written<(Outcome, bool)>, Fault>;

    /// What the words of a customer did since a time; `customers` are the survivor and its aliases.
    ///
    /// # Errors
    /// What the store says.
    async fn effects(&self, tenant: &Tenant, customers: &[CustomerId], since: Timestamp) -> Result<Effects, Fault>;

    /// After a split: decisions that named the customer by one of these identifiers are `to`'s. Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// What the store says.
    async fn reassign(&self, tenant: &Tenant, to: CustomerId, vias: &[[u8; 32]]) -> Result<(), Fault>;

    /// Forgets what is known of customers: inputs, contexts, results, outcomes. That there were decisions stays.
    ///
    /// # Errors
    /// What the store says.
    async fn erase(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<(), Fault>;
}
