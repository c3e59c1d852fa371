//! Ids that were merged away. `customer` is the survivor, always in one hop.

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
CREATE TABLE alias (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    customer BLOB NOT NULL,
    merge_id BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    merged_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX alias_customer ON alias (tenant, customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE alias (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    customer UUID NOT NULL,
    merge_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    merged_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX alias_customer ON alias (tenant, customer);
"#;
