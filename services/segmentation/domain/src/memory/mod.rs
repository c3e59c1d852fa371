//! A store in memory: the plainest one that does what [`ports`](crate::ports) says.

mod tables;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use terms::{Clock, CustomerId, Fault, Once, Reason as Why, Revision, Tenant, Timestamp, Written};

use self::tables::Tables;
use crate::{
    catalog::Catalog,
    hear::hear,
    membership::Memberships,
    news::{Event, News},
    ports::{BuildStep, Decide, Located, Pass, Stay, Store},
    recompute::{build_scope, rebuild, settle_due},
    rfm::{Purchase, Rfm, Tally},
    ruleset::{Needs, covering},
    segment::{Segment, SegmentId, State},
    view::{Person, Subject},
};

/// Everything in maps, behind one lock.
#[derive(Debug)]
pub struct Memory {
    clock: Arc<dyn Clock>,
    tenants: Mutex<BTreeMap<Tenant, Tables>>,
}

impl Memory {
    /// Empty.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tenants: Mutex::default() }
    }

    fn with<T>(&self, tenant: &Tenant, work: impl FnOnce(&mut Tables, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut tenants = self.tenants.lock();
        work(tenants.entry(tenant.clone()).or_default(), now)
    }
}

#[async_trait]
impl Store for Memory {
    async fn catalog(&self, tenant: &Tenant) -> Result<Arc<Catalog>, Fault> {
        Ok(Arc::new(self.with(tenant, |tables, _| tables.catalog())))
    }

    async fn define(&self, tenant: &Tenant, once: Option<Once>, decide: Decide) -> Result<Written<Segment>, Fault> {
        self.with(tenant, |tables, now| {
            let key = once.as_ref().map(|once| (once.method.to_owned(), once.request_id.clone()));
            if let (Some(once), Some((fingerprint, segment))) =
                (&once, key.as_ref().and_then(|k| tables.answers.get(k)))
            {
                return if *fingerprint == once.fingerprint {
                    Ok(Written { value: segment.clone(), revision: Revision::new(), replayed: true })
                } else {
                    Err(Fault::new(Why::RequestIdReused, "this `request_id` came before with another body"))
                };
            }
            let definition = decide(&tables.catalog())?;
            let segment = definition.segment;
            if let Some(source) = segment.definition() {
                let made = (source.to_owned(), now);
                tables.versions.entry((segment.id, segment.version)).or_insert(made);
            }
            tables.epoch += 1;
            if let Some(listed) = definition.listed {
                tables.list(segment.id, &listed);
            }
            if let Some(over) = definition.build {
                tables.builds.insert(segment.id, (over, None));
            }
            tables.segments.insert(segment.id, segment.clone());
            if let (Some(key), Some(once)) = (key, once) {
                tables.answers.insert(key, (once.fingerprint, segment.clone()));
            }
            Ok(Written { value: segment, revision: Revision::new(), replayed: false })
        })
    }

    async fn version(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        version: i64,
    ) -> Result<Option<(String, Timestamp)>, Fault> {
        Ok(self.with(tenant, |tables, _| tables.versions.get(&(segment, version)).cloned()))
    }

    async fn hear(&self, tenant: &Tenant, news: Vec<News>) -> Result<Revision, Fault> {
        self.with(tenant, |tables, now| {
            let catalog = tables.catalog();
            let view = tables.view(&catalog, &news);
            let effects = hear(catalog.ruleset(), view, &news, now);
            tables.write(effects);
        });
        Ok(Revision::new())
    }

    async fn settle_due(&self, most: usize) -> Result<Pass, Fault> {
        let now = self.clock.now();
        let mut customers = 0;
        for tables in self.tenants.lock().values_mut() {
            let due = |s: &Subject| s.next_due.is_some_and(|due| due <= now);
            let ids: Vec<_> = tables.subjects.iter().filter(|(_, s)| due(s)).map(|(id, _)| *id).take(most).collect();
            let people = ids.into_iter().filter_map(|id| Some((id, tables.person(id)?))).collect();
            let catalog = tables.catalog();
            let effects = settle_due(catalog.ruleset(), people, now);
            customers += effects.settled.len();
            tables.write(effects);
        }
        Ok(Pass { customers, next: self.next_due().await? })
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        let tenants = self.tenants.lock();
        Ok(tenants.values().flat_map(|t| t.subjects.values()).filter_map(|s| s.next_due).min())
    }

    async fn build(&self, which: Option<(&Tenant, SegmentId)>, most: usize) -> Result<Option<BuildStep>, Fault> {
        let now = self.clock.now();
        let mut tenants = self.tenants.lock();
        let wanted = |tenant: &Tenant, id: SegmentId| which.is_none_or(|which| which == (tenant, id));
        let found = tenants.iter().find_map(|(tenant, tables)| {
            let build = tables.builds.iter().find(|(id, _)| wanted(tenant, **id))?;
            Some((tenant.clone(), *build.0, *build.1))
        });
        let Some((tenant, segment, (over, after))) = found else { return Ok(None) };
        let Some(tables) = tenants.get_mut(&tenant) else { return Ok(None) };
        let ids: Vec<_> = tables.candidates(segment, over, after).into_iter().take(most).collect();
        let done = ids.len() < most;
        let customers = ids.len();
        if let Some(last) = ids.last() {
            tables.builds.insert(segment, (over, Some(*last)));
        }
        let people: BTreeMap<_, _> = ids.into_iter().filter_map(|id| Some((id, tables.person(id)?))).collect();
        let catalog = tables.catalog();
        let scope = build_scope(catalog.ruleset(), segment, people.values().map(|p| &p.subject), now);
        let effects = rebuild(catalog.ruleset(), segment, over, &scope, people, now);
        tables.write(effects);
        if done {
            tables.builds.remove(&segment);
            if let Some(segment) = tables.segments.get_mut(&segment).filter(|s| s.state == State::Building) {
                segment.state = State::Live;
            }
        }
        Ok(Some(BuildStep { tenant, segment, customers, done, revision: Revision::new() }))
    }

