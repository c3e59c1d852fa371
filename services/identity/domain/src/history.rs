//! Every creation, link and merge, with actor and reason. Entries are only ever added.

use terms::{CustomerId, Id, IdKind, Timestamp};

use crate::record::RecordId;

/// Marks entries of the identity history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum History {}

impl IdKind for History {
    const PREFIX: &'static str = "idh";
}

/// The id of an entry, `idh_…`; that of a merge is also the merge's id.
pub type HistoryId = Id<History>;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryKind {
    /// A customer was created for a record.
    Create,
    /// A record was linked to a customer that was there.
    Link,
    /// Another customer was merged into this one.
    Merge,
}

impl HistoryKind {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Link => "link",
            Self::Merge => "merge",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its id.
    pub id: HistoryId,
    /// What happened.
    pub kind: HistoryKind,
    /// The customer, as it was named then; the survivor of a merge.
    pub customer: CustomerId,
    /// The customer that was merged into it.
    pub loser: Option<CustomerId>,
    /// The record that brought it about.
    pub record: RecordId,
    /// Who caused it.
    pub actor: String,
    /// Why, in namespaces; holds no value of an identifier.
    pub reason: String,
    /// When (record time).
    pub at: Timestamp,
}
