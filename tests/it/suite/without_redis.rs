//! Redis frozen and killed in the middle of a run: no request fails, none is stale, and it recovers by itself.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use it::{
    app::{App, by_id, chosen},
    redis::Redis,
    suite::{Plan, Suite},
    until::{LONG, until},
};
use serde_json::json;
use terms::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_costs_speed_only() {
    run().await.expect("no request fails");
}

/// Two processes with two services each, which share one Redis.
fn start(redis: &Redis) -> Result<&'static Suite> {
    let places: &[&[Service]] =
        &[&[Service::Identity, Service::Interaction], &[Service::Segmentation, Service::Customization]];
    let plan = Plan::new("redis", &redis.url(), places)?;
    Ok(Box::leak(Box::new(Suite::planned(plan, &[0, 1])?)))
}

async fn run() -> Result<()> {
    let mut redis = Redis::start()?;
    let suite = tokio::task::block_in_place(|| start(&redis))?;
    let app = App::of(suite, "redis");
    app.treatment("a", r#"statements["mode"] == "a""#, 5.0).await?;
    app.treatment("b", r#"statements["mode"] == "b""#, 5.0).await?;
    let ready = app.touchpoint("page", &["a", "b"]).await?;
    let somebody = app.identify(&[("crm", "first")], json!({})).await?.customer_id;
    app.decide(by_id(&somebody), "page", &ready).await?;
    until("Redis holds profiles", LONG, || async { redis.keys().ok().filter(|keys| *keys > 0) }).await;

    let stop = AtomicBool::new(false);
    let done = AtomicUsize::new(0);
    let worst = AtomicUsize::new(0);
    let workers = join_all((0..4).map(|number| work(&app, number, &stop, &done, &worst)));
    let trouble = async {
        let some_more = |what: &'static str| {
            let from = done.load(Ordering::Relaxed);
            let done = &done;
            until(what, LONG, move || async move { (done.load(Ordering::Relaxed) >= from + 100).then_some(()) })
        };
        some_more("reads with Redis").await;
        redis.freeze()?;
        some_more("reads while Redis is frozen").await;
        redis.thaw()?;
        some_more("reads after Redis has thawed").await;
        redis.kill()?;
        some_more("reads without Redis").await;
        redis.restart()?;
        some_more("reads with a new Redis").await;
        until("Redis holds profiles again", LONG, || async { redis.keys().ok().filter(|keys| *keys > 0) }).await;
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let (worked, troubled) = tokio::join!(workers, trouble);
    troubled?;
    for result in worked {
        result?;
    }
    let (done, worst) = (done.into_inner(), worst.into_inner());
    println!("{done} reads, the slowest {worst} ms");
    ensure!(worst < 2_000, "a request took {worst} ms: a slow Redis must not stop requests");
    Ok(())
}

/// Writes and reads at once, until told to stop.
async fn work(app: &App, number: usize, stop: &AtomicBool, done: &AtomicUsize, worst: &AtomicUsize) -> Result<()> {
    let id = app.identify(&[("crm", &format!("worker-{number}"))], json!({})).await?.customer_id;
    let began = Instant::now();
    let mut step = 0;
    while !stop.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(120) {
        step += 1;
        let mode = if step % 2 == 0 { "a" } else { "b" };
        let began = Instant::now();
        let said = app.say(by_id(&id), "mode", json!(mode)).await.context("a statement")?;
        let decision = app.decide(by_id(&id), "page", &said.revision).await.context("a decision")?;
        app.customer(by_id(&id), "").await.context("a customer")?;
        ensure!(chosen(&decision) == mode && decision.degraded.is_empty(), "stale or degraded: {decision:?}");
        let took = usize::try_from(began.elapsed().as_millis()).unwrap_or(usize::MAX);
        worst.fetch_max(took, Ordering::Relaxed);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
