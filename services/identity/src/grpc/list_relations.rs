//! `ListRelations`.

use host::{Call, decode};
use identity_domain::{
    Policy, RelationId, RelationType,
    list_relations::RelationQuery,
    lookup_customer::{check_ref, not_found, resolve},
};
use rapport_proto::identity::v1::{self as wire, ListRelationsRequest, ListRelationsResponse};
use terms::{CustomerRef, Fault, Page, PageRequest, Reason, Revision, Timestamp, Violations};
use uuid::Uuid;

use super::Ports;
use crate::encode;

/// A list that was asked for.
struct Wanted {
    scope: String,
    customer: CustomerRef,
    kind: Option<RelationType>,
    valid_at: Option<Timestamp>,
    before: Option<RelationId>,
    size: u32,
    at_least: Revision,
}

pub(super) async fn list_relations(
    ports: &Ports,
    call: Call,
    body: ListRelationsRequest,
) -> Result<ListRelationsResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let wanted = checked(&policy, ports.clock.now(), body)?;
    let tenant = call.tenant();
    let mut resolved = resolve(&*ports.customers, tenant, std::slice::from_ref(&wanted.customer)).await?;
    let customer = resolved.pop().flatten().ok_or_else(|| not_found(&wanted.customer))?;
    let query = RelationQuery {
        customer,
        kind: wanted.kind,
        valid_at: wanted.valid_at,
        before: wanted.before,
        limit: wanted.size + 1,
    };
    let found = ports.relations.relations(tenant, query).await?;
    let page = Page::cut(found, wanted.size, |relation| relation.id.as_bytes().to_vec());
    Ok(ListRelationsResponse {
        next_page_token: page.next_token(&wanted.scope),
        relations: page.items.iter().map(encode::relation).collect(),
        // Read from the store: every write that was acknowledged shows.
        revision: wanted.at_least.to_string(),
    })
}

fn checked(policy: &Policy, now: Timestamp, body: ListRelationsRequest) -> Result<Wanted, Fault> {
    let mut wrong = Violations::new();
    let scope =
        format!("ListRelations\0{:?}\0{}\0{:?}\0{}", body.customer, body.r#type, body.valid_at, body.include_ended);
    let customer = decode::customer("customer", body.customer);
    let customer = customer.and_then(|customer| check_ref(customer, policy).map_err(|fault| fault.within("customer")));
    let customer = wrong.take(customer);
    let kind = wrong.take(decode::enumeration::<wire::RelationType>("type", body.r#type));
    let valid_at = wrong.take(decode::timestamp("valid_at", body.valid_at)).flatten();
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let before = page.as_ref().and_then(|page| wrong.take(last(&page.after))).flatten();
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let valid_at = (!body.include_ended).then(|| valid_at.unwrap_or(now));
    Ok(Wanted {
        scope,
        customer: customer.ok_or_else(|| Fault::internal("a checked reference is missing"))?,
        kind: kind.and_then(encode::relation_type_of),
        valid_at,
        before,
        size: page.map_or(PageRequest::DEFAULT_SIZE, |page| page.size),
        at_least,
    })
}

/// The relation after which a page goes on.
fn last(key: &[u8]) -> Result<Option<RelationId>, Fault> {
    if key.is_empty() {
        return Ok(None);
    }
    let damaged = "is damaged; leave it empty to start again";
    let id = Uuid::from_slice(key).map_err(|_| Fault::invalid("page_token", Reason::PageTokenInvalid, damaged))?;
    Ok(Some(RelationId::from_uuid(id)))
}
