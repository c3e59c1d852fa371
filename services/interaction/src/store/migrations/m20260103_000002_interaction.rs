//! Interactions. `properties` is sealed; `statements` are the 16-byte ids of what was said in it, in order.

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
CREATE TABLE interaction (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    {arrival},
    type TEXT NOT NULL,
    channel TEXT NOT NULL,
    touchpoint TEXT NOT NULL,
    direction SMALLINT NOT NULL,
    directness SMALLINT NOT NULL,
    motivation SMALLINT NOT NULL,
    inducement TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    value_micros BIGINT,
    currency TEXT NOT NULL,
    conversation BLOB,
    source TEXT NOT NULL,
    decision BLOB,
    reservation BLOB,
    statements BLOB,
    fingerprint BLOB,
    properties BLOB,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX interaction_timeline ON interaction (tenant, customer, occurred_at, id, type, direction, motivation);
"#;

const POSTGRES: &str = r#"
CREATE TABLE interaction (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    {arrival},
    type TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    touchpoint TEXT COLLATE "C" NOT NULL,
    direction SMALLINT NOT NULL,
    directness SMALLINT NOT NULL,
    motivation SMALLINT NOT NULL,
    inducement TEXT COLLATE "C" NOT NULL,
    occurred_at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    value_micros BIGINT,
    currency TEXT COLLATE "C" NOT NULL,
    conversation UUID,
    source TEXT COLLATE "C" NOT NULL,
    decision UUID,
    reservation UUID,
    statements BYTEA,
    fingerprint BYTEA,
    properties BYTEA,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX interaction_timeline ON interaction (tenant, customer, occurred_at, id) INCLUDE (type, direction, motivation);
"#;
