//! Relations in memory.

use std::collections::HashMap;

use async_trait::async_trait;
use terms::{Caller, CustomerId, CustomerRef, Fault, Once, Position, Revision, Service, Tenant, Written, partition};

use super::{MemoryCustomers, TenantState};
use crate::{
    list_relations::{RelationQuery, last_word},
    lookup_customer::not_found,
    ports::Relations,
    relate_customers::{Party, Relate, Relation, relate_customers},
    view::{Moment, Node},
};

impl TenantState {
    fn party(&self, reference: &CustomerRef) -> Result<Party, Fault> {
        let id = match reference {
            CustomerRef::Id(id) => Some(*id),
            CustomerRef::Identifier(identifier) => {
                let shared = self.view.sharing(identifier).is_some_and(|sharing| sharing.shared);
                let node = if shared { Node::Shared } else { Node::Identifier };
                self.view.lead(&node(identifier.clone())).map(|lead| lead.customer)
            }
        };
        let customer = id.and_then(|id| self.view.customer(self.view.resolve(id)));
        let customer = customer.ok_or_else(|| not_found(reference))?;
        Ok(Party { id: customer.id, kind: customer.golden.kind() })
    }

    /// The relations that show, each with its customers as they are now.
    fn shown(&self) -> Vec<Relation> {
        let mut shown: HashMap<_, Relation> = HashMap::new();
        for relation in &self.relations {
            let (from, to) = (self.view.resolve(relation.from), self.view.resolve(relation.to));
            let relation = Relation { from, to, ..relation.clone() };
            let known = shown.get(&(from, to, relation.kind));
            if from != to && known.is_none_or(|known| last_word(known) < last_word(&relation)) {
                shown.insert((from, to, relation.kind), relation);
            }
        }
        shown.into_values().collect()
    }
}

#[async_trait]
impl Relations for MemoryCustomers {
    async fn relate(&self, caller: &Caller, once: Option<Once>, command: Relate) -> Result<Written<Relation>, Fault> {
        self.state.lock().once(once, |state| {
            let tenant = state.tenants.entry(caller.tenant.clone()).or_default();
            let (from, to) = (tenant.party(&command.from)?, tenant.party(&command.to)?);
            let shown = tenant.shown();
            let known = shown.iter().find(|r| (r.from, r.to, r.kind) == (from.id, to.id, command.kind));
            let moment = Moment { now: self.clock.now(), ids: &self.ids, actor: &caller.subject };
            let (relation, entry) = relate_customers(&command, from, to, known, moment)?;
            let mut revision = Revision::new();
            let Some(entry) = entry.filter(|_| !command.validate_only) else { return Ok((relation, revision)) };
            tenant.history.push(entry);
            // It keeps naming the customers of the time at which it was first recorded.
            match tenant.relations.iter_mut().find(|stored| stored.id == relation.id) {
                Some(stored) => *stored = Relation { from: stored.from, to: stored.to, ..relation.clone() },
                None => tenant.relations.push(relation.clone()),
            }
            for customer in [from.id, to.id] {
                state.position += 1;
                let position = Position { xid: 0, seq: state.position };
                revision.raise(Service::Identity, partition(&caller.tenant, customer), position);
            }
            Ok((relation, revision))
        })
    }

    async fn relations(&self, tenant: &Tenant, query: RelationQuery) -> Result<Vec<Relation>, Fault> {
        let mut relations = self.read(tenant, TenantState::shown);
        let of = |customer: CustomerId| customer == query.customer;
        relations.retain(|relation| (of(relation.from) || of(relation.to)) && query.wants(relation));
        relations.sort_by_key(|relation| std::cmp::Reverse(relation.id));
        relations.truncate(query.limit as usize);
        Ok(relations)
    }
}
