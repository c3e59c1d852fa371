//! A store in memory: the plainest one that does what [`ports`](crate::ports) says.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use terms::{Clock, CustomerId, Fault, Once, Position, Reason as Why, Revision, Tenant, Timestamp, Written};
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    define::BuildOver,
    facts::Facts,
    hear::hear,
    lineage::Link,
    membership::{Membership, Memberships, Step, Transition},
    news::{Address, Event, InteractionId, News, Statement, StatementId},
    ports::{BuildStep, Decide, Located, Pass, Stay, Store},
    recompute::{build_scope, rebuild, settle_due},
    rfm::{Purchase, Rfm, Tally},
    ruleset::{Needs, covering},
    segment::{Segment, SegmentId, State},
    view::{Effects, Person, Relocation, Subject, View},
};

/// Everything in maps, behind one lock.
#[derive(Debug)]
pub struct Memory {
    clock: Arc<dyn Clock>,
    tenants: Mutex<BTreeMap<Tenant, Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    epoch: i64,
    segments: BTreeMap<SegmentId, Segment>,
    versions: BTreeMap<(SegmentId, i64), (String, Timestamp)>,
    builds: BTreeMap<SegmentId, (BuildOver, Option<CustomerId>)>,
    subjects: BTreeMap<CustomerId, Subject>,
    events: HashMap<InteractionId, (CustomerId, Event)>,
    statements: HashMap<StatementId, (CustomerId, Statement)>,
    links: BTreeMap<(CustomerId, Position), Link>,
    /// Addresses of what did not come yet.
    forwards: HashMap<Uuid, Address>,
    /// Segment and address, with the owner.
    listed: BTreeMap<(SegmentId, CustomerId), CustomerId>,
    memberships: BTreeMap<CustomerId, Memberships>,
    stays: BTreeMap<CustomerId, Vec<Stay>>,
    answers: HashMap<(String, String), ([u8; 32], Segment)>,
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

impl Tables {
    fn catalog(&self) -> Catalog {
        Catalog::new(self.epoch, self.epoch, self.segments.values().cloned().collect())
    }

    fn facts(&self, customer: CustomerId) -> Facts {
        let mut facts = Facts::default();
        self.events.values().filter(|(owner, _)| *owner == customer).for_each(|(_, e)| facts.add_event(e.clone()));
        for (_, statement) in self.statements.values().filter(|(owner, _)| *owner == customer) {
            facts.tell(statement.clone());
        }
        facts.lists = self.listed.iter().filter(|(_, owner)| **owner == customer).map(|(key, _)| *key).collect();
        facts
    }

    fn person(&self, customer: CustomerId) -> Option<Person> {
        Some(Person {
            subject: self.subjects.get(&customer)?.clone(),
            stored: true,
            facts: Some(self.facts(customer)),
            memberships: self.memberships.get(&customer).cloned().unwrap_or_default(),
        })
    }

    fn view(&self, catalog: &Catalog, news: &[News]) -> View {
        let mut view = View::default();
        for id in View::events(news) {
            match self.events.get(&id) {
                Some((_, known)) => drop(view.known_events.insert(id, known.address)),
                None => drop(self.forwards.get(&id.uuid()).map(|f| view.forwards.insert(id.uuid(), *f))),
            }
        }
        for id in View::statements(news) {
            match self.statements.get(&id) {
                Some((_, known)) => drop(view.known_statements.insert(id, known.address)),
                None => drop(self.forwards.get(&id.uuid()).map(|f| view.forwards.insert(id.uuid(), *f))),
            }
        }
        let mut asked = BTreeSet::new();
        let mut ask = View::relinked(news);
        while !ask.is_empty() {
            let concerns = |id: &CustomerId, link: &Link| ask.contains(id) || ask.contains(&link.other());
            for ((id, at), link) in self.links.iter().filter(|((id, _), link)| concerns(id, link)) {
                view.lineage.add(*id, *at, *link);
            }
            asked.extend(ask);
            ask = view.lineage.ids().difference(&asked).copied().collect();
        }
        let mentioned = view.mentioned(news);
        for ids in [mentioned.clone(), BTreeSet::new()] {
            let ids = if ids.is_empty() { view.survivors() } else { ids };
            for id in ids {
                if let Some(subject) = self.subjects.get(&id) {
                    view.people.insert(id, Person { subject: subject.clone(), stored: true, ..Person::default() });
                }
            }
        }
        view.fill(&mentioned);
        for id in view.involved(news, catalog.ruleset()) {
            let read = self.person(id);
            if let (Some(person), Some(read)) = (view.people.get_mut(&id), read) {
                *person = read;
            }
        }
        view
    }

