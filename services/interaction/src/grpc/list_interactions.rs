//! `ListInteractions`.

use host::Call;
use interaction_domain::{
    filter::InteractionFilter,
    lists::{self, ListInteractions},
    store::{Timeline, TimelineOrder},
};
use rapport_proto::interaction::v1::{ListInteractionsRequest, ListInteractionsResponse};
use terms::{Fault, PageRequest, Violations};

use super::Ports;
use crate::{decode, encode};

pub(super) async fn list_interactions(
    ports: &Ports,
    call: Call,
    body: ListInteractionsRequest,
) -> Result<ListInteractionsResponse, Fault> {
    let mut wrong = Violations::new();
    let scope = scope(&body);
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let order = match body.order_by.trim() {
        "" | "occurred_at desc" => TimelineOrder::Newest,
        "occurred_at" => TimelineOrder::Oldest,
        "record_time" => TimelineOrder::Recorded,
        _ => {
            wrong.add("order_by", "must be `occurred_at desc`, `occurred_at` or `record_time`");
            TimelineOrder::Newest
        }
    };
    let wish = ListInteractions {
        customer: wrong.take(host::decode::optional_customer("customer", body.customer)).flatten(),
        which: Timeline {
            customer: None,
            conversation: decode::optional_id(&mut wrong, "conversation_id", &body.conversation_id),
            from: decode::time(&mut wrong, "occurred_from", body.occurred_from),
            before: decode::time(&mut wrong, "occurred_before", body.occurred_before),
            order,
        },
        filter: wrong.take(InteractionFilter::compile("filter", &body.filter)).flatten(),
        at_least: ports.demand(&mut wrong, &call, &body.at_least),
    };
    wrong.done()?;
    let page = page.ok_or_else(decode::incomplete)?;
    let (found, revision) = lists::list_interactions(&ports.domain, &call.caller, &wish, &page).await?;
    Ok(ListInteractionsResponse {
        next_page_token: found.next_token(&scope),
        interactions: found.items.iter().map(encode::interaction).collect(),
        revision: revision.to_string(),
    })
}

/// Everything to which a page token is bound.
fn scope(body: &ListInteractionsRequest) -> String {
    let ListInteractionsRequest { customer, filter, order_by, conversation_id, occurred_from, occurred_before, .. } =
        body;
    format!("interactions {customer:?} {filter:?} {order_by:?} {conversation_id} {occurred_from:?} {occurred_before:?}")
}
