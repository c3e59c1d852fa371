//! The recorded answers to request ids.
//!
//! `customers` holds the 16-byte ids that the write concerned, one after the other, so that an erasure finds the
//! answers that it must blank.

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
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    method TEXT NOT NULL,
    request_id TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    at BIGINT NOT NULL,
    revision BLOB,
    customers BLOB,
    reply BLOB,
    PRIMARY KEY (tenant, method, request_id)
) WITHOUT ROWID;
CREATE INDEX idempotency_at ON idempotency (at);
"#;

const POSTGRES: &str = r#"
CREATE TABLE idempotency (
    tenant TEXT COLLATE "C" NOT NULL,
    method TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    fingerprint BYTEA NOT NULL,
    at BIGINT NOT NULL,
    revision BYTEA,
    customers BYTEA,
    reply BYTEA,
    PRIMARY KEY (tenant, method, request_id)
) WITH (fillfactor = 80);
CREATE INDEX idempotency_at ON idempotency (at);
"#;
