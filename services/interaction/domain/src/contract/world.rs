//! A small world to try a store in: a directory of customers that stands for identity, a clock that stands still.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::Value;
use terms::{
    Caller, CustomerId, CustomerRef, Fault, FixedClock, Identifier, Ids, Position, Revision, Service, Tenant, Timestamp,
};

use crate::{
    arrival::Resolved,
    customers::Customers,
    draft::{InteractionDraft, StatementDraft},
    interaction::{Direction, Directness},
    ports::{How, Ports},
    record_statement::{RecordStatement, StatementRecorded, record_statement},
    statement::StatementKind,
    store::Store,
    subject::{News, Split},
};

/// Who is who, as identity would tell.
#[derive(Default)]
pub struct Directory {
    state: Mutex<State>,
    /// Whether answers without a demand come from before the last change, as from a cache.
    stale: AtomicBool,
}

#[derive(Default, Clone)]
struct Known {
    identifiers: HashMap<Identifier, CustomerId>,
    survivors: HashMap<CustomerId, CustomerId>,
    at: Position,
}

#[derive(Default)]
struct State {
    now: Known,
    before: Known,
    ids: Vec<CustomerId>,
}

impl Known {
    fn resolve(&self, ids: &[CustomerId], reference: &CustomerRef) -> Option<CustomerId> {
        let id = match reference {
            CustomerRef::Id(id) => Some(*id).filter(|id| ids.contains(id)),
            CustomerRef::Identifier(identifier) => {
                // What this directory's normaliser equates goes beyond case: dots do not count.
                let plain = |i: &Identifier| (i.namespace.clone(), i.value.to_lowercase().replace('.', ""));
                self.identifiers.iter().find(|(known, _)| plain(known) == plain(identifier)).map(|(_, id)| *id)
            }
        }?;
        Some(self.survivors.get(&id).copied().unwrap_or(id))
    }
}

impl Directory {
    fn change(&self, change: impl FnOnce(&mut Known)) -> Position {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.before = state.now.clone();
        state.now.at.seq += 10;
        change(&mut state.now);
        state.now.at
    }

    /// Makes a customer known.
    pub fn add(&self, customer: CustomerId, identifiers: &[Identifier]) {
        self.change(|known| known.identifiers.extend(identifiers.iter().map(|i| (i.clone(), customer))));
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ids.push(customer);
    }

    /// Merges; gives the news as it comes in both partitions.
    pub fn merge(&self, loser: CustomerId, survivor: CustomerId) -> Vec<(Position, News)> {
        let at = self.change(|known| {
            for to in known.survivors.values_mut().filter(|to| **to == loser) {
                *to = survivor;
            }
            known.survivors.insert(loser, survivor);
        });
        let news = News::Merged { loser, survivor, cause: format!("merge-{}", at.seq) };
        twice(at, news)
    }

    /// Takes `to` out of `from` with the identifiers, and gives the news as it comes in both partitions.
    pub fn split(&self, from: CustomerId, to: CustomerId, identifiers: &[Identifier]) -> Vec<(Position, News)> {
        let at = self.change(|known| {
            known.survivors.remove(&to);
            known.identifiers.extend(identifiers.iter().map(|i| (i.clone(), to)));
        });
        let split = Split { from, to, records: Vec::new(), customers: vec![to], cause: format!("split-{}", at.seq) };
        twice(at, News::Split(split))
    }

    /// Lets answers without a demand come from before the last change.
    pub fn lag(&self, lags: bool) {
        self.stale.store(lags, Ordering::SeqCst);
    }
}

fn twice(at: Position, news: News) -> Vec<(Position, News)> {
    vec![(Position { seq: at.seq - 1, ..at }, news.clone()), (at, news)]
}

#[async_trait]
impl Customers for Directory {
    async fn resolve(
        &self,
        _: &Caller,
        refs: &[CustomerRef],
        at_least: &Revision,
    ) -> Result<Vec<Option<Resolved>>, Fault> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let known = if self.stale.load(Ordering::SeqCst) && at_least.is_empty() { &state.before } else { &state.now };
        let resolved = |r| known.resolve(&state.ids, r).map(|customer| Resolved { customer, at: known.at });
        Ok(refs.iter().map(resolved).collect())
    }
}

