//! The review queue: pairs of customers, named as they were when the question was asked. `detail` holds what is rare: the
//! guards, and the words of whoever decided, sealed under `left_customer`.

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
CREATE TABLE match_candidate (
    tenant TEXT NOT NULL,
    id BLOB NOT NULL,
    left_customer BLOB NOT NULL,
    right_customer BLOB NOT NULL,
    left_record BLOB NOT NULL,
    right_record BLOB NOT NULL,
    score INTEGER NOT NULL,
    matcher TEXT NOT NULL,
    state TEXT NOT NULL,
    detail BLOB,
    decided_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX match_candidate_score ON match_candidate (tenant, state, score, id);
CREATE INDEX match_candidate_time ON match_candidate (tenant, state, created_at, id);
CREATE INDEX match_candidate_left ON match_candidate (tenant, left_customer);
CREATE INDEX match_candidate_right ON match_candidate (tenant, right_customer);
"#;

const POSTGRES: &str = r#"
CREATE TABLE match_candidate (
    tenant TEXT COLLATE "C" NOT NULL,
    id UUID NOT NULL,
    left_customer UUID NOT NULL,
    right_customer UUID NOT NULL,
    left_record UUID NOT NULL,
    right_record UUID NOT NULL,
    score INTEGER NOT NULL,
    matcher TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    detail BYTEA,
    decided_by TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX match_candidate_score ON match_candidate (tenant, state, score, id);
CREATE INDEX match_candidate_time ON match_candidate (tenant, state, created_at, id);
CREATE INDEX match_candidate_left ON match_candidate (tenant, left_customer);
CREATE INDEX match_candidate_right ON match_candidate (tenant, right_customer);
"#;
