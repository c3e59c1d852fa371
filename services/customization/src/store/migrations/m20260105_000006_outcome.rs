//! Outcomes of decisions; `treatment` is all zeros if nothing was chosen. `body` is JSON, sealed under the customer.

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
CREATE TABLE outcome (
    tenant TEXT NOT NULL,
    decision ID NOT NULL,
    treatment ID NOT NULL,
    outcome TEXT NOT NULL,
    place BIGINT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (tenant, decision, treatment, outcome)
) WITHOUT ROWID;
"#;
