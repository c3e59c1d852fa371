//! Definitions and decisions on SQLite and PostgreSQL.
//!
//! | file | what is in it |
//! |---|---|
//! | `catalogs` | the definitions in memory, per tenant, kept right |
//! | `definitions` | versions of treatments and touchpoints |
//! | `log` | decisions, written in batches |
//! | `block` | a batch at rest |
//! | `index` | whose decisions are where |
//! | `find` | decisions and their effects, read |
//! | `outcomes` | how decisions went |
//! | `upkeep` | splits and erasures |
//! | `rows` | columns |

mod block;
mod catalogs;
mod definitions;
mod find;
mod index;
mod log;
pub(crate) mod migrations;
mod outcomes;
mod rows;
pub(crate) mod upkeep;

use std::sync::Arc;

use async_trait::async_trait;
use customization_domain::{
    catalog::{Catalog, Place},
    get_relationship::Effects,
    ports::{DecisionLog, Define, Definition, Definitions, Entry, How, Logged, Report},
    report_outcome::{DecisionId, Outcome},
    touchpoint::TouchpointId,
    treatment::{Treatment, TreatmentId},
};
use data::{FeedBatch, Store};
use terms::{CustomerId, Fault, Once, Revision, Tenant, Timestamp, Written};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::catalogs::Shelf;
use self::{catalogs::Catalogs, index::Indexer, log::Batches};

/// Both ports of the domain over one store. Cheap to clone.
#[derive(Clone)]
pub struct SqlStore {
    store: Store,
    catalogs: Arc<Catalogs>,
    batches: Batches,
    indexer: Arc<Indexer>,
}

impl SqlStore {
    /// Over a store that is migrated. Needs a Tokio runtime.
    pub fn new(store: Store) -> Self {
        let catalogs = Arc::new(Catalogs::default());
        let indexer = Arc::new(Indexer::default());
        Self { batches: Batches::start(store.clone(), indexer.clone()), store, catalogs, indexer }
    }

    /// The definitions of a tenant with what replies need of them; fresh as [`Definitions::catalog`] says.
    pub(crate) async fn shelf(&self, tenant: &Tenant, at_least: &Revision) -> Result<Arc<Shelf>, Fault> {
        match self.catalogs.fresh(tenant, at_least) {
            Some(shelf) => Ok(shelf),
            // Boxed: nearly always there is nothing to read.
            None => Box::pin(self.catalogs.refresh(&self.store, tenant)).await,
        }
    }

    /// Hears this service's own feed: what another replica defined.
    pub(crate) fn hear(&self, batch: &FeedBatch) {
        self.catalogs.hear(batch);
    }

    /// Indexes decisions that wait for it, some of them; how many blocks of them that were.
    ///
    /// # Errors
    /// What the store says.
    pub async fn index(&self) -> Result<usize, Fault> {
        index::turn(&self.store).await
    }

    /// Indexes in the background.
    pub(crate) fn keep_index(&self, shutdown: CancellationToken) -> JoinHandle<()> {
        let (store, indexer) = (self.store.clone(), self.indexer.clone());
        tokio::spawn(async move { indexer.run(&store, shutdown).await })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

#[async_trait]
impl Definitions for SqlStore {
    async fn catalog(&self, tenant: &Tenant, at_least: &Revision) -> Result<Arc<Catalog>, Fault> {
        Ok(self.shelf(tenant, at_least).await?.catalog.clone())
    }

    async fn treatment(&self, tenant: &Tenant, id: TreatmentId, version: u64) -> Result<Option<Treatment>, Fault> {
        definitions::treatment(&self.store, tenant, id, version).await
    }

    async fn touchpoint(&self, tenant: &Tenant, id: TouchpointId, version: u64) -> Result<Option<Place>, Fault> {
        definitions::touchpoint(&self.store, tenant, id, version).await
    }

    async fn place_at(&self, tenant: &Tenant, id: TouchpointId, catalog: i64) -> Result<Option<Place>, Fault> {
        definitions::place_at(&self.store, tenant, id, catalog).await
    }

    async fn define(&self, how: How, decide: Define) -> Result<Written<Definition>, Fault> {
        let tenant = how.tenant.clone();
        let written = definitions::define(&self.store, self.catalogs.clone(), how, decide).await?;
        // So that a decision of this process that begins now sees it.
        self.catalogs.refresh(&self.store, &tenant).await?;
        Ok(written)
    }
}

#[async_trait]
impl DecisionLog for SqlStore {
    async fn record(&self, entry: Entry) -> Result<Revision, Fault> {
        self.batches.record(entry).await
    }

    async fn record_once(&self, once: Once, entry: Entry, reply: Vec<u8>) -> Result<Written<Vec<u8>>, Fault> {
        let written = log::record_once(&self.store, once, entry, reply).await?;
        self.indexer.wrote(1);
        Ok(written)
    }

    async fn find(&self, tenant: &Tenant, id: DecisionId) -> Result<Option<Logged>, Fault> {
        find::find(&self.store, tenant, id).await
    }

    async fn find_all(&self, tenant: &Tenant, ids: &[DecisionId]) -> Result<Vec<Logged>, Fault> {
        find::find_all(&self.store, tenant, ids).await
    }

    async fn outcomes(&self, tenant: &Tenant, id: DecisionId) -> Result<Vec<Outcome>, Fault> {
        outcomes::all(&self.store, tenant, id).await
    }

    async fn report(&self, how: How, id: DecisionId, report: Report) -> Result<Written<(Outcome, bool)>, Fault> {
        outcomes::report(&self.store, self.catalogs.clone(), how, id, report).await
    }

    async fn effects(&self, tenant: &Tenant, customers: &[CustomerId], since: Timestamp) -> Result<Effects, Fault> {
        find::effects(&self.store, tenant, customers, since).await
    }

    async fn reassign(&self, tenant: &Tenant, to: CustomerId, vias: &[[u8; 32]]) -> Result<(), Fault> {
        let (tenant, vias): (Tenant, Arc<[[u8; 32]]>) = (tenant.clone(), vias.into());
        let written = self.store.write(move |tx| {
            let (tenant, vias) = (tenant.clone(), vias.clone());
            Box::pin(async move { upkeep::reassign(tx, &tenant, to, &vias).await })
        });
        written.await.map(|_| ())
    }

    async fn erase(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<(), Fault> {
        let (tenant, customers): (Tenant, Arc<[CustomerId]>) = (tenant.clone(), customers.into());
        let written = self.store.write(move |tx| {
            let (tenant, customers) = (tenant.clone(), customers.clone());
            Box::pin(async move { upkeep::erase(tx, &tenant, &customers).await })
        });
        written.await.map(|_| ())
    }
}
