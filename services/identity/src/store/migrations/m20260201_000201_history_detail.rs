//! Entries of the history that no record brought about, that belong to two customers, and whose detail is sealed under
//! the customer.
//!
//! `loser` is the other customer of any entry; its name is from when only merges had one. An entry with another customer
//! has a second row, a `mirror`, for that customer.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

/// SQLite cannot take `NOT NULL` from a column: the table is made anew.
const SQLITE: &str = r#"
CREATE TABLE history_detail (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    loser BLOB,
    record BLOB,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    at BIGINT NOT NULL,
    mirror BOOLEAN NOT NULL DEFAULT FALSE,
    detail BLOB,
    PRIMARY KEY (tenant, customer, id)
);
INSERT INTO history_detail (tenant, customer, id, kind, loser, record, actor, reason, at)
    SELECT tenant, customer, id, kind, loser, record, actor, reason, at FROM history;
DROP TABLE history;
ALTER TABLE history_detail RENAME TO history;
"#;

const POSTGRES: &str = r#"
ALTER TABLE history
    ALTER COLUMN record DROP NOT NULL,
    ADD COLUMN mirror BOOLEAN NOT NULL DEFAULT FALSE,
    ADD COLUMN detail BYTEA;
"#;
