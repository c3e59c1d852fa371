//! `ListSegments`.

use host::Call;
use rapport_proto::segmentation::v1::{ListSegmentsRequest, ListSegmentsResponse};
use rules::{FactSheet, Rule, Schema, Type};
use segmentation_domain::{ports::Store, segment::Segment};
use terms::{Fault, Page, PageRequest, Reason, Revision, Violations};

use super::{Ports, decode};
use crate::encode;

/// By what segments are ordered; names break ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Name,
    CreateTime,
    MemberCount,
}

/// An order with its direction.
#[derive(Debug, Clone, Copy)]
struct OrderBy {
    order: Order,
    descending: bool,
}

impl OrderBy {
    /// A field, perhaps followed by ` desc`; more than one field is not needed, since names are unique.
    fn parse(text: &str) -> Result<Self, Fault> {
        let (field, descending) = match text.trim().strip_suffix(" desc") {
            Some(field) => (field.trim(), true),
            None => (text.trim().trim_end_matches(" asc").trim(), false),
        };
        let order = match field {
            "" | "name" => Order::Name,
            "create_time" => Order::CreateTime,
            "member_count" => Order::MemberCount,
            _ => {
                let what = "is none of `name`, `create_time`, `member_count`, each perhaps followed by ` desc`";
                return Err(Fault::invalid("order_by", Reason::InvalidFields, what));
            }
        };
        Ok(Self { order, descending })
    }

    /// Where a segment stands: a number, then its name.
    fn place(self, segment: &Segment, count: i64) -> Place {
        let number = match self.order {
            Order::Name => 0,
            Order::CreateTime => segment.created_at.micros(),
            Order::MemberCount => count,
        };
        Place { number, name: segment.name.clone() }
    }
}

/// Where a segment stands in an order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    number: i64,
    name: String,
}

impl Place {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], self.name.as_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (number, name) = bytes.split_first_chunk::<8>()?;
        Some(Self { number: i64::from_be_bytes(*number), name: String::from_utf8(name.to_vec()).ok()? })
    }
}

pub(super) async fn list_segments(
    ports: &Ports,
    call: Call,
    body: ListSegmentsRequest,
) -> Result<ListSegmentsResponse, Fault> {
    let scope = format!("ListSegments\0{}\0{}", body.filter, body.order_by);
    let mut wrong = Violations::new();
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let order = wrong.take(OrderBy::parse(&body.order_by));
    let filter = if body.filter.trim().is_empty() { None } else { wrong.take(filter(&body.filter)) };
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (page, order, at_least) = (decode::checked(page)?, decode::checked(order)?, decode::checked(at_least)?);
    ports.reach(&call, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let counts = ports.segments.count_members(call.tenant(), None, None).await?;
    let now = ports.clock.now();
    let mut found: Vec<(Place, &Segment, i64)> = catalog
        .living()
        .map(|segment| (&**segment, counts.get(&segment.id).copied().unwrap_or(0)))
        .filter(|(segment, count)| filter.as_ref().is_none_or(|rule| rule.eval(&facts(segment, *count), now)))
        .map(|(segment, count)| (order.place(segment, count), segment, count))
        .collect();
    found.sort_unstable_by(|a, b| if order.descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    let after = Place::from_bytes(&page.after);
    found.retain(|(place, ..)| {
        after.as_ref().is_none_or(|after| if order.descending { place < after } else { place > after })
    });
    found.truncate(page.size as usize + 1);
    let page = Page::cut(found, page.size, |(place, ..)| place.to_bytes());
    let next_page_token = page.next_token(&scope);
    let segments = page.items.iter().map(|(_, segment, count)| encode::segment(&catalog, segment, *count)).collect();
    Ok(ListSegmentsResponse { segments, next_page_token, revision: at_least.to_string() })
}

fn filter(text: &str) -> Result<Rule, Fault> {
    let schema = Schema::new()
        .declare("name", Type::String)
        .declare("display_name", Type::String)
        .declare("state", Type::String)
        .declare("member_count", Type::Int)
        .declare("create_time", Type::Timestamp)
        .clock();
    Rule::compile(text, &schema).map_err(|mistakes| rules::fault("filter", &mistakes))
}

/// What a filter speaks of.
fn facts(segment: &Segment, count: i64) -> FactSheet {
    FactSheet::new()
        .with("name", segment.name.as_str())
        .with("display_name", segment.display_name.as_str())
        .with("state", encode::state_word(segment.state))
        .with("member_count", count)
        .with("create_time", segment.created_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        assert!(OrderBy::parse("member_count desc").is_ok_and(|o| o.descending && o.order == Order::MemberCount));
        assert!(OrderBy::parse("").is_ok_and(|o| !o.descending && o.order == Order::Name));
        assert!(OrderBy::parse("etag").is_err());
        let place = Place { number: -7, name: "vip".to_owned() };
        assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
        assert_eq!(Place::from_bytes(b"short"), None);
    }
}
