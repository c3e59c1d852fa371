//! `Identify` among very many customers: by an identifier that is known, by likeness alone, and the search of stewards.
//!
//! The people are synthetic and seeded. Each record has a number of its own as identifier, and names, birth date,
//! address, e-mail and phone as traits, by which matching compares. The last records are held back: they are the new
//! ones, of whom about a third describe somebody who is there already.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use people::synthetic;
use prost_types::{Struct, Value, value::Kind};
use rapport_proto::{
    google::longrunning::{WaitOperationRequest, operation, operations_client::OperationsClient},
    identity::v1::{
        IdentifierClaim, IdentifyRequest, IdentifyStreamRequest, ListCustomersRequest, TrainMatcherRequest,
        identify_verdict, identity_service_client::IdentityServiceClient,
    },
    r#type::v1::Identifier,
};
use sea_orm::{ConnectionTrait, Database};
use tonic::transport::Channel;

use crate::{
    Options,
    drive::{Turn, closed_loop, paced},
    seed,
    server::Server,
};

/// What `identify-online` takes.
#[derive(Args, Clone)]
pub struct Online {
    /// How many records are there before.
    #[arg(long, default_value_t = 1_000_000)]
    records: usize,
    /// Calls a second of the paced turns.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// The seed of the synthetic people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many new records are held back for the turns by likeness.
    #[arg(long, default_value_t = 200_000)]
    fresh: usize,
    /// Measure with the shipped matcher; else one is trained on the records, and put in force.
    #[arg(long)]
    untrained: bool,
}

/// Runs on SQLite, and on PostgreSQL if a server is named.
///
/// # Errors
/// When a call fails.
pub async fn online(options: &Options, online: &Online) -> Result<()> {
    let people = Arc::new(People::new(online));
    on_store("SQLite", None, options, online, &people).await?;
    let Some(url) = &options.postgres else {
        println!("\nPostgreSQL: name a server with --postgres or RAPPORT_TEST_POSTGRES");
        return Ok(());
    };
    let admin = Database::connect(url).await?;
    let name = format!("load_identify_{}", std::process::id());
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await?;
    let outcome = on_store("PostgreSQL", Some(&database(url, &name)?), options, online, &people).await;
    admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
    outcome
}

/// `url` with another database.
fn database(url: &str, name: &str) -> Result<String> {
    let (scheme, rest) = url.split_once("://").context("a URL of a PostgreSQL server")?;
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    Ok(format!("{scheme}://{authority}/{name}"))
}

async fn on_store(
    store: &str,
    postgres: Option<&str>,
    options: &Options,
    online: &Online,
    people: &Arc<People>,
) -> Result<()> {
    let server = Server::identity(options.binary.as_deref(), postgres).await?;
    let mut channels = Vec::new();
    for _ in 0..4 {
        channels.push(server.connect().await?);
    }
    let channels = Arc::new(channels);
    let (cpu, started) = (server.cpu()?, Instant::now());
    load(&channels[0], people, !online.untrained).await?;
    let (elapsed, cpu) = (started.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64());
    let records = online.records as f64;
    println!(
        "\nidentify-online on {store}, {} records, CPU of the service without the database server's",
        online.records
    );
    println!("  loaded in {elapsed:.0} s: {:.0} records/s, {:.0} µs CPU each", records / elapsed, cpu * 1e6 / records);
    if !online.untrained {
        let (cpu, started) = (server.cpu()?, Instant::now());
        train(&channels[0]).await?;
        let (elapsed, cpu) = (started.elapsed().as_secs_f64(), (server.cpu()? - cpu).as_secs_f64());
        println!("  trained, and filed anew, in {elapsed:.0} s: {:.0} µs CPU for each record", cpu * 1e6 / records);
    }
    println!("  {:44} {:>9} {:>9} {:>9} {:>9} {:>12}", "", "calls/s", "p50 ms", "p99 ms", "CPU µs", "per CPU s");
    let run = Run { server: &server, channels, people: people.clone(), options, next: Arc::default() };
    let rate = online.rate;
    row(&format!("known identifier, {rate}/s paced"), run.known(Some(rate)).await?, "p99 ≤ 5 ms at 1,000/s");
    row("known identifier, as fast as it goes", run.known(None).await?, "");
    row(&format!("new record, {}/s paced", rate / 4), run.fresh(Some(rate / 4)).await?, "p50 ≤ 3 ms, p99 ≤ 20 ms");
    row("new record, as fast as it goes", run.fresh(None).await?, "≥ 1,000 per CPU s");
    for (what, query) in SEARCHES {
        row(&format!("search: {what}"), run.search(query).await?, "");
    }
    println!("  resident: {:.0} MiB", server.resident()?);
    Ok(())
}

