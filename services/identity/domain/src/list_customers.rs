//! `ListCustomers`: the customers of a tenant in pages, survivors only.

use terms::{CustomerId, Fault, Reason, Timestamp};
use uuid::Uuid;

use crate::{customer::Customer, search::Search};

/// By what customers are ordered; the id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SortField {
    /// By id.
    #[default]
    Id,
    /// By time of creation.
    CreateTime,
    /// By time of the last change.
    UpdateTime,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Order {
    /// By what.
    pub field: SortField,
    /// Whether from the greatest to the least.
    pub descending: bool,
}

impl Order {
    /// Reads `order_by` (AIP-132).
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for anything but `customer_id`, `create_time` or `update_time`, each with or without
    /// ` desc`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let unknown = || {
            let advice = "gives no known order; give `customer_id`, `create_time` or `update_time`, each with or without ` desc`";
            Fault::invalid("order_by", Reason::InvalidFields, advice)
        };
        let mut words = text.split_whitespace();
        let field = match words.next() {
            None => return Ok(Self::default()),
            Some("customer_id") => SortField::Id,
            Some("create_time") => SortField::CreateTime,
            Some("update_time") => SortField::UpdateTime,
            Some(_) => return Err(unknown()),
        };
        let descending = match words.next() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(_) => return Err(unknown()),
        };
        if words.next().is_some() { Err(unknown()) } else { Ok(Self { field, descending }) }
    }

    /// Where `customer` stands in the order.
    pub fn place(self, customer: &Customer) -> Place {
        let at = match self.field {
            SortField::Id => Timestamp::EPOCH,
            SortField::CreateTime => customer.created_at,
            SortField::UpdateTime => customer.updated_at,
        };
        Place { at, id: customer.id }
    }
}

/// A place in an ordered list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The ordering time; the epoch in a list by id.
    pub at: Timestamp,
    /// The customer.
    pub id: CustomerId,
}

impl Place {
    /// For a page token.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.at.micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(self.id.as_bytes());
        bytes
    }

    /// From a page token; no bytes are the start of the list.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let damaged =
            || Fault::invalid("page_token", Reason::InvalidFields, "is damaged; leave it empty to start again");
        let (at, id) = bytes.split_first_chunk::<8>().ok_or_else(damaged)?;
        let id: [u8; 16] = id.try_into().map_err(|_| damaged())?;
        let at = Timestamp(i64::from_be_bytes(*at));
        Ok(Some(Self { at, id: CustomerId::from_uuid(Uuid::from_bytes(id)) }))
    }
}

/// Which customers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    /// Only those whom this may find: a store may give more, and asks nobody whether they match.
    pub search: Option<Search>,
    /// In which order.
    pub order: Order,
    /// Only those behind this place.
    pub after: Option<Place>,
    /// At most this many.
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        assert_eq!(Order::parse("").unwrap(), Order::default());
        assert_eq!(
            Order::parse(" update_time  desc ").unwrap(),
            Order { field: SortField::UpdateTime, descending: true }
        );
        for wrong in ["name", "customer_id down", "customer_id desc, create_time", "create_time desc desc"] {
            assert!(Order::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn places_and_back() {
        let place = Place { at: Timestamp(-5), id: CustomerId::from_uuid(Uuid::from_u128(7)) };
        assert_eq!(Place::from_bytes(&place.to_bytes()).unwrap(), Some(place));
        assert_eq!(Place::from_bytes(&[]).unwrap(), None);
        assert!(Place::from_bytes(&[0; 23]).is_err());
    }
}
