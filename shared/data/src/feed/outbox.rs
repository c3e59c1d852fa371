//! The table `feed_entry`: one batched insert per transaction; reads that never pass a gap.

use std::{sync::Arc, time::Duration};

use prost::Message;
use rapport_proto::feed::v1::Event;
use sea_orm::{ConnectionTrait, QueryResult, Value};
use terms::{CustomerId, Fault, Position, Tenant, Timestamp};
use uuid::Uuid;

use super::{Entry, kind};
use crate::{
    config::Dialect,
    sealer::Sealer,
    sql::{Sql, column, parameters, portion},
};

/// What a transaction is about to publish.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) partition: u16,
    pub(crate) tenant: Tenant,
    pub(crate) customer: Option<CustomerId>,
    pub(crate) actor: Arc<str>,
    pub(crate) event: Event,
}

/// Stands for no customer.
const NOBODY: CustomerId = CustomerId::from_uuid(Uuid::nil());

/// Writes the drafts in their order and gives them their places.
pub(crate) async fn insert<C: ConnectionTrait + Sync>(
    conn: &C,
    sealer: &Sealer,
    at: Timestamp,
    drafts: Vec<Draft>,
) -> Result<Vec<Entry>, Fault> {
    let sealed: Vec<Vec<u8>> =
        drafts.iter().map(|d| sealer.seal(&d.tenant, d.customer.unwrap_or(NOBODY), &d.event.encode_to_vec())).collect();
    let mut places = match conn.dialect() {
        Dialect::Postgres => insert_postgres(conn, at, &drafts, sealed).await?,
        Dialect::Sqlite => insert_sqlite(conn, at, &drafts, sealed).await?,
    };
    // Rows take their numbers in the order in which they are given; the order of RETURNING is not promised.
    places.sort_unstable();
    if places.len() != drafts.len() {
        return Err(Fault::internal(format!("{} feed entries took {} places", drafts.len(), places.len())));
    }
    let entries = drafts.into_iter().zip(places).map(|(draft, position)| Entry {
        partition: draft.partition,
        position,
        tenant: draft.tenant,
        customer: draft.customer,
        kind: kind(&draft.event).into(),
        actor: draft.actor,
        at,
        event: Arc::new(draft.event),
    });
    Ok(entries.collect())
}

async fn insert_postgres<C: ConnectionTrait + Sync>(
    conn: &C,
    at: Timestamp,
    drafts: &[Draft],
    sealed: Vec<Vec<u8>>,
) -> Result<Vec<Position>, Fault> {
    let sql = "INSERT INTO feed_entry (partition, tenant, customer, kind, actor, at, event) \
               SELECT p, t, c, k, a, $6, e FROM UNNEST($1::int[], $2::text[], $3::uuid[], $4::text[], $5::text[], \
               $7::bytea[]) AS d (p, t, c, k, a, e) RETURNING xid, seq";
    let values = vec![
        drafts.iter().map(|d| i32::from(d.partition)).collect::<Vec<_>>().into(),
        drafts.iter().map(|d| d.tenant.as_str().to_owned()).collect::<Vec<_>>().into(),
        drafts.iter().map(|d| d.customer.unwrap_or(NOBODY).uuid()).collect::<Vec<_>>().into(),
        drafts.iter().map(|d| kind(&d.event).to_owned()).collect::<Vec<_>>().into(),
        drafts.iter().map(|d| (*d.actor).to_owned()).collect::<Vec<_>>().into(),
        at.micros().into(),
        sealed.into(),
    ];
    positions(conn.rows(sql, values).await?)
}

async fn insert_sqlite<C: ConnectionTrait + Sync>(
    conn: &C,
    at: Timestamp,
    drafts: &[Draft],
    sealed: Vec<Vec<u8>>,
) -> Result<Vec<Position>, Fault> {
    let mut places = Vec::with_capacity(drafts.len());
    let mut rows = drafts.iter().zip(sealed);
    while let Some(size) = portion(rows.len()) {
        let mut values: Vec<Value> = Vec::with_capacity(size * 7);
        for (draft, event) in rows.by_ref().take(size) {
            values.push(i32::from(draft.partition).into());
            values.push(draft.tenant.as_str().into());
            values.push(draft.customer.unwrap_or(NOBODY).uuid().into());
            values.push(kind(&draft.event).into());
            values.push((*draft.actor).into());
            values.push(at.micros().into());
            values.push(event.into());
        }
        let sql = format!(
            "INSERT INTO feed_entry (partition, tenant, customer, kind, actor, at, event) VALUES {}",
            parameters(Dialect::Sqlite, size, 7)
        );
        // There is one writer, and numbers are given out one after the other: the last says the others. `RETURNING`
        // would build a temporary table, and send each row from the driver's thread.
        let last = conn.insert(&sql, values).await?;
        let first = last - i64::try_from(size).map_err(Fault::internal)? + 1;
        places.extend((first..=last).map(|seq| Position { xid: 0, seq }));
    }
    Ok(places)
}

