//! `rapport show customer <id | namespace:value>`: one customer, from all four services, on one page.

use std::fmt::Write as _;

use crate::connect::Transport;
use anyhow::{Context, Result};
use prost_types::{Value, value::Kind};
use rapport_proto::{
    customization::v1::{
        GetRelationshipRequest, GetRelationshipResponse, RelationshipTest,
        customization_service_client::CustomizationServiceClient,
    },
    google::r#type::Money,
    identity::v1::{Customer, GetCustomerRequest, identity_service_client::IdentityServiceClient},
    interaction::v1::{
        GetPermissionsRequest, Interaction, ListInteractionsRequest, ListStatementsRequest, Statement,
        interaction_service_client::InteractionServiceClient,
    },
    segmentation::v1::{
        GetDifferentiationRequest, GetDifferentiationResponse, GetMembershipsRequest, Membership,
        segmentation_service_client::SegmentationServiceClient,
    },
    r#type::v1::{CustomerKind, CustomerRef, Identifier, Motivation, StatementKind, customer_ref::Ref},
};
use time::{OffsetDateTime, macros::format_description};

/// How many interactions the page shows.
const TIMELINE: i32 = 10;

/// A customer as people write it: an id, or `namespace:value`.
pub fn reference(text: &str) -> CustomerRef {
    let r#ref = match text.split_once(':') {
        Some((namespace, value)) => {
            Ref::Identifier(Identifier { namespace: namespace.to_owned(), value: value.to_owned() })
        }
        None => Ref::CustomerId(text.to_owned()),
    };
    CustomerRef { r#ref: Some(r#ref) }
}

/// The page of one customer.
///
/// # Errors
/// When there is none such, or a service does not answer.
pub async fn customer(channel: Transport, text: &str) -> Result<String> {
    let customer = Some(reference(text));
    let found = IdentityServiceClient::new(channel.clone())
        .get_customer(GetCustomerRequest { customer: customer.clone(), ..GetCustomerRequest::default() })
        .await
        .context("identity")?
        .into_inner()
        .customer
        .unwrap_or_default();
    let mut interaction = InteractionServiceClient::new(channel.clone());
    let timeline = ListInteractionsRequest {
        customer: customer.clone(),
        page_size: TIMELINE,
        ..ListInteractionsRequest::default()
    };
    let timeline = interaction.list_interactions(timeline).await.context("interaction")?.into_inner().interactions;
    let said = ListStatementsRequest { customer: customer.clone(), ..ListStatementsRequest::default() };
    let said = interaction.list_statements(said).await.context("interaction")?.into_inner().statements;
    let permissions = GetPermissionsRequest { customer: customer.clone(), ..GetPermissionsRequest::default() };
    let boundaries = interaction.get_permissions(permissions).await.context("interaction")?.into_inner().boundaries;
    let mut segmentation = SegmentationServiceClient::new(channel.clone());
    let memberships = GetMembershipsRequest { customer: customer.clone(), ..GetMembershipsRequest::default() };
    let memberships = segmentation.get_memberships(memberships).await.context("segmentation")?.into_inner().memberships;
    let value = GetDifferentiationRequest { customer: customer.clone(), ..GetDifferentiationRequest::default() };
    let value = segmentation.get_differentiation(value).await.context("segmentation")?.into_inner();
    let relationship = GetRelationshipRequest { customer, ..GetRelationshipRequest::default() };
    let relationship = CustomizationServiceClient::new(channel)
        .get_relationship(relationship)
        .await
        .context("customization")?
        .into_inner();

    let mut page = Page::default();
    who(&mut page, &found);
    worth(&mut page, &value, &memberships);
    page.section("Statements");
    for statement in &said {
        page.line(&statement_line(statement));
    }
    for boundary in &boundaries {
        page.line(&format!("boundary: \"{}\"", boundary.statement));
    }
    page.nothing_if_empty("nothing was said yet");
    page.section("Timeline");
    for interaction in &timeline {
        page.line(&interaction_line(interaction));
    }
    page.nothing_if_empty("nothing happened yet");
    together(&mut page, &relationship);
    Ok(page.text)
}

/// A page of sections; a section with no line says so.
#[derive(Default)]
struct Page {
    text: String,
    lines: usize,
}

impl Page {
    fn section(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.text, "{gap}{title}");
        self.lines = 0;
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "  {line}");
        self.lines += 1;
    }

    fn nothing_if_empty(&mut self, otherwise: &str) {
        if self.lines == 0 {
            self.line(otherwise);
        }
    }
}

