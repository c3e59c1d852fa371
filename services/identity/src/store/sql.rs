//! The little SQL that differs between the two databases: lists of keys, and many rows at once.

use data::Dialect;
use sea_orm::{QueryResult, TryGetable, Value};
use terms::{CustomerId, Fault, Id, IdKind, Tenant, Timestamp};
use uuid::Uuid;

/// How many keys one statement names at most. SQLite takes 32,766 parameters.
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

    /// Adds ids; gives the condition `= ANY ($2)` or `IN ($2, $3, …)`.
    pub(super) fn ids<K: IdKind>(&mut self, ids: impl IntoIterator<Item = Id<K>>) -> String {
        let ids: Vec<Uuid> = ids.into_iter().map(Id::uuid).collect();
        match self.dialect {
            Dialect::Postgres => format!("= ANY ({})", self.add(ids)),
            Dialect::Sqlite => self.one_of(ids),
        }
    }

    /// Adds lookup keys; gives the same.
    pub(super) fn keys(&mut self, keys: Vec<Vec<u8>>) -> String {
        match self.dialect {
            Dialect::Postgres => format!("= ANY ({})", self.add(keys)),
            Dialect::Sqlite => self.one_of(keys),
        }
    }

    /// Repeats the last value up to a power of two: a few lengths only, so that few statements are kept prepared.
    fn one_of<T: Into<Value> + Clone>(&mut self, items: Vec<T>) -> String {
        let Some(last) = items.last().cloned() else { return "IN (NULL)".to_owned() };
        let padding = items.len().next_power_of_two() - items.len();
        let first = self.values.len() + 1;
        self.values.extend(items.into_iter().map(Into::into));
        self.values.extend(std::iter::repeat_n(last, padding).map(Into::into));
        let places: Vec<String> = (first..=self.values.len()).map(|i| format!("${i}")).collect();
        format!("IN ({})", places.join(", "))
    }

    pub(super) fn values(self) -> Vec<Value> {
        self.values
    }
}

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

/// A customer and, if it was merged away, whom its id means now.
pub(super) fn resolved(row: &QueryResult, customer: usize, survivor: usize) -> Result<CustomerId, Fault> {
    Ok(optional_id(row, survivor)?.unwrap_or(id(row, customer)?))
}
