//! Segmentation: what is this customer worth, what do they need, who is like them?
//!
//! | file | what is in it |
//! |---|---|
//! | [`segment`] | [`segment::Segment`]: a named rule, or a list by hand |
//! | [`create_segment`], [`update_segment`], [`delete_segment`] | pure decisions over the catalog |
//! | [`definition`] | what they share: bodies, the schema of rules, builds |
//! | [`catalog`] | all segments of a tenant; who uses whom; no circles |
//! | [`ruleset`] | the compiled rules, in the order in which they are computed |
//! | [`news`] | what the feeds of identity and interaction say |
//! | [`facts`] | what is known of one customer |
//! | [`lineage`] | merges and splits: where an id leads |
//! | [`view`] | what a store reads before, and writes after |
//! | [`hear`](mod@hear) | news taken in, whatever their order |
//! | `settle`, `eyes`, `cause` | one customer's memberships brought up to an instant, with reasons |
//! | [`recompute`] | memberships computed because the clock or a definition moved |
//! | [`membership`] | memberships and transitions |
//! | [`preview_segment`], [`clauses`](mod@clauses) | a definition tried out, and taken apart |
//! | [`rfm`] | recency, frequency, monetary value |
//! | [`ports`] | what a store must do; [`memory`]: one that does; [`contract`]: the exam of all |
//!
//! What must never be false:
//!
//! - Membership is a pure function of the facts, the rules and the instant: computed step by step or at once, it is the
//!   same.
//! - The same news in another order, or twice, make the same facts.
//! - A segment is computed after all that it uses.

#![forbid(unsafe_code)]

pub mod catalog;
mod cause;
pub mod clauses;
#[cfg(feature = "contract")]
pub mod contract;
pub mod create_segment;
pub mod definition;
pub mod delete_segment;
mod eyes;
pub mod facts;
pub mod hear;
pub mod lineage;
pub mod membership;
pub mod memory;
pub mod news;
pub mod ports;
pub mod preview_segment;
pub mod recompute;
pub mod rfm;
pub mod ruleset;
pub mod segment;
mod settle;
pub mod update_segment;
pub mod view;
