//! Statements, with the place in interaction's feed of what is known of each.

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
CREATE TABLE statement (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    customer BLOB NOT NULL,
    topic TEXT NOT NULL,
    value BLOB,
    at BIGINT NOT NULL,
    valid_until BIGINT,
    retracted BOOLEAN NOT NULL,
    told_xid BIGINT NOT NULL,
    told_seq BIGINT NOT NULL,
    address BLOB NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX statement_customer ON statement (tenant, customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE statement (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    customer UUID NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    value BYTEA,
    at BIGINT NOT NULL,
    valid_until BIGINT,
    retracted BOOLEAN NOT NULL,
    told_xid BIGINT NOT NULL,
    told_seq BIGINT NOT NULL,
    address UUID NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX statement_customer ON statement (tenant, customer);
"#;
