//! Retention: entries that are old enough go, oldest first, and what is gone is remembered.

use std::collections::BTreeMap;

use terms::{CustomerId, Fault, Position, Tenant, Timestamp, partition};

use super::outbox;
use crate::{
    config::Dialect,
    sql::{Sql, column},
    store::Tx,
};

/// How many entries one transaction removes.
const STEP: usize = 5_000;

/// Removes up to [`STEP`] of the oldest entries that were stored before `cutoff`; how many.
pub(crate) async fn step(tx: &Tx, cutoff: Timestamp) -> Result<usize, Fault> {
    let bound = match tx.dialect() {
        Dialect::Postgres => format!("WHERE xid < {} ORDER BY xid, seq", outbox::BOUND),
        Dialect::Sqlite => "ORDER BY seq".to_owned(),
    };
    let sql = format!("SELECT partition, xid, seq, at FROM feed_entry {bound} LIMIT {STEP}");
    let mut last = None;
    let mut gone = BTreeMap::new();
    let mut count = 0;
    for row in tx.conn().rows(&sql, vec![]).await? {
        // The feed is nearly in the order of time: what stands behind a younger entry goes with it, later.
        if column::<i64>(&row, 3)? >= cutoff.micros() {
            break;
        }
        let position = Position { xid: column(&row, 1)?, seq: column(&row, 2)? };
        gone.insert(column::<i32>(&row, 0)?, position);
        last = Some(position);
        count += 1;
    }
    let Some(last) = last else { return Ok(0) };
    for (partition, position) in gone {
        let sql = "INSERT INTO feed_pruned (partition, xid, seq) VALUES ($1, $2, $3) ON CONFLICT (partition) \
                   DO UPDATE SET xid = excluded.xid, seq = excluded.seq \
                   WHERE (excluded.xid, excluded.seq) > (feed_pruned.xid, feed_pruned.seq)";
        tx.conn().run(sql, vec![partition.into(), position.xid.into(), position.seq.into()]).await?;
    }
    let sql = "DELETE FROM feed_entry WHERE (xid, seq) <= ($1, $2)";
    let sql = if tx.dialect() == Dialect::Sqlite { "DELETE FROM feed_entry WHERE $1 = 0 AND seq <= $2" } else { sql };
    tx.conn().run(sql, vec![last.xid.into(), last.seq.into()]).await?;
    Ok(count)
}

/// What tells the consumers of an erasure; it holds ids alone.
pub(crate) const KEPT_KIND: &str = "customer.erased";

/// Empties every entry of a customer: the entries stay, so that the order stands; what they said goes.
pub(crate) async fn blank(tx: &Tx, tenant: &Tenant, customer: CustomerId) -> Result<u64, Fault> {
    let sql = "UPDATE feed_entry SET event = NULL, actor = '' \
               WHERE partition = $1 AND tenant = $2 AND customer = $3 AND event IS NOT NULL AND kind <> $4";
    let place = i32::from(partition(tenant, customer));
    tx.conn().run(sql, vec![place.into(), tenant.as_str().into(), customer.uuid().into(), KEPT_KIND.into()]).await
}
