//! The databases: pools, transactions, the change feed, idempotency.
//!
//! | module | what is in it |
//! |---|---|
//! | [`store`] | [`Store`]: one service's schema on SQLite or PostgreSQL; [`Tx`]: one transaction; [`once`] |
//! | [`config`] | [`StoreConfig`], [`StoreOptions`], [`Dialect`] |
//! | [`error`] | [`fault`], [`OrFault`], [`retry`]: from a database's error to a [`terms::Fault`] |
//! | [`sql`] | [`Sql`]: the same raw statements on both databases |
//! | [`sealer`] | [`Sealer`]: personal data at rest, and the keys by which it is looked up |
//! | [`feed`] | [`Feed`], [`RemoteFeed`], [`FeedSource`], [`feed::Server`]: what happened, in order |
//! | [`follow`](mod@follow) | [`Consumer`], [`follow`](fn@follow), [`tail`]: hearing it, exactly once |
//! | [`operations`] | [`Operations`]: work that outlives its call, and a crash ([`operations::Server`]) |
//! | [`hints`] | [`Hints`]: wake-ups; polling is the truth |
//!
//! What must never be false:
//!
//! - A transaction is never dropped half way: it runs in a task of its own, and a caller that goes away leaves it to
//!   finish.
//! - A write is acknowledged after it is on disk.
//! - An effect, the feed entries that tell of it, the cursor that led to it and the recorded answer are one
//!   transaction.
//! - A reader of the feed never passes an entry that may still become visible.

#![forbid(unsafe_code)]

pub mod config;
pub mod error;
pub mod feed;
pub mod follow;
pub mod hints;
mod migrations;
pub mod operations;
mod replica;
pub mod sealer;
pub mod sql;
pub mod store;

pub use config::{Dialect, StoreConfig, StoreOptions};
pub use error::{OrFault, fault, is_unique_violation, retry};
pub use feed::{Entry, Feed, FeedBatch, FeedSource, IntoEvent, RemoteFeed, Watch, WatchFrom};
pub use follow::{Consumer, FollowOptions, Following, Start, follow, tail};
pub use hints::{Hints, Listener, LocalHints};
pub use operations::{Operation, Operations, Run, Work};
pub use sealer::Sealer;
pub use sql::Sql;
pub use store::{Each, Part, Parts, Store, Tx, once};
pub use terms::{Once, Written};
