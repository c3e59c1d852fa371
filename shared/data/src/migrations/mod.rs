//! The tables that every service's schema has. Forward only; one migration per file, named by the file.

use sea_orm_migration::{MigrationTrait, SchemaManager, sea_orm::ConnectionTrait};

mod m20260101_000001_feed_entry;
mod m20260101_000002_feed_pruned;
mod m20260101_000003_feed_cursor;
mod m20260101_000004_feed_follower;
mod m20260101_000005_idempotency;
mod m20260101_000006_feed_base;
mod m20260101_000007_operation;

/// In the order in which they are applied, before the service's own.
pub(crate) fn shared() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260101_000001_feed_entry::Migration),
        Box::new(m20260101_000002_feed_pruned::Migration),
        Box::new(m20260101_000003_feed_cursor::Migration),
        Box::new(m20260101_000004_feed_follower::Migration),
        Box::new(m20260101_000005_idempotency::Migration),
        Box::new(m20260101_000006_feed_base::Migration),
        Box::new(m20260101_000007_operation::Migration),
    ]
}

/// Runs the statements of the database at hand.
async fn run(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), sea_orm::DbErr> {
    let sql = match manager.get_database_backend() {
        sea_orm::DbBackend::Postgres => postgres,
        _ => sqlite,
    };
    if sql.is_empty() {
        return Ok(());
    }
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}
