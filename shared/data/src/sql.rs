//! Raw statements, the same on both databases.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable, Value};
use terms::Fault;

use crate::{config::Dialect, error::OrFault};

/// Raw SQL on a connection or a transaction. Placeholders are `$1`, `$2`, … on both databases.
#[async_trait]
pub trait Sql {
    /// Which SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    async fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64, Fault>;

    /// Runs a query.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, Fault>;

    /// Runs a query for the first row.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    async fn row(&self, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, Fault>;
}

#[async_trait]
impl<C: ConnectionTrait + Sync> Sql for C {
    fn dialect(&self) -> Dialect {
        match self.get_database_backend() {
            sea_orm::DbBackend::Postgres => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    async fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64, Fault> {
        let statement = Statement::from_sql_and_values(self.get_database_backend(), sql, values);
        Ok(self.execute_raw(statement).await.or_fault()?.rows_affected())
    }

    async fn rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, Fault> {
        let statement = Statement::from_sql_and_values(self.get_database_backend(), sql, values);
        self.query_all_raw(statement).await.or_fault()
    }

    async fn row(&self, sql: &str, values: Vec<Value>) -> Result<Option<QueryResult>, Fault> {
        let statement = Statement::from_sql_and_values(self.get_database_backend(), sql, values);
        self.query_one_raw(statement).await.or_fault()
    }
}

/// The column at `place` of a row.
///
/// # Errors
/// See [`fault`](crate::fault).
pub(crate) fn column<T: TryGetable>(row: &QueryResult, place: usize) -> Result<T, Fault> {
    row.try_get_by_index(place).or_fault()
}

/// `($1, $2, $3), ($4, $5, $6)`: the rows of a `VALUES` list.
pub fn placeholders(rows: usize, columns: usize) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            let comma = if column == 1 { "" } else { ", " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}${}", row * columns + column);
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn placeholders_count_on() {
        assert_eq!(super::placeholders(2, 3), "($1, $2, $3), ($4, $5, $6)");
    }
}
