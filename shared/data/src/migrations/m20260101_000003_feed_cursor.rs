//! How far each consumer of this schema has come in the feeds that it follows, and who works on it now.

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
CREATE TABLE feed_cursor (
    consumer TEXT NOT NULL,
    service TEXT NOT NULL,
    partition INTEGER NOT NULL,
    xid BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (consumer, service, partition)
);
"#;

/// Rows are updated with every batch: room beside them keeps the updates on their page.
const POSTGRES: &str = r#"
CREATE TABLE feed_cursor (
    consumer TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    partition INTEGER NOT NULL,
    xid BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (consumer, service, partition)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"#;
