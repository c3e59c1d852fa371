//! Reads decisions, and what a customer's words did to them.

use std::collections::HashMap;

use customization_domain::{
    get_relationship::{Changed, DECISIONS_MAX, Effects},
    ports::Logged,
    profile::{BoundaryId, StatementId},
    report_outcome::DecisionId,
};
use data::{Sql, Store};
use sea_orm::{ConnectionTrait, QueryResult, Value};
use terms::{CustomerId, Fault, Tenant, Timestamp};

use super::{
    block::{self, Line},
    index,
    log::{BOUNDARY, STATEMENT},
    rows::{NOBODY, column, id, ids, list},
};

pub(super) async fn find(store: &Store, tenant: &Tenant, decision: DecisionId) -> Result<Option<Logged>, Fault> {
    let Some(line) = line(store.reader(), tenant, decision).await? else { return Ok(None) };
    let customer = owner(store.reader(), tenant, decision, &line).await?;
    let sql = "SELECT content FROM decision_input WHERE tenant = $1 AND customer = $2 AND digest = $3";
    let made_for = line.customer()?.unwrap_or(NOBODY);
    let values = vec![tenant.as_str().into(), made_for.uuid().into(), line.inputs.to_vec().into()];
    let inputs = match store.reader().row(sql, values).await? {
        Some(row) => Some(store.sealer().open(tenant, made_for, &column::<Vec<u8>>(&row, 0)?)?),
        None => None,
    };
    Ok(Some(Logged { inputs, ..logged(store, tenant, &line, customer)? }))
}

/// A decision as it is at rest.
pub(super) async fn line<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    decision: DecisionId,
) -> Result<Option<Line>, Fault> {
    Ok(block::find(conn, tenant, &[decision], false).await?.pop())
}

/// Whose a decision is now.
pub(super) async fn owner<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    decision: DecisionId,
    line: &Line,
) -> Result<Option<CustomerId>, Fault> {
    match index::moved(conn, tenant, &[decision]).await?.remove(&decision) {
        Some(customer) => Ok(customer),
        None => line.owner(),
    }
}

/// Those that are there, without their inputs.
pub(super) async fn find_all(store: &Store, tenant: &Tenant, decisions: &[DecisionId]) -> Result<Vec<Logged>, Fault> {
    let found = block::find(store.reader(), tenant, decisions, false).await?;
    let moved = index::moved(store.reader(), tenant, decisions).await?;
    let one = |line: Line| {
        let customer = match moved.get(&line.decision()?) {
            Some(customer) => *customer,
            None => line.owner()?,
        };
        logged(store, tenant, &line, customer)
    };
    found.into_iter().map(one).collect()
}

fn logged(store: &Store, tenant: &Tenant, line: &Line, customer: Option<CustomerId>) -> Result<Logged, Fault> {
    Ok(Logged {
        id: line.decision()?,
        customer,
        arrived_as: line.customer()?,
        touchpoint: block::id(&line.touchpoint)?,
        catalog_version: line.catalog_version,
        at: Timestamp(line.at),
        body: line.open(store.sealer(), tenant)?,
        inputs: None,
    })
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
    let decision_count = index::owned(store.reader(), tenant, customers, since).await?.len();
    let decision_count = i64::try_from(decision_count).unwrap_or(i64::MAX);
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
