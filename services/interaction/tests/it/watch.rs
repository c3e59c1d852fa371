//! `WatchInteractions`: without gap or repetition, also across a resumption and a merge.

use std::time::Duration;

use rapport_proto::interaction::v1::*;
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use crate::world::{World, by_id, happening, worlds};

/// Longer than the heartbeat.
const PATIENCE: Duration = Duration::from_secs(25);

async fn record(world: &mut World, customer: terms::CustomerId, kind: &str) {
    let request =
        RecordInteractionRequest { interaction: Some(happening(by_id(customer), kind)), ..Default::default() };
    world.client.record_interaction(request).await.unwrap();
}

/// Reads on until `count` interactions have come; gives their types and the last cursor.
async fn take(stream: &mut Streaming<WatchInteractionsResponse>, count: usize) -> (Vec<String>, String) {
    let (mut kinds, mut cursor) = (Vec::new(), String::new());
    let until = Instant::now() + PATIENCE;
    while kinds.len() < count || cursor.is_empty() {
        let message = timeout_at(until, stream.message()).await;
        let message = message.unwrap_or_else(|_| panic!("{count} are waited for, {kinds:?} have come"));
        let message = message.unwrap().expect("the stream goes on");
        assert!(!message.cursor.is_empty());
        kinds.extend(message.interactions.into_iter().map(|i| i.r#type));
        cursor = message.cursor;
    }
    assert_eq!(kinds.len(), count, "{kinds:?}");
    (kinds, cursor)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_by_cursor() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let john = world.identity.create(&world.context.ids, "john@example.org");
        let all = WatchInteractionsRequest::default();
        let mut watching = world.client.watch_interactions(all.clone()).await.unwrap().into_inner();
        let (none, begin) = take(&mut watching, 0).await;
        assert!(none.is_empty());
        for kind in ["one", "two", "three"] {
            record(&mut world, jane, kind).await;
        }
        let (kinds, _) = take(&mut watching, 3).await;
        assert_eq!(kinds, ["one", "two", "three"]);
        drop(watching);
        record(&mut world, john, "four").await;
        record(&mut world, jane, "five.a").await;
        let resumed = WatchInteractionsRequest { cursor: begin.clone(), ..all.clone() };
        let mut watching = world.client.watch_interactions(resumed).await.unwrap().into_inner();
        let (mut kinds, cursor) = take(&mut watching, 5).await;
        kinds.sort();
        assert_eq!(kinds, ["five.a", "four", "one", "three", "two"]);
        record(&mut world, jane, "six").await;
        let later = WatchInteractionsRequest { cursor, ..all.clone() };
        let mut watching = world.client.watch_interactions(later).await.unwrap().into_inner();
        assert_eq!(take(&mut watching, 1).await.0, ["six"]);
        let of_jane = WatchInteractionsRequest { customer: by_id(jane), cursor: begin, types: vec!["five".to_owned()] };
        let mut watching = world.client.watch_interactions(of_jane).await.unwrap().into_inner();
        assert_eq!(take(&mut watching, 1).await.0, ["five.a"]);
        // What is written to an id that is merged into the one that is watched belongs to it.
        world.identity.merge(john, jane).await;
        record(&mut world, john, "five.b").await;
        assert_eq!(take(&mut watching, 1).await.0, ["five.b"]);
    }
}
