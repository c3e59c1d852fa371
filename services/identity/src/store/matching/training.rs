//! What training reads and stores.

use std::sync::Arc;

use data::{Run, Sql};
use identity_domain::{
    RecordId,
    matching::{Likeness, Trained},
};
use identity_matching::model::Model;
use terms::{CustomerId, Fault, Tenant};

use super::{lock, matchers, packed::unpack, refile};
use crate::store::{
    SqlCustomers,
    sealed::Sealing,
    sql::{Params, column, id, optional_id},
};

impl SqlCustomers {
    /// How many records of a tenant are compared, and the last of them.
    pub(crate) async fn compared(&self, tenant: &Tenant) -> Result<(u64, Option<RecordId>), Fault> {
        let params = Params::of(self.store.dialect(), tenant);
        let sql = "SELECT (SELECT COUNT(*) FROM match_record WHERE tenant = $1), \
                   (SELECT record FROM match_record WHERE tenant = $1 ORDER BY record DESC LIMIT 1)";
        let row = self.store.reader().row(sql, params.values()).await?;
        let row = row.ok_or_else(|| Fault::internal("a count has no row"))?;
        Ok((column::<i64>(&row, 0)?.max(0).unsigned_abs(), optional_id(&row, 1)?))
    }

    /// What is compared of the records behind `after`, up to and with `until`, in the order of their ids.
    pub(crate) async fn likenesses(
        &self,
        tenant: &Tenant,
        after: Option<RecordId>,
        until: RecordId,
        limit: u32,
    ) -> Result<Vec<(RecordId, Likeness)>, Fault> {
        let sealing = Sealing { sealer: self.store.sealer(), tenant };
        let mut params = Params::of(self.store.dialect(), tenant);
        let until = params.add(until.uuid());
        let after = after.map(|after| format!(" AND record > {}", params.add(after.uuid()))).unwrap_or_default();
        let sql = format!(
            "SELECT record, home, likeness FROM match_record WHERE tenant = $1 AND record <= {until}{after} \
             ORDER BY record LIMIT {limit}"
        );
        let rows = self.store.reader().rows(&sql, params.values()).await?;
        let read = |row| {
            let home: CustomerId = id(row, 1)?;
            let plain = sealing.sealer.open(tenant, home, &column::<Vec<u8>>(row, 2)?)?;
            Ok((id(row, 0)?, unpack(&plain)?))
        };
        rows.iter().map(read).collect()
    }

    /// Stores a model that was trained under its version, once, with the checkpoint that says so; and puts it in force if
    /// that was asked.
    pub(crate) async fn add_matcher(
        &self,
        run: &Run,
        model: Model,
        records: u64,
        activate: bool,
        checkpoint: Vec<u8>,
    ) -> Result<(), Fault> {
        let work = Arc::new((run.tenant().clone(), model));
        let written = run.write(checkpoint, move |tx| {
            let work = work.clone();
            Box::pin(async move {
                let (tenant, model) = &*work;
                lock(tx.conn(), tenant).await?;
                let number = matchers::add(tx, tenant, model, records).await?;
                if activate {
                    matchers::activate(tx, tenant, number).await?;
                    refile::ask(tx, tenant, true).await?;
                }
                Ok(())
            })
        });
        written.await.map(drop)
    }

    /// The matcher of this version, which is there.
    pub(crate) async fn trained(&self, tenant: &Tenant, version: &str) -> Result<Trained, Fault> {
        let found = identity_domain::matching::Matches::matcher(self, tenant, version).await?;
        found.ok_or_else(|| Fault::internal("a stored matcher is gone"))
    }
}