/// Beginnings that find very many, some, and few.
const SEARCHES: [(&str, &str); 4] =
    [("jam (many)", "jam"), ("james b (some)", "james bra"), ("two words", "mary brou"), ("e-mail", "mary.b")];

fn row(what: &str, turn: Turn, bar: &str) {
    println!(
        "  {what:44} {:>9.0} {:>9.2} {:>9.2} {:>9.0} {:>12.0}  {bar}",
        turn.rate,
        turn.p50 / 1e3,
        turn.p99 / 1e3,
        turn.cpu,
        1e6 / turn.cpu
    );
}

/// The records, as they are sent.
struct People {
    there: usize,
    requests: Vec<IdentifyRequest>,
}

impl People {
    fn new(online: &Online) -> Self {
        let people = synthetic::people(online.records + online.fresh, online.seed);
        let requests = people.records.iter().enumerate().map(|(n, record)| request(n, record)).collect();
        Self { there: online.records, requests }
    }
}

fn request(n: usize, record: &identity_matching::record::Record) -> IdentifyRequest {
    let (name, address) = (&record.names[0], &record.addresses[0]);
    let born = match &record.birth_date {
        Some(identity_matching::record::BirthDate::Text(text)) => text.as_str(),
        _ => "",
    };
    let street = format!("{} {}", address.number, address.street);
    let said = [
        ("first_name", name.given.as_str()),
        ("last_name", &name.family),
        ("middle_name", &name.middle),
        ("name_suffix", &name.suffix),
        ("birth_date", born),
        ("street", &street),
        ("city", &address.locality),
        ("postal_code", &address.postcode),
        ("email", &record.emails[0]),
        ("phone", &record.phones[0]),
    ];
    let fields: BTreeMap<String, Value> = said
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), seed::text(value)))
        .collect();
    IdentifyRequest {
        source: "load".to_owned(),
        source_record_id: format!("r{n}"),
        identifiers: vec![IdentifierClaim {
            identifier: Some(Identifier { namespace: "number".to_owned(), value: format!("n{n}") }),
            verified: Some(true),
        }],
        traits: Some(Struct { fields }),
        ..IdentifyRequest::default()
    }
}

/// Sends the records that are there before: as a first load, where they are matched when a matcher is trained on them.
async fn load(channel: &Channel, people: &Arc<People>, defer_matching: bool) -> Result<()> {
    let sent = people.clone();
    let requests = (0..people.there).map(move |n| IdentifyStreamRequest {
        record: sent.requests.get(n).cloned(),
        defer_matching,
        ..IdentifyStreamRequest::default()
    });
    let mut client = IdentityServiceClient::new(channel.clone());
    let mut replies = client.identify_stream(tokio_stream::iter(requests)).await?.into_inner();
    let mut taken = 0;
    while let Some(reply) = replies.message().await? {
        for verdict in reply.verdicts {
            ensure!(matches!(verdict.outcome, Some(identify_verdict::Outcome::Result(_))), "refused: {verdict:?}");
            taken += 1;
        }
    }
    ensure!(taken == people.there, "{taken} of {} records were taken", people.there);
    Ok(())
}

