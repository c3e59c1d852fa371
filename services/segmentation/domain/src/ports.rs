//! What the domain asks of a store. One contract for all of them: [`crate::contract`].

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use terms::{CustomerId, Fault, Once, Revision, Tenant, Timestamp, Written};

use crate::{
    catalog::Catalog,
    definition::Definition,
    membership::{Membership, Reason},
    news::News,
    rfm::{Purchase, Tally},
    ruleset::Needs,
    segment::{Segment, SegmentId},
    view::Person,
};

/// Decides over the catalog as it stands when the transaction has it locked. May run more than once.
pub type Decide = Arc<dyn Fn(&Catalog) -> Result<Definition, Fault> + Send + Sync>;

/// Keeps segments, what they are computed from, and who belongs to them.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The segments of a tenant.
    async fn catalog(&self, tenant: &Tenant) -> Result<Arc<Catalog>, Fault>;

    /// Changes a definition: locks the catalog, decides, writes the segment, its version, its list and its build, and
    /// publishes the change, in one transaction. From its commit on everybody computes by the new rules.
    async fn define(&self, tenant: &Tenant, once: Option<Once>, decide: Decide) -> Result<Written<Segment>, Fault>;

    /// An earlier definition of a segment, and when it was made; `None` if there is none such.
    async fn version(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        version: i64,
    ) -> Result<Option<(String, Timestamp)>, Fault>;

    /// Takes in news, and computes the memberships of those whom they concern.
    async fn hear(&self, tenant: &Tenant, news: Vec<News>) -> Result<Revision, Fault>;

    /// Settles customers whose due instant has come, at most so many.
    async fn settle_due(&self, most: usize) -> Result<Pass, Fault>;

    /// The earliest instant at which a customer is due.
    async fn next_due(&self) -> Result<Option<Timestamp>, Fault>;

    /// Goes on with a build: with this one, or with any. `None` if there is nothing to build.
    async fn build(&self, which: Option<(&Tenant, SegmentId)>, most: usize) -> Result<Option<BuildStep>, Fault>;

    /// Where an id leads; `None` if nothing was ever heard of it.
    async fn locate(&self, tenant: &Tenant, customer: CustomerId) -> Result<Option<Located>, Fault>;

    /// The memberships of one customer, now or at a time.
    async fn memberships(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        as_of: Option<Timestamp>,
    ) -> Result<BTreeMap<SegmentId, Membership>, Fault>;

    /// The memberships of one customer that have ended, in the order of their ends.
    async fn stays(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Stay>, Fault>;

    /// The members of a segment, now or at a time, by id, after `after`.
    async fn members(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        as_of: Option<Timestamp>,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Timestamp)>, Fault>;

    /// How many members segments have, now or at a time; those without any may be missing. `None`: all segments.
    async fn count_members(
        &self,
        tenant: &Tenant,
        segment: Option<SegmentId>,
        as_of: Option<Timestamp>,
    ) -> Result<BTreeMap<SegmentId, i64>, Fault>;

    /// How many customers there are.
    async fn population(&self, tenant: &Tenant) -> Result<i64, Fault>;

    /// Living customers with facts and memberships, by id, after `after`. Of events at least those that `needs` names.
    async fn people(
        &self,
        tenant: &Tenant,
        needs: &Needs,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Person)>, Fault>;

    /// One customer, in the same way; `None` if nothing was ever heard of the id.
    async fn person(&self, tenant: &Tenant, needs: &Needs, customer: CustomerId) -> Result<Option<Person>, Fault>;

    /// The events of a type (and of those below it) of one customer, as purchases.
    async fn purchases(&self, tenant: &Tenant, customer: CustomerId, kind: &str) -> Result<Vec<Purchase>, Fault>;

    /// What every customer with events of the type brings to the order of purchasers, as of now.
    async fn tallies(&self, tenant: &Tenant, kind: &str) -> Result<Vec<Tally>, Fault>;
}

/// What one look for due customers did.
#[derive(Debug, Clone, Default)]
pub struct Pass {
    /// How many were settled.
    pub customers: usize,
    /// When the next one is due, as of this look; may already have passed.
    pub next: Option<Timestamp>,
}

/// One step of a build.
#[derive(Debug, Clone)]
pub struct BuildStep {
    /// Whose.
    pub tenant: Tenant,
    /// Which segment.
    pub segment: SegmentId,
    /// How many customers were computed.
    pub customers: usize,
    /// Whether it was the last step.
    pub done: bool,
    /// Contains the step.
    pub revision: Revision,
}

/// Where an id leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The survivor; the id itself if it was not merged away.
    pub customer: CustomerId,
    /// Whether the survivor was erased.
    pub erased: bool,
}

/// A membership that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Which segment.
    pub segment: SegmentId,
    /// What it was.
    pub membership: Membership,
    /// When it ended.
    pub until: Timestamp,
    /// Why.
    pub left: Reason,
}
