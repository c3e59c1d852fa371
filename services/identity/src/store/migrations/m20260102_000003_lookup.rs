//! Where identifiers and source keys lead, by their keyed hash.
//!
//! On PostgreSQL a row also stands for a node that a running transaction is about to link: it is inserted without a
//! customer, so that whoever wants the same node waits. Such a row never outlives its transaction.

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
CREATE TABLE lookup (
    tenant TEXT NOT NULL,
    key BLOB NOT NULL,
    customer BLOB,
    record BLOB,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE lookup (
    tenant TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    customer UUID,
    record UUID,
    PRIMARY KEY (tenant, key)
);
"#;
