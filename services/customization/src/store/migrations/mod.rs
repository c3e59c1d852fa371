//! The schema of customization. Forward only; one migration per file, named by the file.
//!
//! | table | one row for |
//! |---|---|
//! | `catalog` | each tenant: how often its definitions changed |
//! | `definition` | each version of each treatment and touchpoint |
//! | `decision_block` | decisions that were committed together; append-only, but for an erasure |
//! | `decision_unindexed` | each block that has no postings yet |
//! | `decision_posting` | decisions by customer and by identifier, those of a shard that were indexed together |
//! | `decision_moved` | each decision that a split or an erasure moved |
//! | `decision_input` | each profile that decisions were made from; many share one |
//! | `decision_effect` | each statement or boundary that had an effect on a decision |
//! | `outcome` | each outcome of a decision |
//!
//! A decision names the survivor of the time at which it was made. A merge rewrites nothing: readers ask for the survivor
//! and its aliases.

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
mod m20260106_000001_decision_block;

/// In the order in which they are applied.
pub(crate) fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260105_000001_catalog::Migration),
        Box::new(m20260105_000002_definition::Migration),
        Box::new(m20260105_000003_decision::Migration),
        Box::new(m20260105_000004_decision_input::Migration),
        Box::new(m20260105_000005_decision_effect::Migration),
        Box::new(m20260105_000006_outcome::Migration),
        Box::new(m20260106_000001_decision_block::Migration),
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
