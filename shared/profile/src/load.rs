//! One load of one customer: what is held in process, then Redis, then the owners.

use std::sync::Arc;

use futures::future::try_join_all;
use terms::{Fault, FaultKind, Reason};
use tokio::sync::watch;

use crate::{
    local::{Entry, Known, Local, Outcome, What},
    profiles::Inner,
    section::{FromSections, Held, Key, Section, SectionSet, Stamp},
};

/// One load of one customer.
pub(crate) struct Load<P: FromSections> {
    pub(crate) inner: Arc<Inner<P>>,
    pub(crate) key: Key,
    pub(crate) demand: Stamp,
    pub(crate) held: Option<Arc<Entry<P>>>,
    pub(crate) known: Known,
}

pub(crate) type Loaded<P> = (What<P>, [Option<Held>; 3]);

/// Sections that may go into Redis, and under which lease.
type Offer = Option<(Vec<u8>, Vec<(Section, Held)>)>;

impl<P: FromSections> Load<P> {
    /// Loads, tells everyone who waits, and then offers Redis what it did not have.
    pub(crate) async fn share(self, done: watch::Sender<Outcome<P>>) {
        let mut landing = Landing { local: &self.inner.local, key: &self.key, landed: false };
        let began = std::time::Instant::now();
        let mut offer = None;
        let limit = self.inner.limit(&self.demand);
        let outcome = match tokio::time::timeout(limit, self.run(&mut offer)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(late()),
        };
        let outcome = match outcome {
            Ok((what, sections)) => {
                let keep = began.elapsed() < limit;
                Ok(self.inner.local.land(&self.key, what, sections, &self.known, keep))
            }
            Err(fault) => {
                self.inner.local.crash(&self.key);
                Err(Arc::new(fault))
            }
        };
        landing.landed = true;
        drop(landing);
        done.send_replace(Some(outcome));
        if let (Some(redis), Some((lease, sections))) = (&self.inner.redis, offer) {
            redis.fill(&self.key, &lease, &sections).await;
        }
    }

    async fn run(&self, offer: &mut Offer) -> Result<Loaded<P>, Fault> {
        let mut found: [Option<Held>; 3] = [const { None }; 3];
        if let Some(entry) = &self.held {
            self.take(&mut found, &entry.sections, &self.known.marks.stamp);
        }
        let mut lease = None;
        if let Some(redis) = &self.inner.redis {
            let Some(view) = redis.read(&self.key).await else {
                self.inner.counts.redis_miss();
                return self.finish(found, None, offer).await;
            };
            if view.erased {
                return Ok((What::Erased, [const { None }; 3]));
            }
            let mut marks = self.known.marks.stamp;
            marks.merge(&view.marks);
            self.take(&mut found, &view.sections, &marks);
            if found.iter().all(Option::is_some) {
                self.inner.counts.redis_hit();
            } else {
                self.inner.counts.redis_miss();
                // The lease must be there before the owners read: see lease.lua.
                lease = match view.lease {
                    Some(lease) => Some(lease),
                    None => redis.lease(&self.key).await,
                };
            }
        }
        self.finish(found, lease, offer).await
    }

    /// Takes what is fresh enough.
    fn take(&self, found: &mut [Option<Held>; 3], known: &[Option<Held>; 3], marks: &Stamp) {
        for section in Section::ALL {
            let place = &mut found[section.index()];
            if place.is_none()
                && let Some(held) = &known[section.index()]
                && held.answers(section, marks, &self.demand)
            {
                *place = Some(held.clone());
            }
        }
    }

    pub(crate) async fn owners_only(&self) -> Result<Loaded<P>, Fault> {
        self.finish([const { None }; 3], None, &mut None).await
    }

