//! Matching, without a server: accuracy on published sets, speed on synthetic people.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

/// What `match-speed` takes.
#[derive(Args, Clone)]
pub struct Speed {
    /// How many records; repeat for several runs.
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    records: Vec<usize>,
    /// The seed of the synthetic people.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Run Splink from PyPI on the same people, and print the ratio.
    #[arg(long)]
    vs_splink: bool,
    /// Where the virtual environment and the file for Splink go; else a temporary folder.
    #[arg(long)]
    work: Option<PathBuf>,
}

/// Prints the table of `match-accuracy`; fails if a bar was missed.
pub fn accuracy() -> Result<()> {
    ensure!(people::accuracy::print()?, "a bar was missed");
    Ok(())
}

/// Prints the stages of `match-speed`.
pub fn speed(options: &Speed) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let work = options.work.as_deref().unwrap_or(temporary.path());
    for records in &options.records {
        let (people, run) = people::speed::measure(*records, options.seed, options.vs_splink)?;
        if options.vs_splink {
            people::speed::against_splink(&people, &run, work)?;
        }
    }
    Ok(())
}
