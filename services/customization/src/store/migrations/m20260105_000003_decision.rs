//! Decisions. `body` is sealed under `arrived_as`; empty once erased. `inputs` is the digest of a row of `decision_input`.

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
CREATE TABLE decision (
    tenant TEXT NOT NULL,
    id ID NOT NULL,
    customer ID,
    arrived_as ID,
    arrived_via BLOB,
    touchpoint ID NOT NULL,
    catalog_version BIGINT NOT NULL,
    at BIGINT NOT NULL,
    inputs BLOB,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX decision_customer ON decision (tenant, customer, at);
CREATE INDEX decision_arrived_via ON decision (tenant, arrived_via) WHERE arrived_via IS NOT NULL;
"#;
