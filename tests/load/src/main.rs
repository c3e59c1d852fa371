//! Load on the paths that matter, each beside its floor in the same run.
//!
//!     cargo run -p load --release -- decide
//!
//! | file | what it knows |
//! |---|---|
//! | [`server`] | the process under test, pinned to a core, and its CPU time |
//! | [`floor`] | the least that a server can do: echo, echo and one `HMGET`, raw inserts |
//! | [`drive`] | closed-loop callers, rates and percentiles |
//! | [`seed`] | customers, statements, treatments to work on |
//! | [`paths`] | one function a path |
//! | [`identify`] | `Identify` and the search among very many customers, on both databases |
//! | [`matching`] | how right and how fast matching is, without a server |
//! | [`table`] | the table that is printed |
//!
//! Rates on a shared machine vary by a factor of 1.7 from run to run: floor and path take turns, medians are compared,
//! and the ratio that counts is that of CPU time per call. A path that misses a bar ends with an error.

mod drive;
mod floor;
mod identify;
mod matching;
mod paths;
mod seed;
mod server;
mod table;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Load on the paths that matter, each beside its floor in the same run")]
struct Cli {
    #[command(subcommand)]
    path: Path,
    #[command(flatten)]
    options: Options,
}

/// What every path takes.
#[derive(Args, Clone)]
pub struct Options {
    /// The `rapport` binary under test; else the one beside this program.
    #[arg(long, global = true)]
    binary: Option<PathBuf>,
    /// Seconds of each turn.
    #[arg(long, default_value_t = 5, global = true)]
    seconds: u64,
    /// Turns of floor and path.
    #[arg(long, default_value_t = 3, global = true)]
    turns: usize,
    /// Calls in flight.
    #[arg(long, default_value_t = 64, global = true)]
    in_flight: usize,
    /// Customers to work on.
    #[arg(long, default_value_t = 2_000, global = true)]
    customers: usize,
    /// A Redis server, for the paths with a profile in Redis.
    #[arg(long, env = "RAPPORT_TEST_REDIS", global = true)]
    redis: Option<String>,
    /// A PostgreSQL server, for the floor of raw inserts.
    #[arg(long, env = "RAPPORT_TEST_POSTGRES", global = true)]
    postgres: Option<String>,
}

#[derive(Subcommand)]
enum Path {
    /// `Decide` with a hot profile in process, against echo.
    Decide,
    /// `Decide` with the profile in Redis, against echo and one `HMGET`.
    DecideRedis,
    /// `GetCustomer` of a hot customer, against echo.
    GetCustomer,
    /// `RecordInteractions`, against raw batched inserts of the same rows.
    RecordStream,
    /// `RecordInteraction`, one by one, against echo.
    RecordUnary,
    /// `RecordStatement`, then `Decide` with its revision.
    StatementToDecision,
    /// All of them.
    All,
    /// `Identify` by identifier and by likeness, and the search, among very many customers.
    IdentifyOnline(identify::Online),
    /// How right matching is on the published sets.
    MatchAccuracy,
    /// How fast matching is on synthetic people.
    MatchSpeed(matching::Speed),
    /// The echo server of the floor; started by the paths.
    #[command(hide = true)]
    EchoServer {
        /// Where to write the address.
        #[arg(long)]
        ready_file: PathBuf,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if let Path::EchoServer { ready_file } = &cli.path {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(floor::serve(cli.options.redis.as_deref(), ready_file));
    }
    match &cli.path {
        Path::MatchAccuracy => return matching::accuracy(),
        Path::MatchSpeed(speed) => return matching::speed(speed),
        _ => server::pin_generator(),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = &cli.options;
        match cli.path {
            Path::IdentifyOnline(ref online) => identify::online(options, online).await,
            Path::Decide => paths::decide(options).await,
            Path::DecideRedis => paths::decide_redis(options).await,
            Path::GetCustomer => paths::get_customer(options).await,
            Path::RecordStream => paths::record_stream(options).await,
            Path::RecordUnary => paths::record_unary(options).await,
            Path::StatementToDecision => paths::statement_to_decision(options).await,
            Path::All => {
                let mut outcomes = vec![paths::decide(options).await];
                if options.redis.is_some() {
                    outcomes.push(paths::decide_redis(options).await);
                }
                outcomes.push(paths::get_customer(options).await);
                outcomes.push(paths::record_unary(options).await);
                outcomes.push(paths::statement_to_decision(options).await);
                outcomes.push(paths::record_stream(options).await);
                let missed: Vec<String> =
                    outcomes.into_iter().filter_map(Result::err).map(|why| format!("{why:#}")).collect();
                ensure!(missed.is_empty(), "{}", missed.join("\n"));
                Ok(())
            }
            Path::EchoServer { .. } | Path::MatchAccuracy | Path::MatchSpeed(_) => Ok(()),
        }
    })
}
