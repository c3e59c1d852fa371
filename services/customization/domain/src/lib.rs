//! Customization: so what do we do differently for this one, right now, and why?
//!
//! | file | what is in it |
//! |---|---|
//! | [`treatment`], [`touchpoint`] | what a tenant defines |
//! | [`catalog`] | the definitions at one moment, rules compiled |
//! | [`rule`] | the rules of a treatment |
//! | [`profile`] | what is known of one customer |
//! | [`mod@decide`] | [`decide()`]: candidates → guards → score → rank → because |
//! | [`guard`], [`permission`] | what rules a treatment out |
//! | [`score`] | what ranks it |
//! | `create_…`, `update_…`, `delete_…` | changes of definitions |
//! | [`report_outcome`](mod@report_outcome) | how a decision went |
//! | [`get_relationship`](mod@get_relationship) | the three-part test |
//! | [`ports`] | where definitions and decisions are kept |
//! | `memory`, `contract` | both ports in memory; what every store must do |
//! | `view` | a profile without one thing: for `because` |
//!
//! Everything here is pure: time and randomness are arguments, and nothing is read but what is handed in.

#![forbid(unsafe_code)]

pub mod catalog;
#[cfg(feature = "contract")]
pub mod contract;
mod create_touchpoint;
mod create_treatment;
pub mod decide;
mod delete_touchpoint;
mod delete_treatment;
pub mod get_relationship;
pub mod guard;
pub mod key;
#[cfg(feature = "contract")]
pub mod memory;
pub mod permission;
pub mod ports;
pub mod profile;
pub mod report_outcome;
pub mod rule;
pub mod score;
pub mod touchpoint;
pub mod treatment;
pub mod update_touchpoint;
pub mod update_treatment;
mod view;

pub use create_touchpoint::create_touchpoint;
pub use create_treatment::create_treatment;
pub use decide::{Ask, Decision, decide};
pub use delete_touchpoint::delete_touchpoint;
pub use delete_treatment::delete_treatment;
pub use get_relationship::get_relationship;
pub use report_outcome::report_outcome;
pub use update_touchpoint::update_touchpoint;
pub use update_treatment::update_treatment;
