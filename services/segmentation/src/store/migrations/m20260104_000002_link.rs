//! What merges and splits say of ids: see `segmentation_domain::lineage`.

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
CREATE TABLE link (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    xid BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    is_split BOOLEAN NOT NULL,
    other BLOB NOT NULL,
    PRIMARY KEY (tenant, customer, xid, seq)
) WITHOUT ROWID;
CREATE INDEX link_other ON link (tenant, other);
"#;

const POSTGRES: &str = r#"
CREATE TABLE link (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    xid BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    is_split BOOLEAN NOT NULL,
    other UUID NOT NULL,
    PRIMARY KEY (tenant, customer, xid, seq)
);
CREATE INDEX link_other ON link (tenant, other);
"#;
