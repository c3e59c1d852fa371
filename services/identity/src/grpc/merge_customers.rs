//! `MergeCustomers`.

use std::sync::Arc;

use data::once;
use host::{Call, decode};
use identity_domain::{
    MergeCustomers, Policy,
    lookup_customer::check_ref,
    merge_customers::{MAX_LOSERS, check_reason},
};
use rapport_proto::{
    identity::v1::{MergeCustomersRequest, MergeCustomersResponse},
    r#type::v1::CustomerRef as WireRef,
};
use terms::{Access, CustomerRef, Fault, Reason, Violations};

use super::Ports;
use crate::encode;

pub(super) async fn merge_customers(
    ports: &Ports,
    call: Call,
    body: MergeCustomersRequest,
) -> Result<MergeCustomersResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let policy = ports.policies.get(call.tenant()).await?;
    let command = checked(policy, body)?;
    if command.override_guards && !call.caller.may("identity", Access::Admin) {
        let message = "`override_guards` needs the scope `identity.admin`, which the credential lacks";
        return Err(Fault::new(Reason::ScopeMissing, message).with("scope", "identity.admin"));
    }
    // What is only tried is not recorded.
    let once = once.filter(|_| !command.validate_only);
    let written = ports.customers.merge(&call.caller, once, command).await?;
    Ok(MergeCustomersResponse {
        customer: Some(encode::customer(&written.value.customer)),
        merged: written.value.merged.iter().map(ToString::to_string).collect(),
        refused: written.value.refused.iter().map(|refusal| encode::refusal(refusal, &[])).collect(),
        revision: written.revision.to_string(),
    })
}

fn checked(policy: Arc<Policy>, body: MergeCustomersRequest) -> Result<MergeCustomers, Fault> {
    let mut wrong = Violations::new();
    wrong.take(decode::request_id("request_id", body.request_id));
    let survivor = wrong.take(reference(&policy, "survivor", body.survivor));
    wrong.add_if(body.losers.is_empty(), "losers", "is empty; give 1 to 100 references");
    let given = wrong.take(decode::at_most("losers", body.losers, MAX_LOSERS)).unwrap_or_default();
    let losers: Vec<CustomerRef> = given
        .into_iter()
        .enumerate()
        .filter_map(|(i, loser)| wrong.take(reference(&policy, &format!("losers[{i}]"), Some(loser))))
        .collect();
    check_reason(&body.reason, &mut wrong);
    wrong.done()?;
    Ok(MergeCustomers {
        survivor: survivor.ok_or_else(|| Fault::internal("a checked reference is missing"))?,
        losers,
        reason: body.reason,
        override_guards: body.override_guards,
        etag: body.etag,
        validate_only: body.validate_only,
        policy,
    })
}

/// A reference whose identifier is normalised.
pub(super) fn reference(policy: &Policy, field: &str, given: Option<WireRef>) -> Result<CustomerRef, Fault> {
    let reference = decode::customer(field, given)?;
    check_ref(reference, policy).map_err(|fault| fault.within(field))
}