fn who(page: &mut Page, customer: &Customer) {
    page.section(&customer.customer_id);
    let kind = match customer.kind() {
        CustomerKind::Household => "household",
        CustomerKind::Organization => "organization",
        _ => "person",
    };
    page.line(&format!("{kind}, known since {}, confidence {:.2}", day(customer.create_time), customer.confidence));
    for identifier in &customer.identifiers {
        let verified = if identifier.verified { " (verified)" } else { "" };
        page.line(&format!("{}:{}{verified}", identifier.namespace, identifier.value));
    }
    for alias in &customer.aliases {
        page.line(&format!("also {alias}"));
    }
    for (name, value) in customer.traits.iter().flat_map(|traits| &traits.fields) {
        page.line(&format!("{name} = {}", plain(Some(value))));
    }
}

fn worth(page: &mut Page, found: &GetDifferentiationResponse, memberships: &[Membership]) {
    page.section("Value");
    if let Some(rfm) = found.value.as_ref().and_then(|value| value.rfm.as_ref()).filter(|rfm| rfm.purchase_count > 0) {
        page.line(&format!(
            "{} purchases worth {}, the last {:.0} days ago",
            rfm.purchase_count,
            money(rfm.total.as_ref()),
            rfm.days_since_last
        ));
        page.line(&format!(
            "recency {} / frequency {} / monetary {}",
            rfm.recency_score, rfm.frequency_score, rfm.monetary_score
        ));
    }
    page.nothing_if_empty("no purchase yet");
    page.section("Segments");
    for membership in memberships {
        page.line(&format!("{} since {}", membership.segment, day(membership.since)));
    }
    page.nothing_if_empty("in no segment");
}

fn together(page: &mut Page, relationship: &GetRelationshipResponse) {
    page.section(if relationship.relationship { "Relationship: yes" } else { "Relationship: not yet" });
    let none = RelationshipTest::default();
    for (name, test) in [
        ("identified", &relationship.identified),
        ("in dialogue", &relationship.in_dialogue),
        ("customised", &relationship.customised),
    ] {
        let test = test.as_ref().unwrap_or(&none);
        page.line(&format!("{} {name}: {}", if test.holds { "✓" } else { "·" }, test.evidence));
    }
    for effect in &relationship.statements {
        let heard = match effect.decision_count {
            0 => "unheard so far".to_owned(),
            n => format!("changed {n} decision{}", if n == 1 { "" } else { "s" }),
        };
        page.line(&format!("{} = {}: {heard}", effect.topic, plain(effect.value.as_ref())));
    }
}

fn statement_line(statement: &Statement) -> String {
    let kind = StatementKind::try_from(statement.kind).map_or("", |kind| kind.as_str_name());
    let kind = kind.trim_start_matches("STATEMENT_KIND_").to_ascii_lowercase();
    let words = match statement.utterance.as_str() {
        "" => String::new(),
        words => format!(" \"{words}\""),
    };
    format!("{} {kind}: {} = {}{words}", day(statement.occurred_at), statement.topic, plain(statement.value.as_ref()))
}

fn interaction_line(interaction: &Interaction) -> String {
    let mut line = format!("{} {}", day(interaction.occurred_at), interaction.r#type);
    for text in [&interaction.channel, &interaction.touchpoint] {
        if !text.is_empty() {
            let _ = write!(line, " {text}");
        }
    }
    if interaction.value.is_some() {
        let _ = write!(line, " {}", money(interaction.value.as_ref()));
    }
    if interaction.motivation() == Motivation::Incentivised {
        let _ = write!(line, " (for {})", interaction.inducement);
    }
    line
}

fn day(at: Option<prost_types::Timestamp>) -> String {
    let format = format_description!("[year]-[month]-[day]");
    at.and_then(|at| OffsetDateTime::from_unix_timestamp(at.seconds).ok())
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| "?".to_owned())
}

fn money(value: Option<&Money>) -> String {
    value.map_or_else(
        || "?".to_owned(),
        |money| format!("{:.2} {}", money.units as f64 + f64::from(money.nanos) / 1e9, money.currency_code),
    )
}

/// A value as people read it.
fn plain(value: Option<&Value>) -> String {
    match value.and_then(|value| value.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => "nothing".to_owned(),
        Some(Kind::BoolValue(value)) => value.to_string(),
        Some(Kind::NumberValue(value)) => value.to_string(),
        Some(Kind::StringValue(value)) => value.clone(),
        Some(Kind::ListValue(list)) => list.values.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Kind::StructValue(fields)) => {
            let fields = fields.fields.iter().map(|(name, value)| format!("{name} {}", plain(Some(value))));
            fields.collect::<Vec<_>>().join(", ")
        }
    }
}
