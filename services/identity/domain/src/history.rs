//! Everything that happened to identities, with actor and reason. Entries are only ever added.

use serde::{Deserialize, Serialize};
use terms::{CustomerId, Id, IdKind, Identifier, Timestamp};

use crate::{identify::Guard, record::RecordId};

/// Marks entries of the identity history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum History {}

impl IdKind for History {
    const PREFIX: &'static str = "idh";
}

/// The id of an entry, `idh_…`; that of a merge or a split is also the merge's or the split's id.
pub type HistoryId = Id<History>;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HistoryKind {
    /// A customer was created for a record.
    Create,
    /// A record or an identifier was linked to a customer that was there.
    Link,
    /// A record or an identifier left the customer.
    Unlink,
    /// Another customer was merged into this one.
    Merge,
    /// Another customer was taken out of this one.
    Split,
    /// A guard refused a link.
    Refuse,
    /// A pair of the review queue was decided.
    Review,
    /// A relation was recorded, changed or ended.
    Relate,
}

impl HistoryKind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Create, Self::Link, Self::Unlink, Self::Merge, Self::Split, Self::Refuse, Self::Review, Self::Relate];

    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Link => "link",
            Self::Unlink => "unlink",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Refuse => "refuse",
            Self::Review => "review",
            Self::Relate => "relate",
        }
    }

    /// The name in filters: what became of the customer.
    pub const fn participle(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Link => "linked",
            Self::Unlink => "unlinked",
            Self::Merge => "merged",
            Self::Split => "split",
            Self::Refuse => "refused",
            Self::Review => "reviewed",
            Self::Relate => "related",
        }
    }

    /// Reads the stored name.
    pub fn parse(stored: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == stored)
    }
}

/// What is personal in an entry, or stands in few of them. Stored sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// The identifier concerned.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier>,
    /// The guard that refused, if one did.
    #[serde(rename = "g", skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// What the guard says, in one sentence.
    #[serde(rename = "s", skip_serializing_if = "String::is_empty")]
    pub sentence: String,
    /// Whether the pair went to review instead.
    #[serde(rename = "q", skip_serializing_if = "std::ops::Not::not")]
    pub in_review: bool,
    /// The reason in the words of whoever acted.
    #[serde(rename = "w", skip_serializing_if = "String::is_empty")]
    pub words: String,
    /// When it happened in the world (event time), where that is another time than that of storing.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
}

impl Detail {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its id.
    pub id: HistoryId,
    /// What happened.
    pub kind: HistoryKind,
    /// The customer, as it was named then; the survivor of a merge, the one that a split took from.
    pub customer: CustomerId,
    /// The other customer: the loser of a merge, the one that a split took out, the one with whom a link was refused.
    /// The entry belongs to the history of both.
    pub other: Option<CustomerId>,
    /// The record that brought it about, if one did.
    pub record: Option<RecordId>,
    /// What is personal, or rare.
    pub detail: Detail,
    /// Who caused it.
    pub actor: String,
    /// Why, in namespaces; holds no value of an identifier and nobody's words.
    pub reason: String,
    /// When (record time).
    pub at: Timestamp,
}

impl HistoryEntry {
    /// When it happened in the world (event time).
    pub fn occurred_at(&self) -> Timestamp {
        self.detail.occurred_at.unwrap_or(self.at)
    }

    /// Why: in the words of whoever acted, if they gave any.
    pub fn why(&self) -> &str {
        if self.detail.words.is_empty() { &self.reason } else { &self.detail.words }
    }
}