/// Trains a matcher on the records, and waits until it is in force and all of them are filed by it.
async fn train(channel: &Channel) -> Result<()> {
    let request = TrainMatcherRequest { activate: true, ..TrainMatcherRequest::default() };
    let mut training = IdentityServiceClient::new(channel.clone()).train_matcher(request).await?.into_inner();
    let mut operations = OperationsClient::new(channel.clone());
    while !training.done {
        let timeout = Some(prost_types::Duration { seconds: 5, nanos: 0 });
        let wait = WaitOperationRequest { name: training.name.clone(), timeout };
        training = operations.wait_operation(wait).await?.into_inner();
    }
    ensure!(matches!(training.result, Some(operation::Result::Response(_))), "training failed: {training:?}");
    Ok(())
}

struct Run<'a> {
    server: &'a Server,
    channels: Arc<Vec<Channel>>,
    people: Arc<People>,
    options: &'a Options,
    /// How many of the new records are used.
    next: Arc<AtomicUsize>,
}

/// Callers that write at once, when they go as fast as they can.
const WRITERS: usize = 16;

impl Run<'_> {
    /// Somebody known by an identifier says something new: found, and written durably.
    async fn known(&self, rate: Option<u64>) -> Result<Turn> {
        let (channels, people, calls) = (self.channels.clone(), self.people.clone(), Arc::new(AtomicUsize::new(0)));
        let call = move || {
            let n = calls.fetch_add(1, Ordering::Relaxed);
            let mut client = IdentityServiceClient::new(channels[n % channels.len()].clone());
            let known = &people.requests[n.wrapping_mul(7_919) % people.there];
            let visits = Value { kind: Some(Kind::NumberValue(n as f64)) };
            let request = IdentifyRequest {
                source: "visits".to_owned(),
                source_record_id: known.source_record_id.clone(),
                identifiers: known.identifiers.clone(),
                traits: Some(Struct { fields: [("visits".to_owned(), visits)].into() }),
                ..IdentifyRequest::default()
            };
            async move {
                let reply = client.identify(request).await?.into_inner();
                ensure!(!reply.created, "somebody known was created anew");
                Ok(())
            }
        };
        self.turn(rate, call).await
    }

    /// A record that nothing leads to yet: compared with whom it is like, and written durably.
    async fn fresh(&self, rate: Option<u64>) -> Result<Turn> {
        let (channels, people, next) = (self.channels.clone(), self.people.clone(), self.next.clone());
        let call = move || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let mut client = IdentityServiceClient::new(channels[n % channels.len()].clone());
            let request = people.requests.get(people.there + n).cloned();
            async move {
                let request = request.context("the new records are used up; give more with --fresh")?;
                client.identify(request).await?;
                Ok(())
            }
        };
        self.turn(rate, call).await
    }

    /// The first page of a search.
    async fn search(&self, query: &'static str) -> Result<Turn> {
        let channels = self.channels.clone();
        closed_loop(self.server, self.options.seconds, 1, move |_, n| {
            let mut client = IdentityServiceClient::new(channels[n % channels.len()].clone());
            async move {
                let request = ListCustomersRequest { query: query.to_owned(), ..ListCustomersRequest::default() };
                client.list_customers(request).await?;
                Ok(())
            }
        })
        .await
    }

    /// `rate` calls a second, or as many as a few callers manage.
    async fn turn<F, Done>(&self, rate: Option<u64>, call: F) -> Result<Turn>
    where
        F: Fn() -> Done + Send + Sync + Clone + 'static,
        Done: Future<Output = Result<()>> + Send + 'static,
    {
        let (server, seconds) = (self.server, self.options.seconds);
        match rate {
            Some(rate) => paced(server, seconds, rate, move |_| call()).await,
            None => closed_loop(server, seconds, WRITERS, move |_, _| call()).await,
        }
    }
}
