//! `TrainMatcher`, and records that are filed anew, on SQLite and PostgreSQL.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use data::{Operation, Sql, StoreOptions, operations::Outcome};
use identity::{SqlCustomers, migrations};
use identity_domain::{
    Customers, Identify, IdentifyInput, Policy, RecordId, contract,
    matching::{Matches, Trained},
};
use profile::Marks;
use prost::Message;
use rapport_proto::identity::v1::*;
use serde_json::Value;
use terms::{Ids, Service, SystemClock, Timestamp};
use testkit::{TestStore, eventually, eventually_some, stores_with};
use tokio::time::Instant;
use tonic::Code;

use crate::world::{Replica, caller, tenant};

/// Trains, and waits.
trait Trains {
    async fn train(&mut self, request: TrainMatcherRequest) -> Operation;
    async fn ended(&self, operation: &Operation) -> Operation;
}

impl Trains for Replica {
    async fn train(&mut self, request: TrainMatcherRequest) -> Operation {
        let accepted = self.client.train_matcher(request).await.unwrap().into_inner();
        let id = accepted.name.strip_prefix("operations/identity/").expect("a name").parse().unwrap();
        self.operations.get(&tenant(), id).await.unwrap().unwrap()
    }

    async fn ended(&self, operation: &Operation) -> Operation {
        let until = Instant::now() + Duration::from_secs(120);
        let ended = self.operations.wait(&tenant(), operation.id, until).await.unwrap().unwrap();
        assert!(ended.outcome.is_some(), "{ended:?}");
        ended
    }
}

