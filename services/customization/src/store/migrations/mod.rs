//! The schema of customization. Forward only; one migration per file, named by the file.
//!
//! | table | one row for |
//! |---|---|
//! | `catalog` | each tenant: how often its definitions changed |
//! | `definition` | each version of each treatment and touchpoint |
//! | `decision` | each decision; append-only, but for a split and an erasure |
//! | `decision_input` | each profile that decisions were made from; many share one |
//! | `decision_effect` | each statement or boundary that had an effect on a decision |
//! | `outcome` | each outcome of a decision |
//!
//! `decision.customer` names the survivor of that time. A merge rewrites nothing: readers ask for the survivor and its
//! aliases.

use sea_orm_migration::{
    MigrationTrait, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

mod m20260105_000001_catalog;
mod m20260105_000002_definition;
mod m20260105_000003_decision;
mod m20260105_000004_decision_input;
mod m20260105_000005_decision_effect;
mod m20260105_000006_outcome;

/// In the order in which they are applied.
pub(crate) fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260105_000001_catalog::Migration),
        Box::new(m20260105_000002_definition::Migration),
        Box::new(m20260105_000003_decision::Migration),
        Box::new(m20260105_000004_decision_input::Migration),
        Box::new(m20260105_000005_decision_effect::Migration),
        Box::new(m20260105_000006_outcome::Migration),
    ]
}

/// Runs statements written for SQLite; on PostgreSQL with its names for the types.
async fn run(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => {
            let sql = sql.replace(" TEXT", " TEXT COLLATE \"C\"").replace(" ID", " UUID").replace(" BLOB", " BYTEA");
            sql.replace(" WITHOUT ROWID", "")
        }
        _ => sql.replace(" ID", " BLOB"),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}
