//! The change feed: what happened in a service, in order.
//!
//! | file | what is in it |
//! |---|---|
//! | `outbox` | writes and reads the table `feed_entry` |
//! | `pulse` | the newest entries in memory, and the one task that looks for more |
//! | `reader` | [`Feed`]: this service's own feed |
//! | `server`, `remote` | `rapport.feed.v1.FeedService`, and its client as a [`FeedSource`] |
//! | `kind` | the types of events |
//! | `prune` | retention |

mod kind;
pub(crate) mod outbox;
pub(crate) mod prune;
pub(crate) mod pulse;
mod reader;
mod remote;
mod server;

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;
use rapport_proto::feed::v1::{Event, event};
use terms::{CustomerId, Fault, Position, Service, Tenant, Timestamp};

pub use kind::kind;
pub use reader::Feed;
pub use remote::RemoteFeed;
pub use server::Server;

/// One change.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// All changes of one customer are in one partition.
    pub partition: u16,
    /// Where in the feed.
    pub position: Position,
    /// Whose.
    pub tenant: Tenant,
    /// Whom it concerns; `None` for definitions.
    pub customer: Option<CustomerId>,
    /// What happened, such as `customer.merged`.
    pub kind: Cow<'static, str>,
    /// Who caused it: the subject of a credential, or a service.
    pub actor: Arc<str>,
    /// When it was stored.
    pub at: Timestamp,
    /// The change; empty if an erasure purged it.
    pub event: Arc<Event>,
}

impl Entry {
    /// The change itself; `None` if an erasure purged it, or if it is of a kind that this version does not know.
    pub fn change(&self) -> Option<&event::Event> {
        self.event.event.as_ref()
    }
}

impl fmt::Debug for Entry {
    /// Without the event: it may hold personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("partition", &self.partition)
            .field("position", &self.position)
            .field("tenant", &self.tenant)
            .field("customer", &self.customer)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Entries in feed order, and how far they lead. Without entries it is a heartbeat.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeedBatch {
    /// The entries, in order per partition.
    pub entries: Vec<Entry>,
    /// How far each partition has been read, entries that the filter skipped included: every watched partition in a
    /// heartbeat, otherwise those that moved.
    pub cursors: Vec<(u16, Position)>,
    /// Whether entries before this batch may have been missed. Only [`tail`](crate::tail) says so: at its start, and
    /// when it lost its place. Whoever keeps copies throws them away.
    pub restarted: bool,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchFrom {
    /// These partitions, each after its position.
    Cursors(Vec<(u16, Position)>),
    /// All partitions, from the oldest entry kept.
    Oldest,
    /// All partitions, what comes after this moment, and what an older transaction still holds back.
    Now,
}

/// What to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Where to begin.
    pub from: WatchFrom,
    /// Only entries of these kinds; `customer` covers `customer.merged`. Empty: all.
    pub kinds: Vec<String>,
    /// Only entries of this tenant.
    pub tenant: Option<Tenant>,
    /// The longest silence before a heartbeat.
    pub heartbeat: Duration,
    /// Most entries in one batch.
    pub max_entries: usize,
}

impl Watch {
    /// Everything from there on; a heartbeat every 10 s, 1,000 entries a batch.
    pub fn new(from: WatchFrom) -> Self {
        Self { from, kinds: Vec::new(), tenant: None, heartbeat: Duration::from_secs(10), max_entries: 1_000 }
    }

    /// Whether an entry of `kind` is asked for.
    fn wants(&self, entry: &Entry) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| *tenant == entry.tenant)
            && (self.kinds.is_empty() || self.kinds.iter().any(|wanted| kind::covers(wanted, &entry.kind)))
    }
}

/// The feed of one service, wherever it is served.
#[async_trait]
pub trait FeedSource: Send + Sync + 'static {
    /// Whose feed it is.
    fn service(&self) -> Service;

    /// Streams what is asked for, without end. The first batch is a heartbeat that says where the watch begins. Delivery is at least once, in order per partition.
    ///
    /// # Errors
    /// [`FeedCursorExpired`](terms::Reason::FeedCursorExpired) for a cursor before the oldest entry kept, here or as
    /// the last item of the stream; what the store or the way to it says otherwise.
    async fn watch(&self, watch: Watch) -> Result<BoxStream<'static, Result<FeedBatch, Fault>>, Fault>;
}

/// What can be published: an event, or the change in it.
pub trait IntoEvent {
    /// As the feed carries it.
    fn into_event(self) -> Event;
}

impl IntoEvent for Event {
    fn into_event(self) -> Event {
        self
    }
}

impl IntoEvent for event::Event {
    fn into_event(self) -> Event {
        Event { event: Some(self) }
    }
}
