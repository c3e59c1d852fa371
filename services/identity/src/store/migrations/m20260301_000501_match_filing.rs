//! Blocking keys are stored with the record that they are of (`match_record.keys`, sealed under its home), and looked for
//! in process. The filings of a tenant are numbered in the order in which they were committed, so whoever has read up to
//! a number knows what is new; `match_filing` holds the last number.
//!
//! Records that were filed before are filed anew in the background.

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
ALTER TABLE match_record ADD COLUMN keys BLOB;
ALTER TABLE match_record ADD COLUMN number BIGINT;
CREATE UNIQUE INDEX match_record_number ON match_record (tenant, number);
CREATE TABLE match_filing (
    tenant TEXT NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (tenant)
) WITHOUT ROWID;
INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until)
    SELECT DISTINCT tenant, 1, 'file', 0, '', 0 FROM match_record WHERE true
    ON CONFLICT (tenant) DO UPDATE SET whole = 1, stage = 'file', after = NULL, done = 0;
DROP TABLE match_key;
"#;

const POSTGRES: &str = r#"
ALTER TABLE match_record ADD COLUMN keys BYTEA;
ALTER TABLE match_record ADD COLUMN number BIGINT;
CREATE UNIQUE INDEX match_record_number ON match_record (tenant, number);
CREATE TABLE match_filing (
    tenant TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (tenant)
);
INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until)
    SELECT DISTINCT tenant, 1, 'file', 0, '', 0 FROM match_record
    ON CONFLICT (tenant) DO UPDATE SET whole = 1, stage = 'file', after = NULL, done = 0;
DROP TABLE match_key;
"#;
