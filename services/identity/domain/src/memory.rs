//! A store without a disk: one large view per tenant. For property tests, and as the plainest reading of the port.

mod matches;
mod relations;

use std::{
    collections::HashMap,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use terms::{
    Caller, Clock, CustomerId, Fault, Identifier, Ids, Once, Position, Reason, Revision, Service, Tenant, Written,
    partition,
};

use crate::{
    customer::Customer,
    explain_identity::Word,
    history::HistoryEntry,
    identify::{Identified, Identify},
    identify_stream::{Batch, identify_all},
    list_customers::{ListQuery, Place},
    list_identity_history::HistoryQuery,
    matching::{self, Matcher, memory::MemoryFiles, resemble},
    merge_customers::{MergeCustomers, Merged, merge_customers},
    ports::{Customers, Verdicts},
    record::{Claim, Record, RecordId},
    relate_customers::Relation,
    split_customer::{Parted, SplitCustomer, split_customer},
    view::{Bond, Lead, Merge, Moment, Node, View},
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
    position: i64,
}

#[derive(Debug, Clone, Default)]
struct TenantState {
    view: View,
    history: Vec<HistoryEntry>,
    files: MemoryFiles,
    relations: Vec<Relation>,
}

#[derive(Debug)]
struct Recorded {
    fingerprint: [u8; 32],
    value: serde_json::Value,
    revision: Revision,
}

impl MemoryCustomers {
    /// An empty store.
    pub fn new(clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        Self { clock, ids, state: Mutex::default() }
    }

    /// What the commands lead to; nothing is stored.
    fn decide(
        &self,
        tenant: &mut TenantState,
        caller: &Caller,
        commands: &[Identify],
    ) -> Result<(Verdicts, Batch), Fault> {
        let moment = Moment { now: self.clock.now(), ids: &self.ids, actor: &caller.subject };
        let (mut verdicts, mut batch) = identify_all(&mut tenant.view, commands, moment);
        let Some(policy) = commands.first().map(|command| command.policy.clone()) else { return Ok((verdicts, batch)) };
        let matcher = Matcher::default();
        let mut files = tenant.files.clone().over(&tenant.view);
        let about = (&mut batch, &mut verdicts);
        let filing = at_once(resemble(&mut files, &matcher, &policy, &mut tenant.view, about, moment))??;
        if let Some(filing) = filing {
            tenant.files.keep(&tenant.view, filing);
        }
        matching::ask(&tenant.view, &mut batch, &mut verdicts);
        tenant.files.propose(std::mem::take(&mut batch.proposals), moment.now);
        Ok((verdicts, batch))
    }

    /// Does `work` on a copy of what the tenant has, under a request id; what it did counts unless it is only tried.
    fn by_hand<T: Serialize + DeserializeOwned>(
        &self,
        caller: &Caller,
        once: Option<Once>,
        validate_only: bool,
        work: impl FnOnce(&mut View, &MemoryFiles, Moment<'_>) -> Result<(Batch, T), Fault>,
    ) -> Result<Written<T>, Fault> {
        let mut state = self.state.lock();
        state.once(once, |state| {
            let tenant = state.tenants.entry(caller.tenant.clone()).or_default();
            let mut view = tenant.view.clone();
            let moment = Moment { now: self.clock.now(), ids: &self.ids, actor: &caller.subject };
            let (mut batch, value) = work(&mut view, &tenant.files, moment)?;
            if validate_only {
                return Ok((value, Revision::new()));
            }
            tenant.view = view;
            if let Some(decided) = batch.reviewed.take() {
                tenant.files.candidates.insert(decided.id, decided);
            }
            Ok((value, state.note(&caller.tenant, batch)))
        })
    }

    fn read<T>(&self, tenant: &Tenant, read: impl FnOnce(&TenantState) -> T) -> T {
        let state = self.state.lock();
        match state.tenants.get(tenant) {
            Some(tenant) => read(tenant),
            None => read(&TenantState::default()),
        }
    }
}

impl State {
    /// Keeps the history of what was done to a tenant's view; gives the revision.
    fn note(&mut self, tenant: &Tenant, batch: Batch) -> Revision {
        let Batch { history, news, .. } = batch;
        self.tenants.entry(tenant.clone()).or_default().history.extend(history);
        let mut revision = Revision::new();
        for customer in news.keys() {
            self.position += 1;
            let position = Position { xid: 0, seq: self.position };
            revision.raise(Service::Identity, partition(tenant, *customer), position);
        }
        revision
    }

    fn once<T: Serialize + DeserializeOwned>(
        &mut self,
        once: Option<Once>,
        work: impl FnOnce(&mut Self) -> Result<(T, Revision), Fault>,
    ) -> Result<Written<T>, Fault> {
        let Some(once) = once else {
            return work(self).map(|(value, revision)| Written { value, revision, replayed: false });
        };
        let key = (once.tenant, once.method, once.request_id);
        if let Some(known) = self.recorded.get(&key) {
            if known.fingerprint != once.fingerprint {
                return Err(Fault::new(Reason::RequestIdReused, "`request_id` was used before with another body"));
            }
            let value = serde_json::from_value(known.value.clone()).map_err(Fault::internal)?;
            return Ok(Written { value, revision: known.revision.clone(), replayed: true });
        }
        let (value, revision) = work(self)?;
        let recorded = Recorded {
            fingerprint: once.fingerprint,
            value: serde_json::to_value(&value).map_err(Fault::internal)?,
            revision: revision.clone(),
        };
        self.recorded.insert(key, recorded);
        Ok(Written { value, revision, replayed: false })
    }
}

impl TenantState {
    fn claims_of(&self, id: RecordId) -> Vec<Claim> {
        let claims = self.view.claims().filter(|(record, _)| *record == id);
        let mut claims: Vec<_> = claims.map(|(_, claim)| claim.clone()).collect();
        claims.sort_by(|a, b| a.identifier.cmp(&b.identifier));
        claims
    }
}

/// The value of a future that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, Fault> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(Fault::internal("memory waits for nothing")),
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
        self.state.lock().once(once, |state| {
            let mut tenant = state.tenants.get(&caller.tenant).cloned().unwrap_or_default();
            let (verdicts, batch) = self.decide(&mut tenant, caller, &[matching::attempt(&command)])?;
            let reply = verdicts.into_iter().next().unwrap_or_else(|| Err(Fault::internal("no verdict")))?;
            let value = matching::answer(&command, reply, &batch)?;
            if command.validate_only {
                return Ok((value, Revision::new()));
            }
            state.tenants.insert(caller.tenant.clone(), tenant);
            Ok((value, state.note(&caller.tenant, batch)))
        })
    }

    async fn merge(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: MergeCustomers,
    ) -> Result<Written<Merged>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, |view, _, moment| merge_customers(view, &command, moment))
    }

    async fn split(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: SplitCustomer,
    ) -> Result<Written<Parted>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, |view, _, moment| split_customer(view, &command, moment))
    }

    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
        let mut state = self.state.lock();
        let mut tenant = state.tenants.get(&caller.tenant).cloned().unwrap_or_default();
        let (value, batch) = self.decide(&mut tenant, caller, &commands)?;
        state.tenants.insert(caller.tenant.clone(), tenant);
        let revision = state.note(&caller.tenant, batch);
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
            let get = |id: &CustomerId| state.view.assemble(state.view.resolve(*id));
            ids.iter().map(get).collect()
        }))
    }

    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault> {
        let mut all: Vec<Customer> =
            self.read(tenant, |state| state.view.customers().filter_map(|c| state.view.assemble(c.id)).collect());
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

    async fn merges(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Merge>, Fault> {
        Ok(self.read(tenant, |state| {
            let survivor = state.view.resolve(customer);
            let aliases = state.view.aliases_of(survivor).into_iter();
            aliases.filter_map(|id| Some(Merge { survivor, ..state.view.merge(id)?.clone() })).collect()
        }))
    }

    async fn words(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Vec<Word>, Fault> {
        Ok(self.read(tenant, |state| {
            let view = &state.view;
            let aliases = customers.iter().flat_map(|customer| view.aliases_of(*customer));
            let merges = aliases.filter_map(|id| view.merge(id)).filter(|merge| merge.bond == Bond::Manual);
            let merges = merges.map(|merge| {
                let entry = state.history.iter().find(|entry| entry.id == merge.id);
                Word {
                    id: merge.id.to_string(),
                    same: true,
                    here: merge.here,
                    there: merge.there,
                    actor: entry.map(|entry| entry.actor.clone()).unwrap_or_default(),
                    reason: entry.map(|entry| entry.detail.words.clone()).unwrap_or_default(),
                    at: merge.at,
                }
            });
            let among = |id: CustomerId| customers.contains(&view.resolve(id));
            let links = view.cannot_links().filter(|link| among(link.a) && among(link.b));
            merges.chain(links.map(Word::of)).collect()
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
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};
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

    /// A small town in which many look alike, and whose clerks correct what they wrote.
    fn town() -> impl Strategy<Value = Vec<Vec<Value>>> {
        let pick = |values: &'static [&'static str]| prop::sample::select(values);
        let somebody = (
            pick(&["Robert", "Bob", "Rob", "Mary", "Marie", "Mark", "J", "John", ""]),
            pick(&["Smith", "Smyth", "Smith Jr", "Smith Sr", "Kowalski", "Kovalski", ""]),
            pick(&["1970-03-01", "1970-01-03", "1970-03-02", "1990-07-21", ""]),
            pick(&["12 Main St", "12 Main Street", "21 Main St", "7 Elm Rd", ""]),
            pick(&["a@x.org", "b@x.org", "a@y.org", ""]),
            pick(&["202-555-0101", "555-0101", "202-555-0199", ""]),
            pick(&["r1", "r2", "r3", "r4", "r5", ""]),
        );
        let somebody = somebody.prop_map(|(given, family, born, street, email, phone, id)| {
            let born = if born.is_empty() { Value::Null } else { Value::from(born) };
            json!({ "first_name": given, "last_name": family, "dob": born, "street": street, "city": "Springfield",
                    "email": email, "phone": phone, "id": id })
        });
        prop::collection::vec(prop::collection::vec(somebody, 1..4), 1..9)
    }

    /// Some of the records carry cards.
    fn with_cards(mut groups: Vec<Vec<Value>>, mut seed: u64) -> Vec<Vec<Value>> {
        for record in groups.iter_mut().flatten() {
            let mut cards = Vec::new();
            for _ in 0..seed % 3 {
                seed = seed.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                cards.push(format!("crm:{}", seed % 7));
            }
            seed = seed.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            record["identifiers"] = json!(cards);
            // Guards on customers see more than those on records.
            if record["last_name"].as_str().is_some_and(|name| name.contains(' ')) {
                record["last_name"] = json!("Smith");
            }
        }
        groups
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn any_order_ends_in_the_batch(groups in town()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(contract::any_order_ends_in_the_batch(&*store(), "town", groups));
        }

        #[test]
        fn identifiers_and_resemblance(groups in town(), seed in any::<u64>()) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(contract::identifiers_and_resemblance(&*store(), "town", with_cards(groups, seed)));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn merge_then_split() {
        contract::merge_then_split_is_as_if_nothing_had_happened(store(), 1_000).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn audit() {
        contract::all_follows_from_the_evidence(store(), 4, 40, Duration::from_secs(1)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_place() {
        contract::one_of_two_gets_the_last_place(store(), 50).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_verdict() {
        contract::one_verdict_holds(store(), 20).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_person() {
        contract::one_person_from_every_order(store(), 100).await;
        contract::two_clients_one_person(store(), 200).await;
    }
}
