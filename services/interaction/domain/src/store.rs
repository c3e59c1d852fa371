//! What the verbs need of a store. Memory, SQLite and PostgreSQL pass one contract (see [`crate::contract`]).

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use terms::{
    Caller, CustomerId, Fault, Id, Once, PARTITIONS, Page, PageRequest, Position, Reason, Revision, Service, Tenant,
    Timestamp, Written, id, partition,
};

use crate::{
    boundary::{Boundary, BoundaryId},
    consent::Consent,
    counters::Counters,
    customers::Customers,
    get_dialogue::Dialogue,
    interaction::{Interaction, InteractionId},
    statement::{Standing, Statement, StatementId},
    subject::{News, Subjects, follow},
};

/// What a verb must know before it decides.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Customers to whom it writes, as resolved. Locked: a merge waits, or has come before.
    pub customers: Vec<CustomerId>,
    /// Topics on which it records, with the customer as resolved.
    pub topics: Vec<(CustomerId, String)>,
    /// Interactions that may be there.
    pub interactions: Vec<InteractionId>,
    /// Statements that may be there; with their boundaries, and with the other statements on their topics. Their
    /// customers are locked.
    pub statements: Vec<StatementId>,
    /// Boundaries that may be there; with their statements, as above.
    pub boundaries: Vec<BoundaryId>,
    /// Whether it must know which ids are one customer.
    pub origins: bool,
}

/// An interaction with what was said in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The interaction.
    pub interaction: Interaction,
    /// Its statements, in the order given.
    pub statements: Vec<Standing>,
    /// Boundaries that its statements set.
    pub boundaries: Vec<Boundary>,
    /// Whether it had been recorded before.
    pub duplicate: bool,
}

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Where the customers' rows belong; with [`Keys::origins`], also every id that points at one of them.
    pub subjects: Subjects,
    /// Interactions that are there, by id.
    pub interactions: HashMap<InteractionId, Recorded>,
    /// Statements that are there, by id.
    pub statements: HashMap<StatementId, Statement>,
    /// Boundaries that are there, by id.
    pub boundaries: HashMap<BoundaryId, Boundary>,
    /// By the customer to whom they belong and the topic: the two newest statements that were not taken back, newest
    /// first.
    pub topics: HashMap<(CustomerId, String), Vec<Statement>>,
}

impl View {
    /// The customer to whom rows of `customer` belong.
    ///
    /// # Errors
    /// [`Reason::CustomerErased`].
    pub fn owner(&self, customer: CustomerId) -> Result<CustomerId, Fault> {
        let owner = follow(&self.subjects, customer);
        let erased = |id| self.subjects.get(&id).is_some_and(|subject| subject.erased);
        if erased(customer) || erased(owner) {
            return Err(Fault::new(Reason::CustomerErased, format!("the customer `{customer}` was erased"))
                .with("customer_id", customer.to_string()));
        }
        Ok(owner)
    }

    /// The statement that stands on a topic.
    pub fn head(&self, customer: CustomerId, topic: &str) -> Option<&Statement> {
        self.topics.get(&(customer, topic.to_owned()))?.first()
    }
}

/// What a verb changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// New interactions.
    pub interactions: Vec<Interaction>,
    /// New statements, with how they stand.
    pub statements: Vec<Standing>,
    /// Statements that no longer stand because of a new one: told to those who follow, nothing to write.
    pub superseded: Vec<Standing>,
    /// Statements taken back.
    pub retracted: Vec<Statement>,
    /// Statements that stand again: told to those who follow, nothing to write.
    pub restored: Vec<Standing>,
    /// New consents.
    pub consents: Vec<Consent>,
    /// New boundaries.
    pub boundaries: Vec<Boundary>,
    /// Boundaries lifted.
    pub lifted: Vec<Boundary>,
}

impl Change {
    /// The customers whose profile it changes.
    pub fn customers(&self) -> Vec<CustomerId> {
        let mut customers: Vec<CustomerId> = self.interactions.iter().map(|i| i.customer).collect();
        customers.extend(self.statements.iter().chain(&self.restored).map(|s| s.statement.customer));
        customers.extend(self.retracted.iter().map(|s| s.customer));
        customers.extend(self.consents.iter().map(|c| c.customer));
        customers.extend(self.boundaries.iter().chain(&self.lifted).map(|b| b.customer));
        customers.sort_unstable();
        customers.dedup();
        customers
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.customers().is_empty()
    }
}

/// The order of a timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimelineOrder {
    /// Newest first, by event time.
    #[default]
    Newest,
    /// Oldest first, by event time.
    Oldest,
    /// As recorded.
    Recorded,
}

/// Which interactions.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Whose; otherwise the tenant's.
    pub customer: Option<CustomerId>,
    /// Only of this conversation.
    pub conversation: Option<Id<id::Conversation>>,
    /// At or after this event time.
    pub from: Option<Timestamp>,
    /// Before this event time.
    pub before: Option<Timestamp>,
    /// In which order.
    pub order: TimelineOrder,
}

