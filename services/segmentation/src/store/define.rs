//! Definitions: created, changed, deleted, all in one transaction that holds the rules alone.

use data::{Dialect, Sql, Tx};
use futures::FutureExt;
use segmentation_domain::{
    definition::{BuildOver, Definition},
    ports::Decide,
    segment::{Segment, SegmentId},
};
use terms::{CustomerId, Fault, Once, Tenant, Timestamp, Written};
use uuid::Uuid;

use super::{
    SqlSegments,
    catalogs::Hold,
    rows,
    sql::{Column, Params, column, insert},
};
use crate::feed;

impl SqlSegments {
    pub(super) async fn define_one(
        &self,
        tenant: &Tenant,
        once: Option<Once>,
        decide: Decide,
    ) -> Result<Written<Segment>, Fault> {
        let (store, tenant) = (self.clone(), tenant.clone());
        self.database
            .write_once(once, move |tx: &Tx| {
                let (store, tenant, decide) = (store.clone(), tenant.clone(), decide.clone());
                async move {
                    let snapshot = store.catalogs.hold(tx, &tenant, Hold::Alone).await?;
                    let definition = decide(&snapshot.catalog)?;
                    store_definition(tx, &tenant, &definition).await?;
                    Ok(definition.segment)
                }
                .boxed()
            })
            .await
    }

    pub(super) async fn read_version(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        version: i64,
    ) -> Result<Option<(String, Timestamp)>, Fault> {
        let sql = "SELECT definition, created_at FROM segment_version \
                   WHERE tenant = $1 AND segment = $2 AND version = $3";
        let values = vec![tenant.as_str().into(), segment.uuid().into(), version.into()];
        let row = self.database.reader().row(sql, values).await?;
        row.map(|row| Ok((column(&row, 0)?, Timestamp(column(&row, 1)?)))).transpose()
    }
}

async fn store_definition(tx: &Tx, tenant: &Tenant, definition: &Definition) -> Result<(), Fault> {
    let segment = &definition.segment;
    put_segment(tx, tenant, segment).await?;
    if let Some(source) = segment.definition() {
        let columns = vec![
            ("segment", Column::ids([segment.id])),
            ("version", Column::ints([segment.version])),
            ("definition", Column::Text(vec![source.to_owned()])),
            ("created_at", Column::ints([tx.now().micros()])),
        ];
        insert(tx.conn(), tenant, "segment_version", columns, "ON CONFLICT DO NOTHING").await?;
    }
    if let Some(listed) = &definition.listed {
        put_list(tx, tenant, segment.id, listed).await?;
    }
    if let Some(over) = definition.build {
        put_build(tx, tenant, segment.id, over).await?;
    }
    let rules_changed = definition.rules_changed || definition.listed.is_some();
    raise_epoch(tx, tenant, rules_changed).await?;
    feed::publish_definition(tx, tenant, segment);
    Ok(())
}

pub(super) async fn put_segment(tx: &Tx, tenant: &Tenant, segment: &Segment) -> Result<(), Fault> {
    let sql = "INSERT INTO segment (tenant, id, name, display_name, description, definition, version, edit, state, \
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (tenant, id) DO UPDATE SET display_name = excluded.display_name, \
               description = excluded.description, definition = excluded.definition, version = excluded.version, \
               edit = excluded.edit, state = excluded.state, updated_at = excluded.updated_at";
    let values = vec![
        tenant.as_str().into(),
        segment.id.uuid().into(),
        segment.name.as_str().into(),
        segment.display_name.as_str().into(),
        segment.description.as_str().into(),
        segment.definition().map(str::to_owned).into(),
        segment.version.into(),
        segment.edit.into(),
        rows::state_code(segment.state).into(),
        segment.created_at.micros().into(),
        segment.updated_at.micros().into(),
    ];
    tx.conn().run(sql, values).await.map(drop)
}

