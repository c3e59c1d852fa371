//! Statements over many rows, the same on both databases: `UNNEST` on PostgreSQL, `VALUES` on SQLite.

use data::{Dialect, OrFault, Sql};
use sea_orm::{ConnectionTrait, QueryResult, TryGetable, Value};
use terms::{CustomerId, Fault, Id, IdKind, Tenant};
use uuid::Uuid;

/// The column at `place` of a row.
pub(super) fn column<T: TryGetable>(row: &QueryResult, place: usize) -> Result<T, Fault> {
    row.try_get_by_index(place).or_fault()
}

/// The id at `place` of a row.
pub(super) fn id<K: IdKind>(row: &QueryResult, place: usize) -> Result<Id<K>, Fault> {
    column::<Uuid>(row, place).map(Id::from_uuid)
}

/// Parameters of one statement; `$1` is the tenant.
pub(super) struct Params {
    dialect: Dialect,
    values: Vec<Value>,
}

impl Params {
    pub(super) fn new(dialect: Dialect, tenant: &Tenant) -> Self {
        Self { dialect, values: vec![tenant.as_str().into()] }
    }

    /// Adds a value; gives its name.
    pub(super) fn add(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Adds ids; gives the right side of a comparison: ` IN (…)` or ` = ANY(…)`. One parameter, however many they are:
    /// so there is one statement to prepare, and SQLite need not look for a thousand parameters by their names.
    pub(super) fn among(&mut self, ids: impl IntoIterator<Item = Uuid>) -> String {
        let place = self.add_ids(ids);
        match self.dialect {
            Dialect::Postgres => format!(" = ANY({place})"),
            Dialect::Sqlite => format!(" IN (SELECT unhex(value) FROM json_each({place}))"),
        }
    }

    /// Adds ids; gives a table of them, with the column `id`. To be the left side of a `CROSS JOIN`: SQLite then looks
    /// each of them up, whatever it thinks of other ways.
    pub(super) fn table(&mut self, ids: impl IntoIterator<Item = Uuid>) -> String {
        let place = self.add_ids(ids);
        match self.dialect {
            Dialect::Postgres => format!("UNNEST({place}::uuid[]) AS w (id)"),
            Dialect::Sqlite => format!("(SELECT unhex(value) AS id FROM json_each({place})) AS w"),
        }
    }

    fn add_ids(&mut self, ids: impl IntoIterator<Item = Uuid>) -> String {
        let ids = ids.into_iter();
        if self.dialect == Dialect::Postgres {
            return self.add(ids.collect::<Vec<_>>());
        }
        let ids: Vec<String> = ids.map(|id| format!("\"{}\"", id.simple())).collect();
        self.add(format!("[{}]", ids.join(",")))
    }

    pub(super) fn customers<'i>(&mut self, ids: impl IntoIterator<Item = &'i CustomerId>) -> String {
        self.among(ids.into_iter().map(|id| id.uuid()))
    }

    pub(super) fn values(self) -> Vec<Value> {
        self.values
    }
}

/// The values of one column, one for each row. Absent ones are NULL.
pub(super) enum Column {
    Uuid(Vec<Uuid>),
    /// The id that is all zeros cannot be one of these: it stands for NULL.
    OptionalUuid(Vec<Option<Uuid>>),
    Text(Vec<String>),
    Int(Vec<Option<i64>>),
    Bool(Vec<bool>),
    Bytes(Vec<Option<Vec<u8>>>),
}

/// Stands for NULL in an array, where the driver knows none.
const NO_INT: i64 = i64::MIN;

impl Column {
    pub(super) fn ids<K: IdKind>(ids: impl IntoIterator<Item = Id<K>>) -> Self {
        Self::Uuid(ids.into_iter().map(|id| id.uuid()).collect())
    }

    pub(super) fn ints(values: impl IntoIterator<Item = i64>) -> Self {
        Self::Int(values.into_iter().map(Some).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Uuid(values) => values.len(),
            Self::OptionalUuid(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Int(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Bytes(values) => values.len(),
        }
    }

    /// As an array, with the expression that makes a value of the element `name`.
    fn array(self, name: &str, place: usize) -> (Value, String, String) {
        let null_at = |type_name: &str, sentinel: &str| {
            (format!("${place}::{type_name}[]"), format!("NULLIF({name}, {sentinel})"))
        };
        let plain = |type_name: &str| (format!("${place}::{type_name}[]"), name.to_owned());
        let (value, (from, element)): (Value, _) = match self {
            Self::Uuid(values) => (values.into(), plain("uuid")),
            Self::OptionalUuid(values) => {
                let values: Vec<Uuid> = values.into_iter().map(Option::unwrap_or_default).collect();
                (values.into(), null_at("uuid", "'00000000-0000-0000-0000-000000000000'::uuid"))
            }
            Self::Text(values) => (values.into(), plain("text")),
            Self::Int(values) => {
                let values: Vec<i64> = values.into_iter().map(|v| v.unwrap_or(NO_INT)).collect();
                (values.into(), null_at("bigint", "(-9223372036854775808)"))
            }
            Self::Bool(values) => (values.into(), plain("boolean")),
            Self::Bytes(values) => {
                let values: Vec<Vec<u8>> = values.into_iter().map(Option::unwrap_or_default).collect();
                (values.into(), null_at("bytea", "''::bytea"))
            }
        };
        (value, from, element)
    }

    fn value(&mut self, row: usize) -> Value {
        match self {
            Self::Uuid(values) => values.get(row).copied().into(),
            Self::OptionalUuid(values) => values.get(row).copied().flatten().into(),
            Self::Text(values) => values.get_mut(row).map(std::mem::take).unwrap_or_default().into(),
            Self::Int(values) => values.get(row).copied().flatten().into(),
            Self::Bool(values) => values.get(row).copied().unwrap_or_default().into(),
            Self::Bytes(values) => values.get_mut(row).and_then(Option::take).into(),
        }
    }
}

/// Inserts rows of a tenant: `INSERT INTO {table} (tenant, …) … {tail}`. Gives how many were written.
pub(super) async fn insert<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    table: &str,
    columns: Vec<(&str, Column)>,
    tail: &str,
) -> Result<u64, Fault> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let head = format!("INSERT INTO {table} (tenant, {})", names.join(", "));
    match conn.dialect() {
        Dialect::Postgres => {
            let (source, elements, values) = unnested(tenant, columns);
            let sql = format!("{head} SELECT $1, {elements} FROM {source} {tail}");
            if values.is_empty() { Ok(0) } else { conn.run(&sql, values).await }
        }
        Dialect::Sqlite => {
            let mut written = 0;
            for (rows, values) in chunks(tenant, columns) {
                written += conn.run(&format!("{head} VALUES {rows} {tail}"), values).await?;
            }
            Ok(written)
        }
    }
}

