//! Two replicas of segmentation share the feeds' partitions; one after the other is killed mid-batch.

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

    let mut recorded: BTreeMap<String, usize> = BTreeMap::new();
    let mut at_least = Revision::new();
    for round in 0..KILLS {
        // The place within the burst differs from round to round.
        let strike = 1 + (round * 97) % (BURST * 3 / 4);
        let mut burst = burst(&app, &customers, round).await?;
        let mut acknowledged = 0;
        let victim = round % 2;
        let mut killed = false;
        while let Some(reply) = burst.message().await? {
            at_least.merge(&reply.revision.parse()?);
            for verdict in reply.verdicts {
                match verdict.outcome.context("an outcome")? {
                    Outcome::Recorded(done) => *recorded.entry(done.customer_id).or_default() += 1,
                    Outcome::Error(error) => anyhow::bail!("{error:?}"),
                }
                acknowledged += 1;
            }
            if acknowledged >= strike && !killed {
                killed = true;
                replicas[victim].take().context("a replica")?.kill()?;
            }
        }
        ensure!(acknowledged == BURST && killed, "round {round}: {acknowledged} acknowledged, killed: {killed}");
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
    println!("{KILLS} kills, {total} interactions, each applied once");
    Ok(())
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
