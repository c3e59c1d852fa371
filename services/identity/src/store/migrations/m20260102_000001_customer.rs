//! Customers, survivors only. `golden` is sealed under the customer itself.

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
CREATE TABLE customer (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    kind INTEGER NOT NULL,
    golden BLOB NOT NULL,
    record_count BIGINT NOT NULL,
    confidence DOUBLE NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX customer_created_at ON customer (tenant, created_at, id);
CREATE INDEX customer_updated_at ON customer (tenant, updated_at, id);
"#;

const POSTGRES: &str = r#"
CREATE TABLE customer (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    kind INTEGER NOT NULL,
    golden BYTEA NOT NULL,
    record_count BIGINT NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX customer_created_at ON customer (tenant, created_at, id);
CREATE INDEX customer_updated_at ON customer (tenant, updated_at, id);
"#;
