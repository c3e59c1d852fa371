//! Merge, then split: as if nothing had happened, in all four services. Hard cases 5 and 6.
//!
//! Two couples live through the same. One couple is merged by hand in the middle and split again at the end, the other
//! is left alone; then both read alike.

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by, by_id, identifier},
    suite::Shape,
};
use rapport_proto::{
    customization::v1::GetRelationshipRequest,
    identity::v1::{MergeCustomersRequest, SplitCustomerRequest, SplitCustomerResponse},
    interaction::v1::{
        Consent, ConsentState, GetPermissionsRequest, ListInteractionsRequest, ListStatementsRequest,
        RecordConsentRequest, SetBoundaryRequest,
    },
    segmentation::v1::{GetDifferentiationRequest, GetMembershipsRequest},
    r#type::v1::{BoundaryScope, CustomerRef},
};
use serde_json::json;
use terms::Revision;

in_both_shapes!(merge_then_split_is_as_if_nothing_had_happened, the_creator_is_split_out);

/// What a revision token must contain.
#[derive(Default)]
struct Seen(Revision);

impl Seen {
    fn note(&mut self, revision: &str) -> Result<()> {
        self.0.merge(&revision.parse()?);
        Ok(())
    }

    fn token(&self) -> String {
        self.0.to_string()
    }
}

/// Two customers, as they were made.
struct Couple<'a> {
    app: &'a App,
    tag: &'static str,
    left: String,
    right: String,
}

