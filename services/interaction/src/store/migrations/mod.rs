//! The schema of interaction. Forward only; one migration per file, named by the file.
//!
//! | table | one row for |
//! |---|---|
//! | `subject` | each customer id that was ever addressed or told of: where its rows belong, and since when |
//! | `interaction` | each interaction |
//! | `statement` | each statement, with its retraction |
//! | `consent` | each consent, withdrawal, denial or other basis |
//! | `boundary` | each boundary, with its lifting |
//!
//! Every row of the last four carries `customer` (whose it is now) and how it came in: `arrived_as` (the id to which it
//! was addressed), `arrived_via` (a keyed hash of the identifier, if one was given), `arrived_ref` (the identifier,
//! sealed) and `arrived_record` (identity's source record). Only `customer` ever changes.
//!
//! What is sealed is sealed under `arrived_as`: moving a row does not touch it.
//!
//! Nothing that can be derived is stored: no counters, no current statement. The indexes carry what deriving needs.

use sea_orm_migration::{
    MigrationTrait, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

mod m20260103_000001_subject;
mod m20260103_000002_interaction;
mod m20260103_000003_statement;
mod m20260103_000004_consent;
mod m20260103_000005_boundary;

/// In the order in which they are applied.
pub(crate) fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260103_000001_subject::Migration),
        Box::new(m20260103_000002_interaction::Migration),
        Box::new(m20260103_000003_statement::Migration),
        Box::new(m20260103_000004_consent::Migration),
        Box::new(m20260103_000005_boundary::Migration),
    ]
}

/// Runs the statements of the database at hand. `{arrival}` stands for the columns that say how a row came in.
async fn run(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres.replace(
            "{arrival}",
            "customer UUID NOT NULL, arrived_as UUID NOT NULL, arrived_via BYTEA, arrived_ref BYTEA, arrived_record UUID",
        ),
        _ => sqlite.replace(
            "{arrival}",
            "customer BLOB NOT NULL, arrived_as BLOB NOT NULL, arrived_via BLOB, arrived_ref BLOB, arrived_record BLOB",
        ),
    };
    manager.get_connection().execute_unprepared(&sql).await.map(drop)
}
