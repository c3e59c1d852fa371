//! How far the records of a tenant are filed anew: one row while that goes on. `whole`: all of them, not only those that are
//! not filed; `stage`: `file`, then `cluster`; `after`: the last record that is done; `owner` works on it until
//! `lease_until`. Records of the time before matching are filed for the first time.

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
CREATE TABLE match_refile (
    tenant TEXT NOT NULL PRIMARY KEY,
    whole INTEGER NOT NULL,
    stage TEXT NOT NULL,
    after BLOB,
    done BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);
INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until)
    SELECT DISTINCT tenant, 0, 'file', 0, '', 0 FROM record;
"#;

const POSTGRES: &str = r#"
CREATE TABLE match_refile (
    tenant TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    whole INTEGER NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    after UUID,
    done BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL
);
INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until)
    SELECT DISTINCT tenant, 0, 'file', 0, '', 0 FROM record;
"#;