/// A store to try, and everything around it.
pub struct World<S> {
    /// The ports.
    pub ports: Ports<S>,
    /// The clock.
    pub clock: Arc<FixedClock>,
    /// Identity.
    pub directory: Arc<Directory>,
    /// Who calls.
    pub caller: Caller,
}

/// When the cases begin.
pub const BEGIN: Timestamp = Timestamp::from_seconds(1_780_000_000);

impl<S: Store + Clone> World<S> {
    /// A world around a store that was opened with `clock`.
    pub fn new(store: S, clock: Arc<FixedClock>) -> Self {
        let directory = Arc::new(Directory::default());
        let ids = Arc::new(Ids::new(clock.clone()));
        let ports = Ports { store, customers: directory.clone(), clock: clock.clone(), ids };
        let tenant: Tenant = "contract".parse().unwrap_or_else(|_| unreachable!("a fixed name"));
        Self { ports, clock, directory, caller: Caller::all_powerful(tenant, "contract") }
    }

    /// The same world for another tenant, with a directory of its own.
    pub(super) fn tenant(&self, name: &str) -> Self {
        let tenant: Tenant = name.parse().expect("a tenant's name");
        let directory = Arc::new(Directory::default());
        self.clock.set(BEGIN);
        let ports = Ports {
            store: self.ports.store.clone(),
            customers: directory.clone(),
            clock: self.clock.clone(),
            ids: self.ports.ids.clone(),
        };
        Self { ports, clock: self.clock.clone(), directory, caller: Caller::all_powerful(tenant, "contract") }
    }

    pub(super) fn customer(&self, email: &str) -> CustomerId {
        let id = self.ports.ids.next();
        self.directory.add(id, &[mail(email)]);
        id
    }

    pub(super) async fn hear(&self, news: Vec<(Position, News)>) {
        let heard = self.ports.store.apply(&self.caller.tenant, news, self.directory.clone()).await;
        heard.expect("the news is applied");
    }

    pub(super) fn pass(&self, seconds: u64) -> Timestamp {
        self.clock.advance(Duration::from_secs(seconds))
    }

    pub(super) async fn tell(&self, customer: CustomerId, topic: &str, value: impl Into<Value>) -> StatementRecorded {
        self.tell_as(customer, saying(topic, value)).await
    }

    pub(super) async fn tell_as(&self, customer: CustomerId, statement: StatementDraft) -> StatementRecorded {
        let told = RecordStatement {
            customer: CustomerRef::Id(customer),
            statement,
            source_interaction: None,
            source: "contract".to_owned(),
        };
        let written = record_statement(&self.ports, &self.caller, How::default(), &told).await;
        written.expect("the statement is recorded").value
    }

    /// A state that no answer from before may have.
    pub(super) fn seen(&self) -> Revision {
        Revision::at(Service::Identity, 0, Position { xid: 0, seq: 1 })
    }
}

pub(super) fn mail(value: &str) -> Identifier {
    Identifier { namespace: "email".to_owned(), value: value.to_owned() }
}

pub(super) fn saying(topic: &str, value: impl Into<Value>) -> StatementDraft {
    StatementDraft {
        id: None,
        topic: topic.to_owned(),
        value: value.into(),
        kind: StatementKind::Fact,
        confidence: 1.0,
        valid_until: None,
        utterance: String::new(),
        occurred_at: None,
        scope: None,
    }
}

pub(super) fn happening(customer: CustomerRef, kind: &str) -> InteractionDraft {
    InteractionDraft {
        id: None,
        customer,
        kind: kind.to_owned(),
        channel: "web".to_owned(),
        touchpoint: String::new(),
        direction: Direction::Inbound,
        directness: Directness::Direct,
        motivation: None,
        inducement: String::new(),
        occurred_at: None,
        properties: None,
        value: None,
        statements: Vec::new(),
        conversation: None,
        source: String::new(),
        record: None,
        decision: None,
        reservation: None,
    }
}
