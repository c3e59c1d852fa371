//! Interaction: what have we said to each other, what did they tell us, what may we say next?
//!
//! | file | nouns |
//! |---|---|
//! | [`interaction`], [`statement`], [`consent`], [`boundary`] | what is recorded, and what stands of it |
//! | [`permission`] | the permission algebra, a pure function |
//! | [`counters`] | interactions counted, organic and incentivised apart |
//! | [`arrival`], [`subject`] | how rows came in, and where they belong after merges and splits |
//! | [`draft`], [`record`] | what callers describe, and the decision of what becomes of it |
//! | [`key`], [`pages`], [`filter`] | dotted keys; places in lists, and what passes |
//! | [`store`], [`customers`], [`ports`] | what the verbs need from outside |
//! | [`memory`] | the store in memory |
//! | `contract` | what every store must pass |
//!
//! Each verb is a file of the RPC's name: reads are together in [`lists`], [`get_permissions`] and
//! [`get_dialogue`].
//!
//! Invariants:
//! - What stands (the current statement of a topic, a consent, a counter) is derived from rows by event time, never
//!   stored: it does not depend on the order of arrival, and a merge or a split only changes whose a row is.
//! - A row never loses how it came in, so merge then split is as if nothing had happened.
//! - A boundary ends only by being lifted, by its own validity, or with the statement that set it.

#![forbid(unsafe_code)]

pub mod arrival;
pub mod boundary;
pub mod consent;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod counters;
pub mod customers;
pub mod draft;
pub mod filter;
mod fingerprint;
pub mod get_dialogue;
pub mod get_permissions;
pub mod interaction;
pub mod key;
pub mod lift_boundary;
pub mod lists;
pub mod memory;
pub mod pages;
pub mod permission;
pub mod ports;
pub mod record;
pub mod record_consent;
pub mod record_interaction;
pub mod record_interactions;
pub mod record_statement;
pub mod retract_statement;
pub mod set_boundary;
pub mod statement;
pub mod store;
pub mod subject;

pub use customers::Customers;
pub use memory::MemoryStore;
pub use ports::{How, Ports};
pub use store::Store;
