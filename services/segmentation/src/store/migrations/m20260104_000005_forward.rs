//! Addresses of interactions and statements that were moved before they came.

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
CREATE TABLE forward (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    address BLOB NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE forward (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    address UUID NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
"#;
