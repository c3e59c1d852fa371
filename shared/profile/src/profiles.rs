//! Reading profiles: in process, then Redis, then the owners.

use std::{sync::Arc, time::Duration};

use terms::{CustomerId, Fault, Reason, Revision, Tenant};
use tokio::sync::watch;
use tracing::Instrument;

use crate::{
    load::Load,
    local::{Entry, Known, Local, Lookup, Outcome, What},
    marks::Marks,
    metrics::Counts,
    redis::Redis,
    section::{FromSections, Key, Sections, Stamp},
};

/// How the level in process is used.
#[derive(Debug, Clone)]
pub struct ProfilesOptions {
    /// How many bytes it may hold, roughly.
    pub bytes: u64,
    /// How long an entry stays at most. The feeds keep it right; this bounds the harm if they do not.
    pub ttl: Duration,
    /// How long one load may take that demands no revision.
    pub load_timeout: Duration,
    /// How long one load may take that waits for a revision.
    pub reach_timeout: Duration,
}

impl Default for ProfilesOptions {
    /// 64 MiB, 10 minutes, 3 seconds, 10 seconds.
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            ttl: Duration::from_secs(600),
            load_timeout: Duration::from_secs(3),
            reach_timeout: Duration::from_secs(10),
        }
    }
}

/// Reads profiles as `P`. Cheap to clone; one per process and `P`.
///
/// Whoever keeps one in a process that the writers are not in also tails the feeds and passes what it reads to
/// [`Marks::mark`].
pub struct Profiles<P: FromSections>(Arc<Inner<P>>);

impl<P: FromSections> Clone for Profiles<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What reads share.
pub(crate) struct Inner<P: FromSections> {
    pub(crate) local: Arc<Local<P>>,
    pub(crate) redis: Option<Arc<Redis>>,
    pub(crate) owners: Arc<dyn Sections>,
    pub(crate) load_timeout: Duration,
    pub(crate) reach_timeout: Duration,
    pub(crate) counts: Arc<Counts>,
}

/// A customer that was merged into one that was merged: identity keeps aliases one hop long, so one more hop is a race
/// and a third is a mistake.
const HOPS: usize = 4;

/// How often to join a load whose outcome may prove too old, before loading for oneself alone.
const JOINS: usize = 4;

impl<P: FromSections> Profiles<P> {
    /// Reads from `owners` what the levels do not hold. The level in process listens to `marks`.
    pub fn new(marks: &Marks, owners: Arc<dyn Sections>, options: &ProfilesOptions) -> Self {
        // Marks are remembered for longer than any load that they could overtake.
        let window = options.load_timeout.max(options.reach_timeout) * 2;
        let local = Arc::new(Local::new(options.bytes, options.ttl, window));
        let marked: Arc<dyn crate::local::Marked> = local.clone();
        marks.register(Arc::downgrade(&marked));
        let counts = Counts::register(marks.redis());
        let redis = marks.redis().cloned();
        let ProfilesOptions { load_timeout, reach_timeout, .. } = *options;
        Self(Arc::new(Inner { local, redis, owners, load_timeout, reach_timeout, counts }))
    }

    /// The profile of a customer; of the survivor, if it was merged. Shows everything that `at_least` contains.
    ///
    /// # Errors
    /// Those of [`Sections::load`].
    pub async fn get(&self, tenant: &Tenant, customer: CustomerId, at_least: &Revision) -> Result<Arc<P>, Fault> {
        if let Some(profile) = self.hot(tenant, customer, at_least) {
            return Ok(profile);
        }
        let mut customer = customer;
        for _ in 0..HOPS {
            let key = Key::new(tenant, customer);
            let demand = Stamp::of_customer(at_least, tenant, customer);
            match &self.0.find(key, demand).await?.what {
                What::Profile(profile) => return Ok(profile.clone()),
                What::Merged(survivor) => customer = *survivor,
                What::Erased => return Err(erased(customer)),
            }
        }
        Err(Fault::internal(format!("aliases of {customer} lead in a circle")))
    }