fn trained(operation: &Operation) -> TrainMatcherResponse {
    match &operation.outcome {
        Some(Outcome::Response(any)) => TrainMatcherResponse::decode(&*any.value).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Leases are short, so that a replica that died is followed soon.
async fn stores() -> Vec<TestStore> {
    let options =
        || StoreOptions { operation_lease: Duration::from_millis(600), ..StoreOptions::new(Arc::new(SystemClock)) };
    stores_with(Service::Identity, migrations, options).await
}

fn customers(store: &TestStore) -> SqlCustomers {
    SqlCustomers::new(store.store(), Arc::new(Ids::new(Arc::new(SystemClock))), Marks::in_process())
}

const HEADS: [&str; 8] = ["Aber", "Bram", "Crog", "Dunst", "Ever", "Fitz", "Gold", "Hux"];
const TAILS: [&str; 6] = ["nathy", "wick", "able", "morris", "ley", "stein"];
const GIVEN: [[&str; 2]; 6] = [
    ["Rosalind", "Rosalynd"],
    ["Bartholomew", "Bartholemew"],
    ["Robert", "Bob"],
    ["Margaret", "Maggie"],
    ["Catherine", "Katherine"],
    ["Jonathan", "Jonathon"],
];

/// Somebody as one of two sources knows them: the second mistypes, has moved, or knows no date of birth.
fn somebody(n: usize, source: usize, policy: &Arc<Policy>) -> Identify {
    let family = format!("{}{}", HEADS[n % 8], TAILS[n / 8 % 6]);
    let given = GIVEN[n / 5 % 6][source];
    let day = format!("19{:02}-{:02}-{:02}", 30 + n * 7 % 70, 1 + n * 5 % 12, 1 + n * 11 % 28);
    let moved = source * usize::from(n.is_multiple_of(4));
    let mut traits = vec![
        ("first_name", given.to_owned()),
        ("last_name", family.clone()),
        ("address", format!("{} {} Street, {}ville", 3 + n * 7 + moved, TAILS[(n + moved) % 6], HEADS[(n + 3) % 8])),
        ("email", format!("{family}.{}@mail.example", n + moved * 1_000).to_lowercase()),
    ];
    if source == 0 || !n.is_multiple_of(3) {
        traits.push(("dob", day));
    }
    let input = IdentifyInput {
        source: ["shop", "branch"][source].to_owned(),
        source_record_id: n.to_string(),
        traits: traits.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect(),
        observed_at: Some(Timestamp::from_seconds(1_600_000_000)),
        create_if_missing: true,
        ..IdentifyInput::default()
    };
    Identify::check(input, policy, Timestamp::from_seconds(2_000_000_000)).unwrap()
}

async fn settle_town(customers: &SqlCustomers, people: usize, policy: &Policy) {
    let policy = Arc::new(policy.clone());
    settle(customers, town(people, &policy)).await;
}

fn town(people: usize, policy: &Arc<Policy>) -> Vec<Identify> {
    (0..people).flat_map(|n| [0, 1].map(|source| somebody(n, source, policy))).collect()
}

async fn settle(customers: &SqlCustomers, commands: Vec<Identify>) {
    for group in commands.chunks(32) {
        let verdicts = customers.identify_many(&caller(), group.to_vec()).await.unwrap().value;
        assert!(verdicts.iter().all(Result::is_ok));
    }
}

async fn text(store: &TestStore, sql: &str) -> String {
    let row = store.reader().row(sql, vec![]).await.unwrap().unwrap();
    row.try_get_by_index::<Option<String>>(0).unwrap().unwrap_or_default()
}

/// The clusters as they are filed.
async fn filed(store: &TestStore) -> contract::Parts {
    let mut clusters: BTreeMap<uuid::Uuid, BTreeSet<RecordId>> = BTreeMap::new();
    for row in store.reader().rows("SELECT cluster, record FROM match_record", vec![]).await.unwrap() {
        let record = RecordId::from_uuid(row.try_get_by_index(1).unwrap());
        clusters.entry(row.try_get_by_index(0).unwrap()).or_default().insert(record);
    }
    clusters.into_values().collect()
}

/// Every record is filed and clustered by the matcher in force, as the batch does it, and the clusters are the customers.
async fn all_is_by_the_matcher_in_force(store: &TestStore) -> Trained {
    let customers = customers(store);
    let in_force = customers.matcher(&tenant(), "").await.unwrap().unwrap();
    let (online, batch) = contract::customers_and_the_batch(&customers, "default", &in_force.matcher).await;
    assert!(filed(store).await == batch, "{}: the clusters are not those of the batch", store.name());
    assert!(online == batch, "{}: the customers are not those of the batch", store.name());
    let versions = "SELECT MIN(matcher) || ' ' || MAX(matcher) FROM match_pair";
    let version = in_force.matcher.version();
    assert_eq!(text(store, versions).await, format!("{version} {version}"), "{}", store.name());
    assert!(in_force.matcher.is_settled(), "{}", store.name());
    assert_eq!(store.count("match_refile").await, 0);
    in_force
}

#[tokio::test(flavor = "multi_thread")]
async fn a_matcher_is_trained_and_put_in_force() {
    for store in stores().await {
        settle_town(&customers(&store), 60, &Policy::default()).await;
        let mut replica = Replica::new(store.store()).await;
        let request = TrainMatcherRequest { request_id: "t1".to_owned(), ..TrainMatcherRequest::default() };
        let first = replica.train(request.clone()).await;
        let idle = trained(&replica.ended(&first).await);
        let matcher = idle.matcher.unwrap();
        assert!(!matcher.active && matcher.trained_on_records == 120 && matcher.create_time.is_some(), "{matcher:?}");
        assert!(matcher.prior_probability < 1.01e-4, "of more than were trained on: {}", matcher.prior_probability);
        assert!(idle.iterations > 1 && idle.log_likelihood < 0.0, "{} {}", idle.iterations, idle.log_likelihood);
        assert_eq!(replica.train(request).await.id, first.id, "the same request is the same operation");
        let get = |version: &str| GetMatcherRequest { matcher_id: version.to_owned(), ..GetMatcherRequest::default() };
        let shipped = replica.client.get_matcher(get("")).await.unwrap().into_inner().matcher.unwrap();
        assert_eq!((shipped.matcher_id.as_str(), shipped.active), ("default", true), "nobody asked for another");
        let same = replica.client.get_matcher(get(&matcher.matcher_id)).await.unwrap().into_inner().matcher.unwrap();
        assert_eq!(same, matcher);

        // The same again, and in force.
        let request = TrainMatcherRequest { activate: true, ..TrainMatcherRequest::default() };
        let second = replica.train(request.clone()).await;
        let response = trained(&replica.ended(&second).await);
        let active = response.matcher.unwrap();
        assert!(active.active && active.matcher_id != matcher.matcher_id);
        assert_eq!(active.comparisons, matcher.comparisons, "the same data give the same matcher");
        assert_eq!((response.iterations, response.converged), (idle.iterations, idle.converged));
        let in_force = all_is_by_the_matcher_in_force(&store).await;
        assert_eq!(in_force.matcher.version(), active.matcher_id);
        let shipped = replica.client.get_matcher(get("default")).await.unwrap().into_inner().matcher.unwrap();
        assert!(!shipped.active);
        // Whoever comes later is matched by it; and a third follows the second.
        let reply = customers(&store).identify(&caller(), None, somebody(7, 1, &Arc::default())).await.unwrap();
        assert!(!reply.value.created);
        let third = replica.train(TrainMatcherRequest { random_seed: 9, ..request }).await;
        let third = trained(&replica.ended(&third).await).matcher.unwrap();
        assert_eq!(all_is_by_the_matcher_in_force(&store).await.matcher.version(), third.matcher_id);
        assert_eq!(store.count("matcher").await, 3);
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_that_is_killed_ends_with_the_same_matcher() {
    for store in stores().await {
        settle_town(&customers(&store), 100, &Policy::default()).await;
        let mut replica = Replica::new(store.store()).await;
        let request = TrainMatcherRequest { activate: true, ..TrainMatcherRequest::default() };
        let whole = replica.train(TrainMatcherRequest { activate: false, ..request.clone() }).await;
        let whole = trained(&replica.ended(&whole).await);
        let operation = replica.train(request).await;
        let (mut kills, mut before) = (0, String::new());
        // Wherever it is by then: while it reads, while it trains, while it files.
        for after in [20, 300, 600] {
            let owner = "SELECT owner FROM operation ORDER BY id DESC LIMIT 1";
            let now = eventually_some("somebody takes it up", async || {
                let ended = replica.operations.get(&tenant(), operation.id).await.unwrap().unwrap().outcome.is_some();
                let now = text(&store, owner).await;
                (ended || (!now.is_empty() && now != before)).then_some(now)
            });
            before = now.await;
            tokio::time::sleep(Duration::from_millis(after)).await;
            let open = replica.operations.get(&tenant(), operation.id).await.unwrap().unwrap().outcome.is_none();
            kills += usize::from(open);
            replica.kill();
            let next = if store.name() == "postgres" { store.another().await } else { store.store() };
            replica = Replica::new(next).await;
        }
        assert!(kills > 0, "{}: it was never killed", store.name());
        let resumed = trained(&replica.ended(&operation).await);
        assert_eq!(
            (resumed.iterations, resumed.converged, resumed.log_likelihood.to_bits()),
            (whole.iterations, whole.converged, whole.log_likelihood.to_bits()),
            "{}",
            store.name()
        );
        let (resumed, whole) = (resumed.matcher.unwrap(), whole.matcher.unwrap());
        assert_eq!((&resumed.comparisons, resumed.prior_probability), (&whole.comparisons, whole.prior_probability));
        let models = "SELECT CAST(COUNT(*) AS TEXT) FROM matcher";
        assert_eq!(text(&store, models).await, "2", "{}: it is stored once", store.name());
        all_is_by_the_matcher_in_force(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trained() {
    for store in stores().await {
        let mut replica = Replica::new(store.store()).await;
        let wrong = TrainMatcherRequest {
            kind: rapport_proto::r#type::v1::CustomerKind::Household.into(),
            max_pairs: -1,
            max_iterations: 1 << 20,
            ..TrainMatcherRequest::default()
        };
        let status = replica.client.train_matcher(wrong).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let only_checked = TrainMatcherRequest { validate_only: true, ..TrainMatcherRequest::default() };
        let checked = replica.client.train_matcher(only_checked).await.unwrap().into_inner();
        assert_eq!((checked.name.as_str(), store.count("operation").await), ("", 0));
        let operation = replica.train(TrainMatcherRequest::default()).await;
        match replica.ended(&operation).await.outcome {
            Some(Outcome::Error(status)) => assert_eq!(Code::from_i32(status.code), Code::NotFound),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_the_time_before_matching_are_matched() {
    for store in stores().await {
        let mut before = Policy::default();
        before.thresholds.probabilistic_disabled = true;
        settle_town(&customers(&store), 40, &before).await;
        let ours = format!("{}: nobody is compared", store.name());
        assert_eq!((store.count("match_record").await, store.count("customer").await), (0, 80), "{ours}");
        // As the migration leaves it.
        let todo = "INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until) \
                    SELECT DISTINCT tenant, 0, 'file', 0, '', 0 FROM record";
        store.write(move |tx| Box::pin(async move { tx.conn().run(todo, vec![]).await })).await.unwrap();
        let replicas = [Replica::new(store.store()).await, Replica::new(store.another().await).await];
        eventually("all is filed", || async { store.count("match_refile").await == 0 }).await;
        all_is_by_the_matcher_in_force(&store).await;
        assert!(store.count("customer").await < 60, "{}", store.name());
        drop(replicas);
    }
}

/// A first load: records whose matching is put off.
async fn load_town(customers: &SqlCustomers, people: usize) {
    let town = town(people, &Arc::default()).into_iter();
    settle(customers, town.map(|command| Identify { defer_matching: true, ..command }).collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_is_compared_when_it_is_over() {
    for store in stores().await {
        let customers = customers(&store);
        load_town(&customers, 60).await;
        let counts = async || [store.count("customer").await, store.count("match_pair").await];
        assert_eq!(counts().await, [120, 0], "{}: nobody is compared yet", store.name());
        // Whoever comes meanwhile is compared with whoever else came meanwhile.
        let late = async |source| {
            let command = somebody(1_001, source, &Arc::default());
            customers.identify(&caller(), None, command).await.unwrap().value
        };
        let (first, second) = (late(0).await, late(1).await);
        assert!(first.created && !second.created && first.customer == second.customer, "{}", store.name());
        // Told again, and differently, before it was compared.
        let again = Identify { observed_at: Timestamp::from_seconds(1_600_000_001), ..somebody(7, 1, &Arc::default()) };
        let told = [("last_name".to_owned(), Some("Zebrowski".into()))].into();
        let again = Identify { defer_matching: true, traits: told, ..again };
        customers.identify_many(&caller(), vec![again]).await.unwrap().value.remove(0).unwrap();
        let mut replica = Replica::new(store.store()).await;
        let request = TrainMatcherRequest { activate: true, ..TrainMatcherRequest::default() };
        let training = replica.train(request).await;
        trained(&replica.ended(&training).await);
        all_is_by_the_matcher_in_force(&store).await;
        assert!(store.count("customer").await < 90, "{}", store.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_nobody_ends_is_compared_by_itself() {
    for store in stores().await {
        load_town(&customers(&store), 20).await;
        // As if half a minute had passed.
        let over = "UPDATE match_refile SET lease_until = 0";
        store.write(move |tx| Box::pin(async move { tx.conn().run(over, vec![]).await })).await.unwrap();
        let replica = Replica::new(store.store()).await;
        eventually("all is filed", || async { store.count("match_refile").await == 0 }).await;
        all_is_by_the_matcher_in_force(&store).await;
        drop(replica);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_matching_again_gets_it_for_what_came_meanwhile() {
    for store in stores().await {
        let mut replica = Replica::new(store.store()).await;
        let disabled = |disabled: bool| UpdateIdentityPolicyRequest {
            policy: Some(IdentityPolicy {
                thresholds: Some(MatchThresholds { probabilistic_disabled: disabled, ..MatchThresholds::default() }),
                ..IdentityPolicy::default()
            }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["thresholds".to_owned()] }),
            ..UpdateIdentityPolicyRequest::default()
        };
        replica.client.update_identity_policy(disabled(true)).await.unwrap();
        let mut off = Policy::default();
        off.thresholds.probabilistic_disabled = true;
        settle_town(&customers(&store), 10, &off).await;
        assert_eq!(store.count("customer").await, 20, "{}", store.name());
        replica.client.update_identity_policy(disabled(false)).await.unwrap();
        eventually("all is filed", || async { store.count("match_refile").await == 0 }).await;
        all_is_by_the_matcher_in_force(&store).await;
        assert!(store.count("customer").await < 16, "{}", store.name());
    }
}