/// The order of a list of statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementOrder {
    /// Newest first, by event time.
    #[default]
    Newest,
    /// Oldest first, by event time.
    Oldest,
    /// By topic, then newest first.
    Topic,
}

/// Which statements.
#[derive(Debug, Clone)]
pub struct Told {
    /// Whose.
    pub customer: CustomerId,
    /// Only this topic and those below it; empty: all.
    pub topic: String,
    /// Also those that do not hold.
    pub history: bool,
    /// As known at this record time.
    pub as_of: Timestamp,
    /// In which order.
    pub order: StatementOrder,
}

/// What the permission algebra reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// Boundaries, lifted ones too.
    pub boundaries: Vec<Boundary>,
    /// Consents, superseded ones too.
    pub consents: Vec<Consent>,
}

/// What the hot profile tells of one customer.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait {
    /// The customer; the survivor.
    pub customer: CustomerId,
    /// Whether the customer was erased; everything else is then empty.
    pub erased: bool,
    /// The statements that stand, expired ones too.
    pub statements: Vec<Statement>,
    /// Boundaries and consents.
    pub limits: Limits,
    /// How many interactions of each type.
    pub counters: Counters,
}

/// A store of interactions, statements, consents and boundaries.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads what `keys` name, decides, and writes the change with what is published of it, all in one transaction.
    /// `decide` may run more than once.
    async fn commit<R, F>(&self, caller: &Caller, keys: Keys, decide: F) -> Result<Written<R>, Fault>
    where
        R: Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static;

    /// The same under an idempotency key, if there is one: the answer is recorded in the same transaction.
    async fn commit_once<R, F>(
        &self,
        caller: &Caller,
        once: Option<Once>,
        keys: Keys,
        decide: F,
    ) -> Result<Written<R>, Fault>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static;

    /// Reads what `keys` name, without any lock: for a dry run.
    async fn view(&self, tenant: &Tenant, keys: Keys) -> Result<View, Fault>;

    /// Moves rows to where identity says that they belong, in one transaction: it is asked through `customers`, of
    /// whomever the news names.
    async fn apply(
        &self,
        tenant: &Tenant,
        news: Vec<(Position, News)>,
        customers: Arc<dyn Customers>,
    ) -> Result<Written<()>, Fault>;

    /// Where the rows of these customers belong.
    async fn subjects(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Subjects, Fault>;

    /// One interaction with what was said in it.
    async fn interaction(&self, tenant: &Tenant, id: InteractionId, now: Timestamp) -> Result<Option<Recorded>, Fault>;

    /// Those of `ids` that are there, in any order.
    async fn interactions(&self, tenant: &Tenant, ids: &[InteractionId]) -> Result<Vec<Interaction>, Fault>;

    /// A page of a timeline.
    async fn timeline(&self, tenant: &Tenant, which: &Timeline, page: &PageRequest)
    -> Result<Page<Interaction>, Fault>;

    /// A page of what a customer said.
    async fn statements(&self, tenant: &Tenant, which: &Told, page: &PageRequest) -> Result<Page<Standing>, Fault>;

    /// What limits what may be said to a customer, who is a survivor.
    async fn limits(&self, tenant: &Tenant, customer: CustomerId) -> Result<Limits, Fault>;

    /// What the hot profile tells of a customer.
    async fn portrait(&self, tenant: &Tenant, customer: CustomerId) -> Result<Portrait, Fault>;

    /// What was said to and fro at or after `since`, held against the boundaries that hold `now`; of a survivor.
    async fn dialogue(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Dialogue, Fault>;

    /// Waits until what identity told up to `at_least` has been applied, or for as long as the demand has patience.
    ///
    /// # Errors
    /// [`Reason::RevisionNotReached`].
    async fn reach(&self, at_least: &Demand) -> Result<(), Fault>;

    /// What every read that begins after this call shows; `partition`: for the reads of customers who live there.
    async fn stamp(&self, partition: Option<u16>) -> Result<Stamp, Fault>;
}

/// What a read must show, and how long it may wait for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// Everything that this contains.
    pub revision: Revision,
    /// No longer than this.
    pub patience: Duration,
}

/// What a state shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Everything in this service's own feed up to here.
    pub own: Position,
    /// What was consumed of identity's feed.
    pub followed: Revision,
}

impl Stamp {
    /// The state as far as it concerns one customer, with what was demanded of it.
    pub fn of(&self, tenant: &Tenant, customer: CustomerId, demanded: &Revision) -> Revision {
        let partition = partition(tenant, customer);
        let mut revision = Revision::at(Service::Interaction, partition, self.own);
        if let Some(position) = self.followed.position(Service::Identity, partition) {
            revision.raise(Service::Identity, partition, position);
        }
        revision.merge(demanded);
        revision
    }

    /// The whole state, with what was demanded of it.
    pub fn whole(&self, demanded: &Revision) -> Revision {
        let mut revision = self.followed.clone();
        for partition in 0..PARTITIONS {
            revision.raise(Service::Interaction, partition, self.own);
        }
        revision.merge(demanded);
        revision
    }
}
