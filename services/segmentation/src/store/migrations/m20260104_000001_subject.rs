//! The ids of customers: where they lead, what is known, when memberships may next change by the clock.
//!
//! `subject_due` is read across tenants, in the order of the clock.

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
CREATE TABLE subject (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    survivor BLOB,
    changed_xid BIGINT NOT NULL,
    changed_seq BIGINT NOT NULL,
    erased BOOLEAN NOT NULL,
    attributes BLOB,
    next_due BIGINT,
    settled_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer)
) WITHOUT ROWID;
CREATE INDEX subject_due ON subject (next_due) WHERE next_due IS NOT NULL;
"#;

const POSTGRES: &str = r#"
CREATE TABLE subject (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    survivor UUID,
    changed_xid BIGINT NOT NULL,
    changed_seq BIGINT NOT NULL,
    erased BOOLEAN NOT NULL,
    attributes BYTEA,
    next_due BIGINT,
    settled_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer)
);
CREATE INDEX subject_due ON subject (next_due) WHERE next_due IS NOT NULL;
"#;
