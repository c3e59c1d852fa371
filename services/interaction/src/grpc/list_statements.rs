//! `ListStatements`.

use host::Call;
use interaction_domain::{
    filter::StatementFilter,
    key::{TOPIC_MAX, check_optional_key},
    lists::{self, ListStatements},
    store::StatementOrder,
};
use rapport_proto::interaction::v1::{ListStatementsRequest, ListStatementsResponse};
use terms::{Fault, PageRequest, Violations};

use super::Ports;
use crate::{decode, encode};

pub(super) async fn list_statements(
    ports: &Ports,
    call: Call,
    body: ListStatementsRequest,
) -> Result<ListStatementsResponse, Fault> {
    let mut wrong = Violations::new();
    let scope = scope(&body);
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let order = match body.order_by.trim() {
        "" | "occurred_at desc" => StatementOrder::Newest,
        "occurred_at" => StatementOrder::Oldest,
        "topic" => StatementOrder::Topic,
        _ => {
            wrong.add("order_by", "must be `occurred_at desc`, `occurred_at` or `topic`");
            StatementOrder::Newest
        }
    };
    check_optional_key(&mut wrong, "topic", &body.topic, TOPIC_MAX);
    let wish = ListStatements {
        customer: decode::customer(&mut wrong, "customer", body.customer),
        topic: body.topic,
        history: body.include_history,
        as_of: decode::time(&mut wrong, "as_of", body.as_of),
        order,
        filter: wrong.take(StatementFilter::compile("filter", &body.filter)).flatten(),
        at_least: ports.demand(&mut wrong, &call, &body.at_least),
    };
    wrong.done()?;
    let page = page.ok_or_else(decode::incomplete)?;
    let (found, revision) = lists::list_statements(&ports.domain, &call.caller, &wish, &page).await?;
    Ok(ListStatementsResponse {
        next_page_token: found.next_token(&scope),
        statements: encode::statements(&found.items),
        revision: revision.to_string(),
    })
}

/// Everything to which a page token is bound.
fn scope(body: &ListStatementsRequest) -> String {
    let ListStatementsRequest { customer, filter, order_by, topic, include_history, as_of, .. } = body;
    format!("statements {customer:?} {filter:?} {order_by:?} {topic:?} {include_history} {as_of:?}")
}
