//! Edges of probabilistic evidence: two records that resemble each other, from either side; the score is in thousandths of a
//! bit.

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
CREATE TABLE match_pair (
    tenant TEXT NOT NULL,
    record BLOB NOT NULL,
    other BLOB NOT NULL,
    score INTEGER NOT NULL,
    matcher TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, record, other)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE match_pair (
    tenant TEXT COLLATE "C" NOT NULL,
    record UUID NOT NULL,
    other UUID NOT NULL,
    score INTEGER NOT NULL,
    matcher TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, record, other)
);
"#;
