//! How fast memberships follow interactions. Prints figures; run with `--ignored --nocapture`.

mod world;

use std::time::{Duration, Instant};

use rapport_proto::feed::v1::event::Event;
use terms::{Clock, Revision, Service};
use testkit::Database;
use world::{World, customer};

const CUSTOMERS: u128 = 2_400;
const INTERACTIONS: usize = 50_000;

async fn rules(world: &World, count: usize) {
    for n in 0..count {
        let definition = match n % 5 {
            0 => format!(r#"count("purchase", duration("{}h")) >= {}"#, 24 * (n + 1), n % 7 + 1),
            1 => format!(r#"sum("purchase", "value", duration("8760h")) >= {}.0"#, 10 * n),
            2 => format!(r#"count("purchase") >= {} && count("purchase", duration("1440h")) == 0"#, n % 9),
            3 => format!(r#"customer.country == "C{}" && count("visit", duration("720h")) > 2"#, n % 40),
            _ => format!(r#"last("visit") > now - duration("{}h") || statements["diet"] == "vegan""#, n),
        };
        world.rule(&format!("s{n}"), &definition).await;
    }
}

async fn record(world: &World, n: usize) -> Revision {
    let mut events: Vec<(u128, Event)> = Vec::with_capacity(1_000);
    for k in n..n + 1_000 {
        let who = (k as u128 * 7_919) % CUSTOMERS;
        let mut recorded = world.recorded(who, if k % 3 == 0 { "visit" } else { "purchase" });
        recorded.occurred_at =
            Some(host::encode::timestamp(world.clock.now() - Duration::from_secs(300 * (k as u64 % 90_000))));
        recorded.value_micros = Some(5_000_000);
        recorded.currency = "USD".to_owned();
        recorded.properties =
            Some(host::encode::object(serde_json::json!({"sku": k, "store": "north"}).as_object().unwrap()));
        events.push((who, Event::InteractionRecorded(recorded)));
    }
    world.interaction_all(events).await
}

async fn measure(database: Database, segments: usize) {
    let name = database.name;
    let world = World::on(std::sync::Arc::new(database), &[]).await;
    rules(&world, segments).await;
    let mut revision = Revision::new();
    for n in 0..CUSTOMERS {
        revision = world.meet(n, serde_json::json!({"country": format!("C{}", n % 40), "age": n % 90})).await;
    }
    world.reach(&revision).await;
    let begun = Instant::now();
    let mut revision = Revision::new();
    for n in (0..INTERACTIONS).step_by(1_000) {
        revision.merge(&record(&world, n).await);
    }
    let recorded = begun.elapsed();
    world.reach(&revision).await;
    let followed = begun.elapsed();
    println!(
        "{name}, {segments} segments: {INTERACTIONS} interactions written to the feed in {recorded:?}, \
         followed in {followed:?}: {:.0}/s",
        INTERACTIONS as f64 / followed.as_secs_f64()
    );
    let mut times: Vec<Duration> = Vec::new();
    for n in 0..300 {
        let begun = Instant::now();
        let revision = world.happen(n % CUSTOMERS, "visit", 1).await;
        let written = begun.elapsed();
        world.reach(&revision).await;
        times.push(begun.elapsed() - written);
    }
    times.sort();
    println!("{name}, {segments} segments: interaction to membership p50 {:?}, p99 {:?}", times[150], times[297]);
    let begun = Instant::now();
    world.rule("late", r#"count("purchase", duration("720h")) >= 3"#).await;
    println!("{name}: a new segment over {CUSTOMERS} customers in {:?}", begun.elapsed());
    let _ = (customer(1), Service::Interaction);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn pace() {
    for segments in [0, 6, 100] {
        measure(Database::sqlite(), segments).await;
        if let Some(database) = Database::postgres().await {
            measure(database, segments).await;
        }
    }
}
