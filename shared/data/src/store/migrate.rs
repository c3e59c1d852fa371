//! Migrations: each in one transaction with the record that it was applied; forward only.

use std::{collections::BTreeSet, sync::Arc};

use sea_orm::{ConnectionTrait, DatabaseConnection, SqliteTransactionMode, TransactionOptions, TransactionTrait};
use sea_orm_migration::{MigrationTrait, SchemaManager};
use terms::Fault;

use super::{Shared, open};
use crate::{
    config::Dialect,
    error::OrFault,
    migrations,
    sql::{Sql, column},
};

/// Its own table in each schema.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS migration (name TEXT PRIMARY KEY, applied_at BIGINT NOT NULL)";

/// "rapport" in the key space of advisory locks: migrations of several processes run one after the other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'726170706f7274'::bigint)";

pub(super) async fn migrate(shared: &Arc<Shared>) -> Result<(), Fault> {
    let shared = shared.clone();
    super::joined(tokio::spawn(async move {
        let conn =
            open::for_migrations(&shared.config, shared.sqlite_file.as_ref(), shared.service, &shared.options).await?;
        let outcome = apply(&shared, &conn).await;
        let _ = conn.close().await;
        outcome
    }))
    .await
}

pub(super) async fn pending(shared: &Arc<Shared>) -> Result<Vec<String>, Fault> {
    let sql = match shared.dialect() {
        Dialect::Postgres => {
            "SELECT 1 FROM information_schema.tables WHERE table_schema = current_schema() AND table_name = 'migration'"
        }
        Dialect::Sqlite => "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'migration'",
    };
    let applied = match shared.reader().row(sql, vec![]).await? {
        Some(_) => applied(shared.reader()).await?,
        None => BTreeSet::new(),
    };
    let all = all(shared, &migrations::shared()).into_iter().map(|m| m.name().to_owned()).collect::<Vec<_>>();
    Ok(all.into_iter().filter(|name| !applied.contains(name)).collect())
}

fn all<'a>(shared: &'a Shared, first: &'a [Box<dyn MigrationTrait>]) -> Vec<&'a dyn MigrationTrait> {
    first.iter().chain(shared.migrations.iter()).map(AsRef::as_ref).collect()
}

async fn applied<C: ConnectionTrait + Sync>(conn: &C) -> Result<BTreeSet<String>, Fault> {
    conn.rows("SELECT name FROM migration", vec![]).await?.iter().map(|row| column(row, 0)).collect()
}

async fn apply(shared: &Shared, conn: &DatabaseConnection) -> Result<(), Fault> {
    let first = migrations::shared();
    // Ours and the service's share the record: two of one name would hide each other.
    let mut names = BTreeSet::new();
    for migration in all(shared, &first) {
        if !names.insert(migration.name()) {
            return Err(Fault::internal(format!("two migrations are named {}", migration.name())));
        }
    }
    let transaction = begin(conn).await?;
    if shared.dialect() == Dialect::Postgres {
        transaction.run(LOCK, vec![]).await?;
        // `IF NOT EXISTS` asks for the right to make one first; it may be there, and the right not.
        let sql = "SELECT 1 FROM pg_namespace WHERE nspname = $1";
        if transaction.row(sql, vec![shared.service.name().into()]).await?.is_none() {
            transaction.run(&format!("CREATE SCHEMA {}", shared.service.name()), vec![]).await?;
        }
    }
    transaction.execute_unprepared(TABLE).await.or_fault()?;
    transaction.commit().await.or_fault()?;
    for migration in all(shared, &first) {
        if migration.use_transaction() == Some(false) {
            apply_outside(shared, conn, migration).await?;
        } else {
            apply_one(shared, conn, migration).await?;
        }
    }
    if shared.dialect() == Dialect::Postgres { keep_rising(shared, conn).await } else { Ok(()) }
}

/// How far positions jump when the data came to another cluster: more than any cluster counts on after its last entry.
const JUMP: i64 = 1 << 40;

/// After a dump was restored in another cluster, whose transaction ids are lower, new entries would stand before old
/// ones: readers that have read those would never see them. Raises the base so that they stand after.
async fn keep_rising(shared: &Shared, conn: &DatabaseConnection) -> Result<(), Fault> {
    let transaction = begin(conn).await?;
    transaction.run(LOCK, vec![]).await?;
    let sql = "SELECT GREATEST((SELECT xid FROM feed_entry ORDER BY xid DESC, seq DESC LIMIT 1), \
               (SELECT MAX(xid) FROM feed_pruned)), pg_snapshot_xmax(pg_current_snapshot())::text::bigint, \
               (SELECT base FROM feed_base)";
    let row = transaction.row(sql, vec![]).await?.ok_or_else(|| Fault::internal("no feed base"))?;
    let (newest, next, base): (Option<i64>, i64, i64) = (column(&row, 0)?, column(&row, 1)?, column(&row, 2)?);
    if let Some(newest) = newest
        && newest >= next + base
    {
        let base = newest - next + JUMP;
        transaction.run("UPDATE feed_base SET base = $1", vec![base.into()]).await?;
        let sql = format!(
            "ALTER TABLE feed_entry ALTER COLUMN xid SET DEFAULT (pg_current_xact_id()::text::bigint + {base})"
        );
        transaction.run(&sql, vec![]).await?;
        tracing::warn!(service = %shared.service, base, "the data came from another cluster; feed positions go on");
    }
    transaction.commit().await.or_fault()
}

async fn begin(conn: &DatabaseConnection) -> Result<sea_orm::DatabaseTransaction, Fault> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    conn.begin_with_options(options).await.or_fault()
}

async fn apply_one(shared: &Shared, conn: &DatabaseConnection, migration: &dyn MigrationTrait) -> Result<(), Fault> {
    let transaction = begin(conn).await?;
    if shared.dialect() == Dialect::Postgres {
        transaction.run(LOCK, vec![]).await?;
    }
    if !applied(&transaction).await?.contains(migration.name()) {
        migration.up(&SchemaManager::new(&transaction)).await.or_fault()?;
        record(shared, &transaction, migration).await?;
        tracing::info!(service = %shared.service, migration = migration.name(), "applied");
    }
    transaction.commit().await.or_fault()
}

/// For what PostgreSQL does outside of a transaction only: it must bear being applied twice.
async fn apply_outside(
    shared: &Shared,
    conn: &DatabaseConnection,
    migration: &dyn MigrationTrait,
) -> Result<(), Fault> {
    if applied(conn).await?.contains(migration.name()) {
        return Ok(());
    }
    migration.up(&SchemaManager::new(conn)).await.or_fault()?;
    record(shared, conn, migration).await
}

async fn record<C: ConnectionTrait + Sync>(
    shared: &Shared,
    conn: &C,
    migration: &dyn MigrationTrait,
) -> Result<(), Fault> {
    let sql = "INSERT INTO migration (name, applied_at) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
    conn.run(sql, vec![migration.name().into(), shared.options.clock.now().micros().into()]).await.map(drop)
}
