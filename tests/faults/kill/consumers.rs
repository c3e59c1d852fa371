//! Two replicas of segmentation share the feeds' partitions; one after the other is killed mid-batch: half of the times
//! at any moment of a burst, half of the times inside the transaction that applies a batch, when its cursors are moved
//! and some of its rows are written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by_id, money},
    process::Process,
    suite::{Plan, Suite, redis_url},
    until::{LONG, until},
};
use rapport_proto::{
    feed::v1::{WatchRequest, event::Event, feed_service_client::FeedServiceClient},
    interaction::v1::{InteractionInput, RecordInteractionsRequest, record_verdict::Outcome},
    segmentation::v1::GetDifferentiationRequest,
};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement, TransactionTrait};
use serde_json::json;
use terms::{Revision, Service};

const KILLS: usize = 50;
/// Interactions recorded around each kill.
const BURST: usize = 300;
const CUSTOMERS: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_consumers_lose_nothing_and_repeat_nothing() {
    run().await.expect("exactly once");
}

async fn run() -> Result<()> {
    let places: &[&[Service]] =
        &[&[Service::Identity], &[Service::Interaction], &[Service::Segmentation], &[Service::Segmentation]];
    let settings = "[feed]\nlease = \"1s\"\nbatch = 50\n";
    let plan = Plan::with_settings("consumers", &redis_url()?, places, settings)?;
    let suite: &'static Suite = tokio::task::block_in_place(|| Suite::planned(plan.clone(), &[0, 1]))
        .map(|suite| &*Box::leak(Box::new(suite)))?;
    let mut replicas = [serving(&plan, 2)?, serving(&plan, 3)?].map(Some);
    let app = App::of(suite, "consumers");
    app.segment("buyers", r#"count("purchase") >= 1"#).await?;
    app.segment("regulars", r#"count("purchase") >= 100 && sum("purchase", "value") >= 200.0"#).await?;
    let mut customers = Vec::new();
    for number in 0..CUSTOMERS {
        customers.push(app.identify(&[("crm", &number.to_string())], json!({})).await?.customer_id);
    }

    let database = Database::connect(suite.postgres.as_deref().context("PostgreSQL")?).await?;
    let mut behind = 0;
    let mut recorded: BTreeMap<String, usize> = BTreeMap::new();
    let mut at_least = Revision::new();
    for round in 0..KILLS {
        // The place within the burst differs from round to round.
        let strike = 1 + (round * 97) % (BURST * 3 / 4);
        for replica in replicas.iter().flatten() {
            until("both replicas hold partitions", LONG, || async { at_work(&database, replica).await.ok()? }).await;
        }
        let victim = round % 2;
        let inside = round / 2 % 2 == 1;
        // Whoever applies a batch comes this far, and waits.
        let gate = database.begin().await?;
        if inside {
            gate.execute_unprepared("LOCK TABLE segmentation.subject IN SHARE ROW EXCLUSIVE MODE").await?;
        }
        let mut burst = burst(&app, &customers, round).await?;
        let mut acknowledged = 0;
        let mut killed = None;
        while let Some(reply) = burst.message().await? {
            at_least.merge(&reply.revision.parse()?);
            for verdict in reply.verdicts {
                match verdict.outcome.context("an outcome")? {
                    Outcome::Recorded(done) => *recorded.entry(done.customer_id).or_default() += 1,
                    Outcome::Error(error) => anyhow::bail!("{error:?}"),
                }
                acknowledged += 1;
            }
            if acknowledged >= strike && killed.is_none() && !inside {
                killed = Some(kill(&mut replicas[victim])?);
            }
        }
        if inside {
            until("both replicas are inside a batch", LONG, || async {
                count(&database, WAITING).await.ok().filter(|waiting| *waiting >= 2)
            })
            .await;
            killed = Some(kill(&mut replicas[victim])?);
        }
        let killed = killed.with_context(|| format!("round {round}: nobody was killed"))?;
        ensure!(acknowledged == BURST, "round {round}: {acknowledged} acknowledged");
        let left = count(&database, &undone(killed)).await?;
        ensure!(left > 0 || !inside, "round {round}: the batch was applied while its rows were locked");
        behind += usize::from(left > 0);
        gate.rollback().await?;
        replicas[victim] = Some(serving(&plan, 2 + victim)?);
    }

    let total: usize = recorded.values().sum();
    ensure!(total == KILLS * BURST, "{total}");
    let at_least = at_least.to_string();
    for (customer, count) in &recorded {
        let request = GetDifferentiationRequest {
            customer: Some(by_id(customer)),
            at_least: at_least.clone(),
            ..GetDifferentiationRequest::default()
        };
        let found = until("the replicas catch up", LONG, || async {
            app.segmentation().get_differentiation(request.clone()).await.ok()
        })
        .await
        .into_inner();
        let rfm = found.value.and_then(|value| value.rfm).context("RFM")?;
        ensure!(rfm.purchase_count == i64::try_from(*count)?, "{} applied of {count} recorded", rfm.purchase_count);
        let worth = rfm.total.map_or(0, |total| total.units);
        ensure!(worth == 2 * i64::try_from(*count)?, "worth {worth} of {}", 2 * count);
    }
    entered_once(&app, &recorded).await?;
    println!("{KILLS} kills, {behind} with entries that were not applied yet; {total} interactions, each applied once");
    database.close().await?;
    Ok(())
}

/// Sessions that wait for the gate.
const WAITING: &str = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND locktype = 'relation' \
                       AND relation = 'segmentation.subject'::regclass";

/// Partitions of the replica with this process id that have entries behind its cursor.
fn undone(pid: u32) -> String {
    format!(
        "SELECT count(*) AS n FROM segmentation.feed_cursor AS c WHERE c.service = 'interaction' \
         AND c.owner LIKE '%-{pid}/%' AND EXISTS (SELECT 1 FROM interaction.feed_entry AS e \
         WHERE e.partition = c.partition AND e.kind = 'interaction.recorded' AND (e.xid, e.seq) > (c.xid, c.seq))"
    )
}

/// Says something once a replica holds enough partitions to have some of the customers'.
async fn at_work(database: &DatabaseConnection, replica: &Process) -> Result<Option<()>> {
    let held = format!(
        "SELECT count(*) AS n FROM segmentation.feed_cursor WHERE service = 'interaction' AND owner LIKE '%-{}/%'",
        replica.pid()
    );
    Ok((count(database, &held).await? >= 16).then_some(()))
}

async fn count(database: &DatabaseConnection, sql: &str) -> Result<i64> {
    let row = database.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    Ok(row.context("a row")?.try_get("", "n")?)
}

/// `kill -9`; gives the process id.
fn kill(replica: &mut Option<Process>) -> Result<u32> {
    let process = replica.take().context("a replica")?;
    let pid = process.pid();
    process.kill()?;
    Ok(pid)
}

fn serving(plan: &Plan, place: usize) -> Result<Process> {
    tokio::task::block_in_place(|| plan.begin(place)?.serving())
}

/// Sends a burst of purchases worth two euros each; gives the verdicts.
async fn burst(
    app: &App,
    customers: &[String],
    round: usize,
) -> Result<tonic::Streaming<rapport_proto::interaction::v1::RecordInteractionsResponse>> {
    let messages: Vec<_> = (0..BURST)
        .map(|i| RecordInteractionsRequest {
            interaction: Some(InteractionInput {
                customer: Some(by_id(&customers[(round + i) % customers.len()])),
                r#type: "purchase".to_owned(),
                value: Some(money(2)),
                ..InteractionInput::default()
            }),
            correlation: String::new(),
        })
        .collect();
    Ok(app.interaction().record_interactions(tokio_stream::iter(messages)).await?.into_inner())
}

/// The feed of segmentation tells of one entry per customer and segment, and of no exit.
async fn entered_once(app: &App, recorded: &BTreeMap<String, usize>) -> Result<()> {
    let watch = WatchRequest {
        service: "segmentation".to_owned(),
        types: vec!["membership.changed".to_owned()],
        ..WatchRequest::default()
    };
    let mut feed = FeedServiceClient::new(app.line(Service::Segmentation)).watch(watch).await?.into_inner();
    let mut entries: BTreeMap<(String, String), Vec<bool>> = BTreeMap::new();
    let expected = recorded.len() * 2;
    while entries.len() < expected {
        let message = tokio::time::timeout(LONG, feed.message()).await.context("the feed is silent")??;
        for entry in message.context("the feed goes on")?.entries {
            if let Some(Event::MembershipChanged(changed)) = entry.event.and_then(|event| event.event) {
                entries.entry((changed.segment, changed.customer_id)).or_default().push(changed.entered);
            }
        }
    }
    let odd: Vec<_> = entries.iter().filter(|(_, moves)| **moves != [true]).collect();
    ensure!(odd.is_empty(), "entered once, and never left: {odd:?}");
    Ok(())
}