impl Couple<'_> {
    fn name(&self, side: &str) -> String {
        format!("{side}-{}", self.tag)
    }

    /// The ways to name one of the two.
    fn refs(&self, side: &str) -> [CustomerRef; 2] {
        let id = if side == "left" { &self.left } else { &self.right };
        [by_id(id), by(side, &self.name(side))]
    }

    /// Interactions, statements, consents, boundaries and decisions of both, by id and by identifier.
    async fn live(&self, round: i64, seen: &mut Seen) -> Result<()> {
        let app = self.app;
        for side in ["left", "right"] {
            for (way, customer) in self.refs(side).into_iter().enumerate() {
                let euros = round * 10 + way as i64 + 1;
                seen.note(&app.record(customer.clone(), "purchase", euros).await?.revision)?;
                seen.note(&app.say(customer.clone(), &format!("topic-{round}-{way}"), json!(side)).await?.revision)?;
                let boundary = SetBoundaryRequest {
                    customer: Some(customer.clone()),
                    statement: format!("{side} {round} {way}"),
                    scope: Some(BoundaryScope { topics: vec![format!("{side}-{round}-{way}")], ..Default::default() }),
                    ..SetBoundaryRequest::default()
                };
                seen.note(&app.interaction().set_boundary(boundary).await?.into_inner().revision)?;
                let state = if side == "left" { ConsentState::Granted } else { ConsentState::Denied };
                let consent = Consent {
                    purpose: format!("purpose-{round}-{way}"),
                    state: state.into(),
                    source: "form".to_owned(),
                    ..Consent::default()
                };
                let consent = RecordConsentRequest {
                    customer: Some(customer.clone()),
                    consents: vec![consent],
                    ..RecordConsentRequest::default()
                };
                seen.note(&app.interaction().record_consent(consent).await?.into_inner().revision)?;
                app.decide(customer, "home", &seen.token()).await?;
            }
        }
        Ok(())
    }

    /// Everything that can be read of one of the two, without ids and times.
    async fn portrait(&self, side: &str, at_least: &str) -> Result<Vec<String>> {
        let (app, at_least) = (self.app, at_least.to_owned());
        let customer = Some(self.refs(side)[0].clone());
        let own = if side == "left" { &self.left } else { &self.right };
        let mut lines = Vec::new();
        let known = app.customer(self.refs(side)[1].clone(), &at_least).await?.customer.context("a customer")?;
        ensure!(known.customer_id == *own, "the identifier of {side} leads to {}", known.customer_id);
        lines.push(format!("{:?} {} {:?}", known.traits, known.record_count, known.aliases));
        lines.extend(known.identifiers.iter().map(|i| format!("{} {}", i.namespace, i.value.replace(self.tag, ""))));
        let all = ListInteractionsRequest {
            customer: customer.clone(),
            page_size: 100,
            at_least: at_least.clone(),
            ..ListInteractionsRequest::default()
        };
        for i in app.interaction().list_interactions(all).await?.into_inner().interactions {
            ensure!(i.customer_id == *own, "an interaction of {side} is {}'s", i.customer_id);
            lines.push(format!("{} {} {:?}", i.r#type, i.channel, i.value));
        }
        let said = ListStatementsRequest {
            customer: customer.clone(),
            page_size: 100,
            at_least: at_least.clone(),
            ..ListStatementsRequest::default()
        };
        for s in app.interaction().list_statements(said).await?.into_inner().statements {
            lines.push(format!("{} {:?} {:?}", s.topic, s.value, s.state()));
        }
        let permissions = GetPermissionsRequest {
            customer: customer.clone(),
            at_least: at_least.clone(),
            ..GetPermissionsRequest::default()
        };
        let permissions = app.interaction().get_permissions(permissions).await?.into_inner();
        lines.extend(permissions.boundaries.iter().map(|b| format!("boundary {}", b.statement)));
        lines.extend(permissions.consents.iter().map(|c| format!("{} {:?}", c.purpose, c.state())));
        lines.extend(permissions.permissions.iter().map(|p| format!("{} {} {}", p.purpose, p.topic, p.allowed)));
        let memberships = GetMembershipsRequest {
            customer: customer.clone(),
            at_least: at_least.clone(),
            ..GetMembershipsRequest::default()
        };
        let memberships = app.segmentation().get_memberships(memberships).await?.into_inner().memberships;
        lines.extend(memberships.iter().map(|m| format!("in {} until {:?}", m.segment, m.expected_exit_at.is_some())));
        let worth = GetDifferentiationRequest {
            customer: customer.clone(),
            at_least: at_least.clone(),
            ..GetDifferentiationRequest::default()
        };
        let worth = app.segmentation().get_differentiation(worth).await?.into_inner().value.unwrap_or_default();
        let rfm = worth.rfm.unwrap_or_default();
        lines.push(format!("{} purchases, {:?}", rfm.purchase_count, rfm.total));
        let relationship = GetRelationshipRequest { customer, at_least, ..GetRelationshipRequest::default() };
        let relationship = app.customization().get_relationship(relationship).await?.into_inner();
        lines.push(format!("{} decisions, {}", relationship.decision_count, relationship.interaction_count));
        lines.sort();
        Ok(lines)
    }
}

async fn couple<'a>(app: &'a App, tag: &'static str) -> Result<Couple<'a>> {
    let (left, right) = (format!("left-{tag}"), format!("right-{tag}"));
    let left = app.identify(&[("left", &left)], json!({ "city": "Rome", "l": 1 })).await?.customer_id;
    let right = app.identify(&[("right", &right)], json!({ "city": "Bonn", "r": 1 })).await?.customer_id;
    ensure!(left != right);
    Ok(Couple { app, tag, left, right })
}

async fn furnish(app: &App) -> Result<()> {
    app.segment("romans", r#"customer.city == "Rome""#).await?;
    app.segment("regulars", r#"count("purchase") >= 5"#).await?;
    app.segment("busy", r#"count("purchase", duration("24h")) >= 5"#).await?;
    app.segment("big", r#"sum("purchase", "value") > 55.0"#).await?;
    app.segment("huge", r#"sum("purchase", "value") > 70.0"#).await?;
    app.treatment("plain", "", 1.0).await?;
    app.touchpoint("home", &["plain"]).await?;
    Ok(())
}

async fn merge_then_split_is_as_if_nothing_had_happened(shape: Shape) {
    let app = App::new(shape, "splits");
    as_if_nothing_had_happened(&app).await.expect("both couples read alike");
}

async fn as_if_nothing_had_happened(app: &App) -> Result<()> {
    furnish(app).await?;
    let (told, plain) = (couple(app, "told").await?, couple(app, "plain").await?);
    let mut seen = Seen::default();
    for couple in [&told, &plain] {
        couple.live(0, &mut seen).await?;
    }
    let merge = MergeCustomersRequest {
        survivor: Some(by_id(&told.left)),
        losers: vec![by("right", &told.name("right"))],
        reason: "one household, one person, the clerk said".to_owned(),
        ..MergeCustomersRequest::default()
    };
    let merged = app.identity().merge_customers(merge).await?.into_inner();
    seen.note(&merged.revision)?;
    ensure!(merged.merged == std::slice::from_ref(&told.right));
    for couple in [&told, &plain] {
        couple.live(1, &mut seen).await?;
        let right = couple.name("right");
        // A new record, with an identifier that nobody knew.
        let new = app.identify(&[("right", &right), ("card", &couple.name("card"))], json!({ "late": true })).await?;
        seen.note(&new.revision)?;
        seen.note(&app.record(by("card", &couple.name("card")), "purchase", 7).await?.revision)?;
    }
    let both = ListInteractionsRequest {
        customer: Some(by_id(&told.right)),
        page_size: 100,
        at_least: seen.token(),
        ..ListInteractionsRequest::default()
    };
    let both = app.interaction().list_interactions(both).await?.into_inner().interactions;
    ensure!(both.iter().all(|i| i.customer_id == told.left), "one customer");
    ensure!(both.iter().filter(|i| i.r#type == "purchase").count() == 9, "{} while they are one", both.len());
    ensure!(app.member(by_id(&told.right), "big", &seen.token()).await?, "counters add up");
    let split = SplitCustomerRequest {
        customer: Some(by_id(&told.left)),
        alias: told.right.clone(),
        reason: "two people after all".to_owned(),
        ..SplitCustomerRequest::default()
    };
    let split = app.identity().split_customer(split).await?.into_inner();
    seen.note(&split.revision)?;
    ensure!(split.separated.context("a customer")?.customer_id == told.right);
    ensure!(split.remaining.context("a customer")?.customer_id == told.left);
    for couple in [&told, &plain] {
        couple.live(2, &mut seen).await?;
    }
    for side in ["left", "right"] {
        let (here, there) = (told.portrait(side, &seen.token()).await?, plain.portrait(side, &seen.token()).await?);
        for (here, there) in here.iter().zip(&there) {
            ensure!(here == there, "{side} reads `{here}` and should read `{there}`");
        }
        ensure!(here.len() == there.len(), "{side}: {here:#?} should be {there:#?}");
    }
    Ok(())
}

async fn the_creator_is_split_out(shape: Shape) {
    let app = App::new(shape, "creator");
    creator(&app).await.expect("a's facts follow; b and c are intact");
}

/// Three records make one customer; the first of them is taken out.
async fn creator(app: &App) -> Result<()> {
    furnish(app).await?;
    let mut seen = Seen::default();
    let a = app.identify(&[("na", "a")], json!({ "fact_a": 1 })).await?.customer_id;
    app.identify(&[("na", "a"), ("nb", "b")], json!({ "fact_b": 1 })).await?;
    let last = app.identify(&[("na", "a"), ("nc", "c")], json!({ "fact_c": 1 })).await?;
    ensure!(last.customer_id == a);
    for (namespace, value) in [("na", "a"), ("nb", "b"), ("nc", "c")] {
        for _ in 0..5 {
            seen.note(&app.record(by(namespace, value), "purchase", 1).await?.revision)?;
        }
        seen.note(&app.say(by(namespace, value), &format!("topic-{value}"), json!(value)).await?.revision)?;
    }
    ensure!(app.member(by_id(&a), "regulars", &seen.token()).await?);
    let split = SplitCustomerRequest {
        customer: Some(by_id(&a)),
        identifiers: vec![identifier("na", "a")],
        reason: "the first was somebody else".to_owned(),
        ..SplitCustomerRequest::default()
    };
    let SplitCustomerResponse { remaining, separated, cannot_links, revision, .. } =
        app.identity().split_customer(split).await?.into_inner();
    seen.note(&revision)?;
    let (remaining, separated) = (remaining.context("b and c")?, separated.context("a")?);
    ensure!(remaining.customer_id == a, "the id stays with two of three records");
    ensure!(separated.customer_id != a && cannot_links.len() == 1);
    for (customer, purchases, topics) in
        [(&separated, 5, vec!["topic-a"]), (&remaining, 10, vec!["topic-b", "topic-c"])]
    {
        let all = ListInteractionsRequest {
            customer: Some(by_id(&customer.customer_id)),
            page_size: 100,
            at_least: seen.token(),
            ..ListInteractionsRequest::default()
        };
        let all = app.interaction().list_interactions(all).await?.into_inner().interactions;
        ensure!(all.len() == purchases, "{} has {} interactions", customer.customer_id, all.len());
        let said = ListStatementsRequest {
            customer: Some(by_id(&customer.customer_id)),
            page_size: 100,
            at_least: seen.token(),
            ..ListStatementsRequest::default()
        };
        let said = app.interaction().list_statements(said).await?.into_inner().statements;
        let mut said: Vec<&str> = said.iter().map(|s| s.topic.as_str()).collect();
        said.sort_unstable();
        ensure!(said == topics, "{} said {said:?}", customer.customer_id);
        ensure!(app.member(by_id(&customer.customer_id), "regulars", &seen.token()).await?);
        let at_once = app.decide(by_id(&customer.customer_id), "home", &seen.token()).await?;
        ensure!(at_once.customer_id == customer.customer_id);
    }
    for (namespace, value, owner) in [("na", "a", &separated), ("nb", "b", &remaining), ("nc", "c", &remaining)] {
        let found = app.customer(by(namespace, value), &seen.token()).await?.customer.context("a customer")?;
        ensure!(found.customer_id == owner.customer_id, "{namespace} leads to {}", found.customer_id);
    }
    // Whoever says again that they are one is told that they are not.
    let again = app.identify(&[("na", "a"), ("nb", "b")], json!({ "fact_b": 2 })).await?;
    ensure!(again.merged.is_empty() && again.refused.len() == 1, "{again:?}");
    Ok(())
}
