//! Consents. `evidence` is sealed; `speaks_for` are the 16-byte ids for whom it spoke.

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
CREATE TABLE consent (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    {arrival},
    purpose TEXT NOT NULL,
    channel TEXT NOT NULL,
    topic TEXT NOT NULL,
    state SMALLINT NOT NULL,
    basis SMALLINT NOT NULL,
    source TEXT NOT NULL,
    evidence BLOB,
    source_interaction BLOB,
    valid_from BIGINT NOT NULL,
    valid_until BIGINT,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    speaks_for BLOB NOT NULL,
    PRIMARY KEY (tenant, customer, id)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE consent (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    {arrival},
    purpose TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    state SMALLINT NOT NULL,
    basis SMALLINT NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    evidence BYTEA,
    source_interaction UUID,
    valid_from BIGINT NOT NULL,
    valid_until BIGINT,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    speaks_for BYTEA NOT NULL,
    PRIMARY KEY (tenant, customer, id)
);
"#;
