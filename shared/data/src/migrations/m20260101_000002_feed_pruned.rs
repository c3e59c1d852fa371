//! Up to where each partition of the outbox was pruned: a cursor before that has expired.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

const SQLITE: &str = r#"
CREATE TABLE feed_pruned (
    partition INTEGER PRIMARY KEY,
    xid BIGINT NOT NULL,
    seq BIGINT NOT NULL
);
"#;

const POSTGRES: &str = SQLITE;
