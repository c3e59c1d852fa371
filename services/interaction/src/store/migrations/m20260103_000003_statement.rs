//! Statements. `value`, `utterance` and `retract_reason` are sealed.

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
CREATE TABLE statement (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    {arrival},
    topic TEXT NOT NULL,
    value BLOB NOT NULL,
    kind SMALLINT NOT NULL,
    source_interaction BLOB,
    confidence DOUBLE NOT NULL,
    valid_until BIGINT,
    utterance BLOB,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    retracted_at BIGINT,
    retract_reason BLOB,
    source TEXT NOT NULL,
    boundary BLOB,
    fingerprint BLOB,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX statement_topic ON statement (tenant, customer, topic, occurred_at, id, retracted_at);
"#;

const POSTGRES: &str = r#"
CREATE TABLE statement (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    {arrival},
    topic TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    kind SMALLINT NOT NULL,
    source_interaction UUID,
    confidence DOUBLE PRECISION NOT NULL,
    valid_until BIGINT,
    utterance BYTEA,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    retracted_at BIGINT,
    retract_reason BYTEA,
    source TEXT COLLATE "C" NOT NULL,
    boundary UUID,
    fingerprint BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX statement_topic ON statement (tenant, customer, topic, occurred_at, id) INCLUDE (retracted_at);
"#;
