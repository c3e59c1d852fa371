//! `SplitCustomer`.

use std::sync::Arc;

use data::once;
use host::{Call, decode};
use identity_domain::{
    Policy, RecordId, SplitCustomer, merge_customers::check_reason, normalise::normalise, split_customer::MAX_NAMED,
};
use rapport_proto::identity::v1::{SplitCustomerRequest, SplitCustomerResponse};
use terms::{CustomerId, Fault, Violations};

use super::{Ports, merge_customers::reference};
use crate::encode;

pub(super) async fn split_customer(
    ports: &Ports,
    call: Call,
    body: SplitCustomerRequest,
) -> Result<SplitCustomerResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let policy = ports.policies.get(call.tenant()).await?;
    let command = checked(policy, body)?;
    // What is only tried is not recorded.
    let once = once.filter(|_| !command.validate_only);
    let written = ports.customers.split(&call.caller, once, command).await?;
    let parted = written.value;
    Ok(SplitCustomerResponse {
        remaining: Some(encode::customer(&parted.remaining)),
        separated: Some(encode::customer(&parted.separated)),
        cannot_links: parted.cannot_links.iter().map(ToString::to_string).collect(),
        id_rule: parted.id_rule,
        revision: written.revision.to_string(),
    })
}

fn checked(policy: Arc<Policy>, body: SplitCustomerRequest) -> Result<SplitCustomer, Fault> {
    let mut wrong = Violations::new();
    wrong.take(decode::request_id("request_id", body.request_id));
    let customer = wrong.take(reference(&policy, "customer", body.customer));
    let (identifiers_given, records_given) = (body.identifiers.len(), body.record_ids.len());
    let given = wrong.take(decode::at_most("identifiers", body.identifiers, MAX_NAMED)).unwrap_or_default();
    let identifiers = given.into_iter().enumerate().filter_map(|(i, identifier)| {
        let normal = normalise(&identifier.namespace, &identifier.value, &policy);
        wrong.take(normal.map_err(|fault| fault.within(&format!("identifiers[{i}]"))))
    });
    let identifiers = identifiers.collect();
    let given = wrong.take(decode::at_most("record_ids", body.record_ids, MAX_NAMED)).unwrap_or_default();
    let records = given.into_iter().enumerate();
    let records = records.filter_map(|(i, id)| wrong.take(RecordId::parse(&format!("record_ids[{i}]"), &id))).collect();
    let alias = match body.alias.as_str() {
        "" => None,
        given => wrong.take(CustomerId::parse("alias", given)),
    };
    check_reason(&body.reason, &mut wrong);
    let named = !(identifiers_given == 0 && records_given == 0 && body.alias.is_empty());
    wrong.add_if(!named, "identifiers", "is empty, and so are `record_ids` and `alias`; give one of them");
    wrong.done()?;
    Ok(SplitCustomer {
        customer: customer.ok_or_else(|| Fault::internal("a checked reference is missing"))?,
        identifiers,
        records,
        alias,
        reason: body.reason,
        etag: body.etag,
        validate_only: body.validate_only,
        policy,
    })
}
