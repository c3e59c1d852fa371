//! Idempotent writes (AIP-155): the request id is claimed in the transaction that it names.

use prost::Message;
use sea_orm::Value;
use sha2::{Digest, Sha256};
use terms::{Caller, CustomerId, Fault, Once, Reason, Revision};
use uuid::Uuid;

use super::{
    each::Share,
    tx::{Effects, Tx},
};
use crate::{
    config::Dialect,
    sql::{Sql, column, insert_rows},
};

/// The idempotency key of a request; `None` if it carries no `request_id`. `body` is the whole request.
pub fn once(caller: &Caller, method: &'static str, request_id: &str, body: &impl Message) -> Option<Once> {
    (!request_id.is_empty()).then(|| Once {
        tenant: caller.tenant.clone(),
        method,
        request_id: request_id.to_owned(),
        fingerprint: Sha256::digest(body.encode_to_vec()).into(),
    })
}

/// What is known of a request id.
pub(super) enum Recorded {
    /// Nothing: it is now claimed.
    Never,
    /// The answer that was given.
    Before { reply: Vec<u8>, revision: Revision },
}

/// Claims the request id, or finds the answer. On PostgreSQL a second call with the same id waits here until the
/// first one has ended.
pub(super) async fn claim(tx: &Tx, once: &Once) -> Result<Recorded, Fault> {
    let sql = "INSERT INTO idempotency (tenant, method, request_id, fingerprint, at) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (tenant, method, request_id) DO NOTHING";
    let mut values = key(once);
    values.extend([once.fingerprint.to_vec().into(), tx.now().micros().into()]);
    if tx.conn().run(sql, values).await? == 1 {
        return Ok(Recorded::Never);
    }
    recorded(tx, once).await
}

/// Claims the request ids of several calls of one transaction, none of which comes twice; what is known of each. A call
/// without one was never carried out.
pub(super) async fn claim_each(tx: &Tx, onces: &[Option<Once>]) -> Result<Vec<Result<Recorded, Fault>>, Fault> {
    let mut wanted: Vec<&Once> = onces.iter().flatten().collect();
    // In the order of the key, in which every transaction claims.
    wanted.sort_by(|a, b| (&a.method, &a.request_id).cmp(&(&b.method, &b.request_id)));
    let row = |once: &&Once| {
        let mut values = key(once);
        values.extend([once.fingerprint.to_vec().into(), tx.now().micros().into()]);
        values
    };
    let rows: Vec<Vec<Value>> = wanted.iter().map(row).collect();
    let into = "idempotency (tenant, method, request_id, fingerprint, at)";
    let then = "ON CONFLICT (tenant, method, request_id) DO NOTHING";
    let new = insert_rows(tx.conn(), into, rows, then).await? == wanted.len() as u64;
    let mut known = Vec::with_capacity(onces.len());
    for once in onces {
        known.push(match once {
            Some(once) if !new => match recorded(tx, once).await {
                // Not a fault of this call: the transaction starts again.
                Err(fault) if crate::error::is_conflict(&fault) => return Err(fault),
                outcome => outcome,
            },
            _ => Ok(Recorded::Never),
        });
    }
    Ok(known)
}

/// What a claimed request id holds: nothing, where this transaction claimed it.
async fn recorded(tx: &Tx, once: &Once) -> Result<Recorded, Fault> {
    let sql = "SELECT fingerprint, revision, reply, customers FROM idempotency \
               WHERE tenant = $1 AND method = $2 AND request_id = $3";
    let Some(row) = tx.conn().row(sql, key(once)).await? else {
        // It was pruned between the two statements.
        return Err(crate::retry("a recorded answer went away"));
    };
    if column::<Vec<u8>>(&row, 0)? != once.fingerprint {
        let message = "this `request_id` came before with another body; use a new one for a new request";
        return Err(Fault::new(Reason::RequestIdReused, message).with("request_id", once.request_id.clone()));
    }
    let Some(revision) = column::<Option<Vec<u8>>>(&row, 1)? else { return Ok(Recorded::Never) };
    let customers: Option<Vec<u8>> = column(&row, 3)?;
    let sealed: Option<Vec<u8>> = column(&row, 2)?;
    let sealed = sealed.ok_or_else(|| {
        Fault::new(Reason::CustomerErased, "the answer to this `request_id` was erased with the customer")
    })?;
    let reply = tx.sealer().open(&once.tenant, holder(customers.as_deref().unwrap_or_default()), &sealed)?;
    let revision = Revision::from_bytes(&revision).map_err(Fault::internal)?;
    Ok(Recorded::Before { reply, revision })
}

