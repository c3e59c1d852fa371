//! The little SQL that differs between the two databases: lists of keys, and many rows at once.

use data::{Dialect, Sql, sql::insert_rows};
use sea_orm::{ConnectionTrait, QueryResult, TryGetable, Value, sea_query::ArrayType};
use terms::{Fault, Id, IdKind, Tenant, Timestamp};
use uuid::Uuid;

/// How many keys one statement names at most.
pub(super) const CHUNK: usize = 8_192;

/// The parameters of a statement under construction; the tenant is always the first.
pub(super) struct Params {
    dialect: Dialect,
    values: Vec<Value>,
}

impl Params {
    pub(super) fn of(dialect: Dialect, tenant: &Tenant) -> Self {
        Self { dialect, values: vec![tenant.as_str().into()] }
    }

    /// Adds one; gives its name.
    pub(super) fn add(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    /// Adds ids; gives the condition `= ANY ($2)`, or on SQLite one over a list in JSON: one parameter, however many
    /// they are.
    pub(super) fn ids<K: IdKind>(&mut self, ids: impl IntoIterator<Item = Id<K>>) -> String {
        match self.dialect {
            Dialect::Postgres => {
                let ids: Vec<Uuid> = ids.into_iter().map(Id::uuid).collect();
                format!("= ANY ({})", self.add(ids))
            }
            Dialect::Sqlite => {
                let quoted: Vec<String> = ids.into_iter().map(|id| format!("\"{}\"", id.uuid().simple())).collect();
                format!("IN (SELECT unhex(value) FROM json_each({}))", self.add(format!("[{}]", quoted.join(","))))
            }
        }
    }

    /// Adds keys, which need no quoting; gives the same.
    pub(super) fn keys(&mut self, keys: Vec<String>) -> String {
        match self.dialect {
            Dialect::Postgres => format!("= ANY ({})", self.add(keys)),
            Dialect::Sqlite => {
                let quoted: Vec<String> = keys.into_iter().map(|key| format!("\"{key}\"")).collect();
                format!("IN (SELECT value FROM json_each({}))", self.add(format!("[{}]", quoted.join(","))))
            }
        }
    }

    pub(super) fn values(self) -> Vec<Value> {
        self.values
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Id,
    MaybeId,
    Bytes,
    MaybeBytes,
    Big,
    MaybeBig,
    Small,
    Double,
    Bool,
}

impl Holds {
    const fn array(self) -> (ArrayType, &'static str) {
        match self {
            Self::Text => (ArrayType::String, "text[]"),
            Self::Id | Self::MaybeId => (ArrayType::Uuid, "uuid[]"),
            Self::Bytes | Self::MaybeBytes => (ArrayType::Bytes, "bytea[]"),
            Self::Big | Self::MaybeBig => (ArrayType::BigInt, "bigint[]"),
            Self::Small => (ArrayType::SmallInt, "smallint[]"),
            Self::Double => (ArrayType::Double, "float8[]"),
            Self::Bool => (ArrayType::Bool, "bool[]"),
        }
    }

    /// The driver's arrays hold no NULL: a value that is never stored stands for it.
    fn never(self) -> Option<(Value, &'static str)> {
        match self {
            Self::MaybeId => Some((Uuid::nil().into(), "'00000000-0000-0000-0000-000000000000'::uuid")),
            Self::MaybeBytes => Some((Vec::<u8>::new().into(), "''::bytea")),
            Self::MaybeBig => Some((i64::MIN.into(), "(-9223372036854775808)::bigint")),
            _ => None,
        }
    }
}

/// A table that is written in bulk.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Holds)],
}

impl Table {
    fn names(&self) -> String {
        self.columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// `INSERT INTO … VALUES … <then>` for all rows; how many it touched.
    pub(super) async fn insert<C>(&self, conn: &C, rows: Vec<Vec<Value>>, then: &str) -> Result<u64, Fault>
    where
        C: ConnectionTrait + Sync,
    {
        if rows.is_empty() {
            return Ok(0);
        }
        match Sql::dialect(conn) {
            Dialect::Postgres => self.insert_postgres(conn, rows, then).await,
            Dialect::Sqlite => insert_rows(conn, &format!("{} ({})", self.name, self.names()), rows, then).await,
        }
    }

    async fn insert_postgres<C>(&self, conn: &C, rows: Vec<Vec<Value>>, then: &str) -> Result<u64, Fault>
    where
        C: ConnectionTrait + Sync,
    {
        let count = rows.len();
        let mut columns: Vec<Vec<Value>> = self.columns.iter().map(|_| Vec::with_capacity(count)).collect();
        for row in rows {
            for ((column, value), (_, holds)) in columns.iter_mut().zip(row).zip(self.columns) {
                column.push(match holds.never() {
                    Some((never, _)) if is_null(&value) => never,
                    _ => value,
                });
            }
        }
        let (mut names, mut arrays, mut picked) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (name, holds)) in self.columns.iter().enumerate() {
            names.push(*name);
            arrays.push(format!("${}::{}", i + 1, holds.array().1));
            picked.push(match holds.never() {
                Some((_, never)) => format!("NULLIF({name}, {never})"),
                None => (*name).to_owned(),
            });
        }
        let names = names.join(", ");
        let sql = format!(
            "INSERT INTO {} ({names}) SELECT {} FROM UNNEST({}) AS d ({names}) {then}",
            self.name,
            picked.join(", "),
            arrays.join(", ")
        );
        let values = columns.into_iter().zip(self.columns);
        let values = values.map(|(column, (_, holds))| Value::Array(holds.array().0, Some(Box::new(column)))).collect();
        conn.run(&sql, values).await
    }
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Uuid(None) | Value::Bytes(None) | Value::BigInt(None))
}

