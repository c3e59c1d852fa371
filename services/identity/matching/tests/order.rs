//! The outcome depends on the records and not on their order; online and batch agree.

use std::collections::BTreeMap;

use identity_matching::{
    batch::match_records,
    corpus::Corpus,
    explain::Step,
    guard::CannotLinks,
    model::Model,
    online::OnlineMatcher,
    record::{Address, BirthDate, PersonName, Record, RecordKey},
    score::Scorer,
    weight::Weight,
};
use proptest::prelude::*;

/// A small town in which many look alike.
fn a_record(key: RecordKey) -> impl Strategy<Value = Record> {
    let pick = |values: &'static [&'static str]| prop::sample::select(values);
    (
        pick(&["Robert", "Bob", "Rob", "Mary", "Marie", "Mark", "J", "John", ""]),
        pick(&["Smith", "Smyth", "Smith Jr", "Smith Sr", "Kowalski", "Kovalski", ""]),
        pick(&["1970-03-01", "1970-01-03", "1970-03-02", "1990-07-21", ""]),
        pick(&["12 Main St", "12 Main Street", "21 Main St", "7 Elm Rd", ""]),
        pick(&["a@x.org", "b@x.org", "a@y.org", ""]),
        pick(&["202-555-0101", "555-0101", "202-555-0199", ""]),
    )
        .prop_map(move |(given, family, born, street, email, phone)| Record {
            key,
            names: vec![PersonName { given: given.into(), family: family.into(), ..PersonName::default() }],
            birth_date: Some(BirthDate::Text(born.into())),
            addresses: vec![Address { street: street.into(), locality: "Springfield".into(), ..Address::default() }],
            emails: vec![email.into()],
            phones: vec![phone.into()],
            ..Record::default()
        })
}

fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    (2..most).prop_flat_map(|n| (0..n).map(|at| a_record(100 + at as RecordKey)).collect::<Vec<_>>())
}

/// A model for a town; `coverage` switches on what pairs up the lonely.
fn town(coverage: bool) -> Model {
    let coverage = if coverage { Weight(5_000) } else { Weight::ZERO };
    Model { prior: Weight(-9_000), relatives: Weight(-9_500), coverage, ..Model::default() }
}

/// Cluster by record, clusters named by their least key.
fn batch(model: &Model, records: &[Record], cannot_links: &CannotLinks) -> BTreeMap<RecordKey, RecordKey> {
    let mut corpus = Corpus::new();
    records.iter().for_each(|record| {
        corpus.push(record);
    });
    corpus.weigh(&model.frequencies);
    let outcome = match_records(model, &corpus, cannot_links);
    let mut least: BTreeMap<u32, RecordKey> = BTreeMap::new();
    for (index, cluster) in outcome.cluster.iter().enumerate() {
        let name = least.entry(*cluster).or_insert(RecordKey::MAX);
        *name = (*name).min(corpus.key(index as u32));
    }
    outcome.cluster.iter().enumerate().map(|(index, cluster)| (corpus.key(index as u32), least[cluster])).collect()
}

fn online(matcher: &OnlineMatcher, records: &[Record]) -> BTreeMap<RecordKey, RecordKey> {
    records.iter().filter_map(|record| Some((record.key, matcher.cluster_of(record.key)?))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_order_of_arrival_ends_in_the_batch(
        (sorted, arrived) in records(14).prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        coverage: bool,
    ) {
        let model = town(coverage);
        let expected = batch(&model, &sorted, &CannotLinks::default());
        prop_assert_eq!(&batch(&model, &arrived, &CannotLinks::default()), &expected);
        let mut matcher = OnlineMatcher::new(model);
        for record in &arrived {
            matcher.upsert(record);
        }
        prop_assert_eq!(&online(&matcher, &arrived), &expected);
    }

    #[test]
    fn changes_removals_and_cannot_links_end_in_the_batch_of_what_is_left(
        first in records(10),
        second in records(10),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        apart in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
    ) {
        let model = town(false);
        let mut matcher = OnlineMatcher::new(model.clone());
        let mut left: BTreeMap<RecordKey, Record> = BTreeMap::new();
        for record in first.iter().chain(&second) {
            matcher.upsert(record);
            left.insert(record.key, record.clone());
        }
        let mut cannot_links = CannotLinks::default();
        for (a, b) in apart {
            let (a, b) = (a.get(&first).key, b.get(&first).key);
            cannot_links.insert(a, b);
            matcher.set_cannot_link(a, b, true);
        }
        for index in removed {
            let key = index.get(&first).key;
            matcher.remove(key);
            left.remove(&key);
        }
        let left: Vec<Record> = left.into_values().collect();
        prop_assert_eq!(online(&matcher, &left), batch(&model, &left, &cannot_links));
        prop_assert_eq!(matcher.len(), left.len());
        for record in &left {
            let cluster = matcher.cluster_of(record.key).expect("a cluster");
            prop_assert!(matcher.members(cluster).contains(&record.key));
        }
    }

    #[test]
    fn a_cannot_link_and_its_end_are_inverse(all in records(12), pair in any::<[prop::sample::Index; 2]>()) {
        let mut matcher = OnlineMatcher::new(town(false));
        for record in &all {
            matcher.upsert(record);
        }
        let before = online(&matcher, &all);
        let [a, b] = pair.map(|index| index.get(&all).key);
        prop_assume!(a != b);
        matcher.set_cannot_link(a, b, true);
        prop_assert_ne!(matcher.cluster_of(a), matcher.cluster_of(b));
        matcher.set_cannot_link(a, b, false);
        prop_assert_eq!(online(&matcher, &all), before);
    }

    #[test]
    fn parts_sum_exactly_to_the_score(all in records(6)) {
        let model = town(false);
        let mut matcher = OnlineMatcher::new(model.clone());
        for record in &all {
            matcher.upsert(record);
        }
        let weights = model.weights();
        let scorer = Scorer::new(matcher.corpus(), &weights);
        for a in &all {
            for b in &all {
                let explanation = matcher.explain(a.key, b.key).expect("both are there");
                let sum: Weight = explanation.steps.iter().map(Step::total).sum();
                prop_assert_eq!(sum, explanation.score);
                let (x, y) = (matcher.corpus().index(a.key).unwrap(), matcher.corpus().index(b.key).unwrap());
                prop_assert_eq!(scorer.score(x, y), explanation.score);
                prop_assert_eq!(scorer.score(y, x), explanation.score, "the same in either order");
            }
        }
    }

    #[test]
    fn seniors_and_juniors_stay_apart(all in records(14)) {
        let mut matcher = OnlineMatcher::new(town(false));
        for record in &all {
            matcher.upsert(record);
        }
        for a in &all {
            for b in &all {
                if a.names[0].family.ends_with("Jr") && b.names[0].family.ends_with("Sr") {
                    prop_assert_ne!(matcher.cluster_of(a.key), matcher.cluster_of(b.key));
                }
            }
        }
    }
}