/// Runs a statement for rows of a tenant. It gets a table expression with the given columns, and `tenant`; it has no
/// parameters of its own.
pub(super) async fn with_rows<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    columns: Vec<(&str, Column)>,
    statement: impl Fn(&str) -> String,
) -> Result<u64, Fault> {
    match conn.dialect() {
        Dialect::Postgres => {
            let (source, elements, values) = unnested(tenant, columns);
            if values.is_empty() {
                return Ok(0);
            }
            conn.run(&statement(&format!("(SELECT $1 AS tenant, {elements} FROM {source})")), values).await
        }
        Dialect::Sqlite => {
            let names: Vec<String> =
                columns.iter().enumerate().map(|(n, (name, _))| format!("column{} AS {name}", n + 2)).collect();
            let names = format!("column1 AS tenant, {}", names.join(", "));
            let mut touched = 0;
            for (rows, values) in chunks(tenant, columns) {
                touched += conn.run(&statement(&format!("(SELECT {names} FROM (VALUES {rows}))")), values).await?;
            }
            Ok(touched)
        }
    }
}

/// Deletes the rows of a tenant with these customers and segments.
pub(super) async fn delete_pairs<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    table: &str,
    pairs: &[(Uuid, Uuid)],
) -> Result<u64, Fault> {
    let mut params = Params::new(conn.dialect(), tenant);
    let head = format!("DELETE FROM {table} WHERE tenant = $1 AND");
    let sql = match conn.dialect() {
        Dialect::Postgres => {
            let customers = params.add(pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
            let segments = params.add(pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
            let source = format!("UNNEST({customers}::uuid[], {segments}::uuid[]) AS d (customer, segment)");
            format!("{head} (customer, segment) IN (SELECT d.customer, d.segment FROM {source})")
        }
        Dialect::Sqlite => {
            let text: Vec<String> =
                pairs.iter().map(|(a, b)| format!("[\"{}\",\"{}\"]", a.simple(), b.simple())).collect();
            let list = params.add(format!("[{}]", text.join(",")));
            let first = format!("SELECT unhex(value ->> 0) FROM json_each({list})");
            let both = format!("SELECT unhex(value ->> 0), unhex(value ->> 1) FROM json_each({list})");
            // By customer first: of pairs alone, SQLite makes no use of the key.
            format!("{head} customer IN ({first}) AND (customer, segment) IN ({both})")
        }
    };
    conn.run(&sql, params.values()).await
}

/// `UNNEST(…) AS d (…)`, the expressions of its elements, and the values, the tenant first; no values without rows.
fn unnested(tenant: &Tenant, columns: Vec<(&str, Column)>) -> (String, String, Vec<Value>) {
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    if columns.first().is_none_or(|(_, column)| column.len() == 0) {
        return (String::new(), String::new(), Vec::new());
    }
    let (mut arrays, mut names, mut elements) = (Vec::new(), Vec::new(), Vec::new());
    for (name, column) in columns {
        let (value, from, element) = column.array(name, values.len() + 1);
        values.push(value);
        arrays.push(from);
        elements.push(if element == name { element } else { format!("{element} AS {name}") });
        names.push(name);
    }
    let source = format!("UNNEST({}) AS d ({})", arrays.join(", "), names.join(", "));
    (source, elements.join(", "), values)
}

/// Rows in pieces, each with the values; the tenant stands before each row.
fn chunks(tenant: &Tenant, mut columns: Vec<(&str, Column)>) -> Vec<(String, Vec<Value>)> {
    let rows = columns.first().map_or(0, |(_, column)| column.len());
    let width = columns.len() + 1;
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(size) = data::sql::portion(rows - at) {
        let mut values: Vec<Value> = Vec::with_capacity(size * width);
        for row in at..at + size {
            values.push(tenant.as_str().into());
            values.extend(columns.iter_mut().map(|(_, column)| column.value(row)));
        }
        pieces.push((data::sql::parameters(Dialect::Sqlite, size, width), values));
        at += size;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_lists() {
        let mut params = Params::new(Dialect::Sqlite, &"t".parse().unwrap());
        assert_eq!(params.among([Uuid::nil(), Uuid::max()]), " IN (SELECT unhex(value) FROM json_each($2))");
        let Some(Value::String(Some(list))) = params.values().pop() else { panic!("a text") };
        assert_eq!(*list, format!("[\"{}\",\"{}\"]", "0".repeat(32), "f".repeat(32)));
    }
}
