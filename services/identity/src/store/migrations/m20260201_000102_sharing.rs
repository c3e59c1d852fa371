//! With whom the value of an identifier was seen, beside the customer to whom it leads: ids and counts, no personal data.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

const SQLITE: &str = "ALTER TABLE lookup ADD COLUMN sharing BLOB";

const POSTGRES: &str = "ALTER TABLE lookup ADD COLUMN sharing BYTEA";
