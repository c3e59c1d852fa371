//! `ListRelations`: the relations of one customer, from either side, newest first.
//!
//! A merge may leave two relations of one pair and type: the one that was written last holds the last word, and is the
//! one that shows. A relation whose two sides were merged into one customer does not show.

use terms::{CustomerId, Timestamp};

use crate::relate_customers::{Relation, RelationId, RelationType};

/// Which relations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationQuery {
    /// Whose; the survivor.
    pub customer: CustomerId,
    /// Of this type only.
    pub kind: Option<RelationType>,
    /// Only those that hold at this time; `None`: ended and future ones too.
    pub valid_at: Option<Timestamp>,
    /// Only those that were recorded before this one.
    pub before: Option<RelationId>,
    /// At most this many.
    pub limit: u32,
}

impl RelationQuery {
    /// Whether a relation that shows is asked for.
    pub fn wants(&self, relation: &Relation) -> bool {
        self.kind.is_none_or(|kind| kind == relation.kind)
            && self.valid_at.is_none_or(|at| relation.holds(at))
            && self.before.is_none_or(|before| relation.id < before)
    }
}

/// Of relations of one pair and type, which holds the last word: the greatest.
pub fn last_word(relation: &Relation) -> (Timestamp, RelationId) {
    (relation.updated_at, relation.id)
}
