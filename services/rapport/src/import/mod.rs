//! `rapport import`: a CSV or JSON-lines file, by a mapping, through the public RPCs.
//!
//! | file | what it knows |
//! |---|---|
//! | [`mapping`] | the mapping file: what a line becomes |
//! | [`template`] | `{column}` texts, and typed values |
//! | [`source`] | lines of CSV or JSON, plain or gzipped |
//! | [`send`] | the RPCs: a stream of customers or interactions, statements side by side |
//! | [`first_load`] | very many customers, of whom the matcher knows nothing yet |
//! | [`value`] | values as protobuf has them |
//! | [`ledger`] | which lines are done, and the failure file |
//!
//! Customers go through `IdentifyStream`, which links each record by its identifiers and matches it by what it says of its
//! person. A first load is matched as a whole, at its end.
//!
//! Sending a line twice changes nothing (its key makes it the same record), so an import that was cut off is started
//! again with the same command: it goes on behind the last line that the server acknowledged.

pub mod first_load;
pub mod ledger;
pub mod mapping;
pub mod send;
pub mod source;
pub mod template;
pub mod value;

use std::{path::PathBuf, sync::Arc};

use crate::connect::Transport;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

use ledger::Ledger;
use mapping::{Becomes, Mapping};
use send::{Line, Outcome};

/// What to import.
pub struct Job {
    /// The file: `.csv`, `.jsonl` or `.ndjson`, and `.gz` of each.
    pub input: PathBuf,
    /// What a line becomes.
    pub mapping: Mapping,
    /// Where rejected lines go, with the reason. `None`: beside the input.
    pub failures: Option<PathBuf>,
    /// Whether to begin again at the first line.
    pub restart: bool,
}

/// How an import went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Lines that an earlier run had done.
    pub skipped: u64,
    /// Lines that the server accepted now.
    pub accepted: u64,
    /// Lines in the failure file, of this run.
    pub rejected: u64,
}

/// Runs `job` against the server behind `channel`.
///
/// # Errors
/// When the input cannot be read, or the server goes away. What was acknowledged is kept: the same command goes on.
pub async fn run(channel: Transport, job: Job) -> Result<Summary> {
    let mut ledger = Ledger::open(&job.input, job.failures.as_deref(), job.restart)?;
    let total = source::count(&job.input)?;
    let bar = progress(job.mapping.noun(), total);
    bar.set_position(ledger.done());
    let skipped = ledger.done();
    let mapping = Arc::new(job.mapping);
    let rows = source::rows(&job.input)?;
    let customers = matches!(mapping.becomes, Becomes::Customer(_));
    let first_load = customers && first_load::is_one(&channel, total).await?;
    let mut outcomes = send::send(channel.clone(), mapping.clone(), first_load, lines(rows, skipped));
    let mut summary = Summary { skipped, ..Summary::default() };
    while let Some(outcome) = outcomes.recv().await {
        match outcome {
            Ok(Outcome { line, rejection: None }) => {
                summary.accepted += 1;
                ledger.accepted(line.number)?;
            }
            Ok(Outcome { line, rejection: Some(rejection) }) => {
                summary.rejected += 1;
                ledger.rejected(&line, &rejection)?;
            }
            Err(fault) => {
                ledger.save()?;
                bar.abandon();
                return Err(fault).with_context(|| {
                    format!(
                        "after line {} of {}; start the same command again to go on",
                        ledger.done(),
                        job.input.display()
                    )
                });
            }
        }
        bar.set_position(ledger.done());
    }
    ledger.finish()?;
    bar.finish();
    if first_load {
        first_load::complete(channel).await?;
    }
    Ok(summary)
}

/// The lines behind the first `skip`, numbered from 1.
fn lines(rows: source::Rows, skip: u64) -> impl Iterator<Item = Line> + Send + 'static {
    rows.zip(1..).skip(usize::try_from(skip).unwrap_or(usize::MAX)).map(|(row, number)| Line { number, row })
}

/// A bar that says what, how many and how fast. Hidden where there is no terminal.
pub fn progress(noun: &str, total: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("  {msg:14} {wide_bar:.cyan/dim} {human_pos:>8}/{human_len} {per_sec:>12}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(noun.to_owned())
}
