//! Matching through the store, on SQLite and PostgreSQL: any order ends in the batch, two replicas make one customer.

use std::sync::Arc;

use data::Sql;
use futures::future::join_all;
use identity::{SqlCustomers, migrations};
use identity_domain::{Customers, Identify, IdentifyInput, Policy, contract};
use profile::Marks;
use serde_json::{Value, json};
use terms::{Caller, Ids, Service, SystemClock, Timestamp};
use testkit::{TestStore, stores};

fn customers(store: data::Store) -> SqlCustomers {
    SqlCustomers::new(store, Arc::new(Ids::new(Arc::new(SystemClock))), Marks::in_process())
}

fn command(id: &str, traits: &[(&str, &str)]) -> Identify {
    let input = IdentifyInput {
        source: "crm".to_owned(),
        source_record_id: id.to_owned(),
        traits: traits.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect(),
        observed_at: Some(Timestamp::from_seconds(1_600_000_000)),
        create_if_missing: true,
        ..IdentifyInput::default()
    };
    Identify::check(input, &Arc::new(Policy::default()), Timestamp::from_seconds(2_000_000_000)).unwrap()
}

/// The same numbers every time.
struct Dice(u64);

impl Dice {
    fn pick<'v>(&mut self, values: &[&'v str]) -> &'v str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values[(self.0 >> 33) as usize % values.len()]
    }
}

