//! Both ports in memory: for tests.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use terms::{
    Clock, CustomerId, Fault, Once, Position, Reason, Revision, Service, Tenant, Timestamp, Written, partition,
};
use uuid::Uuid;

use crate::{
    catalog::{Candidate, Catalog, Place},
    get_relationship::{Changed, DECISIONS_MAX, Effects},
    ports::{DecisionLog, Define, Definition, Definitions, Entry, How, Logged, Report, Word},
    report_outcome::{DecisionId, Outcome},
    touchpoint::{Touchpoint, TouchpointId},
    treatment::{Treatment, TreatmentId},
};

/// Everything in memory, behind one lock.
#[derive(Debug)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seq: i64,
    tenants: HashMap<Tenant, Shelf>,
    once: HashMap<OnceKey, Recorded>,
}

/// Tenant, method, request id.
type OnceKey = (Tenant, &'static str, String);

/// The fingerprint of the body, what was answered, and with which revision.
type Recorded = ([u8; 32], Kept, Revision);

#[derive(Debug, Clone)]
enum Kept {
    Definition(Box<Definition>),
    Reply(Vec<u8>),
    Outcome(Outcome, bool),
}

#[derive(Debug, Default)]
struct Shelf {
    catalog: Arc<Catalog>,
    /// With the catalog's version that each made.
    treatments: Vec<(i64, Treatment)>,
    touchpoints: Vec<(i64, Touchpoint)>,
    decisions: BTreeMap<DecisionId, Row>,
    outcomes: Vec<Outcome>,
}

#[derive(Debug)]
struct Row {
    entry: Entry,
    /// Whose it is now.
    customer: Option<CustomerId>,
    erased: bool,
}

impl MemoryStore {
    /// Empty.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }
}

impl State {
    fn shelf(&mut self, tenant: &Tenant) -> &mut Shelf {
        self.tenants.entry(tenant.clone()).or_default()
    }

    fn revision(&mut self, tenant: &Tenant, customer: Option<CustomerId>) -> Revision {
        self.seq += 1;
        let customer = customer.unwrap_or(CustomerId::from_uuid(Uuid::nil()));
        let position = Position { xid: 0, seq: self.seq };
        Revision::at(Service::Customization, partition(tenant, customer), position)
    }

    /// The recorded answer, or runs `write` and records what it gives.
    fn once(
        &mut self,
        once: Option<Once>,
        write: impl FnOnce(&mut Self) -> Result<(Kept, Revision), Fault>,
    ) -> Result<Written<Kept>, Fault> {
        let Some(once) = once else {
            return write(self).map(|(value, revision)| Written { value, revision, replayed: false });
        };
        let key = (once.tenant, once.method, once.request_id);
        if let Some((fingerprint, value, revision)) = self.once.get(&key) {
            if *fingerprint != once.fingerprint {
                return Err(Fault::new(Reason::RequestIdReused, "the request id was used with another body"));
            }
            return Ok(Written { value: value.clone(), revision: revision.clone(), replayed: true });
        }
        let (value, revision) = write(self)?;
        self.once.insert(key, (once.fingerprint, value.clone(), revision.clone()));
        Ok(Written { value, revision, replayed: false })
    }

    fn record(&mut self, entry: Entry) -> Revision {
        let tenant = entry.tenant.clone();
        let shelf = self.shelf(&tenant);
        let (customer, told) = (entry.owner(), entry.news.is_some());
        if let Some(inputs) = &entry.inputs {
            inputs.set_stored();
        }
        shelf.decisions.insert(entry.id, Row { entry, customer, erased: false });
        if told { self.revision(&tenant, customer) } else { Revision::new() }
    }
}

impl Shelf {
    fn treatment_at(&self, id: TreatmentId, catalog: i64) -> Option<Arc<Candidate>> {
        let (_, treatment) = self.treatments.iter().rev().find(|(at, t)| t.id == id && *at <= catalog)?;
        Candidate::new(treatment.clone()).ok().map(Arc::new)
    }

    fn place(&self, version: i64, touchpoint: &Touchpoint) -> Result<Place, Fault> {
        Place::new(Arc::new(touchpoint.clone()), version, |id| self.treatment_at(id, version))
    }
}

#[async_trait]
impl Definitions for MemoryStore {
    async fn catalog(&self, tenant: &Tenant, _: &Revision) -> Result<Arc<Catalog>, Fault> {
        Ok(self.state.lock().shelf(tenant).catalog.clone())
    }

    async fn treatment(&self, tenant: &Tenant, id: TreatmentId, version: u64) -> Result<Option<Treatment>, Fault> {
        let mut state = self.state.lock();
        let mut all = state.shelf(tenant).treatments.iter();
        Ok(all.find(|(_, t)| t.id == id && t.version == version).map(|(_, t)| t.clone()))
    }

    async fn touchpoint(&self, tenant: &Tenant, id: TouchpointId, version: u64) -> Result<Option<Place>, Fault> {
        let mut state = self.state.lock();
        let shelf = state.shelf(tenant);
        let found = shelf.touchpoints.iter().find(|(_, t)| t.id == id && t.version == version);
        found.map(|(at, touchpoint)| shelf.place(*at, touchpoint)).transpose()
    }

    async fn place_at(&self, tenant: &Tenant, id: TouchpointId, catalog: i64) -> Result<Option<Place>, Fault> {
        let mut state = self.state.lock();
        let shelf = state.shelf(tenant);
        let found = shelf.touchpoints.iter().rev().find(|(at, t)| t.id == id && *at <= catalog);
        found.map(|(_, touchpoint)| shelf.place(catalog, touchpoint)).transpose()
    }

    async fn define(&self, how: How, decide: Define) -> Result<Written<Definition>, Fault> {
        let now = self.clock.now();
        let written = self.state.lock().once(how.once, |state| {
            let shelf = state.shelf(&how.tenant);
            let definition = decide(&shelf.catalog, now)?;
            let version = shelf.catalog.version() + 1;
            let (treatments, touchpoints) = match &definition {
                Definition::Treatment(t) => (vec![t.clone()], vec![]),
                Definition::Touchpoint(t) => (vec![], vec![t.clone()]),
            };
            shelf.treatments.extend(treatments.iter().map(|t| (version, t.clone())));
            shelf.touchpoints.extend(touchpoints.iter().map(|t| (version, t.clone())));
            shelf.catalog = Arc::new(shelf.catalog.after(version, treatments, touchpoints)?);
            let revision = state.revision(&how.tenant, None);
            Ok((Kept::Definition(Box::new(definition)), revision))
        })?;
        keep(written, |kept| if let Kept::Definition(definition) = kept { Some(*definition) } else { None })
    }
}

fn keep<T>(written: Written<Kept>, is: impl FnOnce(Kept) -> Option<T>) -> Result<Written<T>, Fault> {
    let Written { value, revision, replayed } = written;
    let value = is(value).ok_or_else(|| Fault::internal("a method answers with one kind of value"))?;
    Ok(Written { value, revision, replayed })
}

#[async_trait]
impl DecisionLog for MemoryStore {
    async fn record(&self, entry: Entry) -> Result<Revision, Fault> {
        Ok(self.state.lock().record(entry))
    }

    async fn record_once(&self, once: Once, entry: Entry, reply: Vec<u8>) -> Result<Written<Vec<u8>>, Fault> {
        let written = self.state.lock().once(Some(once), |state| {
            let revision = state.record(entry);
            Ok((Kept::Reply(reply), revision))
        })?;
        keep(written, |kept| if let Kept::Reply(reply) = kept { Some(reply) } else { None })
    }

    async fn find(&self, tenant: &Tenant, id: DecisionId) -> Result<Option<Logged>, Fault> {
        let mut state = self.state.lock();
        Ok(state.shelf(tenant).decisions.get(&id).map(|Row { entry, customer, erased }| Logged {
            id,
            customer: *customer,
            arrived_as: entry.customer,
            touchpoint: entry.touchpoint,
            catalog_version: entry.catalog_version,
            at: entry.at,
            inputs: entry.inputs.as_ref().filter(|_| !erased).map(|inputs| inputs.content.clone()),
            body: if *erased { Vec::new() } else { entry.body.clone() },
        }))
    }

    async fn find_all(&self, tenant: &Tenant, ids: &[DecisionId]) -> Result<Vec<Logged>, Fault> {
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.find(tenant, *id).await?.map(|logged| Logged { inputs: None, ..logged }));
        }
        Ok(found)
    }

    async fn outcomes(&self, tenant: &Tenant, id: DecisionId) -> Result<Vec<Outcome>, Fault> {
        let mut state = self.state.lock();
        Ok(state.shelf(tenant).outcomes.iter().filter(|outcome| outcome.decision == id).cloned().collect())
    }

    async fn report(&self, how: How, id: DecisionId, report: Report) -> Result<Written<(Outcome, bool)>, Fault> {
        let now = self.clock.now();
        let written = self.state.lock().once(how.once, |state| {
            let shelf = state.shelf(&how.tenant);
            let Some(row) = shelf.decisions.get(&id) else {
                return Err(Fault::not_found(Reason::DecisionNotFound, format!("decision `{id}`")));
            };
            let customer = row.customer;
            let known: Vec<Outcome> = shelf.outcomes.iter().filter(|o| o.decision == id).cloned().collect();
            let (outcome, duplicate) = report(&known, now)?;
            if !duplicate {
                shelf.outcomes.push(outcome.clone());
            }
            Ok((Kept::Outcome(outcome, duplicate), state.revision(&how.tenant, customer)))
        })?;
        keep(written, |kept| if let Kept::Outcome(outcome, known) = kept { Some((outcome, known)) } else { None })
    }

    async fn effects(&self, tenant: &Tenant, customers: &[CustomerId], since: Timestamp) -> Result<Effects, Fault> {
        let mut state = self.state.lock();
        let mut effects = Effects::default();
        let of = |row: &Row| row.customer.is_some_and(|customer| customers.contains(&customer));
        let mine = |row: &&Row| of(row) && row.entry.at >= since;
        for row in state.shelf(tenant).decisions.values().rev().filter(mine) {
            effects.decision_count += 1;
            effects.changed_decision_count += i64::from(row.entry.effects.iter().any(|effect| effect.changed));
            for effect in &row.entry.effects {
                match effect.of {
                    Word::Boundary(id) => *effects.boundaries.entry(id).or_default() += i64::from(effect.exclusions),
                    Word::Statement(id) if effect.changed => {
                        note(effects.statements.entry(id).or_default(), &row.entry)
                    }
                    Word::Statement(_) => {}
                }
            }
        }
        Ok(effects)
    }

    async fn reassign(&self, tenant: &Tenant, to: CustomerId, vias: &[[u8; 32]]) -> Result<(), Fault> {
        let mut state = self.state.lock();
        let rows = state.shelf(tenant).decisions.values_mut();
        let goes = |row: &&mut Row| row.entry.arrived_via.is_some_and(|via| vias.contains(&via));
        rows.filter(goes).for_each(|row| row.customer = Some(to));
        Ok(())
    }

    async fn erase(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<(), Fault> {
        let mut state = self.state.lock();
        let shelf = state.shelf(tenant);
        let mut erased = Vec::new();
        for (id, row) in &mut shelf.decisions {
            if row.customer.is_some_and(|customer| customers.contains(&customer)) {
                row.erased = true;
                row.customer = None;
                row.entry.effects.clear();
                erased.push(*id);
            }
        }
        shelf.outcomes.retain(|outcome| !erased.contains(&outcome.decision));
        Ok(())
    }
}

/// Rows come latest first.
fn note(changed: &mut Changed, entry: &Entry) {
    changed.count += 1;
    changed.first_at = Some(entry.at);
    if changed.latest.len() < DECISIONS_MAX {
        changed.latest.push(entry.id);
    }
}
