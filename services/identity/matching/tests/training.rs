//! Training is deterministic and goes on where it stopped; models survive storage.

use identity_matching::{
    corpus::Corpus,
    model::Model,
    train::{self, Label, Options, Trainer},
};

fn corpus() -> (Model, Corpus) {
    let people = people::synthetic::people(800, 3);
    let mut corpus = Corpus::new();
    people.records.iter().for_each(|record| {
        corpus.push(record);
    });
    let model = train::prepare(&Model::default(), &mut corpus, Options::default());
    (model, corpus)
}

#[test]
fn training_resumes_where_it_stopped() {
    let (model, corpus) = corpus();
    let mut whole = Trainer::new(&model, &corpus, &[], 0);
    whole.run(6, |_| {});
    let mut first = Trainer::new(&model, &corpus, &[], 0);
    first.run(3, |_| {});
    let stored = serde_json::to_string(first.state()).expect("a state is data");
    let state = serde_json::from_str(&stored).expect("the same state");
    let mut second = Trainer::resume(&model, &corpus, &[], 0, state);
    let mut rounds = Vec::new();
    second.run(6, |state| rounds.push(state.round));
    assert_eq!(second.model(), whole.model());
    assert_eq!(rounds.last(), Some(&whole.state().round));
}

#[test]
fn models_survive_storage() {
    let (model, _) = corpus();
    let stored = serde_json::to_string(&model).expect("a model is data");
    assert_eq!(serde_json::from_str::<Model>(&stored).expect("the same model"), model);
}

#[test]
fn a_decision_teaches() {
    let (model, corpus) = corpus();
    let labels: Vec<Label> = (0..100).map(|at| Label { a: at, b: at + 400, same: false }).collect();
    let (mut with, mut without) = (Trainer::new(&model, &corpus, &labels, 0), Trainer::new(&model, &corpus, &[], 0));
    with.step();
    without.step();
    assert_eq!(with.model(), without.model(), "strangers teach nothing about how one person's records agree");
    let labels: Vec<Label> = labels.into_iter().map(|label| Label { same: true, ..label }).collect();
    let mut with = Trainer::new(&model, &corpus, &labels, 0);
    with.step();
    assert_ne!(with.model(), without.model());
}

#[test]
fn training_makes_the_data_likelier_until_nothing_moves() {
    let (model, corpus) = corpus();
    let mut trainer = Trainer::new(&model, &corpus, &[], 0);
    let mut likelihoods = Vec::new();
    trainer.run(200, |state| likelihoods.push(state.likelihood));
    assert!(trainer.state().has_converged(), "{:?}", trainer.state().change);
    let (first, last) = (likelihoods[0], likelihoods[likelihoods.len() - 1]);
    assert!(first.is_finite() && last < 0.0 && last > first, "{likelihoods:?}");
}

#[test]
fn the_seed_decides_which_pairs_are_drawn() {
    let prepared = |seed: u64| {
        let people = people::synthetic::people(800, 3);
        let mut corpus = Corpus::new();
        people.records.iter().for_each(|record| {
            corpus.push(record);
        });
        train::prepare(&Model::default(), &mut corpus, Options { seed, random_pairs: 2_000, ..Options::default() })
    };
    assert_eq!(prepared(7), prepared(7));
    assert_ne!(prepared(7).comparisons, prepared(8).comparisons);
}
