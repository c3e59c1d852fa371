//! Customer ids: where their rows belong. Writers lock the ids that they address; whoever moves rows locks harder.

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
    moved_xid BIGINT NOT NULL,
    moved_seq BIGINT NOT NULL,
    split_xid BIGINT NOT NULL,
    split_seq BIGINT NOT NULL,
    erased BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, customer)
) WITHOUT ROWID;
CREATE INDEX subject_survivor ON subject (tenant, survivor) WHERE survivor IS NOT NULL;
"#;

const POSTGRES: &str = r#"
CREATE TABLE subject (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    survivor UUID,
    moved_xid BIGINT NOT NULL,
    moved_seq BIGINT NOT NULL,
    split_xid BIGINT NOT NULL,
    split_seq BIGINT NOT NULL,
    erased BOOLEAN NOT NULL,
    PRIMARY KEY (tenant, customer)
);
CREATE INDEX subject_survivor ON subject (tenant, survivor) WHERE survivor IS NOT NULL;
"#;
