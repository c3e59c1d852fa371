//! Decisions at rest. Those of one tenant that share a commit are one row: what a row costs is paid for once for many.
//!
//! A block is known by the least and the greatest id in it. Ids begin with the time (UUIDv7), and a block spans
//! [`SPAN`] at most: so whoever looks for an id looks at the blocks that end within that span of it, and no others.

use std::collections::BTreeMap;

use customization_domain::{ports::Entry, report_outcome::DecisionId};
use data::{Dialect, Sealer, Sql, Tx};
use prost::{Message, bytes::Bytes};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use terms::{CustomerId, Fault, Id, IdKind, Tenant, Timestamp};
use uuid::Uuid;

use super::rows::{NOBODY, column, list};

/// How far apart the ids of one block were made, in milliseconds.
const SPAN: u64 = 1_000;
/// How many ids one statement looks for.
const CHUNK: usize = 200;

/// The decisions of one row. Grows by fields, as any protobuf message; never by a change of meaning.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Block {
    /// By id.
    #[prost(message, repeated, tag = "1")]
    pub(super) lines: Vec<Line>,
}

/// A decision.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Line {
    /// 16 bytes, as every id here.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) id: Bytes,
    /// For whom it was made: the survivor at that time. Empty: someone of whom nothing is known.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) customer: Bytes,
    /// The look-up key of the identifier that named the customer, 32 bytes; empty if an id did.
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) via: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) touchpoint: Bytes,
    #[prost(int64, tag = "5")]
    pub(super) catalog_version: i64,
    /// When, in microseconds.
    #[prost(int64, tag = "6")]
    pub(super) at: i64,
    /// The digest of a row of `decision_input`; empty if there is none.
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) inputs: Bytes,
    /// Sealed under `customer`; empty once erased.
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) body: Bytes,
    /// The former id by which `customer` was named, and which owns the decision; empty if none did.
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) named: Bytes,
}

impl Line {
    fn new(sealer: &Sealer, entry: &Entry) -> Self {
        Self {
            id: copy(entry.id.as_bytes()),
            customer: entry.customer.map(|id| copy(id.as_bytes())).unwrap_or_default(),
            named: entry.named.map(|id| copy(id.as_bytes())).unwrap_or_default(),
            via: entry.arrived_via.map(|via| copy(&via)).unwrap_or_default(),
            touchpoint: copy(entry.touchpoint.as_bytes()),
            catalog_version: entry.catalog_version,
            at: entry.at.micros(),
            inputs: entry.inputs.as_ref().map(|inputs| copy(&inputs.digest)).unwrap_or_default(),
            body: sealer.seal(&entry.tenant, entry.customer.unwrap_or(NOBODY), &entry.body).into(),
        }
    }

    pub(super) fn decision(&self) -> Result<DecisionId, Fault> {
        id(&self.id)
    }

    pub(super) fn customer(&self) -> Result<Option<CustomerId>, Fault> {
        if self.customer.is_empty() { Ok(None) } else { id(&self.customer).map(Some) }
    }

    /// The id that the decision belongs to, unless it was moved.
    pub(super) fn owner(&self) -> Result<Option<CustomerId>, Fault> {
        if self.named.is_empty() { self.customer() } else { id(&self.named).map(Some) }
    }

    /// Context and result; empty once erased.
    pub(super) fn open(&self, sealer: &Sealer, tenant: &Tenant) -> Result<Vec<u8>, Fault> {
        match &*self.body {
            [] => Ok(Vec::new()),
            sealed => sealer.open(tenant, self.customer()?.unwrap_or(NOBODY), sealed),
        }
    }
}

fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// An id from its bytes.
pub(super) fn id<K: IdKind>(bytes: &[u8]) -> Result<Id<K>, Fault> {
    uuid(bytes).map(Id::from_uuid)
}

pub(super) fn uuid(bytes: &[u8]) -> Result<Uuid, Fault> {
    Uuid::from_slice(bytes).map_err(Fault::internal)
}

/// Writes decisions, each tenant's apart. They wait to be indexed.
pub(super) async fn write(tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
    let mut tenants: BTreeMap<&Tenant, Vec<Line>> = BTreeMap::new();
    for entry in entries {
        tenants.entry(&entry.tenant).or_default().push(Line::new(tx.sealer(), entry));
    }
    for (tenant, lines) in tenants {
        write_lines(tx.conn(), tenant, lines).await?;
    }
    Ok(())
}

/// Writes lines of one tenant.
pub(super) async fn write_lines<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    mut lines: Vec<Line>,
) -> Result<(), Fault> {
    lines.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    while let Some(first) = lines.first() {
        let end = millis(&first.id) + SPAN;
        let rest = lines.split_off(lines.partition_point(|line| millis(&line.id) <= end));
        write_block(conn, tenant, Block { lines }).await?;
        lines = rest;
    }
    Ok(())
}

