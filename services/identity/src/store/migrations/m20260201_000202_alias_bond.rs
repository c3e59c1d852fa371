//! What holds an alias and its survivor together: the two ids at which the evidence lies, and what it is. Without the ids: the
//! alias itself, and whom it leads to.

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
ALTER TABLE alias ADD COLUMN here BLOB;
ALTER TABLE alias ADD COLUMN there BLOB;
ALTER TABLE alias ADD COLUMN bond TEXT NOT NULL DEFAULT 'identifier';
ALTER TABLE alias ADD COLUMN certainty DOUBLE NOT NULL DEFAULT 1;
"#;

const POSTGRES: &str = r#"
ALTER TABLE alias
    ADD COLUMN here UUID,
    ADD COLUMN there UUID,
    ADD COLUMN bond TEXT COLLATE "C" NOT NULL DEFAULT 'identifier',
    ADD COLUMN certainty DOUBLE PRECISION NOT NULL DEFAULT 1;
"#;
