//! Which replica works on which partition.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::FutureExt;
use sea_orm::Value;
use terms::{Fault, PARTITIONS, Position, Service};

use crate::{
    config::Dialect,
    replica::{clock, process},
    sql::{Sql, column, parameters},
    store::{Store, Tx},
};

/// One replica of one consumer of one feed.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    pub(super) consumer: &'static str,
    pub(super) service: Service,
    /// `<process>/<n>`.
    pub(super) owner: String,
    pub(super) lease: Duration,
}

/// What a renewal gave.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// The partitions and where their cursors are.
    pub(super) cursors: BTreeMap<u16, Position>,
    /// Whether this replica could do with more.
    pub(super) wants_more: bool,
}

impl Replica {
    pub(super) fn new(consumer: &'static str, service: Service, lease: Duration) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let owner = format!("{}/{}", process(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { consumer, service, owner, lease }
    }

    /// `$1`, `$2`: the consumer and the service; then `more`.
    fn values(&self, more: impl IntoIterator<Item = Value>) -> Vec<Value> {
        let mut values: Vec<Value> = vec![self.consumer.into(), self.service.name().into()];
        values.extend(more);
        values
    }

    /// Whether all cursors have a row.
    pub(super) async fn has_cursors(&self, store: &Store) -> Result<bool, Fault> {
        let sql = "SELECT COUNT(*) FROM feed_cursor WHERE consumer = $1 AND service = $2";
        let row = store.reader().row(sql, self.values([])).await?;
        let count: i64 = row.map(|row| column(&row, 0)).transpose()?.unwrap_or_default();
        Ok(count >= i64::from(PARTITIONS))
    }

    /// Writes the rows that are missing.
    pub(super) async fn make_cursors(&self, store: &Store, start: BTreeMap<u16, Position>) -> Result<(), Fault> {
        let replica = self.clone();
        let written = store.write(move |tx| {
            let (replica, start) = (replica.clone(), start.clone());
            async move {
                let mut values: Vec<Value> = Vec::new();
                for partition in 0..PARTITIONS {
                    let at = start.get(&partition).copied().unwrap_or_default();
                    values.extend(replica.values([i32::from(partition).into(), at.xid.into(), at.seq.into()]));
                    values.extend([Value::from(""), 0i64.into()]);
                }
                let sql = format!(
                    "INSERT INTO feed_cursor (consumer, service, partition, xid, seq, owner, lease_until) VALUES {} \
                     ON CONFLICT (consumer, service, partition) DO NOTHING",
                    parameters(tx.dialect(), usize::from(PARTITIONS), 7)
                );
                tx.conn().run(&sql, values).await.map(drop)
            }
            .boxed()
        });
        written.await.map(drop)
    }

    /// Says that this replica lives, renews what it holds, gives up what is more than its share, and takes what is
    /// free up to its share.
    pub(super) async fn renew(&self, store: &Store) -> Result<Held, Fault> {
        let replica = self.clone();
        let written = store
            .write(move |tx| {
                let replica = replica.clone();
                async move { replica.renew_in(tx).await }.boxed()
            })
            .await?;
        Ok(written.value)
    }

