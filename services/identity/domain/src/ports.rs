//! What a store of identity offers. Every method demands the tenant; there is no other way in.

use async_trait::async_trait;
use terms::{Caller, CustomerId, Fault, Identifier, Once, Tenant, Written};

use crate::{
    customer::Customer,
    explain_identity::Word,
    history::HistoryEntry,
    identify::{Identified, Identify},
    list_customers::ListQuery,
    list_identity_history::HistoryQuery,
    list_relations::RelationQuery,
    merge_customers::{MergeCustomers, Merged},
    record::{Claim, Record},
    relate_customers::{Relate, Relation},
    split_customer::{Parted, SplitCustomer},
    view::{Lead, Merge},
};

/// One verdict per command, in order.
pub type Verdicts = Vec<Result<Identified, Fault>>;

/// The customers of all tenants.
#[async_trait]
pub trait Customers: Send + Sync + 'static {
    /// Reads what the command touches, decides, and commits the change with its feed entries and, under `once`, the
    /// record of the answer, in one transaction. Commands that concern the same customers come one after the other.
    ///
    /// # Errors
    /// What the decision says; [`terms::Reason::RequestIdReused`]; what the store says.
    async fn identify(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: Identify,
    ) -> Result<Written<Identified>, Fault>;

    /// The same for many commands in one transaction, each decided on what the ones before it left. A command that
    /// fails has its own fault and does not stop the others.
    ///
    /// # Errors
    /// What the store says: then nothing was stored.
    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault>;

    /// Merges customers by hand: reads all of them, decides, and commits like [`Customers::identify`].
    ///
    /// # Errors
    /// What the decision says; [`terms::Reason::RequestIdReused`]; what the store says.
    async fn merge(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: MergeCustomers,
    ) -> Result<Written<Merged>, Fault>;

    /// Splits a customer: reads all of it, decides, and commits like [`Customers::identify`].
    ///
    /// # Errors
    /// What the decision says; [`terms::Reason::RequestIdReused`]; what the store says.
    async fn split(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: SplitCustomer,
    ) -> Result<Written<Parted>, Fault>;

    /// Where identifiers, already normalised, lead, in order; the customer is the survivor.
    ///
    /// # Errors
    /// What the store says.
    async fn leads(&self, tenant: &Tenant, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault>;

    /// Whom ids mean now, in order: one hop from any id that was merged away.
    ///
    /// # Errors
    /// What the store says.
    async fn resolve(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault>;

    /// Customers by id, in order; an id that was merged away gives the survivor. All are of one moment.
    ///
    /// # Errors
    /// What the store says.
    async fn get(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault>;

    /// A part of all customers, survivors only.
    ///
    /// # Errors
    /// What the store says.
    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault>;

    /// The records of a customer with their edges, oldest first.
    ///
    /// # Errors
    /// What the store says.
    async fn records(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault>;

    /// What holds the ids of a customer together, in no order: one merge for each alias.
    ///
    /// # Errors
    /// What the store says.
    async fn merges(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Merge>, Fault>;

    /// What was said by hand of these customers and holds: merges within each, cannot-links between any two of them. In
    /// no order.
    ///
    /// # Errors
    /// What the store says.
    async fn words(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Vec<Word>, Fault>;

    /// What happened to a customer and to those that were merged into it: a part of it, in the order asked for.
    ///
    /// # Errors
    /// What the store says.
    async fn history(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, Fault>;
}

/// The relations between customers of all tenants.
#[async_trait]
pub trait Relations: Send + Sync + 'static {
    /// Resolves the two customers, decides, and commits the change with its feed entries and, under `once`, the record
    /// of the answer, in one transaction. Gives the relation with its customers as they are now.
    ///
    /// # Errors
    /// [`terms::Reason::CustomerNotFound`]; what the decision says; [`terms::Reason::RequestIdReused`]; what the store
    /// says.
    async fn relate(&self, caller: &Caller, once: Option<Once>, command: Relate) -> Result<Written<Relation>, Fault>;

    /// A part of the relations of a customer, newest first, each with its customers as they are now.
    ///
    /// # Errors
    /// What the store says.
    async fn relations(&self, tenant: &Tenant, query: RelationQuery) -> Result<Vec<Relation>, Fault>;
}
