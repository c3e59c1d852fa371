//! Cannot-links: pairs of customers that must not become one, because somebody took them apart.
//!
//! A cannot-link names two ids and goes wherever these ids go: while an id is an alias, it binds the survivor; once the
//! id is given back, it binds only whom it bound before.

use terms::{CustomerId, Id, IdKind, Timestamp};

/// Marks cannot-links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CannotLinkKind {}

impl IdKind for CannotLinkKind {
    const PREFIX: &'static str = "cnl";
}

/// The id of a cannot-link, `cnl_…`.
pub type CannotLinkId = Id<CannotLinkKind>;

/// Two customers that must not become one. The lesser id stands first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotLink {
    /// Its id.
    pub id: CannotLinkId,
    /// The lesser of the two ids, whoever it means now.
    pub a: CustomerId,
    /// The greater one.
    pub b: CustomerId,
    /// Who made it.
    pub actor: String,
    /// When it was made (record time).
    pub at: Timestamp,
}

impl CannotLink {
    /// Between two ids.
    pub fn between(id: CannotLinkId, one: CustomerId, other: CustomerId, actor: &str, at: Timestamp) -> Self {
        let (a, b) = pair(one, other);
        Self { id, a, b, actor: actor.to_owned(), at }
    }
}

/// The two in order.
pub(crate) fn pair(one: CustomerId, other: CustomerId) -> (CustomerId, CustomerId) {
    (one.min(other), one.max(other))
}
