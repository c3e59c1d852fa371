//! What tests share: databases, clocks, waiting. For development only.
//!
//! | module | what is in it |
//! |---|---|
//! | [`credentials`] | [`TokenIssuer`], [`CertificateAuthority`]: who calls |
//! | [`stores`](mod@stores) | [`stores`](fn@stores), [`Database`], [`redis`]: a private place in every database there is here |
//! | [`clock`](mod@clock) | [`clock`](fn@clock), [`ids`]: time that stands still, ids that repeat |
//! | [`dataset`] | where published data sets lie (a crate of its own, so that pure crates need nothing else of this one) |
//! | [`wait`] | [`eventually`]: wait for conditions, never sleep |

#![forbid(unsafe_code)]

pub mod clock;
pub mod credentials;
pub mod stores;
pub mod wait;

pub use clock::{START, clock, ids};
pub use credentials::{CertificateAuthority, CertificateFiles, TokenIssuer};
pub use stores::{Database, RedisSpace, TestStore, redis, stores, stores_with};
pub use testkit_datasets::dataset;
pub use wait::{eventually, eventually_some};
