//! The table `operation`.

use std::sync::Arc;

use prost::Message;
use rapport_proto::{google::rpc, r#type::v1::OperationProgress};
use sea_orm::{QueryResult, Value};
use terms::{Access, CustomerId, Fault, Id, Tenant, Timestamp};
use uuid::Uuid;

use super::{New, Operation, OperationId, Outcome, Progress, query::Filter};
use crate::{
    config::Dialect,
    replica::{clock, process},
    sealer::Sealer,
    sql::{Sql, column},
    store::{Store, Tx},
};

const OPEN: i32 = 0;
const SUCCEEDED: i32 = 1;
const FAILED: i32 = 2;

/// An operation that this replica has taken up.
pub(super) struct Claim {
    pub(super) tenant: Tenant,
    pub(super) id: OperationId,
    /// Under which name it was taken up: no other claim has the same.
    pub(super) owner: String,
    pub(super) kind: String,
    pub(super) unit: String,
    pub(super) actor: Arc<str>,
    pub(super) request: Arc<[u8]>,
    pub(super) progress: Progress,
    pub(super) checkpoint: Option<Arc<[u8]>>,
    /// How often it was taken up since it last got on, this time included.
    pub(super) attempts: u32,
    pub(super) cancelling: bool,
}

impl Claim {
    /// `$1`, `$2`, `$3`: whose it is; then `more`.
    fn values(&self, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut values = vec![self.tenant.as_str().into(), self.id.uuid().into(), self.owner.as_str().into()];
        values.extend(more);
        values
    }
}

/// Whose operation it is in whose hands.
const MINE: &str = "tenant = $1 AND id = $2 AND owner = $3 AND state = 0";

/// Operations are no customer's: what they hold is sealed under nobody's id.
fn nobody() -> CustomerId {
    Id::from_uuid(Uuid::nil())
}

fn seal(sealer: &Sealer, tenant: &Tenant, plain: &[u8]) -> Vec<u8> {
    sealer.seal(tenant, nobody(), plain)
}

fn open(sealer: &Sealer, tenant: &Tenant, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
    sealer.open(tenant, nobody(), sealed)
}

fn encode(progress: &Progress, unit: &str) -> Vec<u8> {
    let progress = OperationProgress {
        stage: progress.stage.clone(),
        done_units: i64::try_from(progress.done).unwrap_or(i64::MAX),
        total_units: i64::try_from(progress.total).unwrap_or(i64::MAX),
        unit: unit.to_owned(),
        ..OperationProgress::default()
    };
    progress.encode_to_vec()
}

/// The progress and its unit.
fn decode(bytes: &[u8]) -> Result<(Progress, String), Fault> {
    let told = OperationProgress::decode(bytes).map_err(Fault::internal)?;
    let (done, total) = (told.done_units.max(0).unsigned_abs(), told.total_units.max(0).unsigned_abs());
    Ok((Progress { stage: told.stage, done, total }, told.unit))
}

const fn code(access: Access) -> i32 {
    match access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Admin => 2,
    }
}

pub(super) async fn insert(tx: &Tx, id: OperationId, new: &New) -> Result<(), Fault> {
    let sql = "INSERT INTO operation (tenant, id, kind, access, actor, request, progress, created, updated) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)";
    let values = vec![
        new.tenant.as_str().into(),
        id.uuid().into(),
        new.kind.into(),
        code(new.access).into(),
        (*new.actor).into(),
        seal(tx.sealer(), &new.tenant, &new.request).into(),
        encode(&Progress::default(), new.unit).into(),
        tx.now().micros().into(),
    ];
    tx.conn().run(sql, values).await.map(drop)
}

const COLUMNS: &str = "id, kind, access, state, cancel, progress, result, created, updated";

