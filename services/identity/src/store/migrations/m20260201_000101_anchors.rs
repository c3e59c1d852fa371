//! What guards need to know of a customer, sealed under it. Customers of the time before have none until they are
//! written again: it is then worked out from their edges.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

const SQLITE: &str = "ALTER TABLE customer ADD COLUMN anchors BLOB";

const POSTGRES: &str = "ALTER TABLE customer ADD COLUMN anchors BYTEA";