/// A small town in which many look alike, in groups as they arrive; some are told anew.
fn town(seed: u64) -> Vec<Vec<Value>> {
    let mut dice = Dice(seed);
    let groups = 2 + seed as usize % 7;
    let somebody = |dice: &mut Dice| {
        json!({
            "first_name": dice.pick(&["Robert", "Bob", "Rob", "Mary", "Marie", "Mark", "J", "John", ""]),
            "last_name": dice.pick(&["Smith", "Smyth", "Smith Jr", "Smith Sr", "Kowalski", "Kovalski", ""]),
            "dob": dice.pick(&["1970-03-01", "1970-01-03", "1970-03-02", "1990-07-21", ""]),
            "street": dice.pick(&["12 Main St", "12 Main Street", "21 Main St", "7 Elm Rd", ""]),
            "city": "Springfield",
            "email": dice.pick(&["a@x.org", "b@x.org", "a@y.org", ""]),
            "phone": dice.pick(&["202-555-0101", "555-0101", "202-555-0199", ""]),
            "id": dice.pick(&["r1", "r2", "r3", "r4", ""]),
        })
    };
    (0..groups).map(|group| (0..1 + group % 3).map(|_| somebody(&mut dice)).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_order_ends_in_the_batch() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(store.store());
        for seed in 0..60 {
            contract::any_order_ends_in_the_batch(&customers, &format!("town-{seed}"), town(seed)).await;
        }
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

/// The same, where some carry cards and some of these change hands.
#[tokio::test(flavor = "multi_thread")]
async fn identifiers_and_resemblance() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(store.store());
        for seed in 0..40 {
            let mut dice = Dice(seed ^ 0x5eed);
            let mut groups = town(seed);
            for record in groups.iter_mut().flatten() {
                let cards = [dice.pick(&["crm:1", "crm:2", "crm:3", "crm:4", ""]), dice.pick(&["crm:5", "crm:1", ""])];
                record["identifiers"] = json!(cards.iter().filter(|card| !card.is_empty()).collect::<Vec<_>>());
                // Guards on customers see more than those on records.
                if record["last_name"].as_str().is_some_and(|name| name.contains(' ')) {
                    record["last_name"] = json!("Smith");
                }
            }
            contract::identifiers_and_resemblance(&customers, &format!("cards-{seed}"), groups).await;
        }
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

const HEADS: [&str; 8] = ["Aber", "Bram", "Crog", "Dunst", "Ever", "Fitz", "Gold", "Hux"];
const TAILS: [&str; 5] = ["nathy", "wick", "able", "morris", "ley"];

/// Forty people, each under two spellings, through two replicas that know nothing of each other, at once.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_find_each_others_records() {
    for store in stores(Service::Identity, migrations).await {
        let another = if store.name() == "postgres" { store.another().await } else { store.store() };
        let replicas = [Arc::new(customers(store.store())), Arc::new(customers(another))];
        let calls = (0..40_usize).flat_map(|n| {
            let family = format!("{}{}", HEADS[n % 8], TAILS[n / 8]);
            let (town, email) = (format!("{}ville", HEADS[(n + 3) % 8]), format!("{family}.{n}@mail.example"));
            let day = format!("19{}-{:02}-{:02}", 30 + n * 2 % 70, 1 + n * 5 % 12, 1 + n * 11 % 28);
            [("Rosalind", "Street"), ("Rosalynd", "St")]
                .into_iter()
                .enumerate()
                .map(|(replica, (given, street))| {
                    let (store, id) = (replicas[replica].clone(), format!("{n}-{replica}"));
                    let address = format!("{} {} {street}, {town}", 3 + n * 7, TAILS[n % 5]);
                    let traits = [
                        ("first_name", given),
                        ("last_name", family.as_str()),
                        ("dob", day.as_str()),
                        ("address", address.as_str()),
                        ("email", email.as_str()),
                    ];
                    let command = command(&id, &traits);
                    tokio::spawn(async move {
                        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
                        store.identify(&caller, None, command).await.unwrap().value.customer.unwrap()
                    })
                })
                .collect::<Vec<_>>()
        });
        let ids: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
        let tenant = "default".parse().unwrap();
        for pair in ids.chunks(2) {
            let now = replicas[0].resolve(&tenant, pair).await.unwrap();
            assert_eq!(now[0], now[1], "{}: {pair:?}", store.name());
        }
        assert_eq!(store.count("customer").await, 40, "{}", store.name());
    }
}

/// A small town in which many look alike tells its records anew again and again, to two replicas at once.
#[tokio::test(flavor = "multi_thread")]
async fn at_once_ends_in_the_batch() {
    for store in stores(Service::Identity, migrations).await {
        let another = if store.name() == "postgres" { store.another().await } else { store.store() };
        let replicas = [Arc::new(customers(store.store())), Arc::new(customers(another))];
        let clients = (0..8_u64).map(|client| {
            let store = replicas[client as usize % 2].clone();
            tokio::spawn(async move {
                let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
                let mut dice = Dice(client);
                for _ in 0..25 {
                    let traits = [
                        ("first_name", dice.pick(&["Robert", "Bob", "Mary", "Marie", "John"])),
                        ("last_name", dice.pick(&["Smith", "Smyth", "Kowalski", "Kovalski"])),
                        ("dob", dice.pick(&["1970-03-01", "1970-03-02", "1990-07-21"])),
                        ("street", dice.pick(&["12 Main St", "12 Main Street", "7 Elm Rd"])),
                        ("city", "Springfield"),
                    ];
                    let id = dice.pick(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
                    store.identify(&caller, None, command(id, &traits)).await.unwrap();
                }
            })
        });
        for client in join_all(clients).await {
            client.unwrap();
        }
        contract::ends_in_the_batch(&*replicas[0], "default").await;
        assert_eq!(store.idle_in_transaction().await, 0);
    }
}

/// Nobody can read from the files of the matcher what a record says, and nobody is filed who has nothing to compare.
#[tokio::test(flavor = "multi_thread")]
async fn files_hold_nothing_in_the_clear() {
    for store in stores(Service::Identity, migrations).await {
        let customers = customers(store.store());
        let caller = Caller::all_powerful("default".parse().unwrap(), "tester");
        customers.identify(&caller, None, command("1", &[("note", "x"), ("city", "Bonn")])).await.unwrap();
        assert_eq!(filed(&store).await, [0, 0, 0], "{}", store.name());
        for (id, name) in [("2", "Ottilie Vandenberg"), ("3", "Ottilie Vandenbergh")] {
            let traits = [("name", name), ("dob", "1961-08-19"), ("city", "Shelbyville")];
            customers.identify(&caller, None, command(id, &traits)).await.unwrap();
        }
        assert_eq!(filed(&store).await, [2, 2, 2], "{}", store.name());
        for row in store.reader().rows("SELECT tenant || matcher FROM match_pair", vec![]).await.unwrap() {
            let text: String = row.try_get_by_index(0).unwrap();
            assert!(!text.to_lowercase().contains("ottilie"), "{}", store.name());
        }
    }
}

async fn filed(store: &TestStore) -> [u64; 3] {
    [store.count("match_record").await, numbered(store).await, store.count("match_pair").await]
}

/// How many records are filed under keys.
async fn numbered(store: &TestStore) -> u64 {
    let row = store.reader().row("SELECT COUNT(*) FROM match_record WHERE keys IS NOT NULL", vec![]).await.unwrap();
    row.unwrap().try_get_by_index::<i64>(0).unwrap().unsigned_abs()
}
