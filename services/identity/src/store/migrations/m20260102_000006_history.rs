//! What happened to customers. Rows are only ever added; they hold no value of an identifier.

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
CREATE TABLE history (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    loser BLOB,
    record BLOB NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, id)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE history (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    loser UUID,
    record UUID NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, id)
);
"#;