/// Raises the epoch, and that of the rules if they changed. Takes the time, so that an epoch whose transaction failed
/// never comes again with other contents.
pub(super) async fn raise_epoch(tx: &Tx, tenant: &Tenant, rules_changed: bool) -> Result<(), Fault> {
    let later = "CASE WHEN epoch < $2 THEN $2 ELSE epoch + 1 END";
    let rules = if rules_changed { later } else { "rules" };
    let sql = format!("UPDATE ruleset SET epoch = {later}, rules = {rules} WHERE tenant = $1");
    tx.conn().run(&sql, vec![tenant.as_str().into(), tx.now().micros().into()]).await.map(drop)
}

/// Puts a list in place of the old one. Owners are those to whom the ids lead; ids that are not known yet get a
/// subject, erased ones are left out.
async fn put_list(tx: &Tx, tenant: &Tenant, segment: SegmentId, listed: &[CustomerId]) -> Result<(), Fault> {
    let params = || Params::new(tx.dialect(), tenant);
    let mut old = params();
    let place = old.add(segment.uuid());
    let sql = format!("DELETE FROM listed WHERE tenant = $1 AND segment = {place}");
    tx.conn().run(&sql, old.values()).await?;
    let mut ids = listed.to_vec();
    ids.sort_unstable();
    ids.dedup();
    for ids in ids.chunks(2_048) {
        let zeros = || Column::ints(ids.iter().map(|_| 0));
        let columns = vec![
            ("customer", Column::ids(ids.iter().copied())),
            ("changed_xid", zeros()),
            ("changed_seq", zeros()),
            ("erased", Column::Bool(vec![false; ids.len()])),
            ("settled_at", zeros()),
            ("version", zeros()),
        ];
        insert(tx.conn(), tenant, "subject", columns, "ON CONFLICT DO NOTHING").await?;
        let mut chosen = params();
        let among = chosen.customers(ids);
        // The subjects stay as they are until the list is written: a merge waits for it, and takes it along.
        let lock = if tx.dialect() == Dialect::Postgres { "FOR SHARE" } else { "" };
        let sql = format!(
            "SELECT customer, survivor FROM subject WHERE tenant = $1 AND customer{among} AND NOT erased \
             ORDER BY customer {lock}"
        );
        let found = tx.conn().rows(&sql, chosen.values()).await?;
        let (mut addresses, mut owners) = (Vec::new(), Vec::new());
        for row in &found {
            let address: Uuid = column(row, 0)?;
            owners.push(column::<Option<Uuid>>(row, 1)?.unwrap_or(address));
            addresses.push(address);
        }
        let columns = vec![
            ("segment", Column::ids(vec![segment; addresses.len()])),
            ("address", Column::Uuid(addresses)),
            ("customer", Column::Uuid(owners)),
        ];
        insert(tx.conn(), tenant, "listed", columns, "ON CONFLICT DO NOTHING").await?;
    }
    Ok(())
}

async fn put_build(tx: &Tx, tenant: &Tenant, segment: SegmentId, over: BuildOver) -> Result<(), Fault> {
    let sql = "INSERT INTO build (tenant, segment, over, after, created_at) VALUES ($1, $2, $3, NULL, $4) \
               ON CONFLICT (tenant, segment) DO UPDATE SET over = excluded.over, after = NULL";
    let values =
        vec![tenant.as_str().into(), segment.uuid().into(), i64::from(over.code()).into(), tx.now().micros().into()];
    tx.conn().run(sql, values).await.map(drop)
}

impl SqlSegments {
    /// A segment by id, also a deleted one.
    pub(crate) async fn read_segment(&self, tenant: &Tenant, id: SegmentId) -> Result<Option<Segment>, Fault> {
        let sql = format!("SELECT {} FROM segment WHERE tenant = $1 AND id = $2", rows::SEGMENT);
        let row = self.database.reader().row(&sql, vec![tenant.as_str().into(), id.uuid().into()]).await?;
        row.as_ref().map(rows::segment).transpose()
    }
}
