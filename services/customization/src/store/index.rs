//! Which decisions were made for a customer, and which were named by an identifier: an inverted index over the blocks.
//!
//! An entry of an index for each decision as it is made would cost a page of the log each time, more than the decision
//! itself. So blocks wait, and are indexed together, a second or some thousand decisions later: their postings, spread
//! over [`SHARDS`] by what they are found by, are one row for each shard. Whoever reads before then reads the blocks that
//! wait as well, in the same statement: a decision is found from its commit on.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use customization_domain::report_outcome::DecisionId;
use data::{Sql, Store, Tx, sql::insert_rows};
use prost::{Message, bytes::Bytes};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use terms::{CustomerId, Fault, Tenant, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    block::{self, Line, least},
    rows::{NOBODY, column, id, ids, list},
};

/// Over how many rows the postings of one turn are spread.
const SHARDS: u8 = 255;
/// How many blocks are indexed in one turn at most.
const TURN: usize = 128;
/// How many rows of the index one transaction writes.
const STEP: usize = 64;
/// How many decisions wait at most while the indexer keeps up.
const FULL: usize = 4_096;
/// How long a decision waits.
const WAIT: Duration = Duration::from_secs(1);
/// Every so many waits, blocks that another process left are looked for.
const STRAY: u32 = 30;

/// A decision, as it is found by a customer or by an identifier.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Posting {
    /// 16 bytes of a customer, or 32 of the look-up key of an identifier.
    #[prost(bytes = "bytes", tag = "1")]
    of: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    decision: Bytes,
    /// For whom it was made; empty where `of` says so, too.
    #[prost(bytes = "bytes", tag = "3")]
    customer: Bytes,
    /// When, in microseconds.
    #[prost(int64, tag = "4")]
    at: i64,
    /// The greatest id of its block.
    #[prost(bytes = "bytes", tag = "5")]
    block: Bytes,
}

/// One row of the index.
#[derive(Clone, PartialEq, Message)]
struct Postings {
    #[prost(message, repeated, tag = "1")]
    postings: Vec<Posting>,
}

/// A decision that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    pub(super) decision: DecisionId,
    /// The id that it belongs to, unless it was moved.
    pub(super) owner: Option<CustomerId>,
    /// Under whom it is sealed.
    pub(super) made_for: Option<CustomerId>,
    pub(super) at: Timestamp,
    pub(super) block: Uuid,
}

impl Posting {
    fn made(&self) -> Result<Made, Fault> {
        let customer = |id: &[u8]| if id.is_empty() { Ok(None) } else { block::id(id).map(Some) };
        let by_customer = self.of.len() == 16;
        Ok(Made {
            decision: block::id(&self.decision)?,
            owner: customer(if by_customer { &self.of } else { &self.customer })?,
            made_for: customer(if by_customer && self.customer.is_empty() { &self.of } else { &self.customer })?,
            at: Timestamp(self.at),
            block: block::uuid(&self.block)?,
        })
    }
}

/// The postings of a decision: by its customer, by its identifier.
fn postings(block: &Bytes, line: &Line) -> impl Iterator<Item = Posting> {
    let posting = |of: &Bytes, customer: &Bytes| Posting {
        of: of.clone(),
        decision: line.id.clone(),
        customer: customer.clone(),
        at: line.at,
        block: block.clone(),
    };
    let by_customer = match line.named.is_empty() {
        true => (!line.customer.is_empty()).then(|| posting(&line.customer, &Bytes::new())),
        false => Some(posting(&line.named, &line.customer)),
    };
    let by_identifier = (!line.via.is_empty()).then(|| posting(&line.via, &line.customer));
    by_customer.into_iter().chain(by_identifier)
}

fn all_postings(block: Uuid, lines: &[Line]) -> Vec<Posting> {
    let block = Bytes::copy_from_slice(block.as_bytes());
    lines.iter().flat_map(|line| postings(&block, line)).collect()
}

/// Both end in bits that are as good as random.
fn shard(of: &[u8]) -> i64 {
    of.last().map_or(0, |byte| i64::from(byte % SHARDS))
}

