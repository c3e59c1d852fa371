//! One function a path.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rapport_proto::{
    customization::v1::{DecideRequest, customization_service_client::CustomizationServiceClient},
    google::r#type::Money,
    identity::v1::{GetCustomerRequest, identity_service_client::IdentityServiceClient},
    interaction::v1::{
        InteractionInput, RecordInteractionRequest, RecordInteractionsRequest,
        interaction_service_client::InteractionServiceClient, record_verdict,
    },
    profile::v1::{GetSectionRequest, profile_service_client::ProfileServiceClient},
    r#type::v1::{InteractionDirection, InteractionDirectness, Motivation},
};
use tonic::transport::Channel;

use crate::{
    Options,
    drive::{self, Turn, closed_loop, median},
    floor, seed,
    server::Server,
    table::{self, Bar},
};

/// Connections that callers share.
const CONNECTIONS: usize = 4;

async fn connections(server: &Server) -> Result<Arc<Vec<Channel>>> {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(server.connect().await?);
    }
    Ok(Arc::new(channels))
}

async fn echo_turn(echo: &Server, options: &Options) -> Result<Turn> {
    let channels = connections(echo).await?;
    closed_loop(echo, options.seconds, options.in_flight, move |caller, _| {
        let mut client = ProfileServiceClient::new(channels[caller % CONNECTIONS].clone());
        async move {
            let customer_id = "cust_01h455vb4pex5vsknk084sn02q".to_owned();
            client.get_section(GetSectionRequest { customer_id, ..GetSectionRequest::default() }).await?;
            Ok(())
        }
    })
    .await
}

/// `Decide` with a hot profile in process, against echo.
///
/// # Errors
/// When a call fails, or a bar is missed.
pub async fn decide(options: &Options) -> Result<()> {
    decide_with(options, None).await
}

/// `Decide` with the profile in Redis alone, against echo and one `HMGET`.
///
/// # Errors
/// When a call fails, a bar is missed, or there is no Redis.
pub async fn decide_redis(options: &Options) -> Result<()> {
    let redis = options.redis.as_deref().context("give --redis, or set RAPPORT_TEST_REDIS")?;
    decide_with(options, Some(redis)).await
}

async fn decide_with(options: &Options, redis: Option<&str>) -> Result<()> {
    let suite = Server::suite(options.binary.as_deref(), true, redis).await?;
    let ids = Arc::new(seed::customers(&suite.connect().await?, options.customers).await?);
    seed::catalog(&suite.connect().await?, &ids).await?;
    let echo = Server::echo(redis).await?;
    let channels = connections(&suite).await?;
    decide_turn(&suite, options, &channels, &ids).await?;
    let (mut floors, mut turns) = (Vec::new(), Vec::new());
    for _ in 0..options.turns {
        floors.push(echo_turn(&echo, options).await?);
        turns.push(decide_turn(&suite, options, &channels, &ids).await?);
    }
    let (path, floor, bar) = match redis {
        None => ("decide", "echo", Bar { ratio: 0.35, stretch: 0.6 }),
        Some(_) => ("decide-redis", "echo and HMGET", Bar { ratio: 0.7, stretch: 0.9 }),
    };
    let reached = table::compare(path, (floor, median(&floors)), median(&turns), Some(bar));
    println!("  resident after the run: {:.0} MiB", suite.resident()?);
    reached
}

async fn decide_turn(
    suite: &Server,
    options: &Options,
    channels: &Arc<Vec<Channel>>,
    ids: &Arc<Vec<String>>,
) -> Result<Turn> {
    let (channels, ids) = (channels.clone(), ids.clone());
    closed_loop(suite, options.seconds, options.in_flight, move |caller, n| {
        let mut client = CustomizationServiceClient::new(channels[caller % CONNECTIONS].clone());
        let id = ids[(caller * 7_919 + n) % ids.len()].clone();
        async move {
            let request = DecideRequest {
                customer: Some(seed::by_id(&id)),
                touchpoint: "load".to_owned(),
                limit: 1,
                ..DecideRequest::default()
            };
            let reply = client.decide(request).await?.into_inner();
            ensure!(!reply.treatments.is_empty() && reply.customer_id == id, "no decision: {reply:?}");
            Ok(())
        }
    })
    .await
}

