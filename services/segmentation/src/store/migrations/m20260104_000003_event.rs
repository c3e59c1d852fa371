//! Interactions, as far as rules read them; each customer's together, in order of time.

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
CREATE TABLE event (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    at BIGINT NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    micros BIGINT,
    currency TEXT NOT NULL,
    incentivised BOOLEAN NOT NULL,
    address BLOB NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    details BLOB,
    PRIMARY KEY (tenant, customer, at, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX event_id ON event (tenant, id);
"#;

const POSTGRES: &str = r#"
CREATE TABLE event (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    at BIGINT NOT NULL,
    id UUID NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    micros BIGINT,
    currency TEXT COLLATE "C" NOT NULL,
    incentivised BOOLEAN NOT NULL,
    address UUID NOT NULL,
    address_xid BIGINT NOT NULL,
    address_seq BIGINT NOT NULL,
    details BYTEA,
    PRIMARY KEY (tenant, customer, at, id)
);
CREATE UNIQUE INDEX event_id ON event (tenant, id);
"#;
