//! By what stewards find customers: one row for each token (a word of a golden name, an identifier) of a customer, by
//! a key that is found by the token's beginning (`Sealer::prefix_key`). `customer` is that of the time.
//!
//! `search_todo` names the customers that were there before, until their tokens are written.

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
CREATE TABLE search (
    tenant TEXT NOT NULL,
    key BLOB NOT NULL,
    customer BLOB NOT NULL,
    PRIMARY KEY (tenant, key, customer)
) WITHOUT ROWID;
CREATE TABLE search_todo (
    tenant TEXT NOT NULL,
    customer BLOB NOT NULL,
    PRIMARY KEY (tenant, customer)
) WITHOUT ROWID;
INSERT INTO search_todo (tenant, customer)
    SELECT tenant, id FROM customer UNION ALL SELECT tenant, id FROM alias;
"#;

const POSTGRES: &str = r#"
CREATE TABLE search (
    tenant TEXT COLLATE "C" NOT NULL,
    key BYTEA NOT NULL,
    customer UUID NOT NULL,
    PRIMARY KEY (tenant, key, customer)
);
CREATE TABLE search_todo (
    tenant TEXT COLLATE "C" NOT NULL,
    customer UUID NOT NULL,
    PRIMARY KEY (tenant, customer)
);
INSERT INTO search_todo (tenant, customer)
    SELECT tenant, id FROM customer UNION ALL SELECT tenant, id FROM alias;
"#;
