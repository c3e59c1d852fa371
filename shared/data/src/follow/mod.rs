//! Hearing a feed: durably and once ([`follow`]), or as it comes ([`tail`]).
//!
//! A consumer's cursor is a row of `feed_cursor` in the consumer's own database, written in the transaction that holds
//! the effect: effects happen exactly once, whatever is killed when. The replicas of a consumer share the partitions
//! by leases on those rows. A lease is a courtesy: what keeps a replica that lost its lease from writing is that the
//! transaction compares and sets owner and cursor.
//!
//! | file | what is in it |
//! |---|---|
//! | `follower` | the loop of one replica: lease, watch, apply |
//! | `apply` | one batch in one transaction; what happens when it fails |
//! | `lease` | the rows `feed_cursor` and `feed_follower` |
//! | `metrics` | what is reported of it |
//! | `tail` | not durable, every partition |

mod apply;
mod follower;
mod lease;
mod metrics;
mod tail;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use terms::{Fault, Reason, Revision, Service, Timestamp};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    feed::{Entry, FeedSource},
    store::{Store, Tx},
};

pub use tail::tail;

/// Turns the entries of another service's feed into effects in this service's store.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// Names the cursors; never changes.
    fn name(&self) -> &'static str;

    /// The kinds of entries that it wants; `customer` covers `customer.merged`. Empty: all.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    /// Makes the effects of `entries`, in the transaction that moves the cursors. Entries are of many customers and
    /// partitions, in feed order, in order per customer. May run more than once, in transactions of which one commits.
    ///
    /// # Errors
    /// The transaction is rolled back and the entries come again: at once if the store is at fault, otherwise the
    /// partition of the entry that cannot be applied waits, and the others go on.
    async fn apply(&self, tx: &Tx, entries: &[Entry]) -> Result<(), Fault>;

    /// Hears that the effects are committed: to mark caches, to wake others. `revision` is what was published with
    /// them. May be lost when the process dies between the commit and this call.
    async fn applied(&self, entries: &[Entry], revision: &Revision) {
        let _ = (entries, revision);
    }

    /// The entries after this consumer's cursors are not kept any more: makes good for them from a snapshot of the
    /// other service. The cursors then move to the oldest entry kept, in the same transaction.
    ///
    /// # Errors
    /// By default it is an error, which is logged and tried again: nothing is skipped silently.
    async fn rebuild(&self, tx: &Tx, partitions: &[u16]) -> Result<(), Fault> {
        let _ = (tx, partitions);
        let message = "a consumer fell behind the feed's retention and knows no way to begin again";
        Err(Fault::new(Reason::FeedCursorExpired, message).with("consumer", self.name()))
    }
}

/// Where a consumer begins that has no cursors yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the oldest entry kept.
    #[default]
    Oldest,
    /// At what comes after this moment.
    Now,
}

/// How a consumer follows.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    /// How long a partition stays with a replica that says nothing; it is renewed three times as often. `None`: as the
    /// store's options say, and a minute on SQLite, where a new process need not wait for the old one's leases.
    pub lease: Option<Duration>,
    /// Most entries in one transaction. `None`: as the store's options say.
    pub batch: Option<usize>,
    /// Where to begin without cursors.
    pub start: Start,
    /// The longest silence of the feed before it counts as dead: half of this is asked for as heartbeat. 20 s.
    pub silence: Duration,
    /// How long to wait after a fault; doubled with each, up to 64 times as long. 100 ms.
    pub backoff: Duration,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            lease: None,
            batch: None,
            start: Start::Oldest,
            silence: Duration::from_secs(20),
            backoff: Duration::from_millis(100),
        }
    }
}

/// How a consumer of this process does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// The consumer.
    pub consumer: String,
    /// Whose feed.
    pub service: Service,
    /// How many partitions this replica holds.
    pub held: usize,
    /// The partitions that wait because an entry cannot be applied.
    pub stalled: Vec<u16>,
    /// How many entries were applied since the start.
    pub applied: u64,
    /// How many attempts failed since the start.
    pub failed: u64,
    /// The store time of the last entry applied, and when it was applied: the difference is the lag.
    pub last: Option<(Timestamp, Timestamp)>,
    /// When the feed was last heard, entries or heartbeat.
    pub heard: Option<Timestamp>,
}

impl Following {
    pub(crate) fn new(consumer: &str, service: Service) -> Self {
        Self {
            consumer: consumer.to_owned(),
            service,
            held: 0,
            stalled: Vec::new(),
            applied: 0,
            failed: 0,
            last: None,
            heard: None,
        }
    }
}

/// Follows `source` for `consumer`, with cursors in `store`, until `shutdown`; then gives the leases back. Any number
/// of replicas may do so at once: each entry takes effect once.
pub fn follow(
    store: Store,
    source: Arc<dyn FeedSource>,
    consumer: Arc<dyn Consumer>,
    options: FollowOptions,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    // Before the task runs: whoever asks `reach` from now on waits for this consumer.
    store.shared().progress.begin(consumer.name(), source.service());
    let span = tracing::info_span!("follow", consumer = consumer.name(), service = %source.service());
    tokio::spawn(follower::Follower::new(store, source, consumer, options, shutdown).run().instrument(span))
}