    async fn renew_in(&self, tx: &Tx) -> Result<Held, Fault> {
        let now = clock(tx).await?;
        let until = now + i64::try_from(self.lease.as_micros()).unwrap_or(i64::MAX / 4);
        let conn = tx.conn();
        let owner = || Value::from(self.owner.as_str());
        if tx.dialect() == Dialect::Sqlite {
            // One process at a time has the file: what another one holds is left over from before.
            let mine = format!("{}/%", process());
            let sql = "UPDATE feed_cursor SET owner = '', lease_until = 0 \
                       WHERE consumer = $1 AND service = $2 AND owner <> '' AND owner NOT LIKE $3";
            conn.run(sql, self.values([mine.as_str().into()])).await?;
            let sql = "DELETE FROM feed_follower WHERE consumer = $1 AND service = $2 AND owner NOT LIKE $3";
            conn.run(sql, self.values([mine.as_str().into()])).await?;
        }
        let sql = "INSERT INTO feed_follower (consumer, service, owner, lease_until) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (consumer, service, owner) DO UPDATE SET lease_until = excluded.lease_until";
        conn.run(sql, self.values([owner(), until.into()])).await?;
        let sql = "SELECT COUNT(*) FROM feed_follower WHERE consumer = $1 AND service = $2 AND lease_until >= $3";
        let row = conn.row(sql, self.values([now.into()])).await?;
        let replicas: i64 = row.map(|row| column(&row, 0)).transpose()?.unwrap_or(1).max(1);
        let share = (i64::from(PARTITIONS) + replicas - 1) / replicas;

        let sql = "UPDATE feed_cursor SET lease_until = $4 WHERE consumer = $1 AND service = $2 AND owner = $3 \
                   RETURNING partition, xid, seq";
        let mut cursors = places(conn.rows(sql, self.values([owner(), until.into()])).await?)?;
        let mut surplus = Vec::new();
        while i64::try_from(cursors.len()).unwrap_or(i64::MAX) > share {
            surplus.extend(cursors.pop_last().map(|(partition, _)| partition));
        }
        if !surplus.is_empty() {
            let list: Vec<String> = surplus.iter().map(u16::to_string).collect();
            let sql = format!(
                "UPDATE feed_cursor SET owner = '', lease_until = 0 \
                 WHERE consumer = $1 AND service = $2 AND owner = $3 AND partition IN ({})",
                list.join(", ")
            );
            conn.run(&sql, self.values([owner()])).await?;
        }
        let wanted = share - i64::try_from(cursors.len()).unwrap_or(i64::MAX);
        if wanted > 0 {
            let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
            let sql = format!(
                "UPDATE feed_cursor SET owner = $3, lease_until = $4 WHERE consumer = $1 AND service = $2 \
                 AND partition IN (SELECT partition FROM feed_cursor WHERE consumer = $1 AND service = $2 \
                 AND (owner = '' OR lease_until < $5) AND owner <> $3 ORDER BY partition LIMIT {wanted} {lock}) \
                 RETURNING partition, xid, seq"
            );
            cursors.extend(places(conn.rows(&sql, self.values([owner(), until.into(), now.into()])).await?)?);
        }
        let wants_more = i64::try_from(cursors.len()).unwrap_or(i64::MAX) < i64::from(PARTITIONS) / replicas;
        if surplus.is_empty() {
            let sql = "DELETE FROM feed_follower WHERE consumer = $1 AND service = $2 AND lease_until < $3";
            conn.run(sql, self.values([now.into()])).await?;
        }
        Ok(Held { cursors, wants_more })
    }

    /// Gives everything back.
    pub(super) async fn release(&self, store: &Store) -> Result<(), Fault> {
        let replica = self.clone();
        let written = store.write(move |tx| {
            let replica = replica.clone();
            async move {
                let owner = || [Value::from(replica.owner.as_str())];
                let sql = "UPDATE feed_cursor SET owner = '', lease_until = 0 \
                           WHERE consumer = $1 AND service = $2 AND owner = $3";
                tx.conn().run(sql, replica.values(owner())).await?;
                let sql = "DELETE FROM feed_follower WHERE consumer = $1 AND service = $2 AND owner = $3";
                tx.conn().run(sql, replica.values(owner())).await.map(drop)
            }
            .boxed()
        });
        written.await.map(drop)
    }

    /// Moves cursors, if they are where this replica left them and still its own: the fence. Says whether they were.
    pub(super) async fn advance(&self, tx: &Tx, moves: &[Move]) -> Result<bool, Fault> {
        let mut values = self.values([Value::from(self.owner.as_str())]);
        let mut rows = Vec::with_capacity(moves.len());
        for step in moves {
            let n = values.len();
            rows.push(format!(
                "(CAST(${} AS INTEGER), CAST(${} AS BIGINT), CAST(${} AS BIGINT), CAST(${} AS BIGINT), \
                 CAST(${} AS BIGINT))",
                n + 1,
                n + 2,
                n + 3,
                n + 4,
                n + 5
            ));
            values.push(i32::from(step.partition).into());
            values.extend([step.from.xid, step.from.seq, step.to.xid, step.to.seq].map(Value::from));
        }
        let sql = format!(
            "WITH m (partition, old_xid, old_seq, new_xid, new_seq) AS (VALUES {}) \
             UPDATE feed_cursor SET xid = m.new_xid, seq = m.new_seq FROM m \
             WHERE feed_cursor.consumer = $1 AND feed_cursor.service = $2 AND feed_cursor.owner = $3 \
             AND feed_cursor.partition = m.partition AND feed_cursor.xid = m.old_xid AND feed_cursor.seq = m.old_seq",
            rows.join(", ")
        );
        Ok(tx.conn().run(&sql, values).await? == moves.len() as u64)
    }
}

/// One cursor's step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) partition: u16,
    pub(super) from: Position,
    pub(super) to: Position,
}

fn places(rows: Vec<sea_orm::QueryResult>) -> Result<BTreeMap<u16, Position>, Fault> {
    rows.iter()
        .map(|row| {
            let partition = u16::try_from(column::<i32>(row, 0)?).map_err(Fault::internal)?;
            Ok((partition, Position { xid: column(row, 1)?, seq: column(row, 2)? }))
        })
        .collect()
}