    fn write(&mut self, effects: Effects) {
        for relocation in effects.relocations {
            self.relocate(relocation);
        }
        for (owner, event) in effects.events {
            self.events.entry(event.id).or_insert((owner, event));
        }
        for (owner, statement) in effects.statements {
            let known = self.statements.entry(statement.id).or_insert((owner, statement.clone()));
            if known.1.told_at < statement.told_at {
                known.1 = Statement { address: known.1.address, ..statement };
            }
        }
        for (id, at, link) in effects.links {
            self.links.insert((id, at), link);
        }
        for (id, address) in effects.forwards {
            let known = self.forwards.entry(id).or_insert(address);
            if known.at < address.at {
                *known = address;
            }
        }
        for (id, change) in effects.subjects {
            self.subjects.insert(id, change.subject);
        }
        for transition in effects.transitions {
            self.step(transition);
        }
    }

    fn relocate(&mut self, relocation: Relocation) {
        match relocation {
            Relocation::Rehome { from, to, addressed_to } => {
                let moves = |owner: CustomerId, address: CustomerId| owner == from && addressed_to.contains(&address);
                self.events.values_mut().filter(|(o, e)| moves(*o, e.address.id)).for_each(|(o, _)| *o = to);
                self.statements.values_mut().filter(|(o, s)| moves(*o, s.address.id)).for_each(|(o, _)| *o = to);
                self.listed.iter_mut().filter(|((_, id), o)| moves(**o, *id)).for_each(|(_, o)| *o = to);
            }
            Relocation::Readdress { to, address, interactions, statements } => {
                for id in interactions {
                    if let Some((o, event)) = self.events.get_mut(&id).filter(|(_, e)| e.address.at < address.at) {
                        (*o, event.address) = (to, address);
                    }
                }
                for id in statements {
                    let known = self.statements.get_mut(&id);
                    if let Some((o, statement)) = known.filter(|(_, s)| s.address.at < address.at) {
                        (*o, statement.address) = (to, address);
                    }
                }
            }
            Relocation::Erase { owner, addressed_to } => {
                let gone = |o: CustomerId, address: CustomerId| o == owner && addressed_to.contains(&address);
                self.events.retain(|_, (o, e)| !gone(*o, e.address.id));
                self.statements.retain(|_, (o, s)| !gone(*o, s.address.id));
                self.listed.retain(|(_, id), o| !gone(*o, *id));
                addressed_to.iter().for_each(|id| drop(self.stays.remove(id)));
            }
        }
    }

    fn step(&mut self, transition: Transition) {
        let Transition { customer, segment, step, reason, at, version, .. } = transition;
        let memberships = self.memberships.entry(customer).or_default();
        match step {
            Step::Entered => {
                memberships.insert(segment, Membership { since: at, reason, version });
            }
            Step::Left(membership) => {
                memberships.remove(&segment);
                let erased = self.subjects.get(&customer).is_some_and(|s| s.erased);
                if membership.since < at && !erased {
                    let stay = Stay { segment, membership, until: at, left: reason };
                    self.stays.entry(customer).or_default().push(stay);
                }
            }
        }
    }

    fn list(&mut self, segment: SegmentId, customers: &[CustomerId]) {
        self.listed.retain(|(other, _), _| *other != segment);
        for id in customers {
            let owner = self.subjects.entry(*id).or_default().survivor.unwrap_or(*id);
            if !self.subjects.get(&owner).is_some_and(|s| s.erased) {
                self.listed.insert((segment, *id), owner);
            }
        }
    }

    fn candidates(&self, segment: SegmentId, over: BuildOver, after: Option<CustomerId>) -> BTreeSet<CustomerId> {
        let all: BTreeSet<CustomerId> = match over {
            BuildOver::Everyone => self.subjects.keys().copied().collect(),
            BuildOver::Listed => {
                let listed = self.listed.iter().filter(|((of, _), _)| *of == segment).map(|(_, owner)| *owner);
                let members = self.memberships.iter().filter(|(_, m)| m.contains_key(&segment)).map(|(id, _)| *id);
                listed.chain(members).collect()
            }
        };
        all.into_iter().filter(|id| after.is_none_or(|after| *id > after)).collect()
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
