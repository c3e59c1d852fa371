//! How a row came in: what decides where it belongs when customers are merged and split.

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Id, Identifier, Position, id};

/// The reference under which something arrived. Never changes: an exact unmerge reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The customer to whom it was addressed: the id as given, or what the identifier meant then.
    pub addressed: CustomerId,
    /// The identifier, as given, if one was.
    pub identifier: Option<Identifier>,
    /// Identity's source record, if the caller named it.
    pub record: Option<Id<id::Record>>,
}

impl Arrival {
    /// Addressed by id.
    pub fn by_id(customer: CustomerId) -> Self {
        Self { addressed: customer, identifier: None, record: None }
    }

    /// What `reference` was when it meant `customer`.
    pub fn of(reference: &CustomerRef, customer: CustomerId) -> Self {
        match reference {
            CustomerRef::Id(id) => Self::by_id(*id),
            CustomerRef::Identifier(identifier) => {
                Self { addressed: customer, identifier: Some(identifier.clone()), record: None }
            }
        }
    }

    /// The reference as given.
    pub fn reference(&self) -> CustomerRef {
        match &self.identifier {
            Some(identifier) => CustomerRef::Identifier(identifier.clone()),
            None => CustomerRef::Id(self.addressed),
        }
    }
}

/// A reference that identity resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The customer, as identity saw it.
    pub customer: CustomerId,
    /// The place in identity's feed up to which it saw: a split after it makes this answer stale.
    pub at: Position,
}
