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
    identity::v1::{MergeCustomersRequest, SplitCustomerRequest, SplitCustomerResponse},
    interaction::v1::{ListInteractionsRequest, ListStatementsRequest},
};
use serde_json::json;

use crate::town::{Seen, Town, alike, furnish};

in_both_shapes!(merge_then_split_is_as_if_nothing_had_happened, the_creator_is_split_out);

async fn merge_then_split_is_as_if_nothing_had_happened(shape: Shape) {
    as_if_nothing_had_happened(shape).await.expect("both couples read alike");
}

async fn couple(shape: Shape, name: &str) -> Result<Town> {
    let mut couple = Town::new(shape, name).await?;
    for (side, traits) in [("left", json!({ "city": "Rome", "l": 1 })), ("right", json!({ "city": "Bonn", "r": 1 }))] {
        let id = couple.tell(side, &[], traits).await?.customer_id;
        couple.is(side, &id);
    }
    ensure!(couple.id("left") != couple.id("right"));
    Ok(couple)
}

async fn as_if_nothing_had_happened(shape: Shape) -> Result<()> {
    let (mut told, mut plain) = (couple(shape, "told").await?, couple(shape, "plain").await?);
    for couple in [&mut told, &mut plain] {
        couple.live(0).await?;
    }
    let merge = MergeCustomersRequest {
        survivor: Some(by_id(told.id("left"))),
        losers: vec![by("right", "right")],
        reason: "one household, one person, the clerk said".to_owned(),
        ..MergeCustomersRequest::default()
    };
    let merged = told.app.identity().merge_customers(merge).await?.into_inner();
    told.seen.note(&merged.revision)?;
    ensure!(merged.merged == [told.id("right")]);
    for couple in [&mut told, &mut plain] {
        couple.live(1).await?;
        couple.card("right").await?;
    }
    ensure!(told.purchases(by_id(told.id("right")), told.id("left")).await? == 9, "one customer");
    ensure!(told.app.member(by_id(told.id("right")), "big", &told.seen.token()).await?, "counters add up");
    let split = SplitCustomerRequest {
        customer: Some(by_id(told.id("left"))),
        alias: told.id("right").to_owned(),
        reason: "two people after all".to_owned(),
        ..SplitCustomerRequest::default()
    };
    let split = told.app.identity().split_customer(split).await?.into_inner();
    told.seen.note(&split.revision)?;
    ensure!(split.separated.context("a customer")?.customer_id == told.id("right"));
    ensure!(split.remaining.context("a customer")?.customer_id == told.id("left"));
    for couple in [&mut told, &mut plain] {
        couple.live(2).await?;
    }
    alike(&told, &plain).await
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