/// Indexes what waits, some of it; how many blocks that were.
///
/// In several transactions, so that decisions wait for none of them long. Blocks count as indexed with the last: until
/// then, and after a crash, or if another process does the same, they are found twice, which `made` looks over.
pub(super) async fn turn(store: &Store) -> Result<usize, Fault> {
    let sql = format!(
        "SELECT u.last, b.lines, u.tenant FROM decision_unindexed u \
         JOIN decision_block b ON b.tenant = u.tenant AND b.last = u.last ORDER BY u.tenant, u.last LIMIT {TURN}"
    );
    let rows = store.reader().rows(&sql, Vec::new()).await?;
    let mut tenants: BTreeMap<String, Vec<(Uuid, Vec<Line>)>> = BTreeMap::new();
    for row in &rows {
        tenants.entry(column(row, 2)?).or_default().push(block::read(row)?);
        // Reading a block takes a while: others have their turn.
        tokio::task::yield_now().await;
    }
    for (tenant, blocks) in tenants {
        let tenant: Arc<str> = tenant.into();
        let lasts: Arc<[Uuid]> = blocks.iter().map(|(last, _)| *last).collect();
        for rows in shards(&tenant, blocks).chunks(STEP) {
            let rows = rows.to_vec();
            let written = store.write(move |tx| {
                let rows = rows.clone();
                Box::pin(async move { insert_rows(tx.conn(), POSTING, rows, REPLACING).await })
            });
            written.await?;
        }
        let written = store.write(move |tx| {
            let (tenant, lasts) = (tenant.clone(), lasts.clone());
            Box::pin(async move {
                let sql =
                    format!("DELETE FROM decision_unindexed WHERE tenant = $1 AND last IN ({})", list(2, lasts.len()));
                let mut values: Vec<Value> = vec![(&*tenant).into()];
                values.extend(lasts.iter().map(|last| Value::from(*last)));
                tx.conn().run(&sql, values).await
            })
        });
        written.await?;
    }
    Ok(rows.len())
}

const POSTING: &str = "decision_posting (tenant, shard, upto, postings)";
/// Whoever ends with the same block has the same blocks: what counted as indexed before is in rows of its own.
const REPLACING: &str = "ON CONFLICT (tenant, shard, upto) DO UPDATE SET postings = excluded.postings";

/// The postings of blocks, a row for each shard. No id in them is greater than `upto`.
fn shards(tenant: &str, blocks: Vec<(Uuid, Vec<Line>)>) -> Vec<[Value; 4]> {
    let upto = blocks.iter().map(|(last, _)| *last).max();
    let mut shards: BTreeMap<i64, Vec<Posting>> = BTreeMap::new();
    for posting in blocks.iter().flat_map(|(last, lines)| all_postings(*last, lines)) {
        shards.entry(shard(&posting.of)).or_default().push(posting);
    }
    let row = |(shard, postings): (i64, Vec<Posting>)| {
        [tenant.into(), shard.into(), upto.into(), Postings { postings }.encode_to_vec().into()]
    };
    shards.into_iter().map(row).collect()
}

/// The decisions made for customers, or named by identifiers, since a time: `of` are ids or look-up keys.
pub(super) async fn made<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    of: &[&[u8]],
    since: Timestamp,
) -> Result<Vec<Made>, Fault> {
    if of.is_empty() {
        return Ok(Vec::new());
    }
    let shards: HashSet<i64> = of.iter().map(|of| shard(of)).collect();
    let sql = format!(
        "SELECT u.last, b.lines, 1 FROM decision_unindexed u \
         JOIN decision_block b ON b.tenant = u.tenant AND b.last = u.last WHERE u.tenant = $1 AND u.last >= $2 \
         UNION ALL SELECT upto, postings, 0 FROM decision_posting WHERE tenant = $1 AND upto >= $2 AND shard IN ({})",
        list(3, shards.len())
    );
    let mut values: Vec<Value> = vec![tenant.as_str().into(), least(since).into()];
    values.extend(shards.into_iter().map(Value::from));
    let mut found = BTreeMap::new();
    for row in conn.rows(&sql, values).await? {
        let theirs = read(&row)?.into_iter().filter(|posting| of.contains(&&*posting.of));
        for posting in theirs.filter(|posting| posting.at >= since.micros()) {
            let made = posting.made()?;
            found.insert(made.decision, made);
        }
    }
    Ok(found.into_values().collect())
}

/// The postings of a row: of a block that waits, or of the index.
fn read(row: &QueryResult) -> Result<Vec<Posting>, Fault> {
    if column::<i32>(row, 2)? == 1 {
        let (last, lines) = block::read(row)?;
        return Ok(all_postings(last, &lines));
    }
    Ok(Postings::decode(Bytes::from(column::<Vec<u8>>(row, 1)?)).map_err(Fault::internal)?.postings)
}

