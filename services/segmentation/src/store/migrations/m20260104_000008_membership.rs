//! Present memberships, and those that have ended.

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
CREATE TABLE membership (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    segment BLOB NOT NULL,
    since BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, segment)
) WITHOUT ROWID;
CREATE INDEX membership_segment ON membership (tenant, segment, customer);
CREATE TABLE stay (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    segment BLOB NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    left_for BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, segment, since)
) WITHOUT ROWID;
CREATE INDEX stay_segment ON stay (tenant, segment, customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE membership (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    segment UUID NOT NULL,
    since BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, segment)
);
CREATE INDEX membership_segment ON membership (tenant, segment, customer);
CREATE TABLE stay (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    segment UUID NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    reason BIGINT NOT NULL,
    left_for BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, customer, segment, since)
);
CREATE INDEX stay_segment ON stay (tenant, segment, customer);
"#;
