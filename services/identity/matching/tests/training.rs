//! Training is deterministic and goes on where it stopped; models survive storage.

use identity_matching::{
    corpus::Corpus,
    model::Model,
    train::{self, Label, Trainer},
};

fn corpus() -> (Model, Corpus) {
    let people = people::synthetic::people(800, 3);
    let mut corpus = Corpus::new();
    people.records.iter().for_each(|record| {
        corpus.push(record);
    });
    let model = train::prepare(&Model::default(), &mut corpus);
    (model, corpus)
}

#[test]
fn training_resumes_where_it_stopped() {
    let (model, corpus) = corpus();
    let mut whole = Trainer::new(&model, &corpus, &[]);
    whole.run(6, |_| {});
    let mut first = Trainer::new(&model, &corpus, &[]);
    first.run(3, |_| {});
    let stored = serde_json::to_string(first.state()).expect("a state is data");
    let state = serde_json::from_str(&stored).expect("the same state");
    let mut second = Trainer::resume(&model, &corpus, &[], state);
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
    let (mut with, mut without) = (Trainer::new(&model, &corpus, &labels), Trainer::new(&model, &corpus, &[]));
    with.step();
    without.step();
    assert_eq!(with.model(), without.model(), "strangers teach nothing about how one person's records agree");
    let labels: Vec<Label> = labels.into_iter().map(|label| Label { same: true, ..label }).collect();
    let mut with = Trainer::new(&model, &corpus, &labels);
    with.step();
    assert_ne!(with.model(), without.model());
}
