//! The command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use rapport::{connect::Target, dev, doctor, import, match_file, migrate, serve, show};

/// A decision is some hundred small allocations, made on one thread and freed on another: the system's allocator took a
/// sixth of the time for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rapport: know each customer, remember what they said, and treat them differently because of it.
#[derive(Parser)]
#[command(name = "rapport", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start all four services on an embedded store: nothing to install, nothing to configure.
    Dev(dev::Args),
    /// Start one or several services, as configured.
    Serve(serve::Args),
    /// Bring the stores' schemas up to date, and end.
    Migrate(migrate::Args),
    /// Import a CSV or JSON-lines file by a mapping; go on where an earlier import stopped. Customers are linked and matched
    /// as they arrive; a first load is matched when all of it is there.
    Import {
        /// The file: .csv, .jsonl or .ndjson, with .gz or without.
        input: PathBuf,
        /// The mapping file (TOML): what a line becomes.
        #[arg(long)]
        mapping: PathBuf,
        /// Where rejected lines go, with the reason. Default: beside the input.
        #[arg(long)]
        failures: Option<PathBuf>,
        /// Begin again at the first line.
        #[arg(long)]
        restart: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Find which records of a file are one party, without a server: writes clusters and candidates.
    Match(match_file::Args),
    /// Show something on one page.
    #[command(subcommand)]
    Show(Show),
    /// Look at configuration, stores, cache, clocks and peers, and say what to mend.
    Doctor(doctor::Args),
}

#[derive(Subcommand)]
enum Show {
    /// One customer, from all four services.
    Customer {
        /// An id, or `namespace:value`.
        customer: String,
        #[command(flatten)]
        target: Target,
    },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(args) => dev::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Migrate(args) => migrate::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Import { input, mapping, failures, restart, target } => client(async move {
            let mapping = import::mapping::Mapping::read(&mapping)?;
            let job = import::Job { input, mapping, failures, restart };
            let summary = import::run(target.connect().await?, job).await?;
            println!(
                "{} lines accepted, {} rejected, {} done before",
                summary.accepted, summary.rejected, summary.skipped
            );
            Ok(())
        }),
        Command::Match(args) => match_file::run(&args).map(|summary| println!("{summary}")),
        Command::Show(Show::Customer { customer, target }) => client(async move {
            print!("{}", show::customer(target.connect().await?, &customer).await?);
            Ok(())
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("rapport: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command that talks to a server.
fn client(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
