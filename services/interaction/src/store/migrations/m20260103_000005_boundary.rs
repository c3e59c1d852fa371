//! Boundaries. `words` and `lift_reason` are sealed; `scope` is JSON, keys alone.

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
CREATE TABLE boundary (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    {arrival},
    words BLOB NOT NULL,
    scope TEXT NOT NULL,
    statement BLOB,
    source_interaction BLOB,
    source TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    valid_until BIGINT,
    lifted_at BIGINT,
    lift_reason BLOB,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX boundary_customer ON boundary (tenant, customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE boundary (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    {arrival},
    words BYTEA NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    statement UUID,
    source_interaction UUID,
    source TEXT COLLATE "C" NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    valid_until BIGINT,
    lifted_at BIGINT,
    lift_reason BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX boundary_customer ON boundary (tenant, customer);
"#;
