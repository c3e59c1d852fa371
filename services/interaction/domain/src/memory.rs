//! The store in memory: the contract's plainest reading, for tests and for trying out.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use terms::{
    Caller, CustomerId, CustomerRef, Fault, Once, Page, PageRequest, Position, Reason, Revision, Service, Tenant,
    Timestamp, Written, partition,
};

use crate::{
    arrival::{Arrival, Resolved},
    boundary::{Boundary, BoundaryId},
    consent::{Consent, ConsentId},
    counters::Counters,
    customers::{Customers, on_own_account},
    get_dialogue::{Dialogue, Outbound, reaches},
    interaction::{Direction, Interaction, InteractionId},
    pages,
    statement::{Standing, Statement, StatementId, head},
    store::{Change, Demand, Keys, Limits, Portrait, Recorded, Stamp, Store, Timeline, Told, View},
    subject::{News, Split, Subject, Subjects, Thread, follow, named, newest, open, point, strays},
};

/// Everything of one tenant.
#[derive(Default)]
struct Rows {
    subjects: Subjects,
    interactions: BTreeMap<InteractionId, Interaction>,
    statements: BTreeMap<StatementId, Statement>,
    consents: BTreeMap<ConsentId, Consent>,
    boundaries: BTreeMap<BoundaryId, Boundary>,
    answers: HashMap<(&'static str, String), Answer>,
}

/// What a request id answered: the fingerprint of its body, the reply, the revision.
type Answer = ([u8; 32], Vec<u8>, Revision);

#[derive(Default)]
struct State {
    seq: i64,
    tenants: HashMap<Tenant, Rows>,
}

/// A store that forgets when it is dropped. Cheap to clone.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<State>>);

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, tenant: &Tenant, look: impl FnOnce(&Rows) -> T) -> T {
        look(self.state().tenants.entry(tenant.clone()).or_default())
    }
}

impl State {
    fn revision(&mut self, tenant: &Tenant, customers: impl IntoIterator<Item = CustomerId>) -> Revision {
        self.seq += 1;
        let mut revision = Revision::new();
        for customer in customers {
            revision.raise(Service::Interaction, partition(tenant, customer), Position { xid: 0, seq: self.seq });
        }
        revision
    }

    fn decide<R>(
        &mut self,
        tenant: &Tenant,
        keys: &Keys,
        decide: impl Fn(&View) -> Result<(Change, R), Fault>,
    ) -> Result<Written<R>, Fault> {
        let rows = self.tenants.entry(tenant.clone()).or_default();
        let (change, value) = decide(&rows.view(keys))?;
        let customers = change.customers();
        for customer in &keys.customers {
            rows.subjects.entry(*customer).or_default();
        }
        rows.write(change);
        Ok(Written { value, revision: self.revision(tenant, customers), replayed: false })
    }
}

impl Rows {
    fn view(&self, keys: &Keys) -> View {
        let mut view = View { subjects: self.subjects.clone(), ..View::default() };
        for id in &keys.interactions {
            if let Some(known) = self.recorded(*id, Timestamp::MAX) {
                view.interactions.insert(*id, known);
            }
        }
        let told = keys.boundaries.iter().filter_map(|id| self.boundaries.get(id)?.statement);
        for statement in keys.statements.iter().copied().chain(told).filter_map(|id| self.statements.get(&id)) {
            view.statements.insert(statement.id, statement.clone());
            self.add_topic(&mut view, statement.customer, &statement.topic);
        }
        let set = view.statements.values().filter_map(|s| s.boundary).collect::<Vec<_>>();
        for boundary in keys.boundaries.iter().chain(&set).filter_map(|id| self.boundaries.get(id)) {
            view.boundaries.insert(boundary.id, boundary.clone());
        }
        for (customer, topic) in &keys.topics {
            self.add_topic(&mut view, follow(&self.subjects, *customer), topic);
        }
        view
    }

    fn add_topic(&self, view: &mut View, customer: CustomerId, topic: &str) {
        let mut said: Vec<Statement> = self.topic(customer, topic).cloned().collect();
        said.sort_by_key(|s| std::cmp::Reverse(s.order()));
        said.truncate(2);
        view.topics.insert((customer, topic.to_owned()), said);
    }

