//! Concurrent merges: one person at the end, every old id resolves in one hop, no fact is lost. Hard cases 1 and 6.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use it::{
    app::{App, by, by_id},
    suite::Shape,
};
use rapport_proto::{
    identity::v1::MergeCustomersRequest,
    interaction::v1::{ListInteractionsRequest, ListStatementsRequest},
};
use serde_json::json;
use terms::Revision;

/// In all; half of them with two clients, half with four.
const ROUNDS: usize = 1_000;
/// Rounds under way at once.
const AT_ONCE: usize = 8;

in_both_shapes!(overlapping_identifiers_end_in_one_person, writes_that_race_with_a_merge_reach_the_survivor);

async fn overlapping_identifiers_end_in_one_person(shape: Shape) {
    let app = App::new(shape, "merges");
    // Each client has its own connections.
    let clients: Vec<App> = (0..4).map(|_| App::of(app.suite, &app.tenant)).collect();
    let merged: usize = stream::iter(0..ROUNDS)
        .map(|round| {
            let clients = &clients[..if round.is_multiple_of(2) { 2 } else { 4 }];
            async move { overlap(clients, round).await.with_context(|| format!("round {round}")) }
        })
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, merged| async move { Ok(sum + merged) })
        .await
        .expect("one person at the end");
    println!("{shape:?}: {ROUNDS} rounds, {merged} ids merged away");
    assert!(merged > 0, "the rounds never raced: nothing was tested");
}

/// Edges a-b, b-c, c-d (and a, d alone), at once, each with a fact of its own. Gives the number of ids merged away.
async fn overlap(clients: &[App], round: usize) -> Result<usize> {
    let name = |letter: &str| format!("{letter}-{round}");
    let (a, b, c, d) = (name("a"), name("b"), name("c"), name("d"));
    let edges: [Vec<(&str, &str)>; 5] = [
        vec![("na", &a), ("nb", &b)],
        vec![("nc", &c), ("nd", &d)],
        vec![("nb", &b), ("nc", &c)],
        vec![("nd", &d)],
        vec![("na", &a)],
    ];
    let calls = edges.iter().enumerate().map(|(i, edge)| {
        let client = &clients[i % clients.len()];
        async move { client.identify(edge, json!({ format!("fact{i}"): i })).await }
    });
    let verdicts = try_join_all(calls).await?;
    let app = &clients[0];
    let mut at_least = Revision::new();
    for verdict in &verdicts {
        at_least.merge(&verdict.revision.parse()?);
    }
    let at_least = at_least.to_string();
    let old: BTreeSet<&str> =
        verdicts.iter().flat_map(|v| v.merged.iter().map(String::as_str).chain([v.customer_id.as_str()])).collect();
    let mut survivor = None;
    for id in &old {
        let customer = app.customer(by_id(id), &at_least).await?.customer.context("the customer")?;
        let first = survivor.get_or_insert_with(|| customer.clone());
        ensure!(
            first.customer_id == customer.customer_id,
            "{id} leads to {}, others to {}",
            customer.customer_id,
            first.customer_id
        );
    }
    let survivor = survivor.context("somebody")?;
    for (namespace, value) in [("na", &a), ("nb", &b), ("nc", &c), ("nd", &d)] {
        let found = app.customer(by(namespace, value), &at_least).await?.customer.context("the customer")?;
        ensure!(found.customer_id == survivor.customer_id, "{namespace}:{value} leads elsewhere");
    }
    let facts = survivor.traits.context("traits")?.fields;
    for i in 0..edges.len() {
        ensure!(facts.contains_key(&format!("fact{i}")), "fact{i} was lost: {facts:?}");
    }
    ensure!(survivor.identifiers.len() == 4, "{:?}", survivor.identifiers);
    let aliases: BTreeSet<&str> = survivor.aliases.iter().map(String::as_str).collect();
    let others: BTreeSet<&str> = old.into_iter().filter(|id| *id != survivor.customer_id).collect();
    ensure!(others.is_subset(&aliases), "every old id is an alias: {others:?} of {aliases:?}");
    Ok(others.len())
}

async fn writes_that_race_with_a_merge_reach_the_survivor(shape: Shape) {
    let app = App::new(shape, "races");
    app.segment("said-much", r#"count("visit") >= 12"#).await.expect("the segment");
    stream::iter(0..40)
        .map(|round| {
            let app = &app;
            async move { race(app, round).await.with_context(|| format!("round {round}")) }
        })
        .buffer_unordered(4)
        .try_collect::<Vec<()>>()
        .await
        .expect("the survivor has everything");
}

/// Two customers become one while interactions and statements are written to both.
async fn race(app: &App, round: usize) -> Result<()> {
    let (left, right) = (format!("left-{round}"), format!("right-{round}"));
    let one = app.identify(&[("left", &left)], json!({})).await?.customer_id;
    let two = app.identify(&[("right", &right)], json!({})).await?.customer_id;
    ensure!(one != two);
    let refs = [by_id(&one), by_id(&two), by("left", &left), by("right", &right)];
    let writes = try_join_all((0..12).map(|i| {
        let customer = refs[i % refs.len()].clone();
        async move {
            let topic = format!("topic-{i}");
            let visit = app.record(customer.clone(), "visit", i as i64).await?;
            let said = app.say(customer, &topic, json!(i)).await?;
            anyhow::Ok([visit.revision, said.revision])
        }
    }));
    let merge = async {
        if round.is_multiple_of(2) {
            let merged = app.identify(&[("left", &left), ("right", &right)], json!({})).await?;
            return Ok((merged.customer_id, merged.revision));
        }
        let request = MergeCustomersRequest {
            survivor: Some(by("right", &right)),
            losers: vec![by_id(&one)],
            reason: "by hand".to_owned(),
            request_id: format!("merge-{round}"),
            ..MergeCustomersRequest::default()
        };
        let merged = app.identity().merge_customers(request.clone()).await?.into_inner();
        let again = app.identity().merge_customers(request).await?.into_inner();
        ensure!(again == merged, "a retried request gets the same verdict");
        Ok((merged.customer.context("a customer")?.customer_id, merged.revision))
    };
    let (written, (survivor, merged)) = futures::try_join!(writes, merge)?;
    let mut at_least: Revision = merged.parse()?;
    for revision in written.iter().flatten() {
        at_least.merge(&revision.parse()?);
    }
    let at_least = at_least.to_string();
    for id in [&one, &two] {
        let all = ListInteractionsRequest {
            customer: Some(by_id(id)),
            page_size: 100,
            at_least: at_least.clone(),
            ..ListInteractionsRequest::default()
        };
        let all = app.interaction().list_interactions(all).await?.into_inner().interactions;
        ensure!(all.len() == 12, "{id}: {} of 12 interactions", all.len());
        ensure!(all.iter().all(|i| i.customer_id == survivor), "rows follow the merge");
        let said = ListStatementsRequest {
            customer: Some(by_id(id)),
            page_size: 100,
            at_least: at_least.clone(),
            ..ListStatementsRequest::default()
        };
        let said = app.interaction().list_statements(said).await?.into_inner().statements;
        ensure!(said.len() == 12, "{id}: {} of 12 statements", said.len());
        ensure!(app.member(by_id(id), "said-much", &at_least).await?, "{id}: counters follow the merge");
    }
    Ok(())
}
