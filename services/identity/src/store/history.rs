//! What happened to customers: the table `history`, to which rows are only ever added.

use data::sql::insert_rows;
use identity_domain::HistoryEntry;
use sea_orm::{DatabaseTransaction, Value};
use terms::{CustomerId, Fault};

use super::sealed::Sealing;

/// Adds entries; one that concerns two customers stands with both.
pub(super) async fn write(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    entries: &[HistoryEntry],
) -> Result<(), Fault> {
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        rows.push(row(sealing, entry, entry.customer, entry.other, false)?);
        if let Some(other) = entry.other {
            rows.push(row(sealing, entry, other, Some(entry.customer), true)?);
        }
    }
    let into = "history (tenant, customer, id, kind, loser, record, actor, reason, at, mirror, detail)";
    insert_rows(conn, into, rows, "").await.map(drop)
}

/// A row of `entry` in the history of `whose`.
fn row(
    sealing: Sealing<'_>,
    entry: &HistoryEntry,
    whose: CustomerId,
    other: Option<CustomerId>,
    mirror: bool,
) -> Result<Vec<Value>, Fault> {
    let detail = if entry.detail.is_empty() { None } else { Some(sealing.detail(whose, &entry.detail)?) };
    Ok(vec![
        sealing.tenant.as_str().into(),
        whose.uuid().into(),
        entry.id.uuid().into(),
        entry.kind.as_str().into(),
        other.map(terms::Id::uuid).into(),
        entry.record.map(terms::Id::uuid).into(),
        entry.actor.as_str().into(),
        entry.reason.as_str().into(),
        entry.at.micros().into(),
        mirror.into(),
        detail.into(),
    ])
}