/// Records the answer of the first call.
pub(super) async fn record(tx: &Tx, once: &Once, reply: &[u8], effects: &Effects) -> Result<(), Fault> {
    let customers: Vec<u8> = effects.customers.iter().flat_map(|c| *c.as_bytes()).collect();
    let sealed = tx.sealer().seal(&once.tenant, holder(&customers), reply);
    let sql = "UPDATE idempotency SET revision = $4, customers = $5, reply = $6 \
               WHERE tenant = $1 AND method = $2 AND request_id = $3";
    let mut values = key(once);
    values.extend([effects.revision.to_bytes().into(), customers.into(), sealed.into()]);
    match tx.conn().run(sql, values).await? {
        1 => Ok(()),
        n => Err(Fault::internal(format!("an answer was recorded {n} times"))),
    }
}

/// Records the answers of calls that were claimed together.
pub(super) async fn record_each(tx: &Tx, answers: Vec<(&Once, Vec<u8>, Share)>) -> Result<(), Fault> {
    let row = |(once, reply, share): (&Once, Vec<u8>, Share)| {
        let customers: Vec<u8> = share.customers.iter().flat_map(|c| *c.as_bytes()).collect();
        let sealed = tx.sealer().seal(&once.tenant, holder(&customers), &reply);
        let mut values = key(once);
        values.extend([once.fingerprint.to_vec().into(), tx.now().micros().into()]);
        values.extend([share.revision.to_bytes().into(), customers.into(), sealed.into()]);
        values
    };
    let rows = answers.into_iter().map(row).collect();
    let into = "idempotency (tenant, method, request_id, fingerprint, at, revision, customers, reply)";
    let then = "ON CONFLICT (tenant, method, request_id) DO UPDATE SET revision = excluded.revision, \
                customers = excluded.customers, reply = excluded.reply";
    insert_rows(tx.conn(), into, rows, then).await.map(drop)
}

/// Gives back the request ids of calls that failed: the next one with the same id is carried out.
pub(super) async fn unclaim(tx: &Tx, onces: &[&Once]) -> Result<(), Fault> {
    for once in onces {
        let sql = "DELETE FROM idempotency WHERE tenant = $1 AND method = $2 AND request_id = $3";
        tx.conn().run(sql, key(once)).await?;
    }
    Ok(())
}

/// Adds to the revision of a recorded answer; gives the whole.
pub(super) async fn add(tx: &Tx, once: &Once, more: &Revision) -> Result<Revision, Fault> {
    let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE" } else { "" };
    let sql = format!("SELECT revision FROM idempotency WHERE tenant = $1 AND method = $2 AND request_id = $3 {lock}");
    let mut whole = more.clone();
    // What was pruned is recorded no more, and need not be.
    let Some(row) = tx.conn().row(&sql, key(once)).await? else { return Ok(whole) };
    let recorded = column::<Option<Vec<u8>>>(&row, 0)?.unwrap_or_default();
    whole.merge(&Revision::from_bytes(&recorded).map_err(Fault::internal)?);
    let sql = "UPDATE idempotency SET revision = $4 WHERE tenant = $1 AND method = $2 AND request_id = $3";
    let mut values = key(once);
    values.push(whole.to_bytes().into());
    tx.conn().run(sql, values).await?;
    Ok(whole)
}

fn key(once: &Once) -> Vec<Value> {
    vec![once.tenant.as_str().into(), once.method.into(), once.request_id.as_str().into()]
}

/// Under whose key the answer is sealed: the first customer whom it concerns.
fn holder(customers: &[u8]) -> CustomerId {
    let first = customers.get(..16).and_then(|bytes| Uuid::from_slice(bytes).ok());
    CustomerId::from_uuid(first.unwrap_or_default())
}
