use serde_json::json;

use super::*;

fn input(key: &str, source: &str, traits: &Value) -> MatchInput {
    let traits = traits.as_object().unwrap().clone().into_iter().collect();
    MatchInput { key: key.to_owned(), source: source.to_owned(), traits, ..MatchInput::default() }
}

fn matched(inputs: &[MatchInput], link_only: bool) -> Matched {
    let mut set = DataSet::new(Arc::default());
    for input in inputs {
        set.push(input.clone()).unwrap();
    }
    let matcher = Matcher::default();
    let question = Question { link_only, explained: 2, ..Question::new(&matcher, &Policy::default(), None) };
    set.matched(&matcher, question, |_, _| true).unwrap()
}

fn town() -> Vec<MatchInput> {
    let jane = json!({ "first_name": "Jane", "last_name": "Kowalski", "dob": "1970-03-01",
        "street": "12 Elm Street", "city": "Springfield", "email": "jane.kowalski@mail.example" });
    let jayne = json!({ "name": "Jane Kowalsky", "birth_date": "1970-03-01", "address": "12 Elm St, Springfield",
        "email": "jane.kowalski@mail.example" });
    let otto = json!({ "name": "Otto Brahms", "dob": "1931-11-30", "city": "Bonn" });
    vec![
        input("b", "shop", &jane),
        input("a", "branch", &jayne),
        input("c", "branch", &jayne),
        input("d", "shop", &otto),
        input("e", "shop", &json!({ "name": "Jane Kowalski" })),
    ]
}

#[test]
fn records_of_one_party_are_one_cluster_in_any_order() {
    let mut town = town();
    let forward = matched(&town, false);
    let keys: Vec<Vec<&str>> = forward.clusters.iter().map(|c| c.keys.iter().map(String::as_str).collect()).collect();
    assert_eq!(keys, [vec!["a", "b", "c"], vec!["d"], vec!["e"]]);
    let first = &forward.clusters[0];
    assert!(first.confidence > 0.9 && first.confidence < 1.0, "{first:?}");
    assert!((forward.clusters[1].confidence - 1.0).abs() < f64::EPSILON);
    assert_eq!((forward.compared, forward.linked), (3, 3));
    assert_eq!(forward.explained.len(), 2);
    let (pair, explanation) = &forward.explained[0];
    assert_eq!((pair.left.as_str(), pair.score), ("a", explanation.score));
    town.reverse();
    let backward = matched(&town, false);
    assert_eq!(backward.clusters, forward.clusters);
    assert_eq!(backward.explained, forward.explained);
}

#[test]
fn only_records_of_different_sources_are_compared_where_that_is_asked() {
    let matched = matched(&town(), true);
    assert_eq!((matched.compared, matched.linked), (2, 2));
    assert_eq!(matched.clusters[0].keys, ["a", "b", "c"], "they are one through the third");
}

#[test]
fn it_stops_when_it_is_told_to() {
    let mut set = DataSet::new(Arc::default());
    town().into_iter().for_each(|input| set.push(input).unwrap());
    let matcher = Matcher::default();
    let question = Question::new(&matcher, &Policy::default(), None);
    assert!(set.matched(&matcher, question, |_, _| false).is_none());
}

#[test]
fn wrong_records_are_refused() {
    let mut set = DataSet::new(Arc::default());
    let wrong = |set: &mut DataSet, input: MatchInput| {
        let fault = set.push(input).unwrap_err();
        assert_eq!(fault.reason(), Reason::InvalidFields);
        fault.violations()[0].field.clone()
    };
    set.push(input("a", "", &json!({}))).unwrap();
    assert_eq!(wrong(&mut set, input("", "", &json!({}))), "key");
    assert_eq!(wrong(&mut set, input("a", "", &json!({}))), "key");
    assert_eq!(wrong(&mut set, input("b", "a\u{7}", &json!({}))), "source");
    assert!(wrong(&mut set, input("b", "", &json!({ "a\u{0}": 1 }))).starts_with("traits"));
    assert_eq!(set.len(), 1);
}
