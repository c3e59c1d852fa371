//! The trained matchers of a tenant, by number. One at most is active; by a retiring one some records are still filed.

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
CREATE TABLE matcher (
    tenant TEXT NOT NULL,
    number BIGINT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL,
    model BLOB NOT NULL,
    records BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, number)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE matcher (
    tenant TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    model BYTEA NOT NULL,
    records BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, number)
);
"#;
