//! The key of `lookup` by which a record is known again; a record that was stored before has none, and its key is worked out
//! from what it holds.

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
ALTER TABLE record ADD COLUMN key BLOB;
"#;

const POSTGRES: &str = r#"
ALTER TABLE record ADD COLUMN key BYTEA;
"#;