/// `GetCustomer` of a hot customer, against echo.
///
/// # Errors
/// When a call fails, or a bar is missed.
pub async fn get_customer(options: &Options) -> Result<()> {
    let suite = Server::suite(options.binary.as_deref(), true, None).await?;
    let ids = Arc::new(seed::customers(&suite.connect().await?, options.customers).await?);
    let echo = Server::echo(None).await?;
    let channels = connections(&suite).await?;
    let (mut floors, mut turns) = (Vec::new(), Vec::new());
    for _ in 0..options.turns {
        floors.push(echo_turn(&echo, options).await?);
        let (channels, ids) = (channels.clone(), ids.clone());
        let turn = closed_loop(&suite, options.seconds, options.in_flight, move |caller, n| {
            let mut client = IdentityServiceClient::new(channels[caller % CONNECTIONS].clone());
            let id = ids[(caller * 7_919 + n) % ids.len()].clone();
            async move {
                let request = GetCustomerRequest { customer: Some(seed::by_id(&id)), ..GetCustomerRequest::default() };
                let reply = client.get_customer(request).await?.into_inner();
                ensure!(reply.customer.is_some_and(|customer| customer.customer_id == id), "another customer");
                Ok(())
            }
        });
        turns.push(turn.await?);
    }
    let bar = Bar { ratio: 0.6, stretch: 0.8 };
    table::compare("get-customer", ("echo", median(&floors)), median(&turns), Some(bar))
}

/// `RecordInteraction`, one by one, against echo.
///
/// # Errors
/// When a call fails.
pub async fn record_unary(options: &Options) -> Result<()> {
    let suite = Server::suite(options.binary.as_deref(), true, None).await?;
    let ids = Arc::new(seed::customers(&suite.connect().await?, options.customers).await?);
    let echo = Server::echo(None).await?;
    let channels = connections(&suite).await?;
    let (mut floors, mut turns) = (Vec::new(), Vec::new());
    for _ in 0..options.turns {
        floors.push(echo_turn(&echo, options).await?);
        let (channels, ids) = (channels.clone(), ids.clone());
        let turn = closed_loop(&suite, options.seconds, options.in_flight, move |caller, n| {
            let mut client = InteractionServiceClient::new(channels[caller % CONNECTIONS].clone());
            let interaction = Some(purchase(&ids[(caller * 7_919 + n) % ids.len()]));
            async move {
                let request = RecordInteractionRequest { interaction, ..RecordInteractionRequest::default() };
                client.record_interaction(request).await?;
                Ok(())
            }
        });
        turns.push(turn.await?);
    }
    table::compare("record-unary", ("echo", median(&floors)), median(&turns), None)
}

fn purchase(id: &str) -> InteractionInput {
    InteractionInput {
        customer: Some(seed::by_id(id)),
        r#type: "purchase".to_owned(),
        channel: "store".to_owned(),
        direction: InteractionDirection::Inbound.into(),
        directness: InteractionDirectness::Direct.into(),
        motivation: Motivation::Organic.into(),
        value: Some(Money { currency_code: "USD".to_owned(), units: 12, nanos: 990_000_000 }),
        properties: Some(prost_types::Struct { fields: [("department".to_owned(), seed::text("grocery"))].into() }),
        ..InteractionInput::default()
    }
}

