//! `ListIdentityHistory`.

use host::{Call, decode};
use identity_domain::{
    HistoryEntry, HistoryId, HistoryQuery, Policy,
    list_identity_history::{order, place},
    lookup_customer::{check_ref, not_found, resolve},
};
use rapport_proto::identity::v1::{ListIdentityHistoryRequest, ListIdentityHistoryResponse};
use rules::{FactSheet, Rule, Schema, Type};
use terms::{CustomerId, CustomerRef, Fault, PageRequest, Revision, Violations};

use super::Ports;
use crate::encode;

/// How many entries a filter looks at for one page, at most. The page is then short and has a token to go on.
const MOST_SCANNED: usize = 10_000;
/// How many a filter looks at in one read.
const SCAN: u32 = 500;

/// A history that was asked for.
struct Wanted {
    customer: CustomerRef,
    scope: String,
    size: usize,
    descending: bool,
    after: Option<HistoryId>,
    filter: Option<Rule>,
    at_least: Revision,
}

pub(super) async fn list_identity_history(
    ports: &Ports,
    call: Call,
    body: ListIdentityHistoryRequest,
) -> Result<ListIdentityHistoryResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let wanted = checked(&policy, body)?;
    let found = resolve(&*ports.customers, call.tenant(), std::slice::from_ref(&wanted.customer)).await?;
    let customer = found.into_iter().next().flatten().ok_or_else(|| not_found(&wanted.customer))?;
    let (entries, next) = page(ports, &call, &wanted, customer).await?;
    Ok(ListIdentityHistoryResponse {
        entries: entries.iter().map(encode::history_entry).collect(),
        next_page_token: next.map_or_else(String::new, |id| PageRequest::token(&wanted.scope, id.as_bytes())),
        // Read from the store: every write that was acknowledged shows.
        revision: wanted.at_least.to_string(),
    })
}

fn checked(policy: &Policy, body: ListIdentityHistoryRequest) -> Result<Wanted, Fault> {
    let mut wrong = Violations::new();
    let scope = format!("ListIdentityHistory\0{:?}\0{}\0{}", body.customer, body.filter, body.order_by);
    let customer = decode::customer("customer", body.customer);
    let customer =
        customer.and_then(|reference| check_ref(reference, policy).map_err(|fault| fault.within("customer")));
    let customer = wrong.take(customer);
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let after = page.as_ref().and_then(|page| wrong.take(place(&page.after))).flatten();
    let descending = wrong.take(order(&body.order_by)).unwrap_or(true);
    let filter = if body.filter.trim().is_empty() { None } else { wrong.take(filter(&body.filter)) };
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let customer = customer.ok_or_else(|| Fault::internal("a checked reference is missing"))?;
    let size = page.map_or(PageRequest::DEFAULT_SIZE, |page| page.size) as usize;
    Ok(Wanted { customer, scope, size, descending, after, filter, at_least })
}

fn filter(text: &str) -> Result<Rule, Fault> {
    let schema = Schema::new()
        .declare("kind", Type::String)
        .declare("actor", Type::String)
        .declare("record_time", Type::Timestamp)
        .clock();
    Rule::compile(text, &schema).map_err(|mistakes| rules::fault("filter", &mistakes))
}

/// The entries of one page, and the last one that was looked at if there are more.
async fn page(
    ports: &Ports,
    call: &Call,
    wanted: &Wanted,
    customer: CustomerId,
) -> Result<(Vec<HistoryEntry>, Option<HistoryId>), Fault> {
    let now = ports.clock.now();
    let mut after = wanted.after;
    let mut entries = Vec::new();
    let mut scanned = 0;
    loop {
        let limit = match wanted.filter {
            None => u32::try_from(wanted.size).unwrap_or(PageRequest::MAX_SIZE) + 1,
            Some(_) => SCAN,
        };
        let query = HistoryQuery { descending: wanted.descending, after, limit };
        let batch = ports.customers.history(call.tenant(), customer, query).await?;
        let last = batch.len() < limit as usize;
        for entry in batch {
            if entries.len() == wanted.size {
                return Ok((entries, after));
            }
            after = Some(entry.id);
            scanned += 1;
            if wanted.filter.as_ref().is_none_or(|rule| rule.eval(&facts(&entry), now)) {
                entries.push(entry);
            }
        }
        if last {
            return Ok((entries, None));
        }
        if scanned >= MOST_SCANNED {
            return Ok((entries, after));
        }
    }
}

/// What a filter speaks of.
fn facts(entry: &HistoryEntry) -> FactSheet {
    FactSheet::new()
        .with("kind", entry.kind.participle())
        .with("actor", entry.actor.as_str())
        .with("record_time", entry.at)
}
