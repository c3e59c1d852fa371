//! The customers on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | [`migrations`] | the tables |
//! | `identify`, `together` | `Identify`, for one command or for many; calls that share a transaction |
//! | `by_hand` | what stewards do |
//! | `load`, `whole` | the view that commands need, under locks; all of a customer |
//! | `save` | what they changed |
//! | `matching` | what the matcher keeps |
//! | `read` | reads |
//! | `history` | what happened to them |
//! | `relations` | what joins customers |
//! | `search` | what stewards find customers by |
//! | `rows`, `sealed`, `sql` | columns to values; what is sealed; where the two databases differ |

mod by_hand;
mod history;
mod identify;
mod load;
pub(crate) mod matching;
pub(crate) mod migrations;
mod read;
mod relations;
mod rows;
mod save;
mod sealed;
pub(crate) mod search;
mod sql;
mod together;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use data::Store;
use identity_domain::{
    Customer, Customers, HistoryEntry, HistoryQuery, Identified, Identify, Kind, Lead, Merge, MergeCustomers, Merged,
    Parted, Record, SplitCustomer, Verdicts, explain_identity::Word, list_customers::ListQuery, record::Claim,
};
use profile::{Marks, Section};
use terms::{Caller, CustomerId, Fault, Identifier, Ids, Once, Tenant, Written};

use self::{
    by_hand::Hand,
    matching::{Blocks, Matchers},
    read::Reading,
    sealed::Sealing,
    together::Together,
};
use crate::reader::Reader;

/// The customers of all tenants in one [`Store`].
#[derive(Clone)]
pub struct SqlCustomers {
    store: Store,
    ids: Arc<Ids>,
    marks: Marks,
    reader: Option<Reader>,
    matchers: Matchers,
    blocks: Blocks,
    together: Together,
}

impl SqlCustomers {
    /// Over a store of this service. `marks` hears of every customer that changed.
    pub fn new(store: Store, ids: Arc<Ids>, marks: Marks) -> Self {
        let (matchers, blocks, together) = (Matchers::default(), Blocks::new(store.clone()), Together::default());
        Self { store, ids, marks, reader: None, matchers, blocks, together }
    }

    /// Tells `reader`, too, of every customer that changed.
    #[must_use]
    pub(crate) fn tell(self, reader: Reader) -> Self {
        Self { reader: Some(reader), ..self }
    }

    fn read<'a>(&'a self, tenant: &'a Tenant) -> Reading<'a> {
        Reading { conn: self.store.reader(), sealing: Sealing { sealer: self.store.sealer(), tenant } }
    }

    async fn mark(&self, tenant: &Tenant, changed: &[CustomerId], revision: &terms::Revision) {
        if let Some(reader) = &self.reader {
            reader.changed(tenant, changed, revision);
        }
        if !changed.is_empty() {
            self.marks.mark(tenant, changed, Section::Identity, revision).await;
        }
    }
}

#[async_trait]
impl Customers for SqlCustomers {
    async fn identify(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: Identify,
    ) -> Result<Written<Identified>, Fault> {
        if command.validate_only {
            return self.validate(caller, command).await;
        }
        self.take_in(caller, once, command).await
    }

    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
        self.take_in_all(caller, commands).await
    }

    async fn merge(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: MergeCustomers,
    ) -> Result<Written<Merged>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, Hand::merge(command)).await
    }

    async fn split(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: SplitCustomer,
    ) -> Result<Written<Parted>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, Hand::split(command)).await
    }

    async fn leads(&self, tenant: &Tenant, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault> {
        self.read(tenant).leads(identifiers).await
    }

    async fn resolve(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault> {
        self.read(tenant).resolve(ids).await
    }

    async fn get(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault> {
        self.read(tenant).get(ids).await
    }

    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault> {
        self.read(tenant).list(query).await
    }

    async fn records(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault> {
        self.read(tenant).records(customer).await
    }

    async fn merges(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Merge>, Fault> {
        self.read(tenant).merges(customer).await
    }

    async fn words(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Vec<Word>, Fault> {
        self.read(tenant).words(customers).await
    }

    async fn history(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, Fault> {
        self.read(tenant).history(customer, query).await
    }
}

/// How a sort of party is stored.
fn kind_code(kind: Kind) -> i32 {
    match kind {
        Kind::Person => 1,
        Kind::Household => 2,
        Kind::Organization => 3,
    }
}