/// `RecordInteractions`, against raw batched inserts of the same rows. Not pinned: the server may use every core.
///
/// # Errors
/// When a record is refused, or a bar is missed.
pub async fn record_stream(options: &Options) -> Result<()> {
    let rows = 20_000 * options.seconds as usize;
    let suite = Server::suite(options.binary.as_deref(), false, None).await?;
    let ids = seed::customers(&suite.connect().await?, options.customers).await?;
    let (mut floors, mut rates, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..options.turns {
        let dir = tempfile::tempdir()?;
        floors.push(floor::sqlite_inserts(dir.path(), rows).await?);
        let cpu = suite.cpu()?;
        rates.push(stream_turn(&suite, &ids, rows).await?);
        cpus.push((suite.cpu()? - cpu).as_secs_f64() * 1e6 / rows as f64);
    }
    let (floor, rate, cpu) = (middle(&mut floors), middle(&mut rates), middle(&mut cpus));
    println!("\nrecord-stream (SQLite, {rows} rows a turn, {} rows a transaction in the floor)", floor::BATCH);
    println!("  raw batched inserts  {floor:>10.0} rows/s");
    println!("  RecordInteractions   {rate:>10.0} rows/s   {cpu:.1} µs CPU a row, all four services at work");
    println!("  ratio to the floor: {:.2}   (bar: ≥ 0.5 → 0.8; 8,000 rows/s at the least)", rate / floor);
    if let Some(url) = &options.postgres {
        println!("  raw inserts into PostgreSQL: {:.0} rows/s", floor::postgres_inserts(url, rows).await?);
    }
    ensure!(rate >= 8_000.0 && rate >= 0.5 * floor, "record-stream: a bar was missed");
    Ok(())
}

async fn stream_turn(suite: &Server, ids: &[String], rows: usize) -> Result<f64> {
    let mut client = InteractionServiceClient::new(suite.connect().await?);
    let requests: Vec<_> = (0..rows)
        .map(|n| RecordInteractionsRequest {
            interaction: Some(purchase(&ids[n % ids.len()])),
            ..RecordInteractionsRequest::default()
        })
        .collect();
    let started = Instant::now();
    let mut replies = client.record_interactions(tokio_stream::iter(requests)).await?.into_inner();
    let mut recorded = 0;
    while let Some(reply) = replies.message().await? {
        for verdict in reply.verdicts {
            ensure!(matches!(verdict.outcome, Some(record_verdict::Outcome::Recorded(_))), "refused: {verdict:?}");
            recorded += 1;
        }
    }
    ensure!(recorded == rows, "{recorded} of {rows} rows were recorded");
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}

fn middle(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// `RecordStatement`, then `Decide` with its revision: the time from the statement to the decision that obeys it.
///
/// # Errors
/// When a call fails, a decision does not obey, or the bar is missed.
pub async fn statement_to_decision(options: &Options) -> Result<()> {
    let suite = Server::suite(options.binary.as_deref(), false, None).await?;
    let ids = seed::customers(&suite.connect().await?, options.customers).await?;
    seed::catalog(&suite.connect().await?, &ids).await?;
    let channel = suite.connect().await?;
    let mut interaction = InteractionServiceClient::new(channel.clone());
    let mut customization = CustomizationServiceClient::new(channel);
    let (mut total, mut since_ack) = (Vec::new(), Vec::new());
    let cpu = suite.cpu()?;
    let started = Instant::now();
    let mut n = 0;
    while started.elapsed() < Duration::from_secs(options.seconds) {
        let id = &ids[n % ids.len()];
        // Every customer changes its mind each time that it comes round.
        let vegetarian = (n / ids.len()).is_multiple_of(2);
        let begun = Instant::now();
        let said = seed::statement(id, if vegetarian { "vegetarian" } else { "anything" });
        let revision = interaction.record_statement(said).await?.into_inner().revision;
        let acknowledged = Instant::now();
        let request = DecideRequest {
            customer: Some(seed::by_id(id)),
            touchpoint: "load".to_owned(),
            at_least: revision,
            limit: 10,
            ..DecideRequest::default()
        };
        let reply = customization.decide(request).await?.into_inner();
        total.push(begun.elapsed());
        since_ack.push(acknowledged.elapsed());
        let offered = reply.treatments.iter().any(|t| t.treatment == "t8");
        ensure!(offered != vegetarian, "the decision does not obey the statement: {reply:?}");
        n += 1;
    }
    let elapsed = started.elapsed();
    let cpu = suite.cpu()?.saturating_sub(cpu);
    table::alone("statement-to-decision", drive::turn(total, elapsed, cpu), "from sending the statement");
    let turn = drive::turn(since_ack, elapsed, Duration::ZERO);
    println!("  from its acknowledgement: p50 {:.0} µs, p99 {:.0} µs   (bar: p99 ≤ 20,000 µs)", turn.p50, turn.p99);
    ensure!(n > 0, "nothing was measured");
    ensure!(turn.p99 <= 20_000.0, "statement-to-decision: the bar was missed");
    Ok(())
}
