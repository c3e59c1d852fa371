//! Raw statements, the same on both databases.

use async_trait::async_trait;
use sea_orm::{ConnectionTrait, QueryResult, Statement, TryGetable, Value};
use terms::Fault;

use crate::{config::Dialect, error::OrFault};

/// Raw SQL on a connection or a transaction. Parameters are `$1`, `$2`, … on both databases.
#[async_trait]
pub trait Sql {
    /// Which SQL it speaks.
    fn dialect(&self) -> Dialect;

    /// Runs a statement; how many rows it touched.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    async fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64, Fault>;

    /// SQLite: runs an `INSERT`; the number of the last row. PostgreSQL has no such number.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    async fn insert(&self, sql: &str, values: Vec<Value>) -> Result<i64, Fault>;

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

    async fn insert(&self, sql: &str, values: Vec<Value>) -> Result<i64, Fault> {
        if self.dialect() == Dialect::Postgres {
            return Err(Fault::internal("PostgreSQL numbers no rows"));
        }
        let statement = Statement::from_sql_and_values(self.get_database_backend(), sql, values);
        i64::try_from(self.execute_raw(statement).await.or_fault()?.last_insert_id()).map_err(Fault::internal)
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

/// How many rows one statement writes: up to 16 any number, beyond that a few, so that few statements are kept prepared,
/// and a batch of any size takes two or three. Each statement is a way to the driver's thread and back.
const PORTIONS: [usize; 28] =
    [256, 192, 128, 96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1];

/// How many of the rows that are left the next statement writes, on SQLite; `None` if none are left.
pub fn portion(left: usize) -> Option<usize> {
    PORTIONS.into_iter().find(|size| *size <= left)
}

/// Runs `INSERT INTO <into> VALUES <rows> <then>` for all rows, in a few statements; how many rows they touched. `then`
/// has no parameters.
///
/// # Errors
/// See [`fault`](crate::fault).
pub async fn insert_rows<C, Row>(conn: &C, into: &str, rows: Vec<Row>, then: &str) -> Result<u64, Fault>
where
    C: ConnectionTrait + Sync,
    Row: IntoIterator<Item = Value> + Send,
{
    let mut rows = rows.into_iter();
    let mut touched = 0;
    while let Some(size) = portion(rows.len()) {
        let values: Vec<Value> = rows.by_ref().take(size).flatten().collect();
        let places = parameters(conn.dialect(), size, values.len() / size);
        touched += conn.run(&format!("INSERT INTO {into} VALUES {places} {then}"), values).await?;
    }
    Ok(touched)
}

/// `($1, $2, $3), ($4, $5, $6)`: the rows of a `VALUES` list. On SQLite `(?, ?, ?), (?, ?, ?)`: the driver looks up the
/// name of every parameter that has one, and SQLite searches a list for it: quadratic in the number of parameters. So
/// the statement must have no other parameters before or between them.
pub fn parameters(dialect: Dialect, rows: usize, columns: usize) -> String {
    use std::fmt::Write;
    if dialect == Dialect::Sqlite {
        let row = format!("({})", vec!["?"; columns].join(", "));
        return vec![row.as_str(); rows].join(", ");
    }
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
    use crate::config::Dialect;

    #[test]
    fn portions_take_every_row() {
        for rows in 0..1_000 {
            let (mut left, mut statements) = (rows, 0);
            while let Some(size) = super::portion(left) {
                left -= size;
                statements += 1;
            }
            assert_eq!(left, 0);
            assert!(statements <= rows / 256 + 3, "{rows} rows in {statements} statements");
        }
    }

    #[test]
    fn parameters_count_on() {
        assert_eq!(super::parameters(Dialect::Postgres, 2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(super::parameters(Dialect::Sqlite, 2, 3), "(?, ?, ?), (?, ?, ?)");
    }
}
