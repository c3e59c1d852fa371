//! `GetCustomer`.

use host::{Call, decode};
use identity_domain::{
    Policy,
    lookup_customer::{check_ref, not_found},
};
use rapport_proto::identity::v1::{GetCustomerRequest, GetCustomerResponse};
use terms::{CustomerRef, Fault, Revision, Violations};

use super::Ports;

pub(super) async fn get_customer(
    ports: &Ports,
    call: Call,
    body: GetCustomerRequest,
) -> Result<GetCustomerResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let mut wrong = Violations::new();
    let reference = wrong.take(reference(&policy, body));
    let (reference, at_least) = match (wrong.done(), reference) {
        (Ok(()), Some(checked)) => checked,
        (Err(fault), _) => return Err(fault),
        (Ok(()), None) => return Err(Fault::internal("a checked reference is missing")),
    };
    let tenant = call.tenant();
    let id = match &reference {
        CustomerRef::Id(id) => Some(*id),
        CustomerRef::Identifier(identifier) => {
            let leads = ports.customers.leads(tenant, std::slice::from_ref(identifier)).await?;
            leads.first().copied().flatten().map(|lead| lead.customer)
        }
    };
    let id = id.ok_or_else(|| not_found(&reference))?;
    let (entry, revision) = match ports.reader.hot(tenant, id, &at_least) {
        Some(hot) => hot,
        None => {
            let mut read = ports.reader.get(tenant, &[id], &at_least).await?;
            (read.customers.pop().flatten().ok_or_else(|| not_found(&reference))?, read.revision)
        }
    };
    Ok(GetCustomerResponse { customer: Some(entry.customer.clone()), revision: revision.to_string() })
}

fn reference(policy: &Policy, body: GetCustomerRequest) -> Result<(CustomerRef, Revision), Fault> {
    let mut wrong = Violations::new();
    let reference = decode::customer("customer", body.customer);
    let reference =
        reference.and_then(|reference| check_ref(reference, policy).map_err(|fault| fault.within("customer")));
    let reference = wrong.take(reference);
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    reference.zip(at_least).ok_or_else(|| Fault::internal("a checked reference is missing"))
}
