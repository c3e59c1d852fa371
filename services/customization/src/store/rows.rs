//! Columns to values, and lists of parameters.

use data::OrFault;
use sea_orm::{QueryResult, TryGetable, Value};
use terms::{CustomerId, Fault, Id, IdKind};
use uuid::Uuid;

/// The column at `place` of a row.
pub(super) fn column<T: TryGetable>(row: &QueryResult, place: usize) -> Result<T, Fault> {
    row.try_get_by_index(place).or_fault()
}

pub(super) fn id<K: IdKind>(row: &QueryResult, place: usize) -> Result<Id<K>, Fault> {
    Ok(Id::from_uuid(column::<Uuid>(row, place)?))
}

/// Stands for no customer where something is sealed.
pub(super) const NOBODY: CustomerId = CustomerId::from_uuid(Uuid::nil());

/// `$3, $4, $5`: a list of `n` parameters, the first of which is `$first`.
pub(super) fn list(first: usize, n: usize) -> String {
    (first..first + n).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// The ids as parameters.
pub(super) fn ids<K: IdKind>(ids: &[Id<K>]) -> impl Iterator<Item = Value> + '_ {
    ids.iter().map(|id| id.uuid().into())
}
