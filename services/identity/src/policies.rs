//! The identity policies of the tenants: their table, and those in force in process.
//!
//! A policy is read once and kept; a change by this process counts at once, one by another replica as soon as the feed
//! tells of it.

use std::sync::Arc;

use data::{Dialect, FeedBatch, Sealer, Sql, Store, Tx};
use identity_domain::{
    Policy,
    update_identity_policy::{Edit, VersionedPolicy, update_identity_policy},
};
use moka::sync::Cache;
use parking_lot::Mutex;
use rapport_proto::feed::v1::{IdentityPolicyChanged, event::Event};
use sea_orm::{ConnectionTrait, QueryResult};
use terms::{Caller, CustomerId, Fault, Once, Revision, Tenant, Timestamp, Written};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::store::matching::refile;

/// How many tenants' policies are kept.
const KEPT: u64 = 10_000;

/// The policies of all tenants.
#[derive(Clone)]
pub(crate) struct Policies(Arc<Inner>);

struct Inner {
    store: Store,
    /// What holds for a tenant that has decided nothing.
    shipped: Arc<Policy>,
    known: Cache<Tenant, Arc<Policy>>,
    /// Rises with every change that is heard of, so that what was read before it is not kept.
    changes: Mutex<u64>,
    /// Rung when this process changes one.
    bell: Notify,
}

impl Policies {
    pub(crate) fn new(store: Store, shipped: Policy) -> Self {
        let known = Cache::builder().max_capacity(KEPT).build();
        Self(Arc::new(Inner { store, shipped: Arc::new(shipped), known, changes: Mutex::new(0), bell: Notify::new() }))
    }

    /// The policy in force.
    pub(crate) async fn get(&self, tenant: &Tenant) -> Result<Arc<Policy>, Fault> {
        if let Some(policy) = self.0.known.get(tenant) {
            return Ok(policy);
        }
        let before = *self.0.changes.lock();
        let stored = self.stored(tenant).await?;
        let policy = if stored.version == 0 { self.0.shipped.clone() } else { Arc::new(stored.policy) };
        let changes = self.0.changes.lock();
        if *changes == before {
            self.0.known.insert(tenant.clone(), policy.clone());
        }
        Ok(policy)
    }

    /// The policy as it is stored; shows every write that was acknowledged.
    pub(crate) async fn stored(&self, tenant: &Tenant) -> Result<VersionedPolicy, Fault> {
        let found = read(self.0.store.reader(), self.0.store.sealer(), tenant, false).await?;
        Ok(found.unwrap_or_else(|| VersionedPolicy::shipped((*self.0.shipped).clone())))
    }

    /// Changes the policy; with `validate_only` as if.
    pub(crate) async fn update(
        &self,
        caller: &Caller,
        once: Option<Once>,
        etag: String,
        edit: Edit,
        validate_only: bool,
    ) -> Result<Written<VersionedPolicy>, Fault> {
        let tenant = &caller.tenant;
        if validate_only {
            let now = self.0.store.clock().now();
            let value = update_identity_policy(self.stored(tenant).await?, &etag, &edit, now)?;
            return Ok(Written { value, revision: Revision::new(), replayed: false });
        }
        let (shipped, who, edit) = (self.0.shipped.clone(), caller.clone(), Arc::new((etag, edit)));
        let written = self.0.store.write_once(once, move |tx| {
            let (shipped, who, edit) = (shipped.clone(), who.clone(), edit.clone());
            Box::pin(async move { change(tx, &shipped, &who, &edit.0, &edit.1).await })
        });
        let written = written.await?;
        self.forget(Some(tenant));
        self.0.bell.notify_one();
        Ok(written)
    }

    /// Waits until this process changes a policy.
    pub(crate) async fn changed(&self) {
        self.0.bell.notified().await;
    }

    /// Hears the feed: what other replicas changed.
    pub(crate) fn hear(&self, batch: &FeedBatch) {
        if batch.restarted {
            self.forget(None);
        }
        for entry in &batch.entries {
            if let Some(Event::IdentityPolicyChanged(_)) = entry.change() {
                self.forget(Some(&entry.tenant));
            }
        }
    }

    /// What is known of a tenant's policy, or of any, counts no more.
    fn forget(&self, tenant: Option<&Tenant>) {
        let mut changes = self.0.changes.lock();
        *changes += 1;
        match tenant {
            Some(tenant) => self.0.known.invalidate(tenant),
            None => self.0.known.invalidate_all(),
        }
    }
}

async fn change(tx: &Tx, shipped: &Policy, caller: &Caller, etag: &str, edit: &Edit) -> Result<VersionedPolicy, Fault> {
    let tenant = &caller.tenant;
    tx.act_as(&caller.subject);
    let current = read(tx.conn(), tx.sealer(), tenant, tx.dialect() == Dialect::Postgres).await?;
    let current = current.unwrap_or_else(|| VersionedPolicy::shipped(shipped.clone()));
    let (before, was_disabled) = (current.version, current.policy.thresholds.probabilistic_disabled);
    let updated = update_identity_policy(current, etag, edit, tx.now())?;
    if updated.version == before {
        tx.observe(tenant, None);
        return Ok(updated);
    }
    let body = serde_json::to_vec(&updated.policy).map_err(Fault::internal)?;
    let values = vec![
        tenant.as_str().into(),
        tx.sealer().seal(tenant, nobody(), &body).into(),
        updated.version.into(),
        updated.updated_at.micros().into(),
        before.into(),
    ];
    // The first of two that begin with the shipped policy makes the row; the other starts again.
    let sql = "INSERT INTO identity_policy (tenant, body, version, updated_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (tenant) DO UPDATE SET body = excluded.body, version = excluded.version, \
               updated_at = excluded.updated_at WHERE identity_policy.version = $5";
    if tx.conn().run(sql, values).await? != 1 {
        return Err(data::retry("another transaction changed the identity policy first"));
    }
    if was_disabled && !updated.policy.thresholds.probabilistic_disabled {
        refile::ask(tx, tenant, false).await?;
    }
    tx.publish(tenant, None, Event::IdentityPolicyChanged(IdentityPolicyChanged { etag: updated.etag() }));
    Ok(updated)
}

async fn read<C: ConnectionTrait + Sync>(
    conn: &C,
    sealer: &Sealer,
    tenant: &Tenant,
    lock: bool,
) -> Result<Option<VersionedPolicy>, Fault> {
    let lock = if lock { " FOR UPDATE" } else { "" };
    let sql = format!("SELECT body, version, updated_at FROM identity_policy WHERE tenant = $1{lock}");
    let row = conn.row(&sql, vec![tenant.as_str().into()]).await?;
    row.map(|row| versioned(sealer, tenant, &row)).transpose()
}

fn versioned(sealer: &Sealer, tenant: &Tenant, row: &QueryResult) -> Result<VersionedPolicy, Fault> {
    let sealed: Vec<u8> = row.try_get_by_index(0).map_err(data::fault)?;
    let mut policy: Policy =
        serde_json::from_slice(&sealer.open(tenant, nobody(), &sealed)?).map_err(Fault::internal)?;
    policy.prepare();
    Ok(VersionedPolicy {
        policy,
        version: row.try_get_by_index(1).map_err(data::fault)?,
        updated_at: Timestamp(row.try_get_by_index(2).map_err(data::fault)?),
    })
}

/// A policy belongs to no customer, and its blocked values may be somebody's all the same.
fn nobody() -> CustomerId {
    CustomerId::from_uuid(Uuid::nil())
}
