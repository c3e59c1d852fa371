//! `BatchGetCustomers`.

use host::{Call, decode};
use identity_domain::{
    Policy,
    lookup_customer::{check_ref, not_found, resolve},
};
use prost::Message;
use rapport_proto::{
    google::rpc,
    identity::v1::{
        BatchGetCustomersRequest, BatchGetCustomersResponse, CustomerResult, customer_result::Result as Outcome,
    },
};
use terms::{CustomerId, CustomerRef, Fault, Revision, Violations};

use super::Ports;

/// How many references one call takes.
const MOST: usize = 1_000;

pub(super) async fn batch_get_customers(
    ports: &Ports,
    call: Call,
    body: BatchGetCustomersRequest,
) -> Result<BatchGetCustomersResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let (references, at_least) = checked(&policy, body)?;
    let tenant = call.tenant();
    // Ids need no look-up of their own: reading a customer resolves its id.
    let identifiers: Vec<CustomerRef> =
        references.iter().filter(|r| matches!(r, CustomerRef::Identifier(_))).cloned().collect();
    let mut resolved = resolve(&*ports.customers, tenant, &identifiers).await?.into_iter();
    let ids: Vec<Option<CustomerId>> = references
        .iter()
        .map(|reference| match reference {
            CustomerRef::Id(id) => Some(*id),
            CustomerRef::Identifier(_) => resolved.next().flatten(),
        })
        .collect();
    let known: Vec<CustomerId> = ids.iter().copied().flatten().collect();
    let read = ports.reader.get(tenant, &known, &at_least).await?;
    let mut found = read.customers.into_iter();
    let results = references.iter().zip(ids).map(|(reference, id)| {
        let customer = id.and_then(|_| found.next().flatten());
        let result = match customer {
            Some(entry) => Outcome::Customer(entry.customer.clone()),
            None => Outcome::Error(missing(reference)),
        };
        CustomerResult { result: Some(result) }
    });
    Ok(BatchGetCustomersResponse { results: results.collect(), revision: read.revision.to_string() })
}

fn checked(policy: &Policy, body: BatchGetCustomersRequest) -> Result<(Vec<CustomerRef>, Revision), Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(body.customers.is_empty(), "customers", "is empty; give 1 to 1000 references");
    let given = wrong.take(decode::at_most("customers", body.customers, MOST)).unwrap_or_default();
    let mut references = Vec::with_capacity(given.len());
    for (i, reference) in given.into_iter().enumerate() {
        let field = format!("customers[{i}]");
        let reference = decode::customer(&field, Some(reference));
        let reference =
            reference.and_then(|reference| check_ref(reference, policy).map_err(|fault| fault.within(&field)));
        references.extend(wrong.take(reference));
    }
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    Ok((references, at_least))
}

fn missing(reference: &CustomerRef) -> rpc::Status {
    let status = host::status(not_found(reference));
    rpc::Status::decode(status.details()).unwrap_or_else(|_| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: vec![],
    })
}