fn positions(rows: Vec<QueryResult>) -> Result<Vec<Position>, Fault> {
    rows.iter().map(|row| Ok(Position { xid: column(row, 0)?, seq: column(row, 1)? })).collect()
}

/// What one look at the feed gave.
#[derive(Debug, Default)]
pub(crate) struct Glance {
    /// In feed order.
    pub(crate) entries: Vec<Entry>,
    /// Everything up to here has been seen: the last entry if the limit cut the look short, otherwise the horizon.
    pub(crate) to: Position,
    /// Whether the limit cut it short.
    pub(crate) cut: bool,
    /// Whether there are entries that cannot be passed on yet, because an older transaction still runs.
    pub(crate) held_back: bool,
}

/// Which entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range<'a> {
    /// After this.
    pub(crate) after: Position,
    /// In these partitions; `None`: in all.
    pub(crate) partitions: Option<&'a [u16]>,
    /// At most so many.
    pub(crate) limit: usize,
}

const COLUMNS: &str = "e.xid, e.seq, e.partition, e.tenant, e.customer, e.kind, e.actor, e.at, e.event";

/// Reads on. Never passes an entry that may still become visible.
pub(crate) async fn read<C: ConnectionTrait + Sync>(
    conn: &C,
    sealer: &Sealer,
    range: Range<'_>,
) -> Result<Glance, Fault> {
    match conn.dialect() {
        Dialect::Postgres => read_postgres(conn, sealer, range).await,
        Dialect::Sqlite => read_sqlite(conn, sealer, range).await,
    }
}

/// PostgreSQL: the oldest transaction that still runs. The same for a whole statement.
pub(crate) const BOUND: &str = "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint + (SELECT base FROM feed_base))";

/// PostgreSQL: the newest entry's transaction, visible to the feed or not. By the end of the index, whatever the
/// planner thinks of the table.
const NEWEST: &str = "COALESCE((SELECT xid FROM feed_entry ORDER BY xid DESC, seq DESC LIMIT 1), 0)";

/// A transaction below the oldest running one (`xmin`) is finished, and visible to the snapshot that says so.
async fn read_postgres<C: ConnectionTrait + Sync>(
    conn: &C,
    sealer: &Sealer,
    range: Range<'_>,
) -> Result<Glance, Fault> {
    let filter = partition_filter(range.partitions);
    let sql = format!(
        "SELECT {COLUMNS}, h.bound, h.held FROM (SELECT {BOUND} AS bound, {NEWEST} >= {BOUND} AS held) h \
         LEFT JOIN LATERAL (SELECT * FROM feed_entry WHERE (xid, seq) > ($1, $2) AND xid < h.bound {filter} \
         ORDER BY xid, seq LIMIT $3) e ON TRUE ORDER BY e.xid, e.seq"
    );
    let values = vec![range.after.xid.into(), range.after.seq.into(), limit(range.limit)];
    let rows = conn.rows(&sql, values).await?;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Err(Fault::internal("a look at the feed gave no row"));
    };
    let horizon = Position { xid: column::<i64>(first, 9)? - 1, seq: i64::MAX };
    let held_back = column(first, 10)?;
    if column::<Option<i64>>(last, 0)?.is_none() {
        return Ok(Glance { entries: Vec::new(), to: horizon.max(range.after), cut: false, held_back });
    }
    let entries = rows.iter().map(|row| entry(row, sealer)).collect::<Result<Vec<_>, _>>()?;
    Ok(glance(entries, horizon, range, held_back))
}

/// There is one writer: the last number is taken first, then everything up to it.
async fn read_sqlite<C: ConnectionTrait + Sync>(conn: &C, sealer: &Sealer, range: Range<'_>) -> Result<Glance, Fault> {
    let horizon = last_sqlite(conn).await?;
    if horizon <= range.after {
        return Ok(Glance { to: range.after, ..Glance::default() });
    }
    let filter = partition_filter(range.partitions);
    let sql =
        format!("SELECT {COLUMNS} FROM feed_entry e WHERE e.seq > $1 AND e.seq <= $2 {filter} ORDER BY e.seq LIMIT $3");
    let values = vec![range.after.seq.into(), horizon.seq.into(), limit(range.limit)];
    let rows = conn.rows(&sql, values).await?;
    let entries = rows.iter().map(|row| entry(row, sealer)).collect::<Result<Vec<_>, _>>()?;
    Ok(glance(entries, horizon, range, false))
}

