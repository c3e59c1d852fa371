//! `LookupCustomer`.

use host::{Call, decode};
use identity_domain::{
    Policy,
    lookup_customer::{Found, check_identifiers, check_ref, lookup_customer as look_up, not_found},
};
use rapport_proto::identity::v1::{LookupCustomerRequest, LookupCustomerResponse};
use terms::{CustomerRef, Fault, Identifier, Revision, Violations};

use super::Ports;
use crate::encode;

/// Whom to look for.
enum Wanted {
    Reference(CustomerRef),
    Identifiers(Vec<Identifier>),
}

pub(super) async fn lookup_customer(
    ports: &Ports,
    call: Call,
    body: LookupCustomerRequest,
) -> Result<LookupCustomerResponse, Fault> {
    let id_only = body.id_only;
    let policy = ports.policies.get(call.tenant()).await?;
    let (wanted, at_least) = checked(&policy, body)?;
    let tenant = call.tenant();
    let found = match wanted {
        Wanted::Identifiers(identifiers) => look_up(&*ports.customers, tenant, identifiers).await?,
        Wanted::Reference(CustomerRef::Identifier(identifier)) => {
            let wanted = CustomerRef::Identifier(identifier.clone());
            look_up(&*ports.customers, tenant, vec![identifier]).await.map_err(|fault| match fault.reason() {
                terms::Reason::CustomerNotFound => not_found(&wanted),
                _ => fault,
            })?
        }
        Wanted::Reference(CustomerRef::Id(id)) => {
            let resolved = ports.customers.resolve(tenant, &[id]).await?.pop().flatten();
            let customer = resolved.ok_or_else(|| not_found(&CustomerRef::Id(id)))?;
            Found { customer, matched_by: Vec::new(), others: Vec::new() }
        }
    };
    let mut reply = LookupCustomerResponse {
        customer_id: found.customer.to_string(),
        customer: None,
        matched_by: found.matched_by.iter().map(encode::lookup_match).collect(),
        other_customer_ids: found.others.iter().map(ToString::to_string).collect(),
        revision: at_least.to_string(),
    };
    if !id_only {
        let mut read = ports.reader.get(tenant, &[found.customer], &at_least).await?;
        let entry = read.customers.pop().flatten();
        let entry = entry.ok_or_else(|| not_found(&CustomerRef::Id(found.customer)))?;
        // Merged away since the look-up: the customer that was read is the truth.
        reply.customer_id.clone_from(&entry.customer.customer_id);
        reply.customer = Some(entry.customer.clone());
        reply.revision = read.revision.to_string();
    }
    Ok(reply)
}

fn checked(policy: &Policy, body: LookupCustomerRequest) -> Result<(Wanted, Revision), Fault> {
    let mut wrong = Violations::new();
    let reference = wrong.take(decode::optional_customer("customer", body.customer));
    let wanted = match reference {
        Some(Some(reference)) => {
            let checked = check_ref(reference, policy).map_err(|fault| fault.within("customer"));
            wrong.take(checked).map(Wanted::Reference)
        }
        Some(None) => {
            let given: Vec<Identifier> = body
                .identifiers
                .into_iter()
                .map(|identifier| Identifier { namespace: identifier.namespace, value: identifier.value })
                .collect();
            wrong.take(check_identifiers(&given, policy)).map(Wanted::Identifiers)
        }
        None => None,
    };
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    wanted.zip(at_least).ok_or_else(|| Fault::internal("a checked look-up is missing"))
}
