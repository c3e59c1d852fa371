//! What a customer's words did: `kind` 1 is a statement, 2 a boundary.

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
CREATE TABLE decision_effect (
    tenant TEXT NOT NULL,
    decision ID NOT NULL,
    kind BIGINT NOT NULL,
    word ID NOT NULL,
    customer ID NOT NULL,
    at BIGINT NOT NULL,
    changed BOOLEAN NOT NULL,
    exclusions BIGINT NOT NULL,
    PRIMARY KEY (tenant, decision, kind, word)
) WITHOUT ROWID;
CREATE INDEX decision_effect_customer ON decision_effect (tenant, customer, at);
"#;