    /// Asks the owners for what was not found, all at once.
    async fn finish(
        &self,
        mut found: [Option<Held>; 3],
        lease: Option<Vec<u8>>,
        offer: &mut Offer,
    ) -> Result<Loaded<P>, Fault> {
        let missing: Vec<Section> = Section::ALL.into_iter().filter(|s| found[s.index()].is_none()).collect();
        let partition = self.key.partition();
        let at_least = self.demand.revision(partition);
        let loads = missing.iter().map(|section| async {
            self.inner.counts.owner_load(*section);
            let loaded = self.inner.owners.load(&self.key.tenant, self.key.customer, *section, &at_least).await?;
            Ok((*section, Held::new(loaded, partition)))
        });
        let loaded: Vec<(Section, Held)> = match try_join_all(loads).await {
            Ok(loaded) => loaded,
            Err(fault) => return self.failed(fault).await,
        };
        for (section, held) in &loaded {
            found[section.index()] = Some(held.clone());
        }
        if let Some(lease) = lease {
            *offer = Some((lease, loaded));
        }
        self.assemble(found).await
    }

    pub(crate) async fn partial(&self) -> Result<What<P>, Fault> {
        let partition = self.key.partition();
        let at_least = self.demand.revision(partition);
        // Those who answered a moment ago answer again at once.
        let limit = if self.demand.is_empty() { self.inner.load_timeout / 4 } else { self.inner.reach_timeout };
        let loads = Section::ALL.map(|section| {
            let load = self.inner.owners.load(&self.key.tenant, self.key.customer, section, &at_least);
            async move {
                match tokio::time::timeout(limit, load).await {
                    Ok(Ok(loaded)) => Ok(Some(Held::new(loaded, partition))),
                    Ok(Err(fault)) if !can_be_missed(&fault) || self.demands(section) => Err(fault),
                    Err(_) if self.demands(section) => Err(late()),
                    Ok(Err(_)) | Err(_) => Ok(None),
                }
            }
        });
        match try_join_all(loads).await {
            Ok(found) => {
                let [identity, interaction, segmentation]: [Option<Held>; 3] =
                    found.try_into().map_err(|_| Fault::internal("a profile has three sections"))?;
                Ok(self.assemble([identity, interaction, segmentation]).await?.0)
            }
            Err(fault) => Ok(self.failed(fault).await?.0),
        }
    }

    fn demands(&self, section: Section) -> bool {
        !Stamp::default().shows(section, &self.demand)
    }

    async fn assemble(&self, found: [Option<Held>; 3]) -> Result<Loaded<P>, Fault> {
        if let Some(identity) = &found[Section::Identity.index()] {
            match P::customer(&identity.bytes) {
                Ok(customer) if customer == self.key.customer => {}
                Ok(survivor) => return Ok((What::Merged(survivor), [Some(identity.clone()), None, None])),
                Err(fault) => return self.failed(fault).await,
            }
        }
        let set = SectionSet { partition: self.key.partition(), held: found };
        let profile = P::from_sections(&self.key.tenant, self.key.customer, &set)?;
        Ok((What::Profile(Arc::new(profile)), set.held))
    }

    async fn failed(&self, fault: Fault) -> Result<Loaded<P>, Fault> {
        if fault.reason() != Reason::CustomerErased {
            return Err(fault);
        }
        if let Some(redis) = &self.inner.redis {
            redis.bury(&self.key).await;
        }
        Ok((What::Erased, [const { None }; 3]))
    }
}

/// Removes the flight of a load that panicked, so that the next read begins another.
struct Landing<'l, P: FromSections> {
    local: &'l Local<P>,
    key: &'l Key,
    landed: bool,
}

impl<P: FromSections> Drop for Landing<'_, P> {
    fn drop(&mut self) {
        if !self.landed {
            self.local.crash(self.key);
        }
    }
}

fn late() -> Fault {
    Fault::new(Reason::PeerUnavailable, "the owners of the profile did not answer in time")
}

/// Whether a decision can do without a section that failed so: its owner is away, and said nothing about the customer.
fn can_be_missed(fault: &Fault) -> bool {
    fault.reason() != Reason::RevisionNotReached
        && matches!(fault.kind(), FaultKind::Unavailable | FaultKind::Late | FaultKind::Internal | FaultKind::Exhausted)
}