    /// The profile as far as its owners answer, after [`Profiles::get`] failed: what is missing says
    /// [`SectionSet::is_missing`](crate::SectionSet::is_missing). Nothing of it is kept. A section of which `at_least` speaks is never left out.
    ///
    /// # Errors
    /// As [`Profiles::get`], when identity does not answer for want of a customer, or a demanded section is missing.
    pub async fn get_partial(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        at_least: &Revision,
    ) -> Result<Arc<P>, Fault> {
        let mut customer = customer;
        for _ in 0..HOPS {
            let key = Key::new(tenant, customer);
            let demand = Stamp::of_customer(at_least, tenant, customer);
            let load = Load { inner: self.0.clone(), key, demand, held: None, known: Known::default() };
            match load.partial().await? {
                What::Profile(profile) => return Ok(profile),
                What::Merged(survivor) => customer = survivor,
                What::Erased => return Err(erased(customer)),
            }
        }
        Err(Fault::internal(format!("aliases of {customer} lead in a circle")))
    }

    /// The profile, if it is in process and fresh enough. Takes no lock and waits for nothing.
    pub fn hot(&self, tenant: &Tenant, customer: CustomerId, at_least: &Revision) -> Option<Arc<P>> {
        let demand = Stamp::of_customer(at_least, tenant, customer);
        match &self.0.local.hit(&Key::new(tenant, customer), &demand)?.what {
            What::Profile(profile) => {
                self.0.counts.local_hit();
                Some(profile.clone())
            }
            What::Merged(_) | What::Erased => None,
        }
    }

    /// How many customers are held in process, roughly.
    pub fn entries(&self) -> u64 {
        self.0.local.entries()
    }
}

impl<P: FromSections> Inner<P> {
    pub(crate) fn limit(&self, demand: &Stamp) -> Duration {
        if demand.is_empty() { self.load_timeout } else { self.reach_timeout }
    }

    async fn find(self: &Arc<Self>, key: Key, demand: Stamp) -> Result<Arc<Entry<P>>, Fault> {
        for _ in 0..JOINS {
            let outcome = match self.local.look_up(&key, &demand) {
                Lookup::Hit(entry) => {
                    self.counts.local_hit();
                    return Ok(entry);
                }
                Lookup::Join(flight) => flight,
                Lookup::Lead { held, known, done } => {
                    self.counts.local_miss();
                    let flight = done.subscribe();
                    let load = Load { inner: self.clone(), key: key.clone(), demand, held, known };
                    tokio::spawn(load.share(done).in_current_span());
                    // Its outcome shows what was demanded: there is no need to ask the stamps.
                    return landed(flight).await;
                }
            };
            // Another's load may have begun too early for this read: only take what proves to be fresh enough.
            if let Ok(entry) = landed(outcome).await
                && entry.answers(&demand)
            {
                return Ok(entry);
            }
        }
        let load = Load { inner: self.clone(), key, demand, held: None, known: Known::default() };
        let (what, sections) = load.owners_only().await?;
        Ok(Arc::new(Entry::new(what, sections, Stamp::default())))
    }
}

/// Waits for a load. It runs in a task of its own, so that no caller who gives up takes it along.
async fn landed<P>(mut flight: watch::Receiver<Outcome<P>>) -> Result<Arc<Entry<P>>, Fault> {
    let outcome = flight.wait_for(Option::is_some).await.map_err(|_| gone())?;
    match &*outcome {
        Some(Ok(entry)) => Ok(entry.clone()),
        Some(Err(fault)) => Err(again(fault)),
        None => Err(gone()),
    }
}

fn erased(customer: CustomerId) -> Fault {
    Fault::new(Reason::CustomerErased, format!("customer {customer} was erased"))
        .with("customer_id", customer.to_string())
}

fn gone() -> Fault {
    Fault::internal("a load of a profile ended without an outcome")
}

/// The same fault for another caller.
fn again(fault: &Fault) -> Fault {
    let mut copy = Fault::new(fault.reason(), fault.message());
    for (key, value) in fault.metadata() {
        copy = copy.with(key, value.clone());
    }
    if let Some(after) = fault.retry_delay() {
        copy = copy.retry_after(after);
    }
    copy
}
