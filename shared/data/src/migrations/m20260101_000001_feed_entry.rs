//! The outbox: what happened, in order.
//!
//! The order is the key, so the tenant does not lead it: a feed is read across tenants, and filtered where it leaves
//! the suite.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

/// `seq` alone orders: there is one writer.
const SQLITE: &str = r#"
CREATE TABLE feed_entry (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    xid BIGINT NOT NULL DEFAULT 0,
    partition INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    event BLOB
);
CREATE INDEX feed_entry_partition ON feed_entry (partition, seq);
"#;

/// Sequence numbers become visible out of order; transaction ids below the oldest running one do not.
const POSTGRES: &str = r#"
CREATE TABLE feed_entry (
    xid BIGINT NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    seq BIGSERIAL NOT NULL,
    partition INTEGER NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    actor TEXT NOT NULL,
    at BIGINT NOT NULL,
    event BYTEA,
    PRIMARY KEY (xid, seq)
);
CREATE INDEX feed_entry_partition ON feed_entry (partition, xid, seq);
"#;
