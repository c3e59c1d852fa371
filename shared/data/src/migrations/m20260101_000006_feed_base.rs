//! What is added to PostgreSQL's transaction ids, so that positions keep rising when the data moves, by a dump, to a
//! cluster whose ids are lower. See `store::migrate`.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

/// There are no transaction ids.
const SQLITE: &str = "";

const POSTGRES: &str = r#"
CREATE TABLE feed_base (base BIGINT NOT NULL);
INSERT INTO feed_base (base) VALUES (0);
"#;
