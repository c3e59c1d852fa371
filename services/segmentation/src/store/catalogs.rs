//! The compiled definitions of each tenant, in memory; the store says which epoch is in force.

use std::{collections::HashMap, sync::Arc};

use data::{Dialect, Sql, Tx};
use parking_lot::RwLock;
use sea_orm::{ConnectionTrait, QueryResult};
use segmentation_domain::catalog::Catalog;
use terms::{Fault, Tenant};

use super::{
    rows,
    sql::{Params, column},
};

/// A tenant's definitions, as a transaction found them in force.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) catalog: Arc<Catalog>,
}

/// The catalogs.
#[derive(Default)]
pub(super) struct Catalogs(RwLock<HashMap<Tenant, Arc<Catalog>>>);

/// What the row `ruleset` says.
#[derive(Debug, Clone, Copy)]
struct Epoch {
    epoch: i64,
    rules: i64,
}

impl Epoch {
    fn read(row: Option<&QueryResult>, place: usize) -> Result<Self, Fault> {
        let Some(row) = row else { return Ok(Self { epoch: 0, rules: 0 }) };
        Ok(Self { epoch: column(row, place)?, rules: column(row, place + 1)? })
    }
}

/// How a transaction holds the definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Until it ends nobody changes them.
    Share,
    /// Until it ends nobody else uses them.
    Alone,
}

impl Catalogs {
    /// The definitions in force, held by the transaction.
    pub(super) async fn hold(&self, tx: &Tx, tenant: &Tenant, hold: Hold) -> Result<Snapshot, Fault> {
        let lock = match (tx.dialect(), hold) {
            (Dialect::Sqlite, _) => "",
            (Dialect::Postgres, Hold::Share) => "FOR SHARE",
            (Dialect::Postgres, Hold::Alone) => "FOR UPDATE",
        };
        let sql = format!("SELECT epoch, rules FROM ruleset WHERE tenant = $1 {lock}");
        let mut row = tx.conn().row(&sql, vec![tenant.as_str().into()]).await?;
        if row.is_none() {
            let insert = "INSERT INTO ruleset (tenant, epoch, rules) VALUES ($1, 0, 0) ON CONFLICT DO NOTHING";
            tx.conn().run(insert, vec![tenant.as_str().into()]).await?;
            row = tx.conn().row(&sql, vec![tenant.as_str().into()]).await?;
        }
        self.of_epoch(tx.conn(), tenant, Epoch::read(row.as_ref(), 0)?).await
    }

    /// The definitions in force at this moment.
    pub(super) async fn read<C: ConnectionTrait + Sync>(&self, conn: &C, tenant: &Tenant) -> Result<Snapshot, Fault> {
        let sql = "SELECT epoch, rules FROM ruleset WHERE tenant = $1";
        let row = conn.row(sql, vec![tenant.as_str().into()]).await?;
        self.of_epoch(conn, tenant, Epoch::read(row.as_ref(), 0)?).await
    }

    async fn of_epoch<C: ConnectionTrait + Sync>(
        &self,
        conn: &C,
        tenant: &Tenant,
        wanted: Epoch,
    ) -> Result<Snapshot, Fault> {
        let known = self.0.read().get(tenant).cloned();
        if let Some(catalog) = known.clone().filter(|known| known.epoch == wanted.epoch) {
            return Ok(Snapshot { catalog });
        }
        // Deleted segments are needed by name until their members have left.
        let sql = format!(
            "SELECT {}, (SELECT epoch FROM ruleset r WHERE r.tenant = $1), (SELECT rules FROM ruleset r WHERE \
             r.tenant = $1) FROM segment s WHERE tenant = $1 AND (state <> 3 OR EXISTS (SELECT 1 FROM build b \
             WHERE b.tenant = s.tenant AND b.segment = s.id))",
            rows::SEGMENT
        );
        let found = conn.rows(&sql, Params::new(conn.dialect(), tenant).values()).await?;
        let segments = found.iter().map(rows::segment).collect::<Result<Vec<_>, _>>()?;
        // Outside of a transaction the epoch may have moved on since it was read.
        let found = found.first().map_or(Ok(wanted), |row| Epoch::read(Some(row), 10))?;
        let catalog = match known.filter(|known| known.rules == found.rules) {
            Some(known) => known.refreshed(found.epoch, segments),
            None => Catalog::new(found.epoch, found.rules, segments),
        };
        let catalog = Arc::new(catalog);
        let mut catalogs = self.0.write();
        let newer = catalogs.get(tenant).is_some_and(|known| known.epoch > found.epoch);
        if !newer {
            catalogs.insert(tenant.clone(), catalog.clone());
        }
        Ok(Snapshot { catalog })
    }
}
