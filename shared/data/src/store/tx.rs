//! One transaction.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, Fault, Position, Revision, Service, Tenant, Timestamp, partition};
use uuid::Uuid;

use super::Shared;
use crate::{
    config::Dialect,
    feed::{Entry, IntoEvent, outbox, outbox::Draft, prune},
    sealer::Sealer,
    sql::Sql,
};

/// One transaction, on behalf of one piece of work.
pub struct Tx {
    conn: Arc<DatabaseTransaction>,
    shared: Arc<Shared>,
    now: Timestamp,
    notes: Mutex<Notes>,
}

/// What the work has told so far.
#[derive(Default)]
struct Notes {
    actor: Option<Arc<str>>,
    drafts: Vec<Draft>,
    customers: BTreeSet<CustomerId>,
    observed: BTreeSet<u16>,
    erased: Vec<(Tenant, CustomerId)>,
}

/// What a piece of work leaves behind when its transaction commits.
#[derive(Default)]
pub(crate) struct Effects {
    pub(crate) entries: Vec<Entry>,
    pub(crate) revision: Revision,
    pub(crate) customers: BTreeSet<CustomerId>,
    pub(crate) erased: Vec<(Tenant, CustomerId)>,
}

impl Tx {
    pub(super) fn new(conn: Arc<DatabaseTransaction>, shared: Arc<Shared>) -> Self {
        let now = shared.options.clock.now();
        Self { conn, shared, now, notes: Mutex::default() }
    }

    /// For statements. A nested `begin()` on it is a savepoint. See [`Sql`] for raw ones.
    pub fn conn(&self) -> &DatabaseTransaction {
        &self.conn
    }

    /// Which SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.shared.dialect()
    }

    /// Whose schema it is.
    pub fn service(&self) -> Service {
        self.shared.service
    }

    /// Seals and opens personal data.
    pub fn sealer(&self) -> &Sealer {
        &self.shared.options.sealer
    }

    /// When the transaction began.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Says who causes what is published from here on: a credential's subject. Unsaid, it is the service.
    pub fn act_as(&self, actor: &str) {
        let mut notes = self.notes.lock();
        if notes.actor.as_deref() != Some(actor) {
            notes.actor = Some(actor.into());
        }
    }

    /// Publishes a change in this service's feed. Entries are written together, in this order, before the commit;
    /// they make the write's revision. `customer` is `None` for definitions, which share one partition per tenant.
    pub fn publish(&self, tenant: &Tenant, customer: impl Into<Option<CustomerId>>, event: impl IntoEvent) {
        let customer = customer.into();
        let mut notes = self.notes.lock();
        let actor = notes.actor.get_or_insert_with(|| self.shared.service.name().into()).clone();
        notes.customers.extend(customer);
        notes.drafts.push(Draft {
            partition: partition_of(tenant, customer),
            tenant: tenant.clone(),
            customer,
            actor,
            event: event.into_event(),
        });
    }

    /// Notes that the recorded answer speaks of `customer`, so that an erasure finds it. Publishing notes it too.
    pub fn concerns(&self, customer: CustomerId) {
        self.notes.lock().customers.insert(customer);
    }

    /// Makes the write's revision cover what this transaction saw of `customer`, for a write that may publish
    /// nothing: a repeated one.
    pub fn observe(&self, tenant: &Tenant, customer: impl Into<Option<CustomerId>>) {
        self.notes.lock().observed.insert(partition_of(tenant, customer.into()));
    }

    /// Empties what the feed and the recorded answers say of an erased customer: what it was, who caused it.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn purge(&self, tenant: &Tenant, customer: CustomerId) -> Result<(), Fault> {
        prune::blank(self, tenant, customer).await?;
        let sql = match self.dialect() {
            Dialect::Postgres => {
                "UPDATE idempotency SET reply = NULL WHERE tenant = $1 AND position($2 IN customers) > 0"
            }
            Dialect::Sqlite => "UPDATE idempotency SET reply = NULL WHERE tenant = $1 AND instr(customers, $2) > 0",
        };
        self.conn().run(sql, vec![tenant.as_str().into(), customer.as_bytes().to_vec().into()]).await?;
        self.notes.lock().erased.push((tenant.clone(), customer));
        Ok(())
    }

    /// Writes what was published; afterwards the transaction can commit.
    pub(super) async fn finish(&self) -> Result<Effects, Fault> {
        let notes = std::mem::take(&mut *self.notes.lock());
        let mut effects = Effects { erased: notes.erased, ..Effects::default() };
        effects.customers = notes.customers;
        if !notes.observed.is_empty() {
            let partitions: Vec<u16> = notes.observed.into_iter().collect();
            for (partition, position) in outbox::newest(self.conn(), &partitions).await? {
                effects.revision.raise(self.service(), partition, position);
            }
        }
        if !notes.drafts.is_empty() {
            effects.entries = outbox::insert(self.conn(), self.sealer(), self.now, notes.drafts).await?;
            let mut last: BTreeMap<u16, Position> = BTreeMap::new();
            for entry in &effects.entries {
                last.insert(entry.partition, entry.position);
            }
            for (partition, position) in last {
                effects.revision.raise(self.service(), partition, position);
            }
        }
        Ok(effects)
    }
}

/// Definitions have no customer; they share the partition of the id that is all zeros.
fn partition_of(tenant: &Tenant, customer: Option<CustomerId>) -> u16 {
    partition(tenant, customer.unwrap_or(CustomerId::from_uuid(Uuid::nil())))
}
