//! How right matching is on every published set, each figure beside its bar.

use anyhow::Result;
use identity_matching::{
    batch::{Outcome, match_records},
    corpus::Corpus,
    evaluate::{self, Confusion},
    guard::CannotLinks,
    model::Model,
    record::PersonName,
    train,
};

use crate::{People, published};

/// A published set, the least F1 over pairs within clusters, and what a rival reached.
pub struct Bar {
    pub name: &'static str,
    pub load: fn() -> Result<Option<People>>,
    pub least_f1: f64,
    pub least_precision: f64,
}

/// The bars. Truth and prediction are partitions; what is counted are the pairs within their clusters.
pub const BARS: [Bar; 5] = [
    Bar { name: "FEBRL 4", load: || published::febrl4(true), least_f1: 0.9998, least_precision: 0.99 },
    Bar { name: "FEBRL 4 without SSN", load: || published::febrl4(false), least_f1: 0.9985, least_precision: 0.99 },
    Bar { name: "fake_1000", load: published::fake_1000, least_f1: 0.93, least_precision: 0.99 },
    Bar { name: "RLdata10000", load: published::rldata10000, least_f1: 0.92, least_precision: 0.99 },
    Bar { name: "Senzing truth set", load: published::senzing_truth_set, least_f1: 0.972, least_precision: 0.99 },
];

/// What matching a set without labels, by the shipped model and thresholds, came to.
pub struct Measured {
    pub confusion: Confusion,
    /// Clusters in which a senior and a junior met.
    pub generations_mixed: usize,
    pub outcome: Outcome,
}

/// Adapts the shipped model to the set, matches, and compares with the truth.
pub fn measure(people: &People) -> Measured {
    let mut corpus = Corpus::new();
    for record in &people.records {
        corpus.push(record);
    }
    let model = train::adapt(&Model::default(), &mut corpus);
    let outcome = match_records(&model, &corpus, &CannotLinks::default());
    let confusion = evaluate::clusters(&people.truth, &outcome.cluster);
    Measured { confusion, generations_mixed: generations_mixed(people, &outcome), outcome }
}

fn generations_mixed(people: &People, outcome: &Outcome) -> usize {
    let mut found = std::collections::BTreeMap::new();
    for (record, cluster) in people.records.iter().zip(&outcome.cluster) {
        for name in record.names.iter().map(generation).filter(|generation| *generation > 0) {
            found.entry(cluster).or_insert_with(std::collections::BTreeSet::new).insert(name);
        }
    }
    found.values().filter(|generations| generations.len() > 1).count()
}

fn generation(name: &PersonName) -> u8 {
    identity_matching::normalize::name::normalize(name).generation
}

/// Prints the table; false if a bar was missed.
pub fn print() -> Result<bool> {
    println!("{:<20} {:>9} {:>8} {:>9} {:>8} {:>8} {:>6}  ", "set", "F1", "bar", "precision", "bar", "recall", "Sr/Jr");
    let mut passed = true;
    for bar in BARS {
        let Some(people) = (bar.load)()? else { continue };
        let Measured { confusion, generations_mixed, .. } = measure(&people);
        let (f1, precision) = (confusion.f1(), confusion.precision());
        let good = f1 >= bar.least_f1 && precision >= bar.least_precision && generations_mixed == 0;
        passed &= good;
        let recall = confusion.recall();
        println!(
            "{:<20} {f1:>9.5} {:>8} {precision:>9.5} {:>8} {recall:>8.5} {generations_mixed:>6}  {}",
            bar.name,
            bar.least_f1,
            bar.least_precision,
            if good { "reached" } else { "MISSED" }
        );
    }
    Ok(passed)
}
