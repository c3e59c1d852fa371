//! Rows to domain values.

use identity_domain::{
    Anchors, Bond, Claim, CustomerState, HistoryEntry, HistoryKind, Merge, Observed, Record, Sharing,
};
use sea_orm::QueryResult;
use terms::{CustomerId, Fault, Identifier, Timestamp};

use super::{
    sealed::Sealing,
    sql::{column, id, optional_id, time},
};

/// The columns that [`customer`] reads.
pub(super) const CUSTOMER: &str =
    "c.id, c.golden, c.record_count, c.confidence, c.created_at, c.updated_at, c.version, c.anchors";

pub(super) fn customer(sealing: Sealing<'_>, row: &QueryResult) -> Result<CustomerState, Fault> {
    let id = id(row, 0)?;
    Ok(CustomerState {
        id,
        golden: sealing.open_golden(id, &column::<Vec<u8>>(row, 1)?)?,
        record_count: count(column(row, 2)?),
        confidence: column(row, 3)?,
        created_at: time(row, 4)?,
        updated_at: time(row, 5)?,
        version: column(row, 6)?,
        anchors: match column::<Option<Vec<u8>>>(row, 7)? {
            Some(sealed) => sealing.open_anchors(id, &sealed)?,
            None => Anchors::default(),
        },
    })
}

/// Whether the row has no anchors yet.
pub(super) fn is_bare(row: &QueryResult) -> Result<bool, Fault> {
    Ok(column::<Option<Vec<u8>>>(row, 7)?.is_none())
}

/// `lookup.sharing`.
pub(super) fn sharing(row: &QueryResult, place: usize) -> Result<Option<Sharing>, Fault> {
    let stored: Option<Vec<u8>> = column(row, place)?;
    stored.map(|json| serde_json::from_slice(&json).map_err(Fault::internal)).transpose()
}

/// A stored count.
pub(super) fn count(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}

/// The columns that [`record`] reads.
pub(super) const RECORD: &str = "r.id, r.home, r.source, r.source_record_id, r.facts, r.observed_at, r.created_at";

pub(super) fn record(sealing: Sealing<'_>, row: &QueryResult) -> Result<Record, Fault> {
    let home = id(row, 1)?;
    let source_record_id: Option<Vec<u8>> = column(row, 3)?;
    Ok(Record {
        id: id(row, 0)?,
        home,
        source: column(row, 2)?,
        source_record_id: source_record_id.map(|sealed| sealing.open_text(home, &sealed)).transpose()?,
        facts: sealing.open_facts(home, &column::<Vec<u8>>(row, 4)?)?,
        observed_at: time(row, 5)?,
        created_at: time(row, 6)?,
    })
}

/// The columns that [`claim`] reads.
pub(super) const CLAIM: &str = "e.record, r.home, e.namespace, e.value, e.verified, e.verified_observed_at, \
     e.verified_record_time, e.first_seen, e.last_seen, e.certainty, e.actor, e.created_at";

pub(super) fn claim(sealing: Sealing<'_>, row: &QueryResult) -> Result<Claim, Fault> {
    let (value, raw_value) = sealing.open_claim_value(id(row, 1)?, &column::<Vec<u8>>(row, 3)?)?;
    let verified: Option<bool> = column(row, 4)?;
    let observed_at: Option<i64> = column(row, 5)?;
    let record_time: Option<i64> = column(row, 6)?;
    Ok(Claim {
        identifier: Identifier { namespace: column(row, 2)?, value },
        raw_value,
        verified: verified.map(|value| Observed {
            value,
            observed_at: Timestamp(observed_at.unwrap_or_default()),
            record_time: Timestamp(record_time.unwrap_or_default()),
        }),
        first_seen: time(row, 7)?,
        last_seen: time(row, 8)?,
        certainty: column(row, 9)?,
        actor: column(row, 10)?,
        created_at: time(row, 11)?,
    })
}

/// The columns that [`merge`] reads.
pub(super) const MERGE: &str =
    "a.id, a.customer, a.merge_id, a.created_at, a.merged_at, a.here, a.there, a.bond, a.certainty";

/// What made an alias; the survivor is whom it leads to now.
pub(super) fn merge(row: &QueryResult) -> Result<Merge, Fault> {
    let (loser, survivor) = (id(row, 0)?, id(row, 1)?);
    let bond: String = column(row, 7)?;
    Ok(Merge {
        id: id(row, 2)?,
        loser,
        loser_created_at: time(row, 3)?,
        survivor,
        here: optional_id(row, 5)?.unwrap_or(loser),
        there: optional_id(row, 6)?.unwrap_or(survivor),
        bond: Bond::parse(&bond).ok_or_else(|| Fault::internal(format!("an alias has the unknown bond {bond}")))?,
        certainty: column(row, 8)?,
        at: time(row, 4)?,
    })
}

/// The columns that [`history`] reads.
pub(super) const HISTORY: &str =
    "h.id, h.kind, h.customer, h.loser, h.record, h.actor, h.reason, h.at, h.mirror, h.detail";

pub(super) fn history(sealing: Sealing<'_>, row: &QueryResult) -> Result<HistoryEntry, Fault> {
    let kind: String = column(row, 1)?;
    let kind = HistoryKind::parse(&kind)
        .ok_or_else(|| Fault::internal(format!("the history holds the unknown kind {kind}")))?;
    let mut customer: CustomerId = id(row, 2)?;
    let mut other = optional_id(row, 3)?;
    let detail: Option<Vec<u8>> = column(row, 9)?;
    let detail = detail.map(|sealed| sealing.open_detail(customer, &sealed)).transpose()?.unwrap_or_default();
    if column::<bool>(row, 8)?
        && let Some(of) = &mut other
    {
        std::mem::swap(&mut customer, of);
    }
    Ok(HistoryEntry {
        id: id(row, 0)?,
        kind,
        customer,
        other,
        record: optional_id(row, 4)?,
        detail,
        actor: column(row, 5)?,
        reason: column(row, 6)?,
        at: time(row, 7)?,
    })
}