fn operation(store: &Store, tenant: &Tenant, row: &QueryResult) -> Result<Operation, Fault> {
    let (progress, unit) = decode(&column::<Vec<u8>>(row, 5)?)?;
    let result = column::<Option<Vec<u8>>>(row, 6)?;
    let result = result.map(|sealed| open(store.sealer(), tenant, &sealed)).transpose()?.unwrap_or_default();
    let outcome = match column::<i32>(row, 3)? {
        OPEN => None,
        SUCCEEDED => Some(Outcome::Response(prost_types::Any::decode(&*result).map_err(Fault::internal)?)),
        _ => Some(Outcome::Error(rpc::Status::decode(&*result).map_err(Fault::internal)?)),
    };
    Ok(Operation {
        service: store.service(),
        id: Id::from_uuid(column(row, 0)?),
        kind: column(row, 1)?,
        access: match column::<i32>(row, 2)? {
            0 => Access::Read,
            1 => Access::Write,
            _ => Access::Admin,
        },
        progress,
        unit,
        created: Timestamp(column(row, 7)?),
        updated: Timestamp(column(row, 8)?),
        cancelling: column::<i32>(row, 4)? != 0,
        outcome,
    })
}

pub(super) async fn get(store: &Store, tenant: &Tenant, id: OperationId) -> Result<Option<Operation>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM operation WHERE tenant = $1 AND id = $2 AND deleted = 0");
    let row = store.reader().row(&sql, vec![tenant.as_str().into(), id.uuid().into()]).await?;
    row.map(|row| operation(store, tenant, &row)).transpose()
}

/// The newest first, those before `before`.
pub(super) async fn list(
    store: &Store,
    tenant: &Tenant,
    filter: &Filter,
    before: Option<OperationId>,
    limit: u32,
) -> Result<Vec<Operation>, Fault> {
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    let mut sql = format!("SELECT {COLUMNS} FROM operation WHERE tenant = $1 AND deleted = 0");
    if let Some(before) = before {
        values.push(before.uuid().into());
        sql.push_str(&format!(" AND id < ${}", values.len()));
    }
    if let Some(kind) = &filter.kind {
        values.push(kind.as_str().into());
        sql.push_str(&format!(" AND kind = ${}", values.len()));
    }
    match filter.done {
        Some(true) => sql.push_str(" AND state <> 0"),
        Some(false) => sql.push_str(" AND state = 0"),
        None => {}
    }
    sql.push_str(&format!(" ORDER BY id DESC LIMIT {limit}"));
    let rows = store.reader().rows(&sql, values).await?;
    rows.iter().map(|row| operation(store, tenant, row)).collect()
}

/// Asks it to stop; one that nobody holds ends with `status`. Says whether there is one.
pub(super) async fn cancel(tx: &Tx, tenant: &Tenant, id: OperationId, status: &rpc::Status) -> Result<bool, Fault> {
    let key = |more: Vec<Value>| {
        let mut values: Vec<Value> = vec![tenant.as_str().into(), id.uuid().into()];
        values.extend(more);
        values
    };
    let conn = tx.conn();
    let sql = "UPDATE operation SET cancel = 1, updated = $3 WHERE tenant = $1 AND id = $2 AND state = 0 \
               AND deleted = 0 AND cancel = 0";
    conn.run(sql, key(vec![tx.now().micros().into()])).await?;
    let result = seal(tx.sealer(), tenant, &status.encode_to_vec());
    let sql = format!(
        "UPDATE operation SET state = {FAILED}, result = $3, request = $4, checkpoint = NULL, updated = $5, ended = $5 \
         WHERE tenant = $1 AND id = $2 AND state = 0 AND owner = '' AND deleted = 0"
    );
    conn.run(&sql, key(vec![result.into(), Vec::<u8>::new().into(), tx.now().micros().into()])).await?;
    let sql = "SELECT 1 FROM operation WHERE tenant = $1 AND id = $2 AND deleted = 0";
    Ok(conn.row(sql, key(vec![])).await?.is_some())
}

