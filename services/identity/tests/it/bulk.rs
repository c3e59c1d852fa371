//! `MatchRecords`, on SQLite and PostgreSQL.

use std::{fs, path::Path, time::Duration};

use data::{Operation, operations::Outcome};
use host::config::Loader;
use identity::migrations;
use prost::Message;
use rapport_proto::{identity::v1::*, r#type::v1::Identifier};
use terms::Service;
use testkit::stores;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{Replica, tenant, traits};

/// A replica that reads and writes files in a directory.
async fn serve(store: data::Store, directory: &Path) -> Replica {
    let directory = directory.to_str().unwrap();
    let settings = ["identity.import_directory", "identity.export_directory"];
    let loader =
        settings.into_iter().fold(Loader::new().allow("identity"), |loader, key| loader.flag("test", key, directory));
    let config = loader.load().unwrap_or_else(|problems| panic!("{problems}"));
    Replica::configured(store, config).await
}

/// Matches, and waits.
trait Matches {
    async fn ended(&mut self, request: MatchRecordsRequest) -> Operation;
    async fn matched(&mut self, request: MatchRecordsRequest) -> MatchRecordsResponse;
}

impl Matches for Replica {
    async fn ended(&mut self, request: MatchRecordsRequest) -> Operation {
        let accepted = self.client.match_records(request).await.unwrap().into_inner();
        let id = accepted.name.strip_prefix("operations/identity/").expect("a name").parse().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        self.operations.wait(&tenant(), id, until).await.unwrap().unwrap()
    }

    async fn matched(&mut self, request: MatchRecordsRequest) -> MatchRecordsResponse {
        match self.ended(request).await.outcome {
            Some(Outcome::Response(any)) => MatchRecordsResponse::decode(&*any.value).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

fn record(key: &str, source: &str, said: &[(&str, &str)]) -> MatchInput {
    MatchInput { key: key.to_owned(), source: source.to_owned(), traits: traits(said), ..MatchInput::default() }
}

fn town() -> Vec<MatchInput> {
    let jane = [
        ("first_name", "Jane"),
        ("last_name", "Kowalski"),
        ("dob", "1970-03-01"),
        ("street", "12 Elm Street"),
        ("city", "Springfield"),
        ("email", "jane.kowalski@mail.example"),
    ];
    let jayne = [
        ("name", "Jane Kowalsky"),
        ("birth_date", "1970-03-01"),
        ("address", "12 Elm St, Springfield"),
        ("email", "jane.kowalski@mail.example"),
    ];
    let mut third = record("c", "branch", &jayne[..3]);
    let email = Identifier { namespace: "email".to_owned(), value: " Jane.Kowalski@MAIL.example".to_owned() };
    third.identifiers.push(email);
    vec![
        record("b", "shop", &jane),
        record("a", "branch", &jayne),
        third,
        record("d", "shop", &[("name", "Otto Brahms"), ("dob", "1931-11-30"), ("city", "Bonn")]),
    ]
}

fn clusters(response: &MatchRecordsResponse) -> Vec<Vec<&str>> {
    response.clusters.iter().map(|cluster| cluster.keys.iter().map(String::as_str).collect()).collect()
}

fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_the_request() {
    for store in stores(Service::Identity, migrations).await {
        let directory = tempfile::tempdir().unwrap();
        let mut served = serve(store.store(), directory.path()).await;
        let request = MatchRecordsRequest { records: town(), max_pairs_returned: 2, ..MatchRecordsRequest::default() };
        let response = served.matched(request.clone()).await;
        assert_eq!(clusters(&response), [vec!["a", "b", "c"], vec!["d"]], "{}", store.name());
        assert_eq!((response.record_count, response.cluster_count), (4, 2));
        assert_eq!((response.compared_pair_count, response.linked_pair_count, response.pairs.len()), (3, 3, 2));
        for pair in &response.pairs {
            let sum: f64 = pair.comparisons.iter().map(|step| step.weight + step.term_frequency_weight).sum();
            assert!((sum - pair.weight).abs() < 1e-6, "the waterfall is the weight: {pair:?}");
        }
        assert!(response.clusters[0].confidence > 0.9 && response.clusters[0].confidence < 1.0);
        assert_eq!(served.matched(request.clone()).await, response, "the same again");
        assert_eq!(store.count("customer").await, 0, "{}: no customer", store.name());
        // Only records of different sources; and nothing is sure enough.
        let linked = served.matched(MatchRecordsRequest { link_only: true, ..request.clone() }).await;
        assert_eq!((linked.compared_pair_count, linked.cluster_count), (2, 2));
        let strict = served.matched(MatchRecordsRequest { threshold: 1.0, ..request }).await;
        assert_eq!((strict.cluster_count, strict.linked_pair_count), (4, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_in_a_file() {
    for store in stores(Service::Identity, migrations).await {
        let directory = tempfile::tempdir().unwrap();
        let csv = "id,Source,First Name,Surname,DOB,City,Email\n\
                   1,a,Jane,Kowalski,1970-03-01,Springfield,jane.k@mail.example\n\
                   2,b,Jane,Kowalsky,1970-03-01,Springfield,jane.k@mail.example\n\
                   3,b,Otto,Brahms,1931-11-30,Bonn,\n";
        fs::write(directory.path().join("town.csv"), csv).unwrap();
        fs::write(directory.path().join("broken.csv"), "id,name\n1,x\n1,y\n").unwrap();
        let mut served = serve(store.store(), directory.path()).await;
        let file = |uri: &str| MatchRecordsRequest { uri: uri.to_owned(), ..MatchRecordsRequest::default() };
        let response = served.matched(file("file:town.csv")).await;
        assert_eq!(clusters(&response), [vec!["1", "2"], vec!["3"]], "{}", store.name());
        let output_uri = "file:results/today".to_owned();
        let written =
            served.matched(MatchRecordsRequest { output_uri: output_uri.clone(), ..file("file:town.csv") }).await;
        assert_eq!((written.clusters.len(), written.cluster_count, written.output_uri), (0, 2, output_uri));
        let folder = directory.path().join("results/today");
        let text = fs::read_to_string(folder.join("clusters.csv")).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').take(2).collect()).collect();
        assert_eq!(rows, [["cluster_id", "key"], ["1", "1"], ["1", "2"], ["3", "3"]]);
        let candidates = fs::read_to_string(folder.join("candidates.csv")).unwrap();
        assert_eq!(candidates, "left_key,right_key,weight,probability\n");
        // What cannot be read is told when it is read.
        match served.ended(file("file:broken.csv")).await.outcome {
            Some(Outcome::Error(status)) => {
                assert_eq!(Code::from_i32(status.code), Code::InvalidArgument);
                assert!(status.message.contains("line 3"), "{}", status.message);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_wrong() {
    for store in stores(Service::Identity, migrations).await {
        let directory = tempfile::tempdir().unwrap();
        let mut served = serve(store.store(), directory.path()).await;
        let none = served.client.match_records(MatchRecordsRequest::default()).await.unwrap_err();
        assert_eq!((none.code(), fields(&none)), (Code::InvalidArgument, vec!["records".to_owned()]));
        let mut twice = town();
        twice[1].key = "b".to_owned();
        twice[2].identifiers[0].value = "nobody".to_owned();
        let wrong = MatchRecordsRequest {
            records: twice,
            uri: "file:../elsewhere.csv".to_owned(),
            output_uri: "/etc".to_owned(),
            threshold: 2.0,
            max_pairs_returned: -1,
            ..MatchRecordsRequest::default()
        };
        let status = served.client.match_records(wrong).await.unwrap_err();
        let mut told = fields(&status);
        told.sort();
        let expected =
            ["max_pairs_returned", "output_uri", "records", "records[2].identifiers[0].value", "threshold", "uri"];
        assert_eq!(told, expected, "{}", store.name());
        let mut twice = town();
        twice[1].key = "b".to_owned();
        let request = MatchRecordsRequest { records: twice, ..MatchRecordsRequest::default() };
        assert_eq!(fields(&served.client.match_records(request).await.unwrap_err()), ["records[1].key"]);
        let request = MatchRecordsRequest { records: town(), matcher_id: "mat_x".to_owned(), ..Default::default() };
        assert_eq!(served.client.match_records(request).await.unwrap_err().code(), Code::NotFound);
        let request = MatchRecordsRequest { records: town(), validate_only: true, ..Default::default() };
        assert_eq!(served.client.match_records(request).await.unwrap().into_inner().name, "");
        assert_eq!(store.count("operation").await, 0);
    }
}
