//! The schema of segmentation. Forward only; one migration per file, named by the file.
//!
//! | table | one row for |
//! |---|---|
//! | `subject` | each id of a customer: where it leads, attributes, when it is due |
//! | `link` | each thing that a merge or a split says of an id |
//! | `event` | each interaction, as far as rules read it |
//! | `statement` | each statement |
//! | `forward` | each interaction or statement that was moved before it came |
//! | `ruleset` | each tenant: the epoch of its definitions; whoever computes memberships holds a share of its lock |
//! | `segment`, `segment_version` | each segment, each definition |
//! | `listed` | each id on a list by hand |
//! | `membership` | each present membership |
//! | `stay` | each membership that has ended |
//! | `build` | each definition whose members are being computed |
//!
//! Rows that belong to a customer name the present owner (`customer`) and the id to which they were addressed
//! (`address`): the owner is always whom the address leads to.

use sea_orm_migration::{
    MigrationTrait, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

mod m20260104_000001_subject;
mod m20260104_000002_link;
mod m20260104_000003_event;
mod m20260104_000004_statement;
mod m20260104_000005_forward;
mod m20260104_000006_segment;
mod m20260104_000007_listed;
mod m20260104_000008_membership;
mod m20260104_000009_build;

/// In the order in which they are applied.
pub(crate) fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260104_000001_subject::Migration),
        Box::new(m20260104_000002_link::Migration),
        Box::new(m20260104_000003_event::Migration),
        Box::new(m20260104_000004_statement::Migration),
        Box::new(m20260104_000005_forward::Migration),
        Box::new(m20260104_000006_segment::Migration),
        Box::new(m20260104_000007_listed::Migration),
        Box::new(m20260104_000008_membership::Migration),
        Box::new(m20260104_000009_build::Migration),
    ]
}

/// Runs the statements of the database at hand.
async fn run(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres,
        _ => sqlite,
    };
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}