async fn last_sqlite<C: ConnectionTrait + Sync>(conn: &C) -> Result<Position, Fault> {
    let row = conn.row("SELECT seq FROM sqlite_sequence WHERE name = 'feed_entry'", vec![]).await?;
    Ok(Position { xid: 0, seq: row.map(|row| column(&row, 0)).transpose()?.unwrap_or(0) })
}

fn glance(entries: Vec<Entry>, horizon: Position, range: Range<'_>, held_back: bool) -> Glance {
    let cut = entries.len() >= range.limit;
    let to = match entries.last() {
        Some(last) if cut => last.position,
        _ => horizon,
    };
    Glance { entries, to: to.max(range.after), cut, held_back }
}

fn limit(limit: usize) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

/// Numbers of our own: safe to stand in the statement.
fn partition_filter(partitions: Option<&[u16]>) -> String {
    match partitions {
        None => String::new(),
        Some([one]) => format!("AND partition = {one}"),
        Some(some) => {
            let list: Vec<String> = some.iter().map(u16::to_string).collect();
            format!("AND partition IN ({})", list.join(", "))
        }
    }
}

fn entry(row: &QueryResult, sealer: &Sealer) -> Result<Entry, Fault> {
    let tenant: Tenant = column::<String>(row, 3)?.parse().map_err(Fault::internal)?;
    let customer = CustomerId::from_uuid(column(row, 4)?);
    let event = match column::<Option<Vec<u8>>>(row, 8)? {
        Some(sealed) => Event::decode(sealer.open(&tenant, customer, &sealed)?.as_slice()).map_err(Fault::internal)?,
        None => Event::default(),
    };
    Ok(Entry {
        partition: u16::try_from(column::<i32>(row, 2)?).map_err(Fault::internal)?,
        position: Position { xid: column(row, 0)?, seq: column(row, 1)? },
        customer: (customer != NOBODY).then_some(customer),
        kind: super::kind::intern(column(row, 5)?),
        actor: column::<String>(row, 6)?.into(),
        at: Timestamp(column(row, 7)?),
        event: Arc::new(event),
        tenant,
    })
}

/// Everything that committed at or below this is visible to reads that begin now.
pub(crate) async fn horizon<C: ConnectionTrait + Sync>(conn: &C) -> Result<Position, Fault> {
    if conn.dialect() == Dialect::Sqlite {
        return last_sqlite(conn).await;
    }
    let row = conn
        .row(&format!("SELECT {BOUND}"), vec![])
        .await?
        .ok_or_else(|| Fault::internal("a snapshot without xmin"))?;
    Ok(Position { xid: column::<i64>(&row, 0)? - 1, seq: i64::MAX })
}

/// For how long the oldest entry has been held back by an older transaction that still runs.
pub(crate) async fn held_back<C: ConnectionTrait + Sync>(conn: &C, now: Timestamp) -> Result<Duration, Fault> {
    if conn.dialect() == Dialect::Sqlite {
        return Ok(Duration::ZERO);
    }
    let sql = format!("SELECT at FROM feed_entry WHERE xid >= {BOUND} ORDER BY xid, seq LIMIT 1");
    let row = conn.row(&sql, vec![]).await?;
    let since: Option<i64> = row.map(|row| column(&row, 0)).transpose()?;
    Ok(since.map_or(Duration::ZERO, |at| now.since(Timestamp(at))))
}

/// The newest visible entry of each of the partitions that has one.
pub(crate) async fn newest<C: ConnectionTrait + Sync>(
    conn: &C,
    partitions: &[u16],
) -> Result<Vec<(u16, Position)>, Fault> {
    let order = match conn.dialect() {
        Dialect::Postgres => "xid DESC, seq DESC",
        Dialect::Sqlite => "seq DESC",
    };
    let selects: Vec<String> = partitions
        .iter()
        .map(|p| {
            format!(
                "SELECT * FROM (SELECT partition, xid, seq FROM feed_entry WHERE partition = {p} \
                 ORDER BY {order} LIMIT 1) p{p}"
            )
        })
        .collect();
    places(conn.rows(&selects.join(" UNION ALL "), vec![]).await?)
}

/// Up to where partitions were pruned.
pub(crate) async fn pruned<C: ConnectionTrait + Sync>(conn: &C) -> Result<Vec<(u16, Position)>, Fault> {
    places(conn.rows("SELECT partition, xid, seq FROM feed_pruned", vec![]).await?)
}

fn places(rows: Vec<QueryResult>) -> Result<Vec<(u16, Position)>, Fault> {
    rows.iter()
        .map(|row| {
            let partition = u16::try_from(column::<i32>(row, 0)?).map_err(Fault::internal)?;
            Ok((partition, Position { xid: column(row, 1)?, seq: column(row, 2)? }))
        })
        .collect()
}
