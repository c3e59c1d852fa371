//! Source records. `source_record_id` and `facts` are sealed under `home`, the customer at which the record arrived.

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
CREATE TABLE record (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    home BLOB NOT NULL,
    source TEXT NOT NULL,
    source_record_id BLOB,
    facts BLOB NOT NULL,
    observed_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX record_home ON record (tenant, home);
"#;

const POSTGRES: &str = r#"
CREATE TABLE record (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    home UUID NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    source_record_id BYTEA,
    facts BYTEA NOT NULL,
    observed_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX record_home ON record (tenant, home);
"#;
