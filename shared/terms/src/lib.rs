//! What two domains' signatures need, and no more.
//!
//! | file | nouns |
//! |---|---|
//! | [`id`] | [`Id`] (TypeID) and one kind marker per resource |
//! | [`caller`] | [`Tenant`], [`Caller`], [`Scope`]: on whose behalf |
//! | [`clock`] | [`Timestamp`], [`Clock`], [`Ids`]: time and randomness, handed in |
//! | [`revision`] | [`Revision`], [`Position`]: read your writes across services |
//! | [`fault`] | [`Fault`], [`Reason`]: what went wrong, for the caller and for the log |
//! | [`once`] | [`Once`], [`Written`]: idempotent writes |
//! | [`page`] | [`Page`], [`PageRequest`]: AIP-158 pagination |
//! | [`customer`] | [`CustomerRef`], [`Identifier`], [`partition`]: how a customer is named |

#![forbid(unsafe_code)]

pub mod caller;
pub mod clock;
pub mod customer;
pub mod fault;
pub mod id;
pub mod once;
pub mod page;
pub mod revision;

pub use caller::{Access, Caller, Scope, Tenant};
pub use clock::{Clock, FixedClock, Ids, SystemClock, Timestamp};
pub use customer::{CustomerRef, Identifier, PARTITIONS, partition};
pub use fault::{Fault, FaultKind, Reason, Violation, Violations};
pub use id::{Id, IdKind};
pub use once::{Once, Written};
pub use page::{Page, PageRequest};
pub use revision::{Position, Revision, Service};

/// The id of a customer, `cust_…`.
pub type CustomerId = Id<id::Customer>;