    fn topic<'a>(&'a self, customer: CustomerId, topic: &'a str) -> impl Iterator<Item = &'a Statement> {
        self.statements.values().filter(move |s| s.customer == customer && s.topic == topic && s.retraction.is_none())
    }

    fn standing(&self, statement: &Statement, now: Timestamp) -> Standing {
        let head = head(self.topic(statement.customer, &statement.topic)).map(|s| s.id);
        statement.clone().standing(head, now)
    }

    fn recorded(&self, id: InteractionId, now: Timestamp) -> Option<Recorded> {
        let interaction = self.interactions.get(&id)?.clone();
        let said = interaction.statements.iter().filter_map(|id| self.statements.get(id));
        let statements: Vec<Standing> = said.map(|s| self.standing(s, now)).collect();
        let set = statements.iter().filter_map(|s| self.boundaries.get(&s.statement.boundary?).cloned());
        Some(Recorded { boundaries: set.collect(), interaction, statements, duplicate: false })
    }

    fn write(&mut self, change: Change) {
        self.interactions.extend(change.interactions.into_iter().map(|i| (i.id, i)));
        self.statements.extend(change.statements.into_iter().map(|s| (s.statement.id, s.statement)));
        self.statements.extend(change.retracted.into_iter().map(|s| (s.id, s)));
        self.consents.extend(change.consents.into_iter().map(|c| (c.id, c)));
        self.boundaries.extend(change.boundaries.into_iter().chain(change.lifted).map(|b| (b.id, b)));
    }

    /// Every row, as how it came in and whose it is.
    fn owners(&mut self) -> impl Iterator<Item = (&Arrival, &mut CustomerId)> {
        let interactions = self.interactions.values_mut().map(|r| (&r.arrival, &mut r.customer));
        let statements = self.statements.values_mut().map(|r| (&r.arrival, &mut r.customer));
        let consents = self.consents.values_mut().map(|r| (&r.arrival, &mut r.customer));
        let boundaries = self.boundaries.values_mut().map(|r| (&r.arrival, &mut r.customer));
        interactions.chain(statements).chain(consents).chain(boundaries)
    }

    /// The references with which rows of `customers` arrived, each once.
    fn references(&mut self, customers: &[CustomerId]) -> HashSet<CustomerRef> {
        let arrivals = self.owners().filter(|(_, owner)| customers.contains(owner)).map(|(arrival, _)| arrival);
        arrivals.filter(|a| Thread::of(a) == Thread::Reference).map(Arrival::reference).collect()
    }

    fn move_strays(&mut self) {
        let strays: HashMap<_, _> = strays(&self.subjects).into_iter().collect();
        for (_, owner) in self.owners() {
            if let Some(to) = strays.get(owner) {
                *owner = *to;
            }
        }
    }

    fn resettle(&mut self, sources: &[CustomerId], news: &Split, leads: &HashMap<CustomerRef, CustomerId>) {
        let target = follow(&self.subjects, news.to);
        for (arrival, owner) in self.owners().filter(|(_, owner)| sources.contains(owner)) {
            match Thread::of(arrival) {
                Thread::Record(record) if news.records.contains(&record) => *owner = target,
                Thread::Record(_) => {}
                Thread::Reference => *owner = leads.get(&arrival.reference()).copied().unwrap_or(*owner),
            }
        }
    }

