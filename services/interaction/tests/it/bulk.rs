//! `RecordInteractions`: one verdict each, in order; and how fast.

use std::{io::Write, time::Instant};

use data::Sql;
use rapport_proto::interaction::v1::{record_verdict::Outcome, *};
use terms::CustomerId;
use tonic::Code;

use crate::world::{World, by_id, happening, worlds};

fn record(customer: CustomerId, n: usize) -> RecordInteractionsRequest {
    let mut input = happening(by_id(customer), ["page.view", "purchase", "support.call"][n % 3]);
    input.touchpoint = "checkout".to_owned();
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(n as f64)) };
    input.properties = Some(prost_types::Struct { fields: [("n".to_owned(), number)].into_iter().collect() });
    RecordInteractionsRequest { interaction: Some(input), correlation: n.to_string() }
}

async fn send(world: &mut World, records: Vec<RecordInteractionsRequest>) -> (Vec<RecordVerdict>, String) {
    let stream = world.client.record_interactions(tokio_stream::iter(records)).await;
    let mut stream = stream.unwrap().into_inner();
    let (mut verdicts, mut revision) = (Vec::new(), String::new());
    while let Some(message) = stream.message().await.unwrap() {
        verdicts.extend(message.verdicts);
        revision = message.revision;
    }
    (verdicts, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_come_in_order_and_bad_records_do_not_end_the_stream() {
    for mut world in worlds().await {
        let customers: Vec<CustomerId> =
            (0..50).map(|n| world.identity.create(&world.context.ids, &format!("c{n}@example.org"))).collect();
        let mut records: Vec<_> = (0..3_000).map(|n| record(customers[n % 50], n)).collect();
        records[7].interaction.as_mut().unwrap().r#type = "Not A Key".to_owned();
        records[8].interaction = None;
        records[9].interaction.as_mut().unwrap().customer = by_id(world.context.ids.next());
        records[10].correlation = "x".repeat(129);
        let (verdicts, revision) = send(&mut world, records).await;
        assert_eq!(verdicts.len(), 3_000);
        for (n, verdict) in verdicts.iter().enumerate() {
            assert_eq!(verdict.index, n as u64);
            match (n, verdict.outcome.as_ref().unwrap()) {
                (7 | 8 | 10, Outcome::Error(status)) => assert_eq!(status.code, Code::InvalidArgument as i32),
                (9, Outcome::Error(status)) => assert_eq!(status.code, Code::NotFound as i32),
                (_, Outcome::Recorded(recorded)) => {
                    assert_eq!(recorded.customer_id, customers[n % 50].to_string());
                    assert_eq!(verdict.correlation, n.to_string());
                }
                (_, Outcome::Error(status)) => panic!("{n}: {status:?}"),
            }
        }
        let list = ListInteractionsRequest {
            customer: by_id(customers[0]),
            page_size: 1_000,
            at_least: revision,
            ..Default::default()
        };
        let listed = world.client.list_interactions(list).await.unwrap().into_inner().interactions;
        assert_eq!(listed.len(), 60);
    }
}

/// Not a bar: `load` measures those. Run by hand, with `--ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; takes its time"]
async fn how_fast() {
    for mut world in worlds().await {
        let customers: Vec<CustomerId> =
            (0..2_000).map(|n| world.identity.create(&world.context.ids, &format!("c{n}@example.org"))).collect();
        for round in 0..3 {
            let total = 20_000;
            let records: Vec<_> = (0..total).map(|n| record(customers[(n * 7) % 2_000], n)).collect();
            let begun = Instant::now();
            let (verdicts, _) = send(&mut world, records).await;
            let took = begun.elapsed();
            assert!(verdicts.iter().all(|v| matches!(v.outcome, Some(Outcome::Recorded(_)))));
            let raw = raw(&world, total).await;
            let rate = |time: std::time::Duration| total as f64 / time.as_secs_f64();
            let _ = writeln!(
                std::io::stderr(),
                "{} round {round}: stream {:.0}/s, raw inserts {:.0}/s, ratio {:.2}",
                world.store.name(),
                rate(took),
                rate(raw),
                rate(took) / rate(raw)
            );
        }
    }
}

/// Copies the newest rows into a table of the same shape, 1,000 a transaction: what the database takes without us.
async fn raw(world: &World, total: usize) -> std::time::Duration {
    let store = world.store.store();
    let setup = "CREATE TABLE IF NOT EXISTS floor AS SELECT * FROM interaction WHERE 1 = 0";
    store.write(move |tx| Box::pin(async move { tx.conn().run(setup, vec![]).await })).await.unwrap();
    let index = "CREATE UNIQUE INDEX IF NOT EXISTS floor_id ON floor (tenant, id)";
    store.write(move |tx| Box::pin(async move { tx.conn().run(index, vec![]).await })).await.unwrap();
    let index = "CREATE INDEX IF NOT EXISTS floor_timeline ON floor (tenant, customer, occurred_at, id)";
    store.write(move |tx| Box::pin(async move { tx.conn().run(index, vec![]).await })).await.unwrap();
    let begun = Instant::now();
    for _ in 0..total / 1_000 {
        store.write(|tx| Box::pin(floor(tx))).await.unwrap();
    }
    begun.elapsed()
}

/// 1,000 rows of the same width, bound one by one.
async fn floor(tx: &data::Tx) -> Result<(), terms::Fault> {
    const COLUMNS: &str = "tenant, id, customer, arrived_as, type, channel, touchpoint, direction, directness, \
        motivation, inducement, occurred_at, recorded_at, currency, source, properties";
    for _ in 0..4 {
        let mut values: Vec<sea_orm::Value> = Vec::with_capacity(250 * 16);
        for _ in 0..250 {
            let id = fresh();
            let now = tx.now().micros();
            let text = |text: &str| sea_orm::Value::from(text);
            values.extend([
                text("default"),
                id.into(),
                id.into(),
                id.into(),
                text("page.view"),
                text("web"),
                text("checkout"),
            ]);
            values.extend([
                1i16.into(),
                1i16.into(),
                1i16.into(),
                text(""),
                now.into(),
                now.into(),
                text(""),
                text(""),
            ]);
            values.push(b"{\"n\":1.0}".to_vec().into());
        }
        let sql =
            format!("INSERT INTO floor ({COLUMNS}) VALUES {}", data::sql::parameters(data::Dialect::Sqlite, 250, 16));
        tx.conn().run(&sql, values).await?;
    }
    Ok(())
}

fn fresh() -> uuid::Uuid {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    uuid::Uuid::from_u128((0x0190 << 112) | u128::from(COUNT.fetch_add(1, Ordering::Relaxed)))
}