async fn write_block<C: ConnectionTrait + Sync>(conn: &C, tenant: &Tenant, block: Block) -> Result<(), Fault> {
    let ([first, ..], [.., last]) = (block.lines.as_slice(), block.lines.as_slice()) else { return Ok(()) };
    let (first, last) = (uuid(&first.id)?, uuid(&last.id)?);
    let sql = "INSERT INTO decision_block (tenant, last, first, lines) VALUES ($1, $2, $3, $4)";
    let lines = block.encode_to_vec();
    conn.run(sql, vec![tenant.as_str().into(), last.into(), first.into(), lines.into()]).await?;
    let sql = "INSERT INTO decision_unindexed (tenant, last) VALUES ($1, $2)";
    conn.run(sql, vec![tenant.as_str().into(), last.into()]).await.map(drop)
}

/// When an id was made, in milliseconds since 1970.
fn millis(id: &[u8]) -> u64 {
    id.iter().take(6).fold(0, |time, byte| (time << 8) | u64::from(*byte))
}

/// The least id that could be made at a time, and so no later id is less.
pub(super) fn least(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.micros() / 1_000).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

/// Those of `decisions` that are in the log, in no order. With `lock`, PostgreSQL keeps others from changing them.
pub(super) async fn find<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    decisions: &[DecisionId],
    lock: bool,
) -> Result<Vec<Line>, Fault> {
    let mut found = Vec::with_capacity(decisions.len());
    for chunk in decisions.chunks(CHUNK) {
        let (wanted, values) = wanted(conn.dialect(), tenant, chunk);
        let lock = if lock && conn.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
        let sql = format!(
            "SELECT last, lines FROM decision_block WHERE tenant = $1 AND last IN (\
             WITH wanted (id, upto) AS ({wanted}) SELECT b.last FROM wanted JOIN decision_block b \
             ON b.tenant = $1 AND b.last >= wanted.id AND b.last <= wanted.upto AND b.first <= wanted.id) \
             ORDER BY last{lock}"
        );
        for row in conn.rows(&sql, values).await? {
            let is_wanted = |line: &Line| chunk.iter().any(|id| id.as_bytes().as_slice() == &*line.id);
            found.extend(read(&row)?.1.into_iter().filter(is_wanted));
        }
    }
    Ok(found)
}

/// Rows of each id with the greatest one that can end its block, and the parameters of the statement, tenant first.
fn wanted(dialect: Dialect, tenant: &Tenant, decisions: &[DecisionId]) -> (String, Vec<Value>) {
    // An id of the millisecond after the span is beyond it, whatever its other bits.
    let upto = |id: &DecisionId| Uuid::from_u128(id.uuid().as_u128().saturating_add(u128::from(SPAN + 1) << 80));
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    match dialect {
        Dialect::Postgres => {
            values.push(decisions.iter().map(|id| id.uuid()).collect::<Vec<Uuid>>().into());
            values.push(decisions.iter().map(upto).collect::<Vec<Uuid>>().into());
            ("SELECT * FROM UNNEST($2::uuid[], $3::uuid[])".to_owned(), values)
        }
        Dialect::Sqlite => {
            values.extend(decisions.iter().flat_map(|id| [Value::from(id.uuid()), upto(id).into()]));
            let rows = (0..decisions.len()).map(|n| format!("(${}, ${})", 2 * n + 2, 2 * n + 3));
            (format!("VALUES {}", rows.collect::<Vec<_>>().join(", ")), values)
        }
    }
}

/// A row of `last, lines`.
pub(super) fn read(row: &QueryResult) -> Result<(Uuid, Vec<Line>), Fault> {
    let block = Block::decode(Bytes::from(column::<Vec<u8>>(row, 1)?)).map_err(Fault::internal)?;
    Ok((column(row, 0)?, block.lines))
}

/// Changes lines of some blocks.
pub(super) async fn change(
    tx: &Tx,
    tenant: &Tenant,
    blocks: &[Uuid],
    change: impl Fn(&mut Line) + Send + Sync,
) -> Result<(), Fault> {
    let lock = if tx.dialect() == Dialect::Postgres { " FOR UPDATE" } else { "" };
    for chunk in blocks.chunks(CHUNK) {
        let sql = format!(
            "SELECT last, lines FROM decision_block WHERE tenant = $1 AND last IN ({}) ORDER BY last{lock}",
            list(2, chunk.len())
        );
        let mut values: Vec<Value> = vec![tenant.as_str().into()];
        values.extend(chunk.iter().map(|last| Value::from(*last)));
        for row in tx.conn().rows(&sql, values).await? {
            let (last, mut lines) = read(&row)?;
            lines.iter_mut().for_each(&change);
            let sql = "UPDATE decision_block SET lines = $3 WHERE tenant = $1 AND last = $2";
            let lines = Block { lines }.encode_to_vec();
            tx.conn().run(sql, vec![tenant.as_str().into(), last.into(), lines.into()]).await?;
        }
    }
    Ok(())
}
