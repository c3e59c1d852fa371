//! Blocking keys: under which a record is found by those that may resemble it. A key is a part of a keyed hash.

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
CREATE TABLE match_key (
    tenant TEXT NOT NULL,
    key BIGINT NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (tenant, key, record)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE match_key (
    tenant TEXT COLLATE "C" NOT NULL,
    key BIGINT NOT NULL,
    record UUID NOT NULL,
    PRIMARY KEY (tenant, key, record)
);
"#;
