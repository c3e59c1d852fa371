//! When the clock matters next, as far as this process knows.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use terms::Timestamp;
use tokio::sync::Notify;

/// The earliest due instant that was written here, and a bell for builds. Cheap to clone.
///
/// Other replicas write due instants too: the store is asked from time to time.
#[derive(Clone, Default)]
pub(crate) struct Wake(Arc<Inner>);

struct Inner {
    earliest: AtomicI64,
    builds: Notify,
}

impl Default for Inner {
    fn default() -> Self {
        Self { earliest: AtomicI64::new(i64::MAX), builds: Notify::new() }
    }
}

impl Wake {
    /// Somebody is due then.
    pub(crate) fn earlier(&self, due: Timestamp) {
        self.0.earliest.fetch_min(due.micros(), Ordering::AcqRel);
    }

    /// Whether somebody is due at `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.0.earliest.load(Ordering::Acquire) <= now.micros()
    }

    /// Forgets what was known: the store is about to be asked. What is written meanwhile counts again.
    pub(crate) fn forget(&self) {
        self.0.earliest.store(i64::MAX, Ordering::Release);
    }

    /// There is something to build.
    pub(crate) fn ring(&self) {
        self.0.builds.notify_one();
    }

    /// Waits for [`Wake::ring`].
    pub(crate) async fn rung(&self) {
        self.0.builds.notified().await;
    }
}
