//! By what stewards find customers: the table `search`.
//!
//! Rows are written with the customer and the evidence that they are of, and name the customer of the time. What is
//! left over from names that hold no more is harmless: whoever finds a customer asks whether it matches.

use std::{collections::BTreeSet, time::Duration};

use data::{Dialect, Sql, Store, sql::insert_rows};
use identity_domain::{
    Batch, Golden, Search, View,
    search::{golden_tokens, identifier_tokens, is_name},
};
use sea_orm::{DatabaseTransaction, Value};
use terms::{CustomerId, Fault, Identifier, Tenant};
use tokio_util::sync::CancellationToken;

use super::{
    rows,
    sealed::Sealing,
    sql::{Params, column, id},
};

/// Rows that are to be written, in the order of their key: neighbours share a page.
pub(super) struct Tokens<'a> {
    sealing: Sealing<'a>,
    rows: BTreeSet<(Vec<u8>, CustomerId)>,
}

fn key(sealing: Sealing<'_>, token: &str) -> Vec<u8> {
    sealing.sealer.prefix_key(sealing.tenant, "search:token", token)
}

impl<'a> Tokens<'a> {
    pub(super) fn new(sealing: Sealing<'a>) -> Self {
        Self { sealing, rows: BTreeSet::new() }
    }

    /// Adds the names of a customer.
    pub(super) fn golden(&mut self, customer: CustomerId, golden: &Golden) {
        let tokens = golden_tokens(golden).into_iter();
        self.rows.extend(tokens.map(|token| (key(self.sealing, &token), customer)));
    }

    /// Adds an identifier of a customer.
    pub(super) fn identifier(&mut self, customer: CustomerId, identifier: &Identifier) {
        let tokens = identifier_tokens(identifier).into_iter();
        self.rows.extend(tokens.map(|token| (key(self.sealing, &token), customer)));
    }

    pub(super) async fn write(self, conn: &DatabaseTransaction) -> Result<(), Fault> {
        let tenant = Value::from(self.sealing.tenant.as_str());
        let rows = self.rows.into_iter();
        let rows = rows.map(|(key, customer)| vec![tenant.clone(), key.into(), customer.uuid().into()]);
        let then = "ON CONFLICT (tenant, key, customer) DO NOTHING";
        insert_rows(conn, "search (tenant, key, customer)", rows.collect(), then).await.map(drop)
    }
}

/// Writes the names that changed and the identifiers that came.
pub(super) async fn save(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    view: &View,
    batch: &Batch,
) -> Result<(), Fault> {
    let mut tokens = Tokens::new(sealing);
    for id in batch.created.union(&batch.updated) {
        let renamed = batch.news.get(id).is_some_and(|news| news.traits.iter().any(|name| is_name(name)));
        if let (true, Some(state)) = (renamed || batch.created.contains(id), view.customer(*id)) {
            tokens.golden(*id, &state.golden);
        }
    }
    for ((record, identifier), _) in batch.claims.iter().filter(|(_, new)| **new) {
        let record = view.record(*record).ok_or_else(|| Fault::internal("a changed record is gone"))?;
        tokens.identifier(record.home, identifier);
    }
    // What a split gives to another id is found there.
    for (record, claim) in view.claims().filter(|(record, _)| batch.rehomed.contains(record)) {
        let record = view.record(record).ok_or_else(|| Fault::internal("a moved record is gone"))?;
        tokens.identifier(record.home, &claim.identifier);
    }
    tokens.write(conn).await
}

/// The query that selects, as `c`, the customers whom a search may find.
pub(super) fn found(sealing: Sealing<'_>, search: &Search, params: &mut Params) -> String {
    let parts = match search {
        Search::Term(term) => return term_found(key(sealing, term), params),
        Search::All(parts) | Search::Any(parts) => parts,
    };
    let how = if matches!(search, Search::All(_)) { " INTERSECT " } else { " UNION " };
    // Neither database takes bare brackets around the parts of such a query; both take a query of a query.
    let parts = parts.iter().map(|part| format!("SELECT c FROM ({}) AS part", found(sealing, part, params)));
    parts.collect::<Vec<_>>().join(how)
}

