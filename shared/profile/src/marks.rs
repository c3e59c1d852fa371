//! Marks: how a service says that what was cached about a customer is stale.

use std::sync::{Arc, Weak};

use data::{Entry, FeedBatch, FeedSource};
use parking_lot::RwLock;
use terms::{CustomerId, Fault, Position, Revision, Tenant, partition};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    breaker::BreakerState,
    local::Marked,
    redis::{Redis, RedisOptions},
    section::{Key, Section},
};

/// Tells every level of this process, and the shared one, what is stale. Cheap to clone; one per process.
///
/// A service calls [`Marks::mark`] after each commit that changes what its section shows. A mark that is lost (a crash
/// between commit and mark) is repaired by every process that follows the feeds: [`Marks::follow`].
#[derive(Clone, Default)]
pub struct Marks(Arc<Inner>);

#[derive(Default)]
struct Inner {
    locals: RwLock<Vec<Weak<dyn Marked>>>,
    redis: Option<Arc<Redis>>,
}

impl Marks {
    /// Without a shared level: one process, or a development server.
    pub fn in_process() -> Self {
        Self::default()
    }

    /// With Redis as the shared level. Connects lazily: a Redis that is down delays nothing. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the URL is not one of Redis.
    pub fn with_redis(options: &RedisOptions) -> Result<Self, Fault> {
        Ok(Self(Arc::new(Inner { locals: RwLock::default(), redis: Some(Redis::open(options)?) })))
    }

    /// Everything in `section` of these customers that is older than `revision` is stale. Call it once the revision
    /// is committed. Never fails and never takes longer than the timeout of the shared level: a mark that does not get
    /// through is tried again in the background.
    pub async fn mark(&self, tenant: &Tenant, customers: &[CustomerId], section: Section, revision: &Revision) {
        let mut marks = Vec::with_capacity(customers.len());
        for &customer in customers {
            if let Some(position) = revision.position(section.service(), partition(tenant, customer)) {
                marks.push((Key::new(tenant, customer), position));
            }
        }
        if marks.is_empty() {
            return;
        }
        self.each(|local| marks.iter().for_each(|(key, position)| local.mark(key, section, *position)));
        if let Some(redis) = &self.0.redis {
            redis.mark(section, marks).await;
        }
    }

    /// Leaves a tombstone: the customer was erased, and no load that is still under way brings them back.
    pub async fn bury(&self, tenant: &Tenant, customer: CustomerId) {
        let key = Key::new(tenant, customer);
        self.each(|local| local.bury(&key));
        if let Some(redis) = &self.0.redis {
            redis.bury(&key).await;
        }
    }

    /// Marks what the feed of a section's owner tells of, until `shutdown`. Every process that reads profiles follows
    /// all three owners: so its level in process is kept right, and marks that were lost are made good for.
    pub fn follow(&self, source: Arc<dyn FeedSource>, shutdown: CancellationToken) -> JoinHandle<()> {
        let marks = self.clone();
        let section = Section::of(source.service());
        data::tail(source, move |batch| marks.hear(section, batch), shutdown)
    }

    fn hear(&self, section: Option<Section>, batch: &FeedBatch) {
        let Some(section) = section else { return };
        if batch.restarted {
            self.each(|local| local.forget());
        }
        let (erased, changed): (Vec<&Entry>, Vec<&Entry>) =
            batch.entries.iter().partition(|entry| entry.kind == "customer.erased");
        let mut marks: Vec<(Key, Position)> = Vec::with_capacity(changed.len());
        for entry in changed {
            let Some(customer) = entry.customer else { continue };
            marks.push((Key::new(&entry.tenant, customer), entry.position));
        }
        self.each(|local| marks.iter().for_each(|(key, position)| local.mark(key, section, *position)));
        let buried: Vec<Key> = erased.into_iter().filter_map(|e| Some(Key::new(&e.tenant, e.customer?))).collect();
        self.each(|local| buried.iter().for_each(|key| local.bury(key)));
        if let Some(redis) = self.0.redis.clone().filter(|_| !marks.is_empty() || !buried.is_empty()) {
            tokio::spawn(async move {
                redis.mark(section, latest(marks)).await;
                for key in &buried {
                    redis.bury(key).await;
                }
            });
        }
    }

    /// What the breaker before Redis lets through; `None` without Redis.
    pub fn redis_state(&self) -> Option<BreakerState> {
        self.0.redis.as_ref().map(|redis| redis.state())
    }

    /// Asks Redis for a sign of life. True without Redis.
    pub async fn redis_answers(&self) -> bool {
        match &self.0.redis {
            Some(redis) => redis.ping().await,
            None => true,
        }
    }

    pub(crate) fn redis(&self) -> Option<&Arc<Redis>> {
        self.0.redis.as_ref()
    }

    pub(crate) fn register(&self, local: Weak<dyn Marked>) {
        let mut locals = self.0.locals.write();
        locals.retain(|known| known.strong_count() > 0);
        locals.push(local);
    }

    fn each(&self, act: impl Fn(&dyn Marked)) {
        for local in self.0.locals.read().iter() {
            if let Some(local) = local.upgrade() {
                act(&*local);
            }
        }
    }
}

/// One mark for each customer: the last.
fn latest(marks: Vec<(Key, Position)>) -> Vec<(Key, Position)> {
    let mut latest: std::collections::HashMap<Key, Position> = std::collections::HashMap::with_capacity(marks.len());
    for (key, position) in marks {
        let known = latest.entry(key).or_insert(position);
        *known = (*known).max(position);
    }
    latest.into_iter().collect()
}
