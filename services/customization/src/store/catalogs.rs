//! The definitions of every tenant in memory: immutable catalogs, replaced when something is defined.
//!
//! A catalog is right when this process defined last (it refreshes before it answers), and soon after another replica
//! did (the feed says so). A read with `at_least` is always right: a catalog knows up to where in the feed it goes.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use customization_domain::{catalog::Catalog, ports::Definition, treatment::TreatmentId};
use data::{FeedBatch, Sql, Store};
use parking_lot::RwLock;
use sea_orm::ConnectionTrait;
use terms::{CustomerId, Fault, Position, Revision, Service, Tenant, partition};
use uuid::Uuid;

use super::rows::column;

/// The definitions of a tenant, with what replies need of them.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) catalog: Arc<Catalog>,
    /// The contents of the treatments, as replies carry them.
    pub(crate) contents: HashMap<TreatmentId, prost_types::Value>,
    /// Up to where in the feed, in the partition of the definitions.
    stamp: Position,
    stale: AtomicBool,
}

impl Shelf {
    fn new(catalog: Arc<Catalog>, stamp: Position) -> Self {
        let content = |treatment: &customization_domain::treatment::Treatment| {
            let content = &treatment.spec.content;
            (!content.is_null()).then(|| (treatment.id, host::encode::json(content)))
        };
        let contents = catalog.treatments().filter_map(content).collect();
        Self { catalog, contents, stamp, stale: AtomicBool::new(false) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Catalogs(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    shelves: HashMap<Tenant, Arc<Shelf>>,
    /// Up to where the feed told of definitions: a shelf that does not go so far is stale.
    heard: HashMap<Tenant, Position>,
    /// How often the feed may have been missed in part.
    generation: u64,
}

impl Catalogs {
    /// What is in memory, if it is fresh enough.
    pub(crate) fn fresh(&self, tenant: &Tenant, at_least: &Revision) -> Option<Arc<Shelf>> {
        let shelf = self.0.read().shelves.get(tenant)?.clone();
        if shelf.stale.load(Ordering::Acquire) {
            return None;
        }
        if at_least.is_empty() {
            return Some(shelf);
        }
        let demanded = at_least.position(Service::Customization, definitions_partition(tenant)).unwrap_or_default();
        (shelf.stamp >= demanded).then_some(shelf)
    }

    /// Reads what is new. What was acknowledged before the call shows.
    pub(crate) async fn refresh(&self, store: &Store, tenant: &Tenant) -> Result<Arc<Shelf>, Fault> {
        let (known, generation) = {
            let inner = self.0.read();
            (inner.shelves.get(tenant).cloned().unwrap_or_default(), inner.generation)
        };
        // Before the rows are read: what is committed in between may show, and is not promised.
        let stamp = store.horizon().await?;
        let version = version(store.reader(), tenant).await?;
        let catalog = if version == known.catalog.version() {
            known.catalog.clone()
        } else {
            load(store.reader(), tenant, &known.catalog, version).await?
        };
        Ok(self.put(tenant, catalog, stamp, generation))
    }

    /// Keeps the newer of what is there and what comes; notes whether more was told of meanwhile.
    fn put(&self, tenant: &Tenant, catalog: Arc<Catalog>, stamp: Position, generation: u64) -> Arc<Shelf> {
        let shelf = Shelf::new(catalog, stamp);
        let mut inner = self.0.write();
        let heard = inner.heard.get(tenant).copied().unwrap_or_default();
        shelf.stale.store(stamp < heard || generation != inner.generation, Ordering::Release);
        let order = |shelf: &Shelf| (shelf.catalog.version(), shelf.stamp);
        if let Some(known) = inner.shelves.get(tenant)
            && order(known) > order(&shelf)
        {
            return known.clone();
        }
        let shelf = Arc::new(shelf);
        inner.shelves.insert(tenant.clone(), shelf.clone());
        shelf
    }

    /// The catalog at `version`, which stands in this transaction.
    pub(super) async fn standing<C: ConnectionTrait + Sync>(
        &self,
        conn: &C,
        tenant: &Tenant,
        version: i64,
    ) -> Result<Arc<Catalog>, Fault> {
        let known = self.known(tenant);
        match known.version().cmp(&version) {
            std::cmp::Ordering::Equal => Ok(known),
            std::cmp::Ordering::Less => load(conn, tenant, &known, version).await,
            // Cannot be while the row of the catalog is locked; all the same, only what the transaction sees counts.
            std::cmp::Ordering::Greater => load(conn, tenant, &Catalog::default(), version).await,
        }
    }

    /// What is in memory, fresh or not.
    pub(super) fn known(&self, tenant: &Tenant) -> Arc<Catalog> {
        self.0.read().shelves.get(tenant).map(|shelf| shelf.catalog.clone()).unwrap_or_default()
    }

    /// Something was defined, here or by another replica.
    pub(crate) fn hear(&self, batch: &FeedBatch) {
        let news = batch.entries.iter().filter(|entry| entry.kind == "definition.changed");
        let mut news = news.peekable();
        if news.peek().is_none() && !batch.restarted {
            return;
        }
        let mut inner = self.0.write();
        if batch.restarted {
            inner.generation += 1;
            inner.shelves.values().for_each(|shelf| shelf.stale.store(true, Ordering::Release));
        }
        for entry in news {
            let heard = inner.heard.entry(entry.tenant.clone()).or_default();
            *heard = entry.position.max(*heard);
            // What this process defined itself, it has read already.
            if let Some(shelf) = inner.shelves.get(&entry.tenant).filter(|shelf| shelf.stamp < entry.position) {
                shelf.stale.store(true, Ordering::Release);
            }
        }
    }
}

/// Definitions have no customer; they share the partition of the id that is all zeros.
fn definitions_partition(tenant: &Tenant) -> u16 {
    partition(tenant, CustomerId::from_uuid(Uuid::nil()))
}

pub(super) async fn version<C: ConnectionTrait + Sync>(conn: &C, tenant: &Tenant) -> Result<i64, Fault> {
    let row = conn.row("SELECT version FROM catalog WHERE tenant = $1", vec![tenant.as_str().into()]).await?;
    row.map_or(Ok(0), |row| column(&row, 0))
}

/// What stands at `version`, from what is known.
async fn load<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    known: &Catalog,
    version: i64,
) -> Result<Arc<Catalog>, Fault> {
    let sql = "SELECT body FROM definition WHERE tenant = $1 AND catalog_version > $2 AND catalog_version <= $3 \
               AND latest ORDER BY catalog_version";
    let values = vec![tenant.as_str().into(), known.version().into(), version.into()];
    let (mut treatments, mut touchpoints) = (Vec::new(), Vec::new());
    for row in conn.rows(sql, values).await? {
        match serde_json::from_str(&column::<String>(&row, 0)?).map_err(Fault::internal)? {
            Definition::Treatment(treatment) => treatments.push(treatment),
            Definition::Touchpoint(touchpoint) => touchpoints.push(touchpoint),
        }
    }
    known.after(version, treatments, touchpoints).map(Arc::new)
}
