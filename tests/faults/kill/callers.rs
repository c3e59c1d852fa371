//! Impatient callers: thousands of calls are dropped at any moment of their work. No transaction is left open, and what
//! was acknowledged is there.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use it::{
    app::{App, by_id},
    suite::{Plan, Suite, redis_url},
    until::{LONG, until},
};
use rapport_proto::interaction::v1::GetInteractionRequest;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use serde_json::json;
use terms::Service;

const CALLS: usize = 10_000;
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_poison_nothing() {
    run().await.expect("no transaction is left open");
}

async fn run() -> Result<()> {
    let plan = Plan::new("callers", &redis_url()?, &[&Service::ALL])?;
    let suite: &'static Suite =
        tokio::task::block_in_place(|| Suite::planned(plan, &[0])).map(|suite| &*Box::leak(Box::new(suite)))?;
    let app = App::of(suite, "callers");
    let id = app.identify(&[("crm", "1")], json!({})).await?.customer_id;
    let call = |patience: Duration| {
        let (app, id) = (&app, &id);
        async move {
            let recorded = tokio::time::timeout(patience, app.record(by_id(id), "visit", 0)).await.ok()?.ok()?;
            Some(recorded.interaction?.interaction_id)
        }
    };
    // From nothing at all to longer than a call takes here.
    let began = Instant::now();
    stream::iter(0..AT_ONCE * 10).map(|_| call(LONG)).buffer_unordered(AT_ONCE).count().await;
    let longest = u64::try_from(began.elapsed().as_micros())? / 5;
    let acknowledged: Vec<String> = stream::iter(0..CALLS as u64)
        .map(|number| call(Duration::from_micros(number * 7_919 % longest)))
        .buffer_unordered(AT_ONCE)
        .filter_map(|acknowledged| async move { acknowledged })
        .collect()
        .await;
    let dropped = CALLS - acknowledged.len();
    println!("{dropped} of {CALLS} calls were dropped");
    ensure!(dropped > CALLS / 20 && !acknowledged.is_empty(), "nothing was tested: {dropped} dropped");

    // Seen by the service, and by another session of the database.
    for id in acknowledged.iter().step_by(acknowledged.len().div_ceil(500)) {
        let request = GetInteractionRequest { interaction_id: id.clone(), ..GetInteractionRequest::default() };
        app.interaction().get_interaction(request).await.with_context(|| format!("{id} is lost"))?;
    }
    let elsewhere = Database::connect(suite.postgres.as_deref().context("PostgreSQL")?).await?;
    let count = |sql: &'static str| {
        let elsewhere = &elsewhere;
        async move {
            let row = elsewhere.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.ok()??;
            row.try_get::<i64>("", "n").ok()
        }
    };
    let stored = count("SELECT count(*) AS n FROM interaction.interaction WHERE tenant = 'callers'").await;
    ensure!(stored >= i64::try_from(acknowledged.len()).ok(), "{stored:?} stored of {}", acknowledged.len());
    until("no session is idle in a transaction", LONG, || async {
        let idle = "SELECT count(*) AS n FROM pg_stat_activity \
                    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        count(idle).await.filter(|idle| *idle == 0)
    })
    .await;
    elsewhere.close().await?;
    // And the pools still serve.
    for _ in 0..64 {
        app.record(by_id(&id), "visit", 0).await?;
    }
    Ok(())
}
