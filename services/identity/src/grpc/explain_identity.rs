//! `ExplainIdentity`.

use std::collections::BTreeSet;

use host::{Call, decode};
use identity_domain::{
    Customer, Policy, RecordId,
    explain_identity::{Compared, Explained, Owned, why_one, why_two},
    guard::{Party, forbids},
    lookup_customer::{check_ref, not_found, resolve},
    matching::{Dossier, Search},
};
use rapport_proto::identity::v1::{ExplainIdentityRequest, ExplainIdentityResponse};
use terms::{CustomerId, CustomerRef, Fault, Reason, Revision, Violations};

use super::Ports;
use crate::{encode, evidence};

/// How many records one question names at most.
const MOST_NAMED: usize = 1_000;

/// What is to be explained.
struct Wanted {
    customer: CustomerRef,
    other: Option<CustomerRef>,
    records: BTreeSet<RecordId>,
    at_least: Revision,
}

pub(super) async fn explain_identity(
    ports: &Ports,
    call: Call,
    body: ExplainIdentityRequest,
) -> Result<ExplainIdentityResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let wanted = checked(&policy, body)?;
    let customer = owner(ports, &call, &wanted.customer).await?;
    let other = match &wanted.other {
        None => None,
        // An id that was merged in is one with it: then the question is why.
        Some(reference) => Some(owner(ports, &call, reference).await?).filter(|other| other.id != customer.id),
    };
    let ours = records(ports, &call, &wanted, customer.id).await?;
    let theirs = match &other {
        None => Vec::new(),
        Some(other) => records(ports, &call, &wanted, other.id).await?,
    };
    let all: Vec<RecordId> = ours.iter().chain(&theirs).map(|owned| owned.record.id).collect();
    if let Some(stranger) = wanted.records.iter().find(|record| !all.contains(record)) {
        let what = format!("record `{stranger}` of the customers that are named");
        return Err(Fault::not_found(Reason::RecordNotFound, what).with("record_id", stranger.to_string()));
    }
    let Dossier { matcher, known, pairs, .. } = ports.matches.dossier(call.tenant(), &all).await?;
    let thresholds = matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower);
    let compared = Compared {
        search: Search::new(&matcher, thresholds, []).with(known.clone()),
        known,
        stored: pairs.into_iter().collect(),
    };
    let named: Vec<CustomerId> = [Some(&customer), other.as_ref()].into_iter().flatten().map(|c| c.id).collect();
    let words = ports.customers.words(call.tenant(), &named).await?;
    let Explained { edges, guards, summary } = match &other {
        None => why_one(&ours, &compared, &words),
        Some(_) => {
            let guards = forbids(&policy, &party(&policy, &ours), &party(&policy, &theirs), ports.clock.now());
            why_two(&ours, &theirs, &compared, guards, &words)
        }
    };
    Ok(ExplainIdentityResponse {
        customer_id: customer.id.to_string(),
        other_customer_id: other.as_ref().map(|other| other.id.to_string()).unwrap_or_default(),
        records: ours.iter().chain(&theirs).map(evidence::source_record).collect(),
        edges: edges.iter().map(|edge| evidence::edge(edge, &matcher)).collect(),
        guards: guards.iter().map(|guard| encode::refusal(guard, &[])).collect(),
        confidence: if other.is_some() { 0.0 } else { customer.confidence },
        summary,
        // Read from the store: every write that was acknowledged shows.
        revision: wanted.at_least.to_string(),
    })
}

fn checked(policy: &Policy, body: ExplainIdentityRequest) -> Result<Wanted, Fault> {
    let mut wrong = Violations::new();
    let named =
        |field: &'static str, reference: CustomerRef| check_ref(reference, policy).map_err(|fault| fault.within(field));
    let customer = decode::customer("customer", body.customer);
    let customer = wrong.take(customer.and_then(|reference| named("customer", reference)));
    let other = decode::optional_customer("other", body.other);
    let other = wrong.take(other.and_then(|other| other.map(|reference| named("other", reference)).transpose()));
    wrong.add_if(body.record_ids.len() > MOST_NAMED, "record_ids", "has too many entries; give at most 1000");
    let ids = body.record_ids.iter().take(MOST_NAMED).enumerate();
    let records = ids.filter_map(|(i, id)| wrong.take(RecordId::parse(&format!("record_ids[{i}]"), id))).collect();
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let customer = customer.ok_or_else(|| Fault::internal("a checked reference is missing"))?;
    Ok(Wanted { customer, other: other.flatten(), records, at_least })
}

async fn owner(ports: &Ports, call: &Call, reference: &CustomerRef) -> Result<Customer, Fault> {
    let found = resolve(&*ports.customers, call.tenant(), std::slice::from_ref(reference)).await?;
    let id = found.into_iter().next().flatten().ok_or_else(|| not_found(reference))?;
    let customer = ports.customers.get(call.tenant(), &[id]).await?.pop().flatten();
    customer.ok_or_else(|| not_found(reference))
}

/// The records of a customer, or those of them that were named.
async fn records(ports: &Ports, call: &Call, wanted: &Wanted, customer: CustomerId) -> Result<Vec<Owned>, Fault> {
    let records = ports.customers.records(call.tenant(), customer).await?;
    let asked = |id: RecordId| wanted.records.is_empty() || wanted.records.contains(&id);
    let records = records.into_iter().filter(|(record, _)| asked(record.id));
    Ok(records.map(|(record, claims)| Owned { record, claims, customer }).collect())
}

/// What guards compare of records.
fn party(policy: &Policy, records: &[Owned]) -> Party {
    let mut party = Party::default();
    for owned in records {
        let facts = &owned.record.facts;
        let traits = facts.traits.iter().map(|(name, said)| (name.clone(), said.value.clone())).collect();
        party.absorb(Party::said(facts.kind.map(|kind| kind.value), &traits));
    }
    let claims = records.iter().flat_map(|owned| &owned.claims);
    party.anchors = identity_domain::Anchors::of(policy, claims);
    party
}
