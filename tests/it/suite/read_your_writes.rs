//! A read that carries the revision of a write sees that write: across services, with every cache on.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use it::{
    app::{App, by_id, chosen},
    raw::Refusal,
    suite::Shape,
};
use rapport_proto::customization::v1::DecideRequest;
use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use serde_json::json;
use tonic::Code;

/// Reads right after a write, in all.
const READS: usize = 10_000;
/// Reads without the revision, for comparison: again until some are stale.
const BLIND_READS: usize = 600;
/// Customers who are written and read at once.
const CUSTOMERS: usize = 10;

in_both_shapes!(ten_thousand_reads_see_the_write_before_them);

async fn ten_thousand_reads_see_the_write_before_them(shape: Shape) {
    let app = App::new(shape, "fresh");
    furnish(&app).await.expect("segments, treatments and a touchpoint");
    let stale = AtomicUsize::new(0);
    run(&app, READS, true, &stale).await.expect("every call is answered");
    let with = stale.swap(0, Ordering::Relaxed);
    let mut blind = 0;
    while stale.load(Ordering::Relaxed) == 0 && blind < READS {
        run(&app, BLIND_READS, false, &stale).await.expect("every call is answered");
        blind += BLIND_READS;
    }
    let without = stale.into_inner();
    println!("{shape:?}: {with} of {READS} stale with `at_least`, {without} of {blind} without");
    assert_eq!(with, 0, "stale in spite of `at_least`");
    assert!(without > 0, "no read is stale anyway: this would not notice if the revision were ignored");
}

async fn furnish(app: &App) -> Result<()> {
    app.segment("in-credit", r#"sum("payment", "value") > 0.0"#).await?;
    app.treatment("a", r#"statements["mode"] == "a""#, 5.0).await?;
    app.treatment("b", r#"statements["mode"] == "b""#, 5.0).await?;
    app.treatment("neither", "", 1.0).await?;
    let ready = app.touchpoint("page", &["a", "b", "neither"]).await?;
    let nobody = app.identify(&[("crm", "nobody")], json!({})).await?.customer_id;
    let decision = app.decide(by_id(&nobody), "page", &ready).await?;
    ensure!(chosen(&decision) == "neither", "{decision:?}");
    Ok(())
}

/// Reads in three ways, in turn; `stale` counts what did not show the write before it.
async fn run(app: &App, reads: usize, with: bool, stale: &AtomicUsize) -> Result<()> {
    let blind = if with { "with" } else { "without" };
    try_join_all((0..CUSTOMERS).map(|number| async move {
        let name = format!("{blind}-{number}");
        let id = app.identify(&[("crm", &name)], json!({})).await?.customer_id;
        for step in 0..reads / CUSTOMERS {
            // Each way is taken twice in a row, so that both values alternate in each.
            let odd = (step / 3) % 2 == 1;
            let fresh = match step % 3 {
                0 => statement_then_decision(app, &id, odd, with).await,
                1 => identify_then_customer(app, &id, &name, odd, with).await,
                _ => interaction_then_membership(app, &id, odd, with).await,
            };
            if !fresh.with_context(|| format!("step {step} of {name}"))? {
                stale.fetch_add(1, Ordering::Relaxed);
            }
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

async fn statement_then_decision(app: &App, id: &str, odd: bool, with: bool) -> Result<bool> {
    let mode = if odd { "b" } else { "a" };
    let said = app.say(by_id(id), "mode", json!(mode)).await?;
    let request = DecideRequest {
        customer: Some(by_id(id)),
        touchpoint: "page".to_owned(),
        at_least: if with { said.revision } else { String::new() },
        ..DecideRequest::default()
    };
    let decision = app.customization().decide(request).await?.into_inner();
    ensure!(decision.degraded.is_empty(), "{:?}", decision.degraded);
    Ok(chosen(&decision) == mode)
}

async fn identify_then_customer(app: &App, id: &str, name: &str, odd: bool, with: bool) -> Result<bool> {
    let known = app.identify(&[("crm", name)], json!({ "odd": odd })).await?;
    let at_least = if with { known.revision.as_str() } else { "" };
    let customer = app.customer(by_id(id), at_least).await?.customer.context("the customer")?;
    Ok(customer.traits.is_some_and(|traits| traits.fields.get("odd") == Some(&it::app::json(json!(odd)))))
}

async fn interaction_then_membership(app: &App, id: &str, odd: bool, with: bool) -> Result<bool> {
    let paid = app.record(by_id(id), "payment", if odd { -1 } else { 1 }).await?;
    let member = app.member(by_id(id), "in-credit", if with { &paid.revision } else { "" }).await?;
    Ok(member != odd)
}

/// A transaction that stalls before its commit holds the feeds up: nothing passes it. A read that demands what lies
/// behind waits and then says so; it is never answered from before. This fails wherever a revision is ignored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_writer_is_waited_for() {
    stalled(&App::new(Shape::Four, "stalled")).await.expect("no read from before the write");
}

async fn stalled(app: &App) -> Result<()> {
    let id = app.identify(&[("crm", "1")], json!({})).await?.customer_id;
    let built = app.segment("visitors", r#"count("visit") >= 1"#).await?;
    ensure!(!app.member(by_id(&id), "visitors", &built.revision).await?);
    app.treatment("welcome-back", r#""visitors" in segments"#, 5.0).await?;
    app.treatment("welcome", "", 1.0).await?;
    let ready = app.touchpoint("door", &["welcome-back", "welcome"]).await?;
    ensure!(chosen(&app.decide(by_id(&id), "door", &ready).await?) == "welcome");

    let url = app.suite.postgres.as_deref().context("PostgreSQL")?;
    let elsewhere = Database::connect(url).await?;
    let stalled = elsewhere.begin().await?;
    stalled.execute_unprepared("SELECT pg_current_xact_id()").await?;
    let visit = app.record(by_id(&id), "visit", 0).await?;

    ensure!(!app.member(by_id(&id), "visitors", "").await?, "without a revision: as fresh as the feed");
    let patient = app.within(Duration::from_millis(600));
    let status = match patient.member(by_id(&id), "visitors", &visit.revision).await {
        Ok(member) => anyhow::bail!("answered `{member}` from before the write"),
        Err(status) => status,
    };
    ensure!(status.code() == Code::Unavailable, "{status:?}");
    ensure!(Refusal::of(&status).reason == "REVISION_NOT_REACHED", "{status:?}");
    match patient.decide(by_id(&id), "door", &visit.revision).await {
        Ok(decision) => anyhow::bail!("decided from before the write: {decision:?}"),
        Err(status) => ensure!(Refusal::of(&status).reason == "REVISION_NOT_REACHED", "{status:?}"),
    }

    stalled.rollback().await?;
    ensure!(app.member(by_id(&id), "visitors", &visit.revision).await?, "once the writer is gone");
    ensure!(chosen(&app.decide(by_id(&id), "door", &visit.revision).await?) == "welcome-back");
    elsewhere.close().await?;
    Ok(())
}
