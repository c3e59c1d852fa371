//! The models of the tenants, in process. Which one is in force is asked in every transaction; its bytes are read once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use data::Sql;
use identity_domain::matching::Matcher;
use identity_matching::model::Model;
use parking_lot::Mutex;
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, Fault, Tenant};
use uuid::Uuid;

use super::Hints;
use crate::store::{
    sealed::Sealing,
    sql::{Params, column},
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
        let turns = self.0.turns.lock().entry(tenant.clone()).or_default().clone();
        let _turn = turns.lock().await;
        write().await
    }

    /// A matcher of this version that is not in force.
    pub(in crate::store) async fn named(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
        version: &str,
    ) -> Result<Option<Matcher>, Fault> {
        let mut params = Params::of(conn.dialect(), sealing.tenant);
        let place = params.add(version);
        let sql =
            format!("SELECT number, model FROM matcher WHERE tenant = $1 AND version = {place} ORDER BY number DESC");
        let Some(row) = conn.row(&sql, params.values()).await? else { return Ok(None) };
        let model = open(sealing, &column::<Vec<u8>>(&row, 1)?)?;
        Ok(Some(Matcher::new(column(&row, 0)?, model, Vec::new())))
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

/// Models hold hashes of values that many people share: they are sealed as the tenant's own.
pub(in crate::store) fn open(sealing: Sealing<'_>, sealed: &[u8]) -> Result<Model, Fault> {
    let plain = sealing.sealer.open(sealing.tenant, nobody(), sealed)?;
    serde_json::from_slice(&plain).map_err(Fault::internal)
}

fn nobody() -> CustomerId {
    CustomerId::from_uuid(Uuid::nil())
}
