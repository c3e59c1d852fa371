//! A store without a disk: one large view per tenant. For property tests, and as the plainest reading of the port.

mod relations;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use terms::{
    Caller, Clock, CustomerId, Fault, Identifier, Ids, Once, Position, Reason, Revision, Service, Tenant, Written,
    partition,
};

use crate::{
    customer::{Customer, Sourced},
    history::HistoryEntry,
    identify::{Identified, Identify},
    identify_stream::{Batch, identify_all},
    list_customers::{ListQuery, Place},
    list_identity_history::HistoryQuery,
    ports::{Customers, Verdicts},
    record::{Claim, Record, RecordId},
    relate_customers::Relation,
    view::{CustomerState, Lead, Moment, Node, View},
};

/// Customers in memory.
#[derive(Debug)]
pub struct MemoryCustomers {
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Tenant, TenantState>,
    recorded: HashMap<(Tenant, &'static str, String), Recorded>,
    related: relations::Answered,
    position: i64,
}

#[derive(Debug, Default)]
struct TenantState {
    view: View,
    history: Vec<HistoryEntry>,
    relations: Vec<Relation>,
}

#[derive(Debug, Clone)]
struct Recorded {
    fingerprint: [u8; 32],
    value: Identified,
    revision: Revision,
}

impl MemoryCustomers {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        Self { clock, ids, state: Mutex::default() }
    }

    fn commit(&self, state: &mut State, caller: &Caller, commands: &[Identify]) -> (Verdicts, Revision) {
        let tenant = state.tenants.entry(caller.tenant.clone()).or_default();
        let moment = Moment { now: self.clock.now(), ids: &self.ids, actor: &caller.subject };
        let (verdicts, batch) = identify_all(&mut tenant.view, commands, moment);
        let Batch { history, news, .. } = batch;
        tenant.history.extend(history);
        let mut revision = Revision::new();
        for customer in news.keys() {
            state.position += 1;
            let position = Position { xid: 0, seq: state.position };
            revision.raise(Service::Identity, partition(&caller.tenant, *customer), position);
        }
        (verdicts, revision)
    }

    fn read<T>(&self, tenant: &Tenant, read: impl FnOnce(&TenantState) -> T) -> T {
        let state = self.state.lock();
        match state.tenants.get(tenant) {
            Some(tenant) => read(tenant),
            None => read(&TenantState::default()),
        }
    }
}

impl TenantState {
    fn customer(&self, state: &CustomerState) -> Customer {
        let aliases = self.view.aliases_of(state.id);
        let claims = self.view.claims().filter_map(|(record, claim)| {
            let record = self.view.record(record)?;
            let node = Node::Identifier(claim.identifier.clone());
            let sharing = self.view.sharing(&claim.identifier);
            (self.view.resolve(record.home) == state.id).then(|| Sourced {
                source: record.source.clone(),
                claim: claim.clone(),
                leads: self.view.lead(&node).is_some_and(|lead| self.view.resolve(lead.customer) == state.id),
                shared: sharing.is_some_and(|sharing| sharing.shared),
            })
        });
        Customer::assemble(state.clone(), claims.collect(), aliases)
    }

    fn claims_of(&self, id: RecordId) -> Vec<Claim> {
        let claims = self.view.claims().filter(|(record, _)| *record == id);
        let mut claims: Vec<_> = claims.map(|(_, claim)| claim.clone()).collect();
        claims.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        claims
    }
}

