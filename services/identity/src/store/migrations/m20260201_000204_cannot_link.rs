//! Pairs of ids that must not become one customer, the lesser first, whoever the ids mean now.

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
CREATE TABLE cannot_link (
    tenant TEXT NOT NULL,
    a BLOB NOT NULL,
    b BLOB NOT NULL,
    id BLOB NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, a, b)
) WITHOUT ROWID;
CREATE INDEX cannot_link_b ON cannot_link (tenant, b);
"#;

const POSTGRES: &str = r#"
CREATE TABLE cannot_link (
    tenant TEXT COLLATE "C" NOT NULL,
    a UUID NOT NULL,
    b UUID NOT NULL,
    id UUID NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, a, b)
);
CREATE INDEX cannot_link_b ON cannot_link (tenant, b);
"#;
