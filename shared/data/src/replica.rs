//! What the replicas of a service have in common: each has a name, and all have one clock.

use terms::Fault;

use crate::{
    config::Dialect,
    sql::{Sql, column},
    store::Tx,
};

/// Names this process among all: nothing else needs to be unique about it.
pub(crate) fn process() -> &'static str {
    use std::{hash::BuildHasher, sync::OnceLock};
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        // The standard library's random seed, and the process id.
        let random = std::hash::RandomState::new().hash_one(std::process::id());
        format!("{random:016x}-{}", std::process::id())
    })
}

/// One clock for all replicas: the database's. On SQLite there is one process, with its own.
pub(crate) async fn clock(tx: &Tx) -> Result<i64, Fault> {
    if tx.dialect() == Dialect::Sqlite {
        return Ok(tx.now().micros());
    }
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
    let row = tx.conn().row(sql, vec![]).await?.ok_or_else(|| Fault::internal("the database has no clock"))?;
    column(&row, 0)
}
