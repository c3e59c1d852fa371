//! Settles customers whose due instant has come. Replicas share them: what one has locked, the others skip.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use data::{Sql, Tx};
use futures::FutureExt;
use segmentation_domain::{
    ports::Pass,
    recompute::settle_due,
    ruleset::Needs,
    view::{Person, Subject},
};
use terms::{CustomerId, Fault, Tenant, Timestamp};

use super::{
    Outcome, SqlSegments,
    catalogs::Hold,
    load::Loading,
    sql::{column, id},
    write::Writing,
};

impl SqlSegments {
    /// The earliest instant at which a customer of any tenant is due.
    pub(super) async fn read_next_due(&self) -> Result<Option<Timestamp>, Fault> {
        let sql = "SELECT MIN(next_due) FROM subject WHERE next_due IS NOT NULL";
        let row = self.database.reader().row(sql, vec![]).await?;
        let due: Option<i64> = row.as_ref().map_or(Ok(None), |row| column(row, 0))?;
        Ok(due.map(Timestamp))
    }

    pub(super) async fn settle_some(&self, most: usize) -> Result<Pass, Fault> {
        let mut customers = 0;
        for (tenant, ids) in self.read_due(most).await? {
            let (store, ids) = (self.clone(), Arc::new(ids));
            let written = self
                .database
                .write(move |tx: &Tx| {
                    let (store, tenant, ids) = (store.clone(), tenant.clone(), ids.clone());
                    async move { store.settle_in(tx, &tenant, &ids).await }.boxed()
                })
                .await?;
            customers += written.value.settled.len();
            self.committed(vec![written.value], &written.revision).await;
        }
        Ok(Pass { customers, next: self.read_next_due().await? })
    }

    /// Who is due, the longest due first.
    async fn read_due(&self, most: usize) -> Result<BTreeMap<Tenant, BTreeSet<CustomerId>>, Fault> {
        let sql = "SELECT tenant, customer FROM subject WHERE next_due IS NOT NULL AND next_due <= $1 \
                   ORDER BY next_due LIMIT $2";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = self.database.reader().rows(sql, vec![self.now().micros().into(), most.into()]).await?;
        let mut due: BTreeMap<Tenant, BTreeSet<CustomerId>> = BTreeMap::new();
        for row in rows {
            let tenant: Tenant = column::<String>(&row, 0)?.parse().map_err(Fault::internal)?;
            due.entry(tenant).or_default().insert(id(&row, 1)?);
        }
        Ok(due)
    }

    async fn settle_in(&self, tx: &Tx, tenant: &Tenant, ids: &BTreeSet<CustomerId>) -> Result<Outcome, Fault> {
        let snapshot = self.catalogs.hold(tx, tenant, Hold::Share).await?;
        let ruleset = snapshot.catalog.ruleset();
        let loading = Loading { tx, tenant, snapshot: &snapshot, faces: &self.faces };
        let still_due = format!("AND next_due IS NOT NULL AND next_due <= {}", tx.now().micros());
        let subjects = loading.free(ids, &still_due).await?;
        let since = oldest_read(ruleset.needs(), subjects.iter().map(|(_, subject)| subject), tx.now());
        let mut people: BTreeMap<CustomerId, Person> = subjects
            .into_iter()
            .map(|(id, subject)| (id, Person { subject, stored: true, ..Person::default() }))
            .collect();
        let locked = people.keys().copied().collect();
        loading.faces(&mut people, &locked, ruleset.needs(), since).await?;
        let effects = settle_due(ruleset, people, tx.now());
        Writing { tx, tenant, catalog: &snapshot.catalog }.write(&effects).await?;
        Ok(Outcome::new(tenant, &snapshot.catalog, effects))
    }
}

/// Events at or before this are read by no rule, neither now nor at a due instant that has passed. `None`: all are.
pub(super) fn oldest_read<'s>(
    needs: &Needs,
    subjects: impl Iterator<Item = &'s Subject>,
    now: Timestamp,
) -> Option<Timestamp> {
    let window = needs.window?;
    let from = subjects.filter_map(|s| s.next_due).fold(now, Ord::min);
    Some(from - window)
}
