//! Relations between customers. `role` is sealed under `from_customer`; times are microseconds.
//!
//! The order of the indexes is that of a list, newest first; a pair is found by either side and the other.

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
CREATE TABLE relation (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    from_customer BLOB NOT NULL,
    to_customer BLOB NOT NULL,
    kind INTEGER NOT NULL,
    role BLOB NOT NULL,
    valid_from BIGINT,
    valid_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX relation_from ON relation (tenant, from_customer, id);
CREATE INDEX relation_to ON relation (tenant, to_customer, id);
CREATE INDEX relation_pair ON relation (tenant, from_customer, to_customer, kind);
"#;

const POSTGRES: &str = r#"
CREATE TABLE relation (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    from_customer UUID NOT NULL,
    to_customer UUID NOT NULL,
    kind INTEGER NOT NULL,
    role BYTEA NOT NULL,
    valid_from BIGINT,
    valid_until BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX relation_from ON relation (tenant, from_customer, id);
CREATE INDEX relation_to ON relation (tenant, to_customer, id);
CREATE INDEX relation_pair ON relation (tenant, from_customer, to_customer, kind);
"#;
