//! Long-running operations: what was asked, how far it has come, who works on it, and how it ended.
//!
//! `state`: 0 open, 1 succeeded, 2 ended with an error. What was asked, the checkpoint and the result are sealed.

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
CREATE TABLE operation (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    access INTEGER NOT NULL,
    actor TEXT NOT NULL,
    request BLOB NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    progress BLOB NOT NULL,
    checkpoint BLOB,
    result BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    ended BIGINT,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX operation_open ON operation (lease_until) WHERE state = 0;
CREATE INDEX operation_ended ON operation (ended) WHERE ended IS NOT NULL;
"#;

/// Rows are updated with every step of progress: room beside them keeps the updates on their page.
const POSTGRES: &str = r#"
CREATE TABLE operation (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    access INTEGER NOT NULL,
    actor TEXT NOT NULL,
    request BYTEA NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    cancel INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    progress BYTEA NOT NULL,
    checkpoint BYTEA,
    result BYTEA,
    attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT COLLATE "C" NOT NULL DEFAULT '',
    lease_until BIGINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    ended BIGINT,
    PRIMARY KEY (tenant, id)
) WITH (fillfactor = 50);
CREATE INDEX operation_open ON operation (lease_until) WHERE state = 0;
CREATE INDEX operation_ended ON operation (ended) WHERE ended IS NOT NULL;
"#;
