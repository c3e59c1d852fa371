//! `rapport match`: which records of a file are one party. It runs here, without a server and without storing anything, by
//! what `MatchRecords` runs on a server.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use flate2::read::GzDecoder;
use identity::bulk::{
    Matcher, Policy,
    match_records::{DataSet, Question},
    table::{self, Columns, Format, Rows},
    write,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::import::progress;

/// What `rapport match` takes.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// The file: .csv, .jsonl or .ndjson, with .gz or without. A CSV names its columns in the first line.
    pub input: PathBuf,
    /// The folder for `clusters.csv` (the cluster of every record) and `candidates.csv` (the pairs that a person should
    /// look at). It is made if it is not there.
    #[arg(long)]
    pub out: PathBuf,
    /// What a column means that is not called what it is: `fname=first_name`, `nr=key`, `file=source`. A birth date in three
    /// columns: `birth_year`, `birth_month`, `birth_day`. Nothing behind the `=`: not compared. Repeat for each column.
    #[arg(long, value_name = "COLUMN=TRAIT", value_parser = renamed)]
    pub map: Vec<(String, String)>,
    /// The probability from which on two records are one party; else that of the shipped model.
    #[arg(long, value_name = "PROBABILITY")]
    pub threshold: Option<f64>,
    /// Compare only records of different sources.
    #[arg(long)]
    pub link_only: bool,
}

fn renamed(text: &str) -> Result<(String, String), String> {
    let (column, name) = text.split_once('=').ok_or("write it as COLUMN=TRAIT")?;
    Ok((column.trim().to_owned(), name.trim().to_owned()))
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Records read.
    pub records: usize,
    /// Clusters, single records included.
    pub clusters: usize,
    /// Clusters of two records and more.
    pub joined: usize,
    /// Pairs compared.
    pub compared: u64,
    /// Pairs from the threshold on.
    pub linked: u64,
    /// Pairs that a person should look at.
    pub candidates: usize,
}

/// Reads, matches and writes.
///
/// # Errors
/// When the file cannot be read as records, or the folder cannot be written.
pub fn run(args: &Args) -> Result<Summary> {
    ensure!(args.threshold.is_none_or(|p| p > 0.0 && p <= 1.0), "--threshold must be above 0 and at most 1");
    let columns = Columns::new(args.map.iter().cloned());
    let bar = progress("records", rows(&args.input, &columns)?.count() as u64);
    let policy = Arc::new(Policy::default());
    let mut set = DataSet::new(policy.clone());
    for (line, row) in rows(&args.input, &columns)? {
        let record = row.map_err(|why| anyhow!("line {line} of {} {why}", args.input.display()))?;
        set.push(record).with_context(|| format!("line {line} of {}", args.input.display()))?;
        bar.inc(1);
    }
    bar.finish();
    ensure!(!set.is_empty(), "{} holds no records", args.input.display());
    let fitting = ProgressBar::new_spinner().with_message("fitting the model to the data");
    fitting.set_style(
        ProgressStyle::with_template("  {msg} {spinner}").unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    fitting.enable_steady_tick(std::time::Duration::from_millis(100));
    let matcher = Matcher::default();
    let question = Question { link_only: args.link_only, ..Question::new(&matcher, &policy, args.threshold) };
    let (records, bar) = (set.len(), progress("pairs", 0));
    let report = |done: u64, most: u64| {
        fitting.finish_and_clear();
        bar.set_length(most);
        bar.set_position(done);
        true
    };
    let matched = set.matched(&matcher, question, report).context("the comparison was stopped")?;
    bar.finish();
    write(&args.out, &matched).with_context(|| format!("cannot write to {}", args.out.display()))?;
    Ok(Summary {
        records,
        clusters: matched.clusters.len(),
        joined: matched.clusters.iter().filter(|cluster| cluster.keys.len() > 1).count(),
        compared: matched.compared,
        linked: matched.linked,
        candidates: matched.review.len(),
    })
}

fn rows(path: &Path, columns: &Columns) -> Result<Rows> {
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let named = if packed { path.with_extension("") } else { path.to_owned() };
    let Some(format) = Format::of(&named) else {
        bail!("{}: the name must end in .csv, .jsonl or .ndjson, with .gz or without", path.display());
    };
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let input: Box<dyn Read + Send> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    table::read(input, format, columns.clone()).map_err(|why| anyhow!("{}: {why}", path.display()))
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { records, clusters, joined, compared, linked, candidates } = self;
        writeln!(f, "{records} records are {clusters} parties, {joined} of them with several records")?;
        write!(f, "{compared} pairs compared, {linked} linked, {candidates} for a person to look at")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_matched() {
        let home = tempfile::tempdir().unwrap();
        let (input, out) = (home.path().join("people.csv"), home.path().join("out/today"));
        let csv = "nr,given,Surname,by,bm,bd,City,E-Mail\n\
                   1,Jane,Kowalski,1970,3,1,Springfield,jane.k@mail.example\n\
                   2,Jane,Kowalsky,1970,3,1,Springfield,jane.k@mail.example\n\
                   3,Otto,Brahms,1931,11,30,Bonn,\n";
        fs::write(&input, csv).unwrap();
        let map = ["nr=key", "given=first_name", "by=birth_year", "bm=birth_month", "bd=birth_day"];
        let map = map.map(|text| renamed(text).unwrap()).to_vec();
        let args = Args { input, out: out.clone(), map, threshold: None, link_only: false };
        let summary = run(&args).unwrap();
        assert_eq!((summary.records, summary.clusters, summary.joined, summary.linked), (3, 2, 1, 1));
        assert!(
            fs::read_to_string(out.join("clusters.csv")).unwrap().starts_with("cluster_id,key,confidence\n1,1,0.9")
        );
        assert!(out.join("candidates.csv").exists());
        assert!(run(&Args { threshold: Some(1.5), ..args.clone() }).is_err());
        assert!(run(&Args { input: home.path().join("people.parquet"), ..args }).is_err());
    }
}
