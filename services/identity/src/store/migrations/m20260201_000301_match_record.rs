//! What the matcher compares of a record, sealed under the home of the record, and the cluster that it is in: the first of
//! its records.

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
CREATE TABLE match_record (
    tenant TEXT NOT NULL,
    record BLOB NOT NULL,
    home BLOB NOT NULL,
    cluster BLOB NOT NULL,
    likeness BLOB NOT NULL,
    PRIMARY KEY (tenant, record)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE match_record (
    tenant TEXT COLLATE "C" NOT NULL,
    record UUID NOT NULL,
    home UUID NOT NULL,
    cluster UUID NOT NULL,
    likeness BYTEA NOT NULL,
    PRIMARY KEY (tenant, record)
);
"#;
