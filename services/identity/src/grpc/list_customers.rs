//! `ListCustomers`.

use host::Call;
use identity_domain::{
    Customer, Search,
    list_customers::{ListQuery, Order, Place},
};
use rapport_proto::identity::v1::{ListCustomersRequest, ListCustomersResponse};
use rules::{FactSheet, Rule, Schema, Type};
use terms::{Fault, PageRequest, Revision, Timestamp, Violations};

use super::Ports;
use crate::encode;

/// How many customers a filter or a search looks at for one page, at most. The page is then short and has a token to go on.
const MOST_SCANNED: usize = 10_000;
/// How many a filter looks at in one read.
const SCAN: u32 = 500;

/// A list that was asked for.
struct Wanted {
    scope: String,
    size: usize,
    order: Order,
    after: Option<Place>,
    filter: Option<Rule>,
    search: Option<Search>,
    at_least: Revision,
}

pub(super) async fn list_customers(
    ports: &Ports,
    call: Call,
    body: ListCustomersRequest,
) -> Result<ListCustomersResponse, Fault> {
    let wanted = checked(body)?;
    let (customers, next) = page(ports, &call, &wanted).await?;
    Ok(ListCustomersResponse {
        customers: customers.iter().map(encode::customer).collect(),
        next_page_token: next.map_or_else(String::new, |at| PageRequest::token(&wanted.scope, &at.to_bytes())),
        // Read from the store: every write that was acknowledged shows.
        revision: wanted.at_least.to_string(),
    })
}

fn checked(body: ListCustomersRequest) -> Result<Wanted, Fault> {
    let mut wrong = Violations::new();
    let scope = format!("ListCustomers\0{}\0{}\0{}", body.query, body.filter, body.order_by);
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let after = page.as_ref().and_then(|page| wrong.take(Place::from_bytes(&page.after))).flatten();
    let order = wrong.take(Order::parse(&body.order_by)).unwrap_or_default();
    let filter = if body.filter.trim().is_empty() { None } else { wrong.take(filter(&body.filter)) };
    let search = wrong.take(Search::parse(&body.query)).flatten();
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let size = page.map_or(PageRequest::DEFAULT_SIZE, |page| page.size) as usize;
    Ok(Wanted { scope, size, order, after, filter, search, at_least })
}

fn filter(text: &str) -> Result<Rule, Fault> {
    let schema = Schema::new()
        .open("customer")
        .declare("kind", Type::String)
        .declare("confidence", Type::Double)
        .declare("create_time", Type::Timestamp)
        .clock();
    Rule::compile(text, &schema).map_err(|mistakes| rules::fault("filter", &mistakes))
}

/// The customers of one page, and where the next begins.
async fn page(ports: &Ports, call: &Call, wanted: &Wanted) -> Result<(Vec<Customer>, Option<Place>), Fault> {
    let now = ports.clock.now();
    let mut after = wanted.after;
    let mut customers = Vec::new();
    let mut scanned = 0;
    loop {
        let limit = match wanted.filter {
            None => u32::try_from(wanted.size).unwrap_or(PageRequest::MAX_SIZE) + 1,
            Some(_) => SCAN,
        };
        let query = ListQuery { search: wanted.search.clone(), order: wanted.order, after, limit };
        let batch = ports.customers.list(call.tenant(), query).await?;
        let last = batch.len() < limit as usize;
        for customer in batch {
            if customers.len() == wanted.size {
                return Ok((customers, after));
            }
            after = Some(wanted.order.place(&customer));
            scanned += 1;
            if wanted.search.as_ref().is_none_or(|search| search.matches(&customer))
                && wanted.filter.as_ref().is_none_or(|rule| rule.eval(&facts(&customer), now))
            {
                customers.push(customer);
            }
        }
        if last {
            return Ok((customers, None));
        }
        if scanned >= MOST_SCANNED {
            return Ok((customers, after));
        }
    }
}

/// What a filter speaks of.
fn facts(customer: &Customer) -> FactSheet {
    let created_at: Timestamp = customer.created_at;
    let mut facts = FactSheet::new()
        .with("kind", customer.kind.as_str())
        .with("confidence", customer.confidence)
        .with("create_time", created_at);
    for value in &customer.traits {
        facts.set(&format!("customer.{}", value.name), value.value.clone());
    }
    facts
}
