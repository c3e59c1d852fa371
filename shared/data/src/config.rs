//! Where a store is, and how it behaves.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use terms::Clock;

use crate::{
    hints::{Hints, LocalHints},
    sealer::Sealer,
};

/// Which database.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// One file per service, `<dir>/<service>.db`; one process at a time.
    Sqlite {
        /// The directory; made if it is missing.
        dir: PathBuf,
    },
    /// The same in a temporary directory, without waiting for the disk; gone with the last clone of the store.
    SqliteMemory,
    /// One schema per service.
    Postgres {
        /// `postgres://user:password@host:port/database`.
        url: String,
        /// For reads and writes together; at least 2.
        max_connections: u32,
    },
}

impl fmt::Debug for StoreConfig {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { dir } => f.debug_struct("Sqlite").field("dir", dir).finish(),
            Self::SqliteMemory => f.write_str("SqliteMemory"),
            Self::Postgres { max_connections, .. } => {
                f.debug_struct("Postgres").field("max_connections", max_connections).finish_non_exhaustive()
            }
        }
    }
}

/// Which SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL 14 or later, or what speaks the same.
    Postgres,
}

/// How a store behaves. [`StoreOptions::new`] has the defaults; change a field before the store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Wakes whoever follows the feed.
    pub hints: Arc<dyn Hints>,
    /// Seals personal data.
    pub sealer: Sealer,
    /// How long a request for a connection waits: 5 s.
    pub acquire_timeout: Duration,
    /// How long one statement may take (PostgreSQL): 30 s.
    pub statement_timeout: Duration,
    /// How long a transaction may stand idle (PostgreSQL), and how long one piece of work may take (SQLite): 30 s.
    pub transaction_timeout: Duration,
    /// How often the feed is looked at without a hint. `None`: 1 s where hints reach everyone (SQLite, or
    /// [`Hints::reach_all`]), otherwise 20 ms while something happens and 100 ms at rest.
    pub poll: Option<Duration>,
    /// How long feed entries are kept: 7 days.
    pub feed_retention: Duration,
    /// How long a partition stays with a replica of a consumer that says nothing (PostgreSQL): 15 s.
    pub feed_lease: Duration,
    /// Most entries that a consumer takes in one transaction: 1,000.
    pub feed_batch: usize,
    /// How long the answers to request ids are kept: 24 h.
    pub once_retention: Duration,
    /// How long operations are kept after their end: 7 days.
    pub operation_retention: Duration,
    /// How long an operation stays with a replica that says nothing: 15 s. Then another one goes on with it.
    pub operation_lease: Duration,
}

impl StoreOptions {
    /// The defaults, with hints inside of this process and [`Sealer::development`]'s key.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hints: Arc::new(LocalHints::default()),
            sealer: Sealer::development(),
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            transaction_timeout: Duration::from_secs(30),
            poll: None,
            feed_retention: Duration::from_secs(7 * 24 * 3600),
            feed_lease: Duration::from_secs(15),
            feed_batch: 1_000,
            once_retention: Duration::from_secs(24 * 3600),
            operation_retention: Duration::from_secs(7 * 24 * 3600),
            operation_lease: Duration::from_secs(15),
        }
    }
}
