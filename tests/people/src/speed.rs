//! How fast matching is on synthetic people: CPU seconds of each stage, pairs per CPU second, peak memory.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use identity_matching::{
    batch::match_records, block::Blocks, corpus::Corpus, evaluate, guard::CannotLinks, model::Model, record::BirthDate,
    score::Scorer, train,
};

use crate::{People, synthetic};

/// Splink's pairs per CPU second on real data, as published with the bars.
pub const SPLINK_PAIRS: f64 = 142_000.0;

/// CPU seconds of a whole run: fitting, scoring, clustering.
pub struct Run {
    pub pairs: u64,
    pub total: f64,
    /// Blocking and scoring alone.
    pub score: f64,
}

/// Generates, matches and prints the stages. The records come back only if they are to be kept; kept, they count into
/// the peak of the memory.
pub fn measure(records: usize, seed: u64, keep: bool) -> Result<(People, Run)> {
    let mut watch = Watch::start()?;
    let mut people = synthetic::people(records, seed);
    println!("\n{records} records, seed {seed}\n{:<34} {:>12}", "stage", "CPU s");
    let mut lap = |stage: &str| -> Result<f64> {
        let seconds = watch.lap()?;
        println!("{stage:<34} {seconds:>12.3}");
        Ok(seconds)
    };
    lap("generate")?;
    let mut corpus = Corpus::new();
    for record in &people.records {
        corpus.push(record);
    }
    // What was handed in is the caller's memory, not the matcher's.
    let handed_in = if keep { Vec::new() } else { std::mem::take(&mut people.records) };
    drop(handed_in);
    let normalize = lap("normalise and intern")?;
    let prepared = train::prepare(&Model::default(), &mut corpus, train::Options::default());
    let prepare = lap("frequencies, stop keys, u")?;
    let mut trainer = train::Trainer::new(&prepared, &corpus, &[], 0);
    trainer.run(10, |_| {});
    let model = train::finish(trainer.model(), &corpus);
    let training = lap("m, prior (training)")?;
    let weights = model.weights();
    let scorer = Scorer::new(&corpus, &weights);
    let blocks = Blocks::new(&corpus, &model.stop_keys);
    let block = lap("block")?;
    let (mut above, thresholds) = (0u64, model.thresholds);
    let report = blocks.for_each_pair(|a, b| {
        let score = scorer.score_from(a, b, thresholds.review);
        above += u64::from(score.is_some_and(|score| score >= thresholds.merge));
    });
    drop(blocks);
    let score = lap("score every pair")?;
    let outcome = match_records(&model, &corpus, &CannotLinks::default());
    let matching = lap("block, score and cluster")?;
    let confusion = evaluate::clusters(&people.truth, &outcome.cluster);
    let total = normalize + prepare + training + matching;
    println!("{:<34} {total:>12.3}", "in all (without the score-only run)");
    println!("pairs                              {:>12}", report.pairs);
    println!("pairs above the threshold          {above:>12}");
    println!("blocks refined or dropped          {:>12}", report.stop_keys);
    println!("pairs per CPU second, scoring      {:>12.0}", report.pairs as f64 / score);
    println!(
        "the same with blocking             {:>12.0}  ({:.1} times {SPLINK_PAIRS:.0}; bar 5)",
        report.pairs as f64 / (score + block),
        report.pairs as f64 / (score + block) / SPLINK_PAIRS
    );
    println!("peak memory, MiB                   {:>12.0}  (bar 2048 at 1,000,000)", peak_memory()?);
    println!("precision {:.5}, recall {:.5}, F1 {:.5}", confusion.precision(), confusion.recall(), confusion.f1());
    Ok((people, Run { pairs: report.pairs, total, score: score + block }))
}

/// Runs Splink on the same people in a virtual environment, and prints the ratio.
pub fn against_splink(people: &People, run: &Run, work: &Path) -> Result<()> {
    std::fs::create_dir_all(work)?;
    let (file, script, venv) = (work.join("people.csv"), work.join("splink_run.py"), work.join("venv"));
    write_csv(people, &file)?;
    std::fs::write(&script, include_str!("splink_run.py"))?;
    if !venv.join("bin/splink-is-here").exists() {
        ensure!(Command::new("python3").args(["-m", "venv"]).arg(&venv).status()?.success(), "no virtual environment");
        let pip = Command::new(venv.join("bin/pip")).args(["install", "--quiet", "splink", "pandas"]).status()?;
        ensure!(pip.success(), "pip could not install splink");
        std::fs::write(venv.join("bin/splink-is-here"), "")?;
    }
    let output = Command::new(venv.join("bin/python")).arg(&script).arg(&file).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "Splink failed: {}", String::from_utf8_lossy(&output.stderr));
    let figure = |name: &str| -> Result<f64> {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}: {text}"))?;
        Ok(line.trim().parse()?)
    };
    let (pairs, score, total) = (figure("pairs ")?, figure("score ")?, figure("total ")?);
    let (ours, theirs) = (run.pairs as f64 / run.score, pairs / score);
    println!("\n{:<34} {:>12} {:>12} {:>8} {:>6}", "", "Splink", "ours", "ratio", "bar");
    println!("{:<34} {:>12.0} {:>12.0} {:>8.1} {:>6}", "pairs per CPU second", theirs, ours, ours / theirs, 5);
    println!(
        "{:<34} {total:>12.1} {:>12.1} {:>8.1} {:>6}",
        "CPU s, train, score, cluster",
        run.total,
        total / run.total,
        5
    );
    println!("{:<34} {pairs:>12.0} {:>12}", "pairs", run.pairs);
    println!("{:<34} {:>12.0}", "peak memory of Splink, MiB", figure("memory ")?);
    Ok(())
}

fn write_csv(people: &People, file: &Path) -> Result<()> {
    let mut writer = csv::Writer::from_path(file)?;
    writer.write_record([
        "unique_id",
        "given",
        "family",
        "dob",
        "street",
        "locality",
        "postcode",
        "email",
        "phone",
        "truth",
    ])?;
    for (record, truth) in people.records.iter().zip(&people.truth) {
        let (name, address) = (&record.names[0], &record.addresses[0]);
        let born = match &record.birth_date {
            Some(BirthDate::Text(text)) => text.as_str(),
            _ => "",
        };
        let street = format!("{} {}", address.number, address.street);
        writer.write_record([
            record.key.to_string().as_str(),
            &name.given,
            &name.family,
            born,
            &street,
            &address.locality,
            &address.postcode,
            &record.emails[0],
            &record.phones[0],
            truth,
        ])?;
    }
    Ok(writer.flush()?)
}

/// CPU time of this process, lap by lap.
struct Watch {
    last: f64,
}

impl Watch {
    fn start() -> Result<Watch> {
        Ok(Watch { last: cpu_seconds()? })
    }
    fn lap(&mut self) -> Result<f64> {
        let now = cpu_seconds()?;
        Ok(now - std::mem::replace(&mut self.last, now))
    }
}

/// User and system time, from `/proc/self/stat` in ticks of 10 ms.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("a process name")?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).context("ticks");
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn peak_memory() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("peak memory")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
