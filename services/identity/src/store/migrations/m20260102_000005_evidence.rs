//! Edges between records and identifiers. `value` (normalised and as given) is sealed under the home of the record.

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
CREATE TABLE evidence (
    tenant TEXT NOT NULL,
    record BLOB NOT NULL,
    key BLOB NOT NULL,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    value BLOB NOT NULL,
    verified BOOLEAN,
    verified_observed_at BIGINT,
    verified_record_time BIGINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    certainty DOUBLE NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, record, key)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE evidence (
    tenant TEXT COLLATE "C" NOT NULL,
    record UUID NOT NULL,
    key BYTEA NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    value BYTEA NOT NULL,
    verified BOOLEAN,
    verified_observed_at BIGINT,
    verified_record_time BIGINT,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    certainty DOUBLE PRECISION NOT NULL,
    actor TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, record, key)
);
"#;
