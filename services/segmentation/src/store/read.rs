//! Reads memberships and members, now and at past times.
//!
//! A membership lasts from `since` on; one that has ended, until just before `until`.

use std::collections::BTreeMap;

use data::{Dialect, Sql};
use segmentation_domain::{
    membership::Memberships,
    ports::{Located, Stay},
    segment::SegmentId,
};
use terms::{CustomerId, Fault, Position, Tenant, Timestamp};
use uuid::Uuid;

use super::{
    SqlSegments, rows,
    sql::{Params, column, id},
};

impl SqlSegments {
    fn params(&self, tenant: &Tenant) -> Params {
        Params::new(self.database.dialect(), tenant)
    }

    pub(super) async fn read_located(&self, tenant: &Tenant, customer: CustomerId) -> Result<Option<Located>, Fault> {
        let sql = "SELECT s.survivor, s.erased, o.erased FROM subject s LEFT JOIN subject o \
                   ON o.tenant = s.tenant AND o.customer = s.survivor WHERE s.tenant = $1 AND s.customer = $2";
        let values = vec![tenant.as_str().into(), customer.uuid().into()];
        let Some(row) = self.database.reader().row(sql, values).await? else { return Ok(None) };
        let survivor: Option<Uuid> = column(&row, 0)?;
        let erased = column::<bool>(&row, 1)? || column::<Option<bool>>(&row, 2)?.unwrap_or(false);
        Ok(Some(Located { customer: survivor.map_or(customer, CustomerId::from_uuid), erased }))
    }

    /// Whether it is known that the customer was taken from by a split, or taken out.
    pub(crate) async fn was_split(&self, tenant: &Tenant, customer: CustomerId) -> Result<bool, Fault> {
        let sql = "SELECT 1 FROM link WHERE tenant = $1 AND customer = $2 AND is_split LIMIT 1";
        let values = vec![tenant.as_str().into(), customer.uuid().into()];
        Ok(self.database.reader().row(sql, values).await?.is_some())
    }

    pub(super) async fn read_memberships(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        as_of: Option<Timestamp>,
    ) -> Result<Memberships, Fault> {
        let mut params = self.params(tenant);
        let customer = params.add(customer.uuid());
        let select = "SELECT segment, since, reason, version FROM";
        let mut sql = format!("{select} membership WHERE tenant = $1 AND customer = {customer}");
        if let Some(at) = as_of {
            let at = params.add(at.micros());
            sql.push_str(&format!(
                " AND since <= {at} UNION ALL {select} stay WHERE tenant = $1 AND customer = {customer} \
                 AND since <= {at} AND until > {at}"
            ));
        }
        let rows = self.database.reader().rows(&sql, params.values()).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, rows::membership(row, 1)?))).collect()
    }

    pub(super) async fn read_stays(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Stay>, Fault> {
        let sql = "SELECT segment, since, reason, version, until, left_for FROM stay \
                   WHERE tenant = $1 AND customer = $2 ORDER BY until, segment";
        let values = vec![tenant.as_str().into(), customer.uuid().into()];
        let found = self.database.reader().rows(sql, values).await?;
        found
            .iter()
            .map(|row| {
                Ok(Stay {
                    segment: id(row, 0)?,
                    membership: rows::membership(row, 1)?,
                    until: Timestamp(column(row, 4)?),
                    left: rows::reason(column(row, 5)?)?,
                })
            })
            .collect()
    }

    pub(super) async fn read_members(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        as_of: Option<Timestamp>,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Timestamp)>, Fault> {
        let mut params = self.params(tenant);
        let segment = params.add(segment.uuid());
        let after = after.map(|after| format!("AND customer > {}", params.add(after.uuid()))).unwrap_or_default();
        let of = format!("WHERE tenant = $1 AND segment = {segment} {after}");
        let mut sql = format!("SELECT customer, since FROM membership {of}");
        if let Some(at) = as_of {
            let at = params.add(at.micros());
            sql.push_str(&format!(
                " AND since <= {at} UNION ALL SELECT customer, since FROM stay {of} AND since <= {at} AND until > {at}"
            ));
        }
        let most = params.add(i64::try_from(most).unwrap_or(i64::MAX));
        let sql = format!("{sql} ORDER BY customer LIMIT {most}");
        let rows = self.database.reader().rows(&sql, params.values()).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, Timestamp(column(row, 1)?)))).collect()
    }

    pub(super) async fn read_counts(
        &self,
        tenant: &Tenant,
        segment: Option<SegmentId>,
        as_of: Option<Timestamp>,
    ) -> Result<BTreeMap<SegmentId, i64>, Fault> {
        let mut params = self.params(tenant);
        let only = segment.map(|id| format!("AND segment = {}", params.add(id.uuid()))).unwrap_or_default();
        let of = format!("WHERE tenant = $1 {only}");
        let from = match as_of {
            None => format!("membership {of}"),
            Some(at) => {
                let at = params.add(at.micros());
                format!(
                    "(SELECT segment FROM membership {of} AND since <= {at} UNION ALL \
                     SELECT segment FROM stay {of} AND since <= {at} AND until > {at}) AS m"
                )
            }
        };
        let sql = format!("SELECT segment, COUNT(*) FROM {from} GROUP BY segment");
        let rows = self.database.reader().rows(&sql, params.values()).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, column(row, 1)?))).collect()
    }

    /// Whatever is visible by now stands before this in the feed. Others may, too.
    pub(crate) async fn frontier(&self) -> Result<Position, Fault> {
        if self.database.dialect() == Dialect::Sqlite {
            return self.database.horizon().await;
        }
        let sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        let row = self.database.reader().row(sql, vec![]).await?;
        let xid = row.as_ref().map_or(Ok(i64::MAX), |row| column(row, 0))?;
        Ok(Position { xid, seq: 0 })
    }

    pub(super) async fn read_population(&self, tenant: &Tenant) -> Result<i64, Fault> {
        let sql = "SELECT COUNT(*) FROM subject WHERE tenant = $1 AND survivor IS NULL AND NOT erased";
        let row = self.database.reader().row(sql, vec![tenant.as_str().into()]).await?;
        row.as_ref().map_or(Ok(0), |row| column(row, 0))
    }
}