    fn erase(&mut self, customers: &[CustomerId]) {
        for customer in customers {
            *self.subjects.entry(*customer).or_default() = Subject { erased: true, ..Subject::default() };
        }
        self.interactions.retain(|_, r| !customers.contains(&r.customer));
        self.statements.retain(|_, r| !customers.contains(&r.customer));
        self.consents.retain(|_, r| !customers.contains(&r.customer));
        self.boundaries.retain(|_, r| !customers.contains(&r.customer));
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit<R, F>(&self, caller: &Caller, keys: Keys, decide: F) -> Result<Written<R>, Fault>
    where
        R: Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static,
    {
        self.state().decide(&caller.tenant, &keys, decide)
    }

    async fn commit_once<R, F>(
        &self,
        caller: &Caller,
        once: Option<Once>,
        keys: Keys,
        decide: F,
    ) -> Result<Written<R>, Fault>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static,
    {
        let tenant = &caller.tenant;
        let mut state = self.state();
        let Some(once) = once else {
            return state.decide(tenant, &keys, decide);
        };
        let key = (once.method, once.request_id.clone());
        if let Some((fingerprint, answer, revision)) =
            state.tenants.entry(tenant.clone()).or_default().answers.get(&key)
        {
            if *fingerprint != once.fingerprint {
                return Err(Fault::new(Reason::RequestIdReused, "the request id was used before with another body"));
            }
            let value = serde_json::from_slice(answer).map_err(Fault::internal)?;
            return Ok(Written { value, revision: revision.clone(), replayed: true });
        }
        let written = state.decide(tenant, &keys, decide)?;
        let answer = serde_json::to_vec(&written.value).map_err(Fault::internal)?;
        let rows = state.tenants.entry(tenant.clone()).or_default();
        rows.answers.insert(key, (once.fingerprint, answer, written.revision.clone()));
        Ok(written)
    }

    async fn view(&self, tenant: &Tenant, keys: Keys) -> Result<View, Fault> {
        Ok(self.read(tenant, |rows| rows.view(&keys)))
    }

    async fn apply(
        &self,
        tenant: &Tenant,
        news: Vec<(Position, News)>,
        customers: Arc<dyn Customers>,
    ) -> Result<Written<()>, Fault> {
        let caller = on_own_account(tenant);
        let at_least = Revision::at(Service::Identity, 0, newest(&news));
        let mut ids = named(&news);
        let pointing = |rows: &Rows| {
            rows.subjects
                .iter()
                .filter(|(_, s)| s.survivor.is_some_and(|to| ids.contains(&to)))
                .map(|(id, _)| *id)
                .collect::<Vec<_>>()
        };
        let pointing = self.read(tenant, pointing);
        ids.extend(pointing);
        let refs: Vec<CustomerRef> = ids.iter().copied().map(CustomerRef::Id).collect();
        let answers = customers.resolve(&caller, &refs, &at_least).await?;
        {
            let mut state = self.state();
            let rows = state.tenants.entry(tenant.clone()).or_default();
            for (id, answer) in ids.iter().zip(answers) {
                if let Some(answer) = answer {
                    point(&mut rows.subjects, *id, Resolved { at: answer.at.max(newest(&news)), ..answer });
                }
            }
            rows.move_strays();
        }
        for (position, news) in &news {
            match news {
                News::Merged { .. } => {}
                News::Split(split) => {
                    let (sources, refs): (_, Vec<_>) = {
                        let mut state = self.state();
                        let rows = state.tenants.entry(tenant.clone()).or_default();
                        let sources = open(&mut rows.subjects, split, *position);
                        let refs = rows.references(&sources).into_iter().collect();
                        (sources, refs)
                    };
                    let answers = customers.resolve(&caller, &refs, &at_least).await?;
                    let leads = refs.into_iter().zip(answers).filter_map(|(r, answer)| Some((r, answer?.customer)));
                    let leads = leads.collect();
                    self.state().tenants.entry(tenant.clone()).or_default().resettle(&sources, split, &leads);
                }
                News::Erased { customers } => {
                    self.state().tenants.entry(tenant.clone()).or_default().erase(customers);
                }
            }
        }
        Ok(Written { value: (), revision: Revision::new(), replayed: false })
    }

    async fn subjects(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Subjects, Fault> {
        Ok(self.read(tenant, |rows| {
            customers.iter().filter_map(|id| Some((*id, rows.subjects.get(id)?.clone()))).collect()
        }))
    }

    async fn interaction(&self, tenant: &Tenant, id: InteractionId, now: Timestamp) -> Result<Option<Recorded>, Fault> {
        Ok(self.read(tenant, |rows| rows.recorded(id, now)))
    }

    async fn interactions(&self, tenant: &Tenant, ids: &[InteractionId]) -> Result<Vec<Interaction>, Fault> {
        Ok(self.read(tenant, |rows| ids.iter().filter_map(|id| rows.interactions.get(id).cloned()).collect()))
    }

    async fn timeline(
        &self,
        tenant: &Tenant,
        which: &Timeline,
        page: &PageRequest,
    ) -> Result<Page<Interaction>, Fault> {
        let fits = |i: &&Interaction| {
            which.customer.is_none_or(|c| c == i.customer)
                && which.conversation.is_none_or(|c| Some(c) == i.conversation)
                && which.from.is_none_or(|from| i.occurred_at >= from)
                && which.before.is_none_or(|before| i.occurred_at < before)
        };
        let rows = self.read(tenant, |rows| rows.interactions.values().filter(fits).cloned().collect());
        pages::timeline(rows, which.order, page)
    }

    async fn statements(&self, tenant: &Tenant, which: &Told, page: &PageRequest) -> Result<Page<Standing>, Fault> {
        let rows = self.read(tenant, |rows| {
            let known =
                rows.statements.values().filter(|s| s.customer == which.customer && s.recorded_at <= which.as_of);
            known.cloned().map(|s| pages::as_known(s, which.as_of)).collect::<Vec<Statement>>()
        });
        let standing = rows.iter().map(|s| {
            let topic = rows.iter().filter(|other| other.topic == s.topic);
            s.clone().standing(head(topic).map(|s| s.id), which.as_of)
        });
        pages::statements(standing.filter(|s| pages::wanted(s, which)).collect(), which.order, page)
    }

    async fn limits(&self, tenant: &Tenant, customer: CustomerId) -> Result<Limits, Fault> {
        Ok(self.read(tenant, |rows| Limits {
            boundaries: rows.boundaries.values().filter(|b| b.customer == customer).cloned().collect(),
            consents: rows.consents.values().filter(|c| c.customer == customer).cloned().collect(),
        }))
    }

    async fn portrait(&self, tenant: &Tenant, customer: CustomerId) -> Result<Portrait, Fault> {
        let limits = self.limits(tenant, customer).await?;
        Ok(self.read(tenant, |rows| {
            let mut counters = Counters::default();
            for i in rows.interactions.values().filter(|i| i.customer == customer) {
                counters.add(&i.kind, i.direction, i.motivation, 1, i.occurred_at, i.occurred_at);
            }
            let mine = rows.statements.values().filter(|s| s.customer == customer);
            let stands = |s: &&Statement| head(rows.topic(customer, &s.topic)).is_some_and(|head| head.id == s.id);
            Portrait {
                customer,
                erased: rows.subjects.get(&customer).is_some_and(|s| s.erased),
                statements: mine.filter(stands).cloned().collect(),
                limits,
                counters,
            }
        }))
    }

    async fn dialogue(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Dialogue, Fault> {
        Ok(self.read(tenant, |rows| {
            let set = rows.boundaries.values().filter(|b| b.customer == customer).cloned().collect::<Vec<_>>();
            let reaches = reaches(&set, since, now);
            let (mut counters, mut outbound) = (Counters::default(), Vec::new());
            let mine = rows.interactions.values().filter(|i| i.customer == customer && i.occurred_at >= since);
            for i in mine {
                counters.add(&i.kind, i.direction, i.motivation, 1, i.occurred_at, i.occurred_at);
                let spoke = i.direction == Direction::Outbound;
                let reached = reaches.iter().filter(|reach| spoke && reach.since <= i.occurred_at);
                outbound.extend(reached.map(|reach| Outbound {
                    boundary: reach.boundary,
                    channel: i.channel.clone(),
                    decision: i.decision,
                    count: 1,
                }));
            }
            Dialogue::new(&counters, &reaches, &outbound)
        }))
    }

    async fn reach(&self, _: &Demand) -> Result<(), Fault> {
        Ok(())
    }

    async fn stamp(&self, _: Option<u16>) -> Result<Stamp, Fault> {
        Ok(Stamp { own: Position { xid: 0, seq: self.state().seq }, followed: Revision::new() })
    }
}