fn term_found(key: Vec<u8>, params: &mut Params) -> String {
    let until = successor(&key);
    let from = params.add(key);
    let until = until.map(|until| format!(" AND s.key < {}", params.add(until))).unwrap_or_default();
    format!(
        "SELECT COALESCE((SELECT a.customer FROM alias a WHERE a.tenant = $1 AND a.id = s.customer), s.customer) AS c \
         FROM search s WHERE s.tenant = $1 AND s.key >= {from}{until}"
    )
}

/// The first key that does not begin with `key`; `None` if every later one does.
fn successor(key: &[u8]) -> Option<Vec<u8>> {
    let end = key.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = key.get(..=end)?.to_vec();
    *next.last_mut()? += 1;
    Some(next)
}

/// How many customers one step of [`catch_up`] takes.
const STEP: u32 = 200;
/// How long to wait after a step that failed.
const PAUSE: Duration = Duration::from_secs(5);

/// Writes the tokens of customers that were there before there was a search, in the background, once; any number of
/// replicas may do so at once.
pub(crate) async fn catch_up(store: Store, shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match store.write(|tx| Box::pin(step(tx))).await {
            Ok(written) if written.value == 0 => return,
            Ok(_) => {}
            Err(fault) => {
                tracing::warn!(fault = ?fault, "the search could not be filled; trying again");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }
}

/// Takes some customers, all of one tenant; how many.
async fn step(tx: &data::Tx) -> Result<usize, Fault> {
    let conn = tx.conn();
    let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!("SELECT tenant, customer FROM search_todo ORDER BY tenant, customer LIMIT {STEP} {lock}");
    let found = conn.rows(&sql, vec![]).await?;
    let Some(first) = found.first() else { return Ok(0) };
    let tenant: Tenant = column::<String>(first, 0)?.parse().map_err(Fault::internal)?;
    let mut customers: Vec<CustomerId> = Vec::with_capacity(found.len());
    for row in &found {
        if column::<String>(row, 0)? == tenant.as_str() {
            customers.push(id(row, 1)?);
        }
    }
    let sealing = Sealing { sealer: tx.sealer(), tenant: &tenant };
    let mut tokens = Tokens::new(sealing);
    let params = || Params::of(tx.dialect(), &tenant);
    let mut values = params();
    let among = values.ids(customers.iter().copied());
    let sql = format!("SELECT {} FROM customer c WHERE c.tenant = $1 AND c.id {among}", rows::CUSTOMER);
    for row in conn.rows(&sql, values.values()).await? {
        let state = rows::customer(sealing, &row)?;
        tokens.golden(state.id, &state.golden);
    }
    let mut values = params();
    let among = values.ids(customers.iter().copied());
    let sql = format!(
        "SELECT {} FROM record r CROSS JOIN evidence e \
         WHERE r.tenant = $1 AND r.home {among} AND e.tenant = $1 AND e.record = r.id",
        rows::CLAIM,
    );
    for row in conn.rows(&sql, values.values()).await? {
        tokens.identifier(id(&row, 1)?, &rows::claim(sealing, &row)?.identifier);
    }
    tokens.write(conn).await?;
    let mut values = params();
    let among = values.ids(customers.iter().copied());
    let sql = format!("DELETE FROM search_todo WHERE tenant = $1 AND customer {among}");
    conn.run(&sql, values.values()).await?;
    Ok(customers.len())
}

#[cfg(test)]
mod tests {
    use super::successor;

    #[test]
    fn successors() {
        assert_eq!(successor(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(successor(&[1, 255, 255]), Some(vec![2]));
        assert_eq!(successor(&[255, 255]), None);
    }
}