#[async_trait]
impl Customers for MemoryCustomers {
    async fn identify(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: Identify,
    ) -> Result<Written<Identified>, Fault> {
        let mut state = self.state.lock();
        let key = once.as_ref().map(|once| (once.tenant.clone(), once.method, once.request_id.clone()));
        if let (Some(once), Some(key)) = (&once, &key)
            && let Some(known) = state.recorded.get(key)
        {
            if known.fingerprint != once.fingerprint {
                return Err(Fault::new(Reason::RequestIdReused, "`request_id` was used before with another body"));
            }
            return Ok(Written { value: known.value.clone(), revision: known.revision.clone(), replayed: true });
        }
        let (verdicts, revision) = self.commit(&mut state, caller, &[command]);
        let value = verdicts.into_iter().next().unwrap_or_else(|| Err(Fault::internal("no verdict")))?;
        if let (Some(once), Some(key)) = (once, key) {
            let recorded = Recorded { fingerprint: once.fingerprint, value: value.clone(), revision: revision.clone() };
            state.recorded.insert(key, recorded);
        }
        Ok(Written { value, revision, replayed: false })
    }

    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
        let (value, revision) = self.commit(&mut self.state.lock(), caller, &commands);
        Ok(Written { value, revision, replayed: false })
    }

    async fn leads(&self, tenant: &Tenant, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault> {
        Ok(self.read(tenant, |state| {
            let lead = |identifier: &Identifier| {
                let shared = state.view.sharing(identifier).is_some_and(|sharing| sharing.shared);
                let node = if shared { Node::Shared } else { Node::Identifier };
                let lead = state.view.lead(&node(identifier.clone()))?;
                Some(Lead { customer: state.view.resolve(lead.customer), ..lead })
            };
            identifiers.iter().map(lead).collect()
        }))
    }

    async fn resolve(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault> {
        Ok(self.read(tenant, |state| {
            let resolve = |id: &CustomerId| state.view.customer(state.view.resolve(*id)).map(|customer| customer.id);
            ids.iter().map(resolve).collect()
        }))
    }

    async fn get(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault> {
        Ok(self.read(tenant, |state| {
            let get = |id: &CustomerId| state.view.customer(state.view.resolve(*id)).map(|c| state.customer(c));
            ids.iter().map(get).collect()
        }))
    }

    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault> {
        let mut all: Vec<Customer> =
            self.read(tenant, |state| state.view.customers().map(|customer| state.customer(customer)).collect());
        let place = |customer: &Customer| query.order.place(customer);
        all.sort_by_key(place);
        if query.order.descending {
            all.reverse();
        }
        let behind = |place: Place| match query.after {
            None => true,
            Some(after) if query.order.descending => place < after,
            Some(after) => place > after,
        };
        let wanted = |customer: &Customer| query.search.as_ref().is_none_or(|search| search.matches(customer));
        all.retain(|customer| behind(place(customer)) && wanted(customer));
        all.truncate(query.limit as usize);
        Ok(all)
    }

    async fn records(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault> {
        Ok(self.read(tenant, |state| {
            let customers = [state.view.resolve(customer)];
            let records = state.view.records_of(&customers);
            let mut records: Vec<_> = records.map(|r| (r.clone(), state.claims_of(r.id))).collect();
            records.sort_by_key(|(record, _)| record.id);
            records
        }))
    }

    async fn history(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, Fault> {
        Ok(self.read(tenant, |state| {
            let now = state.view.resolve(customer);
            let concerns = |entry: &&HistoryEntry| {
                [Some(entry.customer), entry.other].into_iter().flatten().any(|id| state.view.resolve(id) == now)
            };
            let mut entries: Vec<_> = state.history.iter().filter(concerns).cloned().collect();
            entries.sort_by_key(|entry| entry.id);
            if query.descending {
                entries.reverse();
            }
            let behind = |id| match query.after {
                None => true,
                Some(after) if query.descending => id < after,
                Some(after) => id > after,
            };
            entries.retain(|entry| behind(entry.id));
            entries.truncate(query.limit as usize);
            entries
        }))
    }
}

#[cfg(test)]
mod tests {
    use terms::SystemClock;

    use super::*;
    use crate::contract;

    fn store() -> Arc<MemoryCustomers> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Arc::new(MemoryCustomers::new(clock.clone(), Arc::new(Ids::new(clock))))
    }

    #[tokio::test]
    async fn sits_the_exam() {
        contract::run(store()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_place() {
        contract::one_of_two_gets_the_last_place(store(), 50).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_person() {
        contract::one_person_from_every_order(store(), 100).await;
        contract::two_clients_one_person(store(), 200).await;
    }
}