/// Forgets it, at once or once it has ended. Says whether there was one.
pub(super) async fn delete(tx: &Tx, tenant: &Tenant, id: OperationId) -> Result<bool, Fault> {
    let key = || vec![tenant.as_str().into(), id.uuid().into()];
    let sql = "UPDATE operation SET deleted = 1 WHERE tenant = $1 AND id = $2 AND deleted = 0";
    let known = tx.conn().run(sql, key()).await? == 1;
    tx.conn().run("DELETE FROM operation WHERE tenant = $1 AND id = $2 AND state <> 0", key()).await?;
    Ok(known)
}

/// Whether there is an operation that has not ended: asked often, and cheap.
pub(super) async fn any_open(store: &Store) -> Result<bool, Fault> {
    let row = store.reader().row("SELECT 1 FROM operation WHERE state = 0 LIMIT 1", vec![]).await?;
    Ok(row.is_some())
}

/// SQLite belongs to one process: what another one held is left over from before.
pub(super) async fn inherit(tx: &Tx) -> Result<(), Fault> {
    if tx.dialect() == Dialect::Postgres {
        return Ok(());
    }
    let sql = "UPDATE operation SET owner = '', lease_until = 0 \
               WHERE state = 0 AND owner <> '' AND owner NOT LIKE $1";
    tx.conn().run(sql, vec![format!("{}/%", process()).into()]).await.map(drop)
}

/// Takes up the operation of one of these kinds that has waited longest, if nobody has it.
pub(super) async fn claim(tx: &Tx, kinds: &[&str], owner: &str, lease: i64) -> Result<Option<Claim>, Fault> {
    let now = clock(tx).await?;
    let mut values: Vec<Value> = vec![owner.into(), now.saturating_add(lease).into(), now.into()];
    let first = values.len() + 1;
    values.extend(kinds.iter().map(|kind| Value::from(*kind)));
    let kinds: Vec<String> = (first..=values.len()).map(|place| format!("${place}")).collect();
    let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!(
        "WITH next (of_tenant, of_id) AS (SELECT tenant, id FROM operation \
           WHERE state = 0 AND lease_until < $3 AND kind IN ({}) ORDER BY lease_until, id LIMIT 1 {lock}) \
         UPDATE operation SET owner = $1, lease_until = $2, attempts = attempts + 1 FROM next \
         WHERE tenant = of_tenant AND id = of_id \
         RETURNING tenant, id, kind, actor, request, progress, checkpoint, attempts, cancel",
        kinds.join(", ")
    );
    let Some(row) = tx.conn().row(&sql, values).await? else { return Ok(None) };
    let tenant: Tenant = column::<String>(&row, 0)?.parse().map_err(Fault::internal)?;
    let (progress, unit) = decode(&column::<Vec<u8>>(&row, 5)?)?;
    let checkpoint = column::<Option<Vec<u8>>>(&row, 6)?;
    let checkpoint = checkpoint.map(|sealed| open(tx.sealer(), &tenant, &sealed)).transpose()?;
    Ok(Some(Claim {
        id: Id::from_uuid(column(&row, 1)?),
        owner: owner.to_owned(),
        kind: column(&row, 2)?,
        unit,
        actor: column::<String>(&row, 3)?.into(),
        request: open(tx.sealer(), &tenant, &column::<Vec<u8>>(&row, 4)?)?.into(),
        progress,
        checkpoint: checkpoint.map(Into::into),
        attempts: column::<i32>(&row, 7)?.unsigned_abs(),
        cancelling: column::<i32>(&row, 8)? != 0,
        tenant,
    }))
}