/// The decisions that are these customers' now: made for them, and not moved elsewhere by a split; or moved to them.
pub(super) async fn owned<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    customers: &[CustomerId],
    since: Timestamp,
) -> Result<Vec<Made>, Fault> {
    if customers.is_empty() {
        return Ok(Vec::new());
    }
    let of: Vec<&[u8]> = customers.iter().map(|id| id.as_bytes().as_slice()).collect();
    let theirs = list(2, customers.len());
    let sql = format!(
        "SELECT decision, made_for, customer, at, block FROM decision_moved WHERE tenant = $1 AND customer IN ({theirs}) \
         UNION SELECT decision, made_for, customer, at, block FROM decision_moved \
         WHERE tenant = $1 AND made_for IN ({theirs})"
    );
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    values.extend(ids(customers));
    let mut moved = BTreeMap::new();
    for row in conn.rows(&sql, values).await? {
        let made = Made {
            decision: id(&row, 0)?,
            owner: Some(id(&row, 1)?),
            // Whoever was named by a former id was not named by an identifier: such a decision moves to nobody only.
            made_for: Some(id(&row, 1)?),
            at: Timestamp(column(&row, 3)?),
            block: column(&row, 4)?,
        };
        moved.insert(made.decision, (made, id::<terms::id::Customer>(&row, 2)?));
    }
    let mut owned = made(conn, tenant, &of, since).await?;
    owned.retain(|made| !moved.contains_key(&made.decision));
    let arrived = moved.into_values().filter(|(made, to)| customers.contains(to) && made.at >= since);
    owned.extend(arrived.map(|(made, _)| made));
    Ok(owned)
}

/// Whose a decision is now, where a split or an erasure moved it: nobody's once erased.
pub(super) async fn moved<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    decisions: &[DecisionId],
) -> Result<BTreeMap<DecisionId, Option<CustomerId>>, Fault> {
    let mut moved = BTreeMap::new();
    for chunk in decisions.chunks(CHUNK) {
        let sql = format!(
            "SELECT decision, customer FROM decision_moved WHERE tenant = $1 AND decision IN ({})",
            list(2, chunk.len())
        );
        let mut values: Vec<Value> = vec![tenant.as_str().into()];
        values.extend(ids(chunk));
        for row in conn.rows(&sql, values).await? {
            let customer: CustomerId = id(&row, 1)?;
            moved.insert(id(&row, 0)?, Some(customer).filter(|customer| *customer != NOBODY));
        }
    }
    Ok(moved)
}

/// How many decisions one statement names.
pub(super) const CHUNK: usize = 500;

/// Notes whose decisions are now. What was erased stays nobody's.
pub(super) async fn move_to(tx: &Tx, tenant: &Tenant, to: CustomerId, moving: &[Made]) -> Result<(), Fault> {
    let row = |made: &Made| -> [Value; 6] {
        [
            tenant.as_str().into(),
            made.decision.uuid().into(),
            made.owner.unwrap_or(NOBODY).uuid().into(),
            to.uuid().into(),
            made.at.micros().into(),
            made.block.into(),
        ]
    };
    let nobody: String = NOBODY.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let nobody = match tx.dialect() {
        data::Dialect::Postgres => format!("'{nobody}'::uuid"),
        data::Dialect::Sqlite => format!("x'{nobody}'"),
    };
    let then = format!(
        "ON CONFLICT (tenant, decision) DO UPDATE SET customer = excluded.customer \
         WHERE decision_moved.customer <> {nobody}"
    );
    let into = "decision_moved (tenant, decision, made_for, customer, at, block)";
    insert_rows(tx.conn(), into, moving.iter().map(row).collect(), &then).await.map(drop)
}

/// Keeps the index: counts what waits, and wakes whoever indexes.
#[derive(Default)]
pub(super) struct Indexer {
    waiting: AtomicUsize,
    full: Notify,
}

impl Indexer {
    /// So many decisions were committed.
    pub(super) fn wrote(&self, decisions: usize) {
        let before = self.waiting.fetch_add(decisions, Ordering::Relaxed);
        if before < FULL && before + decisions >= FULL {
            self.full.notify_one();
        }
    }

    /// Indexes until shutdown.
    pub(super) async fn run(&self, store: &Store, shutdown: CancellationToken) {
        let mut waits = 0u32;
        loop {
            if self.waiting.swap(0, Ordering::Relaxed) > 0 || waits.is_multiple_of(STRAY) {
                self.catch_up(store, &shutdown).await;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.full.notified() => {}
                () = tokio::time::sleep(WAIT) => waits = waits.wrapping_add(1),
            }
        }
    }

    async fn catch_up(&self, store: &Store, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            match turn(store).await {
                Ok(blocks) if blocks < TURN => return,
                Ok(_) => {}
                Err(fault) => {
                    tracing::warn!(service = %store.service(), fault = ?fault, "decisions wait to be indexed; trying again");
                    return;
                }
            }
        }
    }
}
