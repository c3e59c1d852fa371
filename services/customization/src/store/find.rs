//! Reads decisions, and what a customer's words did to them.

use std::collections::HashMap;

use customization_domain::{
    get_relationship::{Changed, DECISIONS_MAX, Effects},
    ports::Logged,
    profile::{BoundaryId, StatementId},
    report_outcome::DecisionId,
};
use data::{Sql, Store};
use sea_orm::{QueryResult, Value};
use terms::{CustomerId, Fault, Tenant, Timestamp};

use super::{
    log::{BOUNDARY, STATEMENT},
    rows::{NOBODY, column, id, ids, list, optional_id},
};

pub(super) async fn find(store: &Store, tenant: &Tenant, decision: DecisionId) -> Result<Option<Logged>, Fault> {
    let sql = "SELECT d.customer, d.arrived_as, d.touchpoint, d.catalog_version, d.at, d.body, i.content \
               FROM decision d LEFT JOIN decision_input i \
               ON i.tenant = d.tenant AND i.customer = d.arrived_as AND i.digest = d.inputs \
               WHERE d.tenant = $1 AND d.id = $2";
    let row = store.reader().row(sql, vec![tenant.as_str().into(), decision.uuid().into()]).await?;
    let Some(row) = row else { return Ok(None) };
    let logged = logged(store, tenant, decision, &row)?;
    let inputs = column::<Option<Vec<u8>>>(&row, 6)?;
    let inputs = inputs.map(|sealed| open(store, tenant, logged.arrived_as, &sealed)).transpose()?;
    Ok(Some(Logged { inputs, ..logged }))
}

/// Those that are there, without their inputs.
pub(super) async fn find_all(store: &Store, tenant: &Tenant, decisions: &[DecisionId]) -> Result<Vec<Logged>, Fault> {
    let mut found = Vec::with_capacity(decisions.len());
    for chunk in decisions.chunks(CHUNK) {
        let sql = format!(
            "SELECT customer, arrived_as, touchpoint, catalog_version, at, body, id FROM decision \
             WHERE tenant = $1 AND id IN ({})",
            list(2, chunk.len())
        );
        let mut values: Vec<Value> = vec![tenant.as_str().into()];
        values.extend(ids(chunk));
        for row in store.reader().rows(&sql, values).await? {
            found.push(logged(store, tenant, id(&row, 6)?, &row)?);
        }
    }
    Ok(found)
}

/// How many decisions one statement names.
const CHUNK: usize = 500;

fn logged(store: &Store, tenant: &Tenant, decision: DecisionId, row: &QueryResult) -> Result<Logged, Fault> {
    let arrived_as: Option<CustomerId> = optional_id(row, 1)?;
    Ok(Logged {
        id: decision,
        customer: optional_id(row, 0)?,
        arrived_as,
        touchpoint: id(row, 2)?,
        catalog_version: column(row, 3)?,
        at: Timestamp(column(row, 4)?),
        body: open(store, tenant, arrived_as, &column::<Vec<u8>>(row, 5)?)?,
        inputs: None,
    })
}

fn open(store: &Store, tenant: &Tenant, arrived_as: Option<CustomerId>, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
    match sealed {
        [] => Ok(Vec::new()),
        sealed => store.sealer().open(tenant, arrived_as.unwrap_or(NOBODY), sealed),
    }
}

pub(super) async fn effects(
    store: &Store,
    tenant: &Tenant,
    customers: &[CustomerId],
    since: Timestamp,
) -> Result<Effects, Fault> {
    if customers.is_empty() {
        return Ok(Effects::default());
    }
    let about = About { store, tenant, customers, since };
    let sql = "SELECT COUNT(*) FROM decision WHERE tenant = $1 AND at >= $2 AND customer IN ({})";
    let decision_count = about.count(sql).await?;
    let sql = "SELECT COUNT(DISTINCT decision) FROM decision_effect \
               WHERE tenant = $1 AND at >= $2 AND customer IN ({}) AND changed";
    let changed_decision_count = about.count(sql).await?;
    let mut effects = Effects { decision_count, changed_decision_count, ..Effects::default() };
    about.totals(&mut effects.statements, &mut effects.boundaries).await?;
    about.latest(&mut effects.statements).await?;
    Ok(effects)
}

struct About<'a> {
    store: &'a Store,
    tenant: &'a Tenant,
    customers: &'a [CustomerId],
    since: Timestamp,
}

impl About<'_> {
    async fn rows(&self, sql: &str) -> Result<Vec<QueryResult>, Fault> {
        let sql = sql.replace("{}", &list(3, self.customers.len()));
        let mut values: Vec<Value> = vec![self.tenant.as_str().into(), self.since.micros().into()];
        values.extend(ids(self.customers));
        self.store.reader().rows(&sql, values).await
    }

    async fn count(&self, sql: &str) -> Result<i64, Fault> {
        self.rows(sql).await?.first().map_or(Ok(0), |row| column(row, 0))
    }

    async fn totals(
        &self,
        statements: &mut HashMap<StatementId, Changed>,
        boundaries: &mut HashMap<BoundaryId, i64>,
    ) -> Result<(), Fault> {
        let sql = "SELECT kind, word, CAST(SUM(CASE WHEN changed THEN 1 ELSE 0 END) AS BIGINT), \
                   CAST(SUM(exclusions) AS BIGINT), MIN(CASE WHEN changed THEN at END) FROM decision_effect \
                   WHERE tenant = $1 AND at >= $2 AND customer IN ({}) GROUP BY kind, word";
        for row in self.rows(sql).await? {
            let (kind, count): (i64, i64) = (column(&row, 0)?, column(&row, 2)?);
            if kind == STATEMENT && count > 0 {
                let first_at = column::<Option<i64>>(&row, 4)?.map(Timestamp);
                statements.insert(id(&row, 1)?, Changed { latest: Vec::new(), count, first_at });
            } else if kind == BOUNDARY {
                boundaries.insert(id(&row, 1)?, column(&row, 3)?);
            }
        }
        Ok(())
    }

    /// The latest decisions that each statement changed.
    async fn latest(&self, statements: &mut HashMap<StatementId, Changed>) -> Result<(), Fault> {
        if statements.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT word, decision FROM (SELECT word, decision, \
             ROW_NUMBER() OVER (PARTITION BY word ORDER BY decision DESC) AS place FROM decision_effect \
             WHERE tenant = $1 AND at >= $2 AND customer IN ({{}}) AND kind = {STATEMENT} AND changed) AS placed \
             WHERE place <= {DECISIONS_MAX} ORDER BY word, place"
        );
        for row in self.rows(&sql).await? {
            if let Some(changed) = statements.get_mut(&id(&row, 0)?) {
                changed.latest.push(id(&row, 1)?);
            }
        }
        Ok(())
    }
}
