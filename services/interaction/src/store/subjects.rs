//! The table `subject`: pointers, and the locks on them.

use std::collections::BTreeSet;

use data::{Dialect, Sql};
use interaction_domain::subject::{Subject, Subjects};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use terms::{CustomerId, Fault, Position, Tenant};

use super::{
    rows::SUBJECT,
    sql::{CHUNK, Params, column, id, maybe, optional_id, uuid},
};

/// How rows are held until the end of the transaction. SQLite has one writer: nothing to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// Not at all: outside of a write.
    None,
    /// As a writer: others may write too, and whoever moves rows waits.
    Share,
    /// As whoever moves rows: everybody waits.
    Update,
}

impl Lock {
    pub(super) fn sql(self, dialect: Dialect) -> &'static str {
        match (dialect, self) {
            (Dialect::Sqlite, _) | (_, Self::None) => "",
            (Dialect::Postgres, Self::Share) => "FOR SHARE",
            (Dialect::Postgres, Self::Update) => "FOR UPDATE",
        }
    }
}

const COLUMNS: &str = "customer, survivor, moved_xid, moved_seq, split_xid, split_seq, erased";

fn subject(row: &QueryResult) -> Result<(CustomerId, Subject), Fault> {
    let place = |xid: usize| Ok::<_, Fault>(Position { xid: column(row, xid)?, seq: column(row, xid + 1)? });
    let subject =
        Subject { survivor: optional_id(row, 1)?, moved_at: place(2)?, split_at: place(4)?, erased: column(row, 6)? };
    Ok((id(row, 0)?, subject))
}

/// Reads those of `customers` that are there.
pub(super) async fn read<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    customers: &[CustomerId],
    lock: Lock,
    into: &mut Subjects,
) -> Result<(), Fault> {
    for chunk in customers.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), tenant);
        let among = params.ids(chunk.iter().copied());
        let lock = lock.sql(Sql::dialect(conn));
        let order = if lock.is_empty() { "" } else { "ORDER BY customer" };
        let sql = format!("SELECT {COLUMNS} FROM subject WHERE tenant = $1 AND customer {among} {order} {lock}");
        for row in conn.rows(&sql, params.values()).await? {
            into.extend([subject(&row)?]);
        }
    }
    Ok(())
}

/// Reads those that point at one of `survivors`.
pub(super) async fn pointing<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    survivors: &[CustomerId],
    lock: Lock,
    into: &mut Subjects,
) -> Result<(), Fault> {
    for chunk in survivors.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), tenant);
        let among = params.ids(chunk.iter().copied());
        let lock = lock.sql(Sql::dialect(conn));
        let order = if lock.is_empty() { "" } else { "ORDER BY customer" };
        let sql = format!("SELECT {COLUMNS} FROM subject WHERE tenant = $1 AND survivor {among} {order} {lock}");
        for row in conn.rows(&sql, params.values()).await? {
            into.extend([subject(&row)?]);
        }
    }
    Ok(())
}

/// Reads `customers` and holds them; those that are not there yet are made first, so that whoever moves rows later
/// waits for this transaction, and whoever moves them now is waited for.
pub(super) async fn hold<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    customers: impl IntoIterator<Item = CustomerId>,
    lock: Lock,
    into: &mut Subjects,
) -> Result<(), Fault> {
    let wanted: BTreeSet<CustomerId> = customers.into_iter().filter(|id| !into.contains_key(id)).collect();
    let wanted: Vec<CustomerId> = wanted.into_iter().collect();
    if wanted.is_empty() {
        return Ok(());
    }
    read(conn, tenant, &wanted, lock, into).await?;
    let missing: Vec<CustomerId> = wanted.into_iter().filter(|id| !into.contains_key(id)).collect();
    if missing.is_empty() || lock == Lock::None {
        return Ok(());
    }
    let rows = missing.iter().map(|id| row(tenant, *id, &Subject::default())).collect();
    let made = SUBJECT.insert(conn, rows, "ON CONFLICT (tenant, customer) DO NOTHING").await?;
    if made == missing.len() as u64 {
        into.extend(missing.into_iter().map(|id| (id, Subject::default())));
        return Ok(());
    }
    // Someone else made some of them meanwhile.
    read(conn, tenant, &missing, lock, into).await
}

fn row(tenant: &Tenant, customer: CustomerId, subject: &Subject) -> Vec<Value> {
    vec![
        tenant.as_str().into(),
        uuid(customer),
        maybe(subject.survivor),
        subject.moved_at.xid.into(),
        subject.moved_at.seq.into(),
        subject.split_at.xid.into(),
        subject.split_at.seq.into(),
        subject.erased.into(),
    ]
}

/// Writes pointers that changed.
pub(super) async fn write<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    changed: Vec<(CustomerId, Subject)>,
) -> Result<(), Fault> {
    let rows = changed.iter().map(|(id, subject)| row(tenant, *id, subject)).collect();
    let then = "ON CONFLICT (tenant, customer) DO UPDATE SET survivor = excluded.survivor, \
                moved_xid = excluded.moved_xid, moved_seq = excluded.moved_seq, split_xid = excluded.split_xid, \
                split_seq = excluded.split_seq, erased = excluded.erased";
    SUBJECT.insert(conn, rows, then).await.map(drop)
}