/// Keeps the lease, and tells how far it has come. Gives whether cancellation was asked for; `None` if the operation is
/// in these hands no more.
pub(super) async fn renew(tx: &Tx, claim: &Claim, progress: &Progress, lease: i64) -> Result<Option<bool>, Fault> {
    let until = clock(tx).await?.saturating_add(lease);
    let progress = encode(progress, &claim.unit);
    let sql = format!(
        "UPDATE operation SET lease_until = $4, updated = CASE WHEN progress = $5 THEN updated ELSE $6 END, \
         progress = $5 WHERE {MINE} RETURNING cancel"
    );
    let values = claim.values([until.into(), progress.into(), tx.now().micros().into()]);
    let row = tx.conn().row(&sql, values).await?;
    row.map(|row| Ok(column::<i32>(&row, 0)? != 0)).transpose()
}

/// The fence: saves a checkpoint if the operation is still in these hands, and says whether it is.
pub(super) async fn save(tx: &Tx, claim: &Claim, progress: &Progress, checkpoint: &[u8]) -> Result<bool, Fault> {
    let sql = format!("UPDATE operation SET checkpoint = $4, progress = $5, updated = $6, attempts = 0 WHERE {MINE}");
    let values = claim.values([
        seal(tx.sealer(), &claim.tenant, checkpoint).into(),
        encode(progress, &claim.unit).into(),
        tx.now().micros().into(),
    ]);
    Ok(tx.conn().run(&sql, values).await? == 1)
}

/// Writes how it ended, if it is still in these hands.
pub(super) async fn finish(tx: &Tx, claim: &Claim, progress: &Progress, outcome: &Outcome) -> Result<bool, Fault> {
    let (state, result) = match outcome {
        Outcome::Response(response) => (SUCCEEDED, response.encode_to_vec()),
        Outcome::Error(status) => (FAILED, status.encode_to_vec()),
    };
    // What was asked is needed no more, and may be personal data.
    let sql = format!(
        "UPDATE operation SET state = {state}, result = $4, progress = $5, request = $6, checkpoint = NULL, \
         owner = '', lease_until = 0, updated = $7, ended = $7 WHERE {MINE}"
    );
    let values = claim.values([
        seal(tx.sealer(), &claim.tenant, &result).into(),
        encode(progress, &claim.unit).into(),
        Vec::<u8>::new().into(),
        tx.now().micros().into(),
    ]);
    let mine = tx.conn().run(&sql, values).await? == 1;
    let sql = "DELETE FROM operation WHERE tenant = $1 AND id = $2 AND state <> 0 AND deleted = 1";
    tx.conn().run(sql, vec![claim.tenant.as_str().into(), claim.id.uuid().into()]).await?;
    Ok(mine)
}

/// Gives it back, to be taken up again after `pause`. `counts` says whether this attempt counts among those that failed.
pub(super) async fn release(tx: &Tx, claim: &Claim, pause: i64, counts: bool) -> Result<(), Fault> {
    let until = if pause == 0 { 0 } else { clock(tx).await?.saturating_add(pause) };
    let attempts = if counts { "attempts" } else { "CASE WHEN attempts > 0 THEN attempts - 1 ELSE 0 END" };
    let sql = format!("UPDATE operation SET owner = '', lease_until = $4, attempts = {attempts} WHERE {MINE}");
    tx.conn().run(&sql, claim.values([until.into()])).await.map(drop)
}

/// How many operations one transaction removes.
const STEP: u64 = 1_000;

/// Removes what ended before `cutoff`; how many.
pub(crate) async fn prune(store: &Store, cutoff: Timestamp) -> Result<u64, Fault> {
    let mut pruned = 0;
    loop {
        let step = store.write(move |tx| {
            Box::pin(async move {
                let sql = format!(
                    "DELETE FROM operation WHERE (tenant, id) IN \
                     (SELECT tenant, id FROM operation WHERE ended < $1 ORDER BY ended LIMIT {STEP})"
                );
                tx.conn().run(&sql, vec![cutoff.micros().into()]).await
            })
        });
        let step = step.await?.value;
        pruned += step;
        if step < STEP {
            return Ok(pruned);
        }
    }
}
