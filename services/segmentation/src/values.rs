//! Where customers stand among the tenant's purchasers.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use segmentation_domain::{
    ports::Store,
    rfm::{Quintiles, Rfm, Scores},
};
use terms::{CustomerId, Fault, Tenant, Timestamp};
use tokio::time::Instant;

use crate::store::SqlSegments;

/// The quintiles of each tenant, in memory. Cheap to clone.
///
/// They are cut anew when purchases came since, but not more often than a twentieth of the time goes into cutting them;
/// and when they are a minute old, because other replicas hear of purchases, too.
#[derive(Clone)]
pub(crate) struct Values {
    store: SqlSegments,
    kind: Arc<str>,
    cuts: Arc<Mutex<HashMap<Tenant, Slot>>>,
    stale: Arc<Mutex<HashSet<Tenant>>>,
}

/// One tenant's; whoever cuts holds it.
type Slot = Arc<tokio::sync::Mutex<Option<Cut>>>;

#[derive(Clone)]
struct Cut {
    quintiles: Arc<Quintiles>,
    made: Instant,
    took: Duration,
    at: Timestamp,
}

/// Older ones are cut anew.
const OLDEST: Duration = Duration::from_secs(60);

impl Values {
    pub(crate) fn new(store: SqlSegments, kind: &str) -> Self {
        Self { store, kind: kind.into(), cuts: Arc::default(), stale: Arc::default() }
    }

    /// Purchases of a tenant came.
    pub(crate) fn stale(&self, tenant: &Tenant) {
        let mut stale = self.stale.lock();
        if !stale.contains(tenant) {
            stale.insert(tenant.clone());
        }
    }

    /// What a customer's purchases say as of `now`, and where the customer stands; `None` without purchases.
    pub(crate) async fn of(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        now: Timestamp,
    ) -> Result<Option<(Rfm, Scores)>, Fault> {
        let purchases = self.store.purchases(tenant, customer, &self.kind).await?;
        let Some(rfm) = Rfm::of(&purchases, now) else { return Ok(None) };
        let quintiles = self.quintiles(tenant, now).await?;
        let scores = quintiles.scores(customer, &rfm);
        Ok(Some((rfm, scores)))
    }

    /// One caller cuts, the others wait for it.
    async fn quintiles(&self, tenant: &Tenant, now: Timestamp) -> Result<Arc<Quintiles>, Fault> {
        let slot = self.cuts.lock().entry(tenant.clone()).or_default().clone();
        let mut cut = slot.lock().await;
        if let Some(known) = cut.as_ref()
            && self.is_good(tenant, known, now)
        {
            return Ok(known.quintiles.clone());
        }
        // What comes while they are being cut makes them stale again.
        self.stale.lock().remove(tenant);
        let begun = Instant::now();
        let quintiles = Arc::new(Quintiles::of(&self.store.tallies(tenant, &self.kind).await?));
        let made = Instant::now();
        *cut = Some(Cut { quintiles: quintiles.clone(), made, took: made - begun, at: now });
        Ok(quintiles)
    }

    fn is_good(&self, tenant: &Tenant, cut: &Cut, now: Timestamp) -> bool {
        let age = cut.made.elapsed();
        let stale = self.stale.lock().contains(tenant) && age >= cut.took * 20;
        // The clock of the service may run otherwise than the machine's.
        !stale && age < OLDEST && now.since(cut.at) < OLDEST
    }
}
