//! `RelateCustomers`.

use data::once;
use host::{Call, decode};
use identity_domain::{Policy, Relate, RelateInput, RelationType as RelationKind, lookup_customer::check_ref};
use rapport_proto::{
    identity::v1::{RelateCustomersRequest, RelateCustomersResponse, RelationType},
    r#type::v1,
};
use terms::{CustomerId, CustomerRef, Fault, Reason, Violations};
use uuid::Uuid;

use super::Ports;
use crate::encode;

pub(super) async fn relate_customers(
    ports: &Ports,
    call: Call,
    body: RelateCustomersRequest,
) -> Result<RelateCustomersResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let policy = ports.policies.get(call.tenant()).await?;
    let command = command(&policy, body)?;
    // What is only tried is not recorded.
    let once = once.filter(|_| !command.validate_only);
    let written = ports.relations.relate(&call.caller, once, command).await?;
    Ok(RelateCustomersResponse {
        relation: Some(encode::relation(&written.value)),
        revision: written.revision.to_string(),
    })
}

fn command(policy: &Policy, body: RelateCustomersRequest) -> Result<Relate, Fault> {
    let mut wrong = Violations::new();
    wrong.take(decode::request_id("request_id", body.request_id));
    let from = wrong.take(party(policy, "from_customer", body.from_customer));
    let to = wrong.take(party(policy, "to_customer", body.to_customer));
    let kind = wrong.take(decode::enumeration::<RelationType>("type", body.r#type).and_then(|kind| {
        let missing = || Fault::invalid("type", Reason::InvalidFields, "is required: what joins the two");
        encode::relation_type_of(kind).ok_or_else(missing)
    }));
    let valid_from = wrong.take(decode::timestamp("valid_from", body.valid_from)).flatten();
    let valid_until = wrong.take(decode::timestamp("valid_until", body.valid_until)).flatten();
    wrong.add_if(body.etag.len() > 128, "etag", "is no etag of a relation; pass it just as it came");
    // What is missing is told already; the rest is checked beside it, between any two.
    let any = |uuid| CustomerRef::Id(CustomerId::from_uuid(uuid));
    let input = RelateInput {
        from: from.unwrap_or_else(|| any(Uuid::nil())),
        to: to.unwrap_or_else(|| any(Uuid::max())),
        kind: kind.unwrap_or(RelationKind::Employee),
        role: body.role,
        valid_from,
        valid_until,
        etag: body.etag,
        validate_only: body.validate_only,
    };
    let command = wrong.take(Relate::check(input));
    wrong.done()?;
    command.ok_or_else(|| Fault::internal("a checked command is missing"))
}

fn party(policy: &Policy, field: &str, value: Option<v1::CustomerRef>) -> Result<CustomerRef, Fault> {
    let reference = decode::customer(field, value)?;
    check_ref(reference, policy).map_err(|fault| fault.within(field))
}
