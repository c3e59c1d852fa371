//! Reading customers: in process, then from the store.

use std::sync::Arc;

use data::{FeedBatch, Store};
use identity_domain::{Customer, Customers};
use terms::{CustomerId, Fault, PARTITIONS, Position, Revision, Service, Tenant, partition};

use crate::{
    cache::{CustomerCache, Entry},
    encode,
};

/// Reads customers as they go onto the wire.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Inner>);

struct Inner {
    customers: Arc<dyn Customers>,
    store: Store,
    cache: Option<CustomerCache>,
}

/// Customers in the order in which they were asked for, and what shows in them.
pub(crate) struct Read {
    pub(crate) customers: Vec<Option<Arc<Entry>>>,
    pub(crate) revision: Revision,
}

impl Reader {
    /// `cache_bytes` 0: always from the store.
    pub(crate) fn new(customers: Arc<dyn Customers>, store: Store, cache_bytes: u64) -> Self {
        let cache = (cache_bytes > 0).then(|| CustomerCache::new(cache_bytes));
        Self(Arc::new(Inner { customers, store, cache }))
    }

    /// One customer, if it is in process and shows what `at_least` contains; with what shows in it.
    pub(crate) fn hot(&self, tenant: &Tenant, id: CustomerId, at_least: &Revision) -> Option<(Arc<Entry>, Revision)> {
        let demanded = demanded(tenant, id, at_least);
        let entry = self.0.cache.as_ref()?.get(tenant, id, demanded)?;
        let revision = shown(at_least, [&*entry]);
        Some((entry, revision))
    }

    /// Customers by id; an id that was merged away gives the survivor. Shows everything that `at_least` contains: what
    /// is not in process comes from the store, which shows every write that was acknowledged.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn get(&self, tenant: &Tenant, ids: &[CustomerId], at_least: &Revision) -> Result<Read, Fault> {
        let cached = |id: &CustomerId| self.0.cache.as_ref()?.get(tenant, *id, demanded(tenant, *id, at_least));
        let mut customers: Vec<Option<Arc<Entry>>> = ids.iter().map(cached).collect();
        let missing: Vec<usize> =
            customers.iter().enumerate().filter(|(_, found)| found.is_none()).map(|(i, _)| i).collect();
        if !missing.is_empty() {
            let wanted: Vec<CustomerId> = missing.iter().filter_map(|i| ids.get(*i).copied()).collect();
            let loaded = self.load(tenant, &wanted).await?;
            for (place, found) in missing.into_iter().zip(loaded) {
                if let Some(customer) = customers.get_mut(place) {
                    *customer = found;
                }
            }
        }
        let revision = shown(at_least, customers.iter().flatten().map(|entry| &**entry));
        Ok(Read { customers, revision })
    }

    async fn load(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Arc<Entry>>>, Fault> {
        let inner = &*self.0;
        let loading = inner.cache.as_ref().map(|cache| cache.load(tenant, ids));
        // Before the rows are read: what is committed in between may show, and is not promised.
        let partitions = partitions(tenant, ids);
        let (stamp, newest) = tokio::try_join!(inner.store.horizon(), inner.store.newest(&partitions))?;
        let found = inner.customers.get(tenant, ids).await?;
        let keep = |(asked, customer): (&CustomerId, Option<Customer>)| {
            let customer = customer?;
            let partition = partition(tenant, customer.id);
            let newest = newest.position(Service::Identity, partition).unwrap_or_default();
            let entry = Arc::new(Entry { stamp, newest, partition, customer: encode::customer(&customer) });
            if let Some(loading) = &loading {
                loading.put(tenant, *asked, customer.id, entry.clone());
            }
            Some(entry)
        };
        Ok(ids.iter().zip(found).map(keep).collect())
    }

    /// This process changed customers.
    pub(crate) fn changed(&self, tenant: &Tenant, ids: &[CustomerId], revision: &Revision) {
        let Some(cache) = &self.0.cache else { return };
        for id in ids {
            if let Some(position) = revision.position(Service::Identity, partition(tenant, *id)) {
                cache.mark(tenant, *id, position);
            }
        }
    }

    /// Hears the feed: what other replicas changed.
    pub(crate) fn hear(&self, batch: &FeedBatch) {
        let Some(cache) = &self.0.cache else { return };
        if batch.restarted {
            cache.clear();
        }
        for entry in &batch.entries {
            if let Some(customer) = entry.customer {
                cache.mark(&entry.tenant, customer, entry.position);
            }
        }
    }
}

/// What surely shows in the entries, and what was demanded of them.
fn shown<'e>(at_least: &Revision, entries: impl IntoIterator<Item = &'e Entry>) -> Revision {
    let mut revision = at_least.clone();
    for entry in entries.into_iter().filter(|entry| entry.newest > Position::START) {
        revision.raise(Service::Identity, entry.partition, entry.newest);
    }
    revision
}

/// The partitions of these customers; all of them when they are many, so that few statements are kept prepared.
fn partitions(tenant: &Tenant, ids: &[CustomerId]) -> Vec<u16> {
    match ids {
        [id] => vec![partition(tenant, *id)],
        _ => (0..PARTITIONS).collect(),
    }
}

/// What a revision says of the partition of the id.
fn demanded(tenant: &Tenant, id: CustomerId, at_least: &Revision) -> Position {
    if at_least.is_empty() {
        return Position::START;
    }
    at_least.position(Service::Identity, partition(tenant, id)).unwrap_or_default()
}
