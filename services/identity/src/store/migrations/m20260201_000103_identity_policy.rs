//! What tenants decided about identity. `body` is sealed: a blocked value may be somebody's.

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
CREATE TABLE identity_policy (
    tenant TEXT NOT NULL,
    body BLOB NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE identity_policy (
    tenant TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    version BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
"#;
