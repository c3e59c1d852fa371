//! Definitions whose members are being computed, and how far that has come.

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
CREATE TABLE build (
    tenant TEXT NOT NULL,
    segment BLOB NOT NULL,
    over BIGINT NOT NULL,
    after BLOB,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, segment)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE build (
    tenant TEXT COLLATE "C" NOT NULL,
    segment UUID NOT NULL,
    over BIGINT NOT NULL,
    after UUID,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, segment)
);
"#;