/// Pairs as a table `m (a, b)` of a statement: `FROM <pairs>`. At most [`PAIRS`].
pub(super) fn pairs(params: &mut Params, cast: [&str; 2], rows: Vec<(Value, Value)>) -> String {
    let postgres = params.dialect == Dialect::Postgres;
    let place = |params: &mut Params, value: Value, cast: &str| {
        let place = params.add(value);
        if postgres { format!("{place}::{cast}") } else { place }
    };
    let rows: Vec<String> = rows
        .into_iter()
        .map(|(a, b)| format!("({}, {})", place(params, a, cast[0]), place(params, b, cast[1])))
        .collect();
    if postgres {
        format!("(VALUES {}) AS m (a, b)", rows.join(", "))
    } else {
        format!("(SELECT column1 AS a, column2 AS b FROM (VALUES {})) AS m", rows.join(", "))
    }
}

/// How many pairs one statement takes.
pub(super) const PAIRS: usize = 256;

/// The column at `place`.
pub(super) fn column<T: TryGetable>(row: &QueryResult, place: usize) -> Result<T, Fault> {
    row.try_get_by_index(place).map_err(data::fault)
}

/// An id.
pub(super) fn id<K: IdKind>(row: &QueryResult, place: usize) -> Result<Id<K>, Fault> {
    column::<Uuid>(row, place).map(Id::from_uuid)
}

/// An id that may be absent.
pub(super) fn optional_id<K: IdKind>(row: &QueryResult, place: usize) -> Result<Option<Id<K>>, Fault> {
    Ok(column::<Option<Uuid>>(row, place)?.map(Id::from_uuid))
}

/// An instant.
pub(super) fn time(row: &QueryResult, place: usize) -> Result<Timestamp, Fault> {
    column::<i64>(row, place).map(Timestamp)
}

/// An instant that may be absent.
pub(super) fn optional_time(row: &QueryResult, place: usize) -> Result<Option<Timestamp>, Fault> {
    Ok(column::<Option<i64>>(row, place)?.map(Timestamp))
}

/// A fingerprint that may be absent.
pub(super) fn fingerprint(row: &QueryResult, place: usize) -> Result<Option<[u8; 32]>, Fault> {
    let bytes = column::<Option<Vec<u8>>>(row, place)?;
    bytes.map(|bytes| bytes.try_into().map_err(|_| Fault::internal("a fingerprint of another length"))).transpose()
}

/// Ids that stand one after the other in one column.
pub(super) fn ids<K: IdKind>(bytes: &[u8]) -> Vec<Id<K>> {
    bytes.as_chunks::<16>().0.iter().map(|id| Id::from_uuid(Uuid::from_bytes(*id))).collect()
}

/// The same, written.
pub(super) fn id_bytes<K: IdKind>(ids: &[Id<K>]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// An id as a value.
pub(super) fn uuid<K: IdKind>(id: Id<K>) -> Value {
    id.uuid().into()
}

/// An id that may be absent as a value.
pub(super) fn maybe<K: IdKind>(id: Option<Id<K>>) -> Value {
    id.map(Id::uuid).into()
}

/// An instant that may be absent as a value.
pub(super) fn maybe_time(time: Option<Timestamp>) -> Value {
    time.map(Timestamp::micros).into()
}
