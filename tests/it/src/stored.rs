//! What the stores hold of a tenant.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use terms::Service;

use crate::suite::Suite;

/// Rows by table, as in `identity.customer`; tables without any are left out.
pub type Rows = BTreeMap<String, i64>;

/// What is worked out of other rows a while after these were written.
const DERIVED: [&str; 2] = ["customization.decision_unindexed", "customization.decision_posting"];

/// Counts a tenant's rows in every table of every service, but those that are [`DERIVED`].
///
/// # Errors
/// When a store cannot be read.
pub async fn rows(suite: &Suite, tenant: &str) -> Result<Rows> {
    let mut rows = match &suite.postgres {
        Some(url) => postgres(url, tenant).await,
        None => sqlite(suite, tenant).await,
    }?;
    rows.retain(|table, _| !DERIVED.contains(&table.as_str()));
    Ok(rows)
}

async fn postgres(url: &str, tenant: &str) -> Result<Rows> {
    let connection = Database::connect(url).await?;
    let tables = "SELECT table_schema || '.' || table_name AS name FROM information_schema.columns \
                  WHERE column_name = 'tenant' AND table_schema IN \
                  ('identity', 'interaction', 'segmentation', 'customization')";
    let found = counted(&connection, DbBackend::Postgres, tables, "", "$1", tenant).await?;
    connection.close().await?;
    Ok(found)
}

async fn sqlite(suite: &Suite, tenant: &str) -> Result<Rows> {
    let mut all = Rows::new();
    for service in Service::ALL {
        let file = suite.dir.join("data").join(format!("{service}.db"));
        let url = format!("sqlite://{}?mode=ro", file.display());
        let connection = Database::connect(url).await.with_context(|| format!("{}", file.display()))?;
        let tables = "SELECT m.name AS name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                      WHERE m.type = 'table' AND c.name = 'tenant'";
        let prefix = format!("{service}.");
        all.extend(counted(&connection, DbBackend::Sqlite, tables, &prefix, "?", tenant).await?);
        connection.close().await?;
    }
    Ok(all)
}

async fn counted(
    connection: &DatabaseConnection,
    backend: DbBackend,
    tables: &str,
    prefix: &str,
    mark: &str,
    tenant: &str,
) -> Result<Rows> {
    let mut rows = Rows::new();
    let tables = connection.query_all_raw(Statement::from_string(backend, tables)).await?;
    anyhow::ensure!(!tables.is_empty(), "{prefix}: no table has a column `tenant`");
    for table in tables {
        let name: String = table.try_get("", "name")?;
        let count = format!("SELECT count(*) AS n FROM {name} WHERE tenant = {mark}");
        let count = Statement::from_sql_and_values(backend, count, [tenant.into()]);
        let count = connection.query_one_raw(count).await?.context("a count")?;
        let count: i64 = count.try_get("", "n")?;
        if count > 0 {
            rows.insert(format!("{prefix}{name}"), count);
        }
    }
    Ok(rows)
}
