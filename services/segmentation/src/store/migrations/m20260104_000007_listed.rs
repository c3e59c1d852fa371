//! Who is on lists by hand.

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
CREATE TABLE listed (
    tenant TEXT NOT NULL,
    segment BLOB NOT NULL,
    address BLOB NOT NULL,
    customer BLOB NOT NULL,
    PRIMARY KEY (tenant, segment, address)
) WITHOUT ROWID;
CREATE INDEX listed_customer ON listed (tenant, customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE listed (
    tenant TEXT COLLATE "C" NOT NULL,
    segment UUID NOT NULL,
    address UUID NOT NULL,
    customer UUID NOT NULL,
    PRIMARY KEY (tenant, segment, address)
);
CREATE INDEX listed_customer ON listed (tenant, customer);
"#;
