//! The models of the tenants, in process. Which one is in force is asked in every transaction; its bytes are read once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use data::{Sql, Tx, sql::insert_rows};
use identity_domain::matching::{Matcher, Trained};
use identity_matching::model::Model;
use parking_lot::Mutex;
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, Fault, Tenant};
use uuid::Uuid;

use super::Hints;
use crate::store::{
    sealed::Sealing,
    sql::{Params, column, time},
};

/// What some rows of `matcher` say: number and whether it is in force.
type Numbers = Vec<(i64, bool)>;

/// Compiled models by tenant.
#[derive(Clone, Default)]
pub(in crate::store) struct Matchers(Arc<Inner>);

#[derive(Default)]
struct Inner {
    shipped: Matcher,
    of: Mutex<HashMap<Tenant, (Numbers, Matcher)>>,
    turns: Mutex<HashMap<Tenant, Arc<tokio::sync::Mutex<()>>>>,
}

impl Matchers {
    /// The matcher in force; the shipped one where none was trained.
    pub(in crate::store) async fn current(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
    ) -> Result<Matcher, Fault> {
        let params = Params::of(conn.dialect(), sealing.tenant);
        let sql = "SELECT number, state FROM matcher WHERE tenant = $1 AND state <> 'idle' ORDER BY number";
        let mut numbers = Numbers::new();
        for row in conn.rows(sql, params.values()).await? {
            numbers.push((column(&row, 0)?, column::<String>(&row, 1)? == "active"));
        }
        if numbers.is_empty() {
            return Ok(self.0.shipped.clone());
        }
        if let Some((known, matcher)) = self.0.of.lock().get(sealing.tenant)
            && *known == numbers
        {
            return Ok(matcher.clone());
        }
        let matcher = self.load(conn, sealing, &numbers).await?;
        self.0.of.lock().insert(sealing.tenant.clone(), (numbers, matcher.clone()));
        Ok(matcher)
    }

    /// Does a write; if it met another that files records of the tenant, does it again in its turn.
    pub(in crate::store) async fn in_turn<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        tenant: &Tenant,
        hints: &Hints,
        write: impl Fn() -> F,
    ) -> Result<T, Fault> {
        let written = write().await;
        if written.is_ok() || !hints.must_wait() {
            return written;
        }
        let _turn = self.turn(tenant).await;
        write().await
    }

    /// Waits for everybody else of this process who files records of the tenant.
    pub(in crate::store) async fn turn(&self, tenant: &Tenant) -> tokio::sync::OwnedMutexGuard<()> {
        let turns = self.0.turns.lock().entry(tenant.clone()).or_default().clone();
        turns.lock_owned().await
    }

    /// A matcher by its version; an empty one: the one in force.
    pub(in crate::store) async fn find(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
        version: &str,
    ) -> Result<Option<Trained>, Fault> {
        let current = self.current(conn, sealing).await?;
        let in_force = version.is_empty() || version == current.version();
        if current.number() == 0 && (in_force || version == SHIPPED) {
            return Ok(Some(Trained::shipped(true)));
        }
        if version == SHIPPED {
            return Ok(Some(Trained::shipped(false)));
        }
        let mut params = Params::of(conn.dialect(), sealing.tenant);
        let place = params.add(if in_force { current.version() } else { version });
        let sql = format!(
            "SELECT number, model, records, created_at FROM matcher WHERE tenant = $1 AND version = {place} \
             ORDER BY number DESC"
        );
        let Some(row) = conn.row(&sql, params.values()).await? else { return Ok(None) };
        let matcher = match in_force {
            true => current,
            false => Matcher::new(column(&row, 0)?, open(sealing, &column::<Vec<u8>>(&row, 1)?)?, Vec::new()),
        };
        let records = column::<i64>(&row, 2)?.max(0).unsigned_abs();
        Ok(Some(Trained { matcher, active: in_force, records, created_at: Some(time(&row, 3)?) }))
    }

    async fn load(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
        numbers: &Numbers,
    ) -> Result<Matcher, Fault> {
        let mut active = (0, Model::default());
        let mut retiring: Vec<BTreeSet<u64>> = Vec::new();
        for (number, in_force) in numbers {
            let mut params = Params::of(conn.dialect(), sealing.tenant);
            let place = params.add(*number);
            let sql = format!("SELECT model FROM matcher WHERE tenant = $1 AND number = {place}");
            let row = conn.row(&sql, params.values()).await?;
            let row = row.ok_or_else(|| Fault::internal("a matcher is gone"))?;
            let model = open(sealing, &column::<Vec<u8>>(&row, 0)?)?;
            match in_force {
                true => active = (*number, model),
                false => retiring.push(model.stop_keys),
            }
        }
        Ok(Matcher::new(active.0, active.1, retiring))
    }
}

