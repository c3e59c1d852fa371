//! The hot profile: what a decision needs about one customer, near at hand and never older than it says.
//!
//! A profile has three [`Section`]s, each owned by one service. A service that changed a customer says so with
//! [`Marks::mark`]: everything older is stale. A reader asks [`Profiles::get`], which looks in process, then in Redis,
//! then at the owners, and puts what it found into both levels. Nobody writes sections eagerly.
//!
//! | file | nouns |
//! |---|---|
//! | [`section`] | [`Section`], [`Versioned`], [`Sections`] (the port to the owners), [`FromSections`] |
//! | [`marks`] | [`Marks`]: what every service is handed, tells both levels what is stale |
//! | [`profiles`] | [`Profiles`]: reads, single flight |
//! | `load` | one load of one customer |
//! | `local` | the level in process; `recent`: marks that arrived lately |
//! | `redis` | the shared level: scripts, breaker, marks that did not get through |
//! | [`PeerSections`] | the owners, reached as peers |
//! | `redis` also has [`RedisHints`]: wake-ups for followers |
//! | `metrics` | hits and misses per level, the breaker's state |
//!
//! Invariants:
//! - An older section never overwrites a newer one, in neither level.
//! - A read with `at_least` sees what that revision contains, whatever the caches hold.
//! - A read without it sees every change whose mark has arrived at the level that answers.
//! - Redis slow, flushed, stopped or cut off costs speed only.

#![forbid(unsafe_code)]

mod breaker;
mod load;
mod local;
pub mod marks;
mod metrics;
mod peers;
pub mod profiles;
mod recent;
mod redis;
pub mod section;

pub use self::{
    breaker::BreakerState,
    marks::Marks,
    peers::PeerSections,
    profiles::{Profiles, ProfilesOptions},
    redis::{RedisHints, RedisOptions},
    section::{FromSections, Section, SectionSet, Sections, Versioned},
};
