//! Versions of treatments and touchpoints: `kind` 1 and 2. `body` is JSON; `latest` marks the version in force.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQL).await
    }
}

const SQL: &str = r#"
CREATE TABLE definition (
    tenant TEXT NOT NULL,
    kind BIGINT NOT NULL,
    id ID NOT NULL,
    version BIGINT NOT NULL,
    catalog_version BIGINT NOT NULL,
    latest BOOLEAN NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, id, version)
) WITHOUT ROWID;
CREATE INDEX definition_catalog_version ON definition (tenant, catalog_version);
"#;