/// The version of the shipped matcher in requests.
const SHIPPED: &str = "default";

/// Stores a trained model under the tenant's next number, which it gives. Whoever calls holds the tenant's lock.
pub(super) async fn add(tx: &Tx, tenant: &Tenant, model: &Model, records: u64) -> Result<i64, Fault> {
    let params = Params::of(tx.dialect(), tenant);
    let sql = "SELECT COALESCE(MAX(number), 0) FROM matcher WHERE tenant = $1";
    let row = tx.conn().row(sql, params.values()).await?.ok_or_else(|| Fault::internal("a maximum has no row"))?;
    let number = column::<i64>(&row, 0)? + 1;
    insert(tx, tenant, (number, "idle"), model, records).await?;
    Ok(number)
}

async fn insert(
    tx: &Tx,
    tenant: &Tenant,
    (number, state): (i64, &str),
    model: &Model,
    records: u64,
) -> Result<(), Fault> {
    let plain = serde_json::to_vec(model).map_err(Fault::internal)?;
    let row = vec![
        tenant.as_str().into(),
        number.into(),
        model.version.as_str().into(),
        state.into(),
        tx.sealer().seal(tenant, nobody(), &plain).into(),
        i64::try_from(records).unwrap_or(i64::MAX).into(),
        tx.now().micros().into(),
    ];
    let into = "matcher (tenant, number, version, state, model, records, created_at)";
    let then = "ON CONFLICT (tenant, number) DO UPDATE SET state = excluded.state";
    insert_rows(tx.conn(), into, vec![row], then).await.map(drop)
}

/// Puts a matcher in force. The one before is retiring: records are filed by it until they are filed anew.
pub(super) async fn activate(tx: &Tx, tenant: &Tenant, number: i64) -> Result<(), Fault> {
    let params = || Params::of(tx.dialect(), tenant);
    let sql = "UPDATE matcher SET state = 'retiring' WHERE tenant = $1 AND state = 'active'";
    if tx.conn().run(sql, params().values()).await? == 0 {
        let shipped = Model { version: SHIPPED.to_owned(), ..Model::default() };
        insert(tx, tenant, (0, "retiring"), &shipped, 0).await?;
    }
    let mut values = params();
    let place = values.add(number);
    let sql = format!("UPDATE matcher SET state = 'active' WHERE tenant = $1 AND number = {place}");
    tx.conn().run(&sql, values.values()).await.map(drop)
}

/// Nothing is filed by former matchers any more.
pub(super) async fn retire(tx: &Tx, tenant: &Tenant) -> Result<(), Fault> {
    let params = || Params::of(tx.dialect(), tenant);
    // The shipped one needs no row.
    tx.conn().run("DELETE FROM matcher WHERE tenant = $1 AND number = 0", params().values()).await?;
    let sql = "UPDATE matcher SET state = 'idle' WHERE tenant = $1 AND state = 'retiring'";
    tx.conn().run(sql, params().values()).await.map(drop)
}

/// Models hold hashes of values that many people share: they are sealed as the tenant's own.
pub(in crate::store) fn open(sealing: Sealing<'_>, sealed: &[u8]) -> Result<Model, Fault> {
    let plain = sealing.sealer.open(sealing.tenant, nobody(), sealed)?;
    serde_json::from_slice(&plain).map_err(Fault::internal)
}

fn nobody() -> CustomerId {
    CustomerId::from_uuid(Uuid::nil())
}
