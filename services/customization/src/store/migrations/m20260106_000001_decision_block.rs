//! Decisions in blocks: those of one tenant that were committed together. What was one row each before becomes lines.
//!
//! | table | one row for |
//! |---|---|
//! | `decision_block` | each block, by the greatest id in it; `lines` is a `Block` of `store/block.rs` |
//! | `decision_unindexed` | each block that has no postings yet |
//! | `decision_posting` | the postings of one shard that were written together; `upto` is no less than any id in them |
//! | `decision_moved` | each decision that is no longer whose it was made for: after a split, or nobody's once erased |

use data::Sql;
use prost::bytes::Bytes;
use sea_orm::{ConnectionTrait, Value};
use sea_orm_migration::prelude::*;
use terms::{Fault, Tenant};
use uuid::Uuid;

use crate::store::{
    block::{Line, write_lines},
    rows::{NOBODY, column},
};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQL).await?;
        carry_over(manager.get_connection()).await.map_err(|fault| DbErr::Migration(fault.to_string()))?;
        super::run(manager, "DROP TABLE decision;").await
    }
}

/// Blocks and postings are large: in SQLite's `WITHOUT ROWID` a search would read through their overflow pages.
const SQL: &str = r#"
CREATE TABLE decision_block (
    tenant TEXT NOT NULL,
    last ID NOT NULL,
    first ID NOT NULL,
    lines BLOB NOT NULL,
    PRIMARY KEY (tenant, last)
);
CREATE TABLE decision_unindexed (
    tenant TEXT NOT NULL,
    last ID NOT NULL,
    PRIMARY KEY (tenant, last)
) WITHOUT ROWID;
CREATE TABLE decision_posting (
    tenant TEXT NOT NULL,
    shard BIGINT NOT NULL,
    upto ID NOT NULL,
    postings BLOB NOT NULL,
    PRIMARY KEY (tenant, shard, upto)
);
CREATE TABLE decision_moved (
    tenant TEXT NOT NULL,
    decision ID NOT NULL,
    made_for ID NOT NULL,
    customer ID NOT NULL,
    at BIGINT NOT NULL,
    block ID NOT NULL,
    PRIMARY KEY (tenant, decision)
) WITHOUT ROWID;
CREATE INDEX decision_moved_customer ON decision_moved (tenant, customer);
CREATE INDEX decision_moved_made_for ON decision_moved (tenant, made_for);
"#;

/// How many decisions are carried over at a time.
const STEP: u64 = 500;

async fn carry_over<C: ConnectionTrait>(conn: &C) -> Result<(), Fault> {
    let mut after = (String::new(), Uuid::nil());
    loop {
        let sql = format!(
            "SELECT tenant, id, customer, arrived_as, arrived_via, touchpoint, catalog_version, at, inputs, body \
             FROM decision WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT {STEP}"
        );
        let rows = conn.rows(&sql, vec![after.0.clone().into(), after.1.into()]).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = (column(last, 0)?, column(last, 1)?);
        for rows in rows.chunk_by(same_tenant) {
            carry(conn, rows).await?;
        }
    }
}

fn same_tenant(a: &sea_orm::QueryResult, b: &sea_orm::QueryResult) -> bool {
    let tenant = |row| column::<String>(row, 0).ok();
    tenant(a) == tenant(b)
}

async fn carry<C: ConnectionTrait>(conn: &C, rows: &[sea_orm::QueryResult]) -> Result<(), Fault> {
    let Some(first) = rows.first() else { return Ok(()) };
    let tenant: Tenant = column::<String>(first, 0)?.parse().map_err(Fault::internal)?;
    let mut lines = Vec::with_capacity(rows.len());
    let mut moved: Vec<[Value; 6]> = Vec::new();
    for row in rows {
        let bytes = |id: Option<Uuid>| id.map(|id| id.as_bytes().to_vec().into()).unwrap_or_default();
        let (id, customer, made_for): (Uuid, Option<Uuid>, Option<Uuid>) =
            (column(row, 1)?, column(row, 2)?, column(row, 3)?);
        lines.push(Line {
            id: bytes(Some(id)),
            customer: bytes(made_for),
            named: Bytes::new(),
            via: column::<Option<Vec<u8>>>(row, 4)?.unwrap_or_default().into(),
            touchpoint: bytes(Some(column(row, 5)?)),
            catalog_version: column(row, 6)?,
            at: column(row, 7)?,
            inputs: column::<Option<Vec<u8>>>(row, 8)?.unwrap_or_default().into(),
            body: column::<Vec<u8>>(row, 9)?.into(),
        });
        if customer != made_for {
            let (made_for, customer) = (made_for.unwrap_or(NOBODY.uuid()), customer.unwrap_or(NOBODY.uuid()));
            moved.push([
                tenant.as_str().into(),
                id.into(),
                made_for.into(),
                customer.into(),
                column::<i64>(row, 7)?.into(),
                id.into(),
            ]);
        }
    }
    // A block of its own for each that moved: it is known by its id.
    for line in lines.extract_if(.., |line| moved.iter().any(|row| is(&row[1], &line.id))).collect::<Vec<_>>() {
        write_lines(conn, &tenant, vec![line]).await?;
    }
    write_lines(conn, &tenant, lines).await?;
    let into = "decision_moved (tenant, decision, made_for, customer, at, block)";
    data::sql::insert_rows(conn, into, moved, "").await.map(drop)
}

fn is(value: &Value, id: &[u8]) -> bool {
    matches!(value, Value::Uuid(Some(uuid)) if uuid.as_bytes() == id)
}
