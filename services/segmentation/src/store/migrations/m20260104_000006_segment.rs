//! Segments and their definitions. Deleted ones keep their row, and free their name.

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
CREATE TABLE ruleset (
    tenant TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    rules BIGINT NOT NULL,
    PRIMARY KEY (tenant)
) WITHOUT ROWID;
CREATE TABLE segment (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    description TEXT NOT NULL,
    definition TEXT,
    version BIGINT NOT NULL,
    edit BIGINT NOT NULL,
    state BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX segment_name ON segment (tenant, name) WHERE state <> 3;
CREATE TABLE segment_version (
    tenant TEXT NOT NULL,
    segment BLOB NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, segment, version)
) WITHOUT ROWID;
"#;

const POSTGRES: &str = r#"
CREATE TABLE ruleset (
    tenant TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    rules BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
CREATE TABLE segment (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    definition TEXT COLLATE "C",
    version BIGINT NOT NULL,
    edit BIGINT NOT NULL,
    state BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX segment_name ON segment (tenant, name) WHERE state <> 3;
CREATE TABLE segment_version (
    tenant TEXT COLLATE "C" NOT NULL,
    segment UUID NOT NULL,
    version BIGINT NOT NULL,
    definition TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant, segment, version)
);
"#;