    async fn locate(&self, tenant: &Tenant, customer: CustomerId) -> Result<Option<Located>, Fault> {
        Ok(self.with(tenant, |tables, _| {
            let subject = tables.subjects.get(&customer)?;
            let survivor = subject.survivor.unwrap_or(customer);
            let erased = subject.erased || tables.subjects.get(&survivor).is_some_and(|s| s.erased);
            Some(Located { customer: survivor, erased })
        }))
    }

    async fn memberships(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        as_of: Option<Timestamp>,
    ) -> Result<Memberships, Fault> {
        Ok(self.with(tenant, |tables, _| {
            let mut found = tables.memberships.get(&customer).cloned().unwrap_or_default();
            let Some(at) = as_of else { return found };
            found.retain(|_, membership| membership.since <= at);
            for stay in tables.stays.get(&customer).into_iter().flatten() {
                if stay.membership.since <= at && at < stay.until {
                    found.insert(stay.segment, stay.membership.clone());
                }
            }
            found
        }))
    }

    async fn stays(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Stay>, Fault> {
        let mut stays = self.with(tenant, |tables, _| tables.stays.get(&customer).cloned().unwrap_or_default());
        stays.sort_by_key(|stay| (stay.until, stay.segment));
        Ok(stays)
    }

    async fn members(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        as_of: Option<Timestamp>,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Timestamp)>, Fault> {
        let ids: BTreeSet<CustomerId> = self.with(tenant, |tables, _| tables.subjects.keys().copied().collect());
        let mut found = Vec::new();
        for id in ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)) {
            if let Some(membership) = self.memberships(tenant, id, as_of).await?.get(&segment) {
                found.push((id, membership.since));
            }
        }
        found.truncate(most);
        Ok(found)
    }

    async fn count_members(
        &self,
        tenant: &Tenant,
        segment: Option<SegmentId>,
        as_of: Option<Timestamp>,
    ) -> Result<BTreeMap<SegmentId, i64>, Fault> {
        let ids: Vec<CustomerId> = self.with(tenant, |tables, _| tables.subjects.keys().copied().collect());
        let mut counts = BTreeMap::new();
        for id in ids {
            let memberships = self.memberships(tenant, id, as_of).await?;
            for id in memberships.keys().filter(|id| segment.is_none_or(|only| only == **id)) {
                *counts.entry(*id).or_default() += 1;
            }
        }
        Ok(counts)
    }

    async fn population(&self, tenant: &Tenant) -> Result<i64, Fault> {
        Ok(self.with(tenant, |tables, _| tables.subjects.values().filter(|s| s.lives()).count() as i64))
    }

    async fn people(
        &self,
        tenant: &Tenant,
        _: &Needs,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Person)>, Fault> {
        Ok(self.with(tenant, |tables, _| {
            let living = tables.subjects.iter().filter(|(_, s)| s.lives()).map(|(id, _)| *id);
            let ids: Vec<_> = living.filter(|id| after.is_none_or(|after| *id > after)).take(most).collect();
            ids.into_iter().filter_map(|id| Some((id, tables.person(id)?))).collect()
        }))
    }

    async fn person(&self, tenant: &Tenant, _: &Needs, customer: CustomerId) -> Result<Option<Person>, Fault> {
        Ok(self.with(tenant, |tables, _| tables.person(customer)))
    }

    async fn purchases(&self, tenant: &Tenant, customer: CustomerId, kind: &str) -> Result<Vec<Purchase>, Fault> {
        let facts = self.with(tenant, |tables, _| tables.facts(customer));
        let bought = facts.events.iter().filter(|e| covering(&e.kind).any(|above| above == kind));
        Ok(bought.map(purchase).collect())
    }

    async fn tallies(&self, tenant: &Tenant, kind: &str) -> Result<Vec<Tally>, Fault> {
        let now = self.clock.now();
        let ids: Vec<CustomerId> = self.with(tenant, |tables, _| tables.subjects.keys().copied().collect());
        let mut tallies = Vec::new();
        for customer in ids {
            if let Some(rfm) = Rfm::of(&self.purchases(tenant, customer, kind).await?, now) {
                let mean = rfm.mean.unwrap_or(0);
                tallies.push(Tally { customer, purchases: rfm.purchases, last: rfm.last, mean });
            }
        }
        Ok(tallies)
    }
}

/// An event as a purchase.
fn purchase(event: &Event) -> Purchase {
    Purchase { at: event.at, micros: event.micros, currency: event.currency.to_string(), organic: !event.incentivised }
}
