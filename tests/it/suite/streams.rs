//! Streams that are cut and resumed by cursor: no gap, no repetition.

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by_id},
    suite::Shape,
    until::{LONG, until},
};
use rapport_proto::{
    feed::v1::{PartitionCursor, WatchRequest, event::Event},
    identity::v1::{IdentifyRequest, IdentifyStreamRequest, identify_verdict},
    interaction::v1::{InteractionInput, RecordInteractionsRequest, WatchInteractionsRequest, record_verdict},
    segmentation::v1::WatchSegmentRequest,
};
use serde_json::json;
use terms::Service;

in_both_shapes!(
    watchers_resume_where_they_stopped,
    the_feed_resumes_where_it_stopped,
    bulk_gives_each_record_its_verdict
);

async fn watchers_resume_where_they_stopped(shape: Shape) {
    let app = App::new(shape, "watched");
    watched_interactions(&app).await.expect("interactions, each once");
    watched_segment(&app).await.expect("transitions, each once");
}

async fn watched_interactions(app: &App) -> Result<()> {
    let id = app.identify(&[("crm", "1")], json!({})).await?.customer_id;
    let mut seen = Vec::new();
    let mut recorded = Vec::new();
    let mut cursor = String::new();
    for cut in 0..3 {
        let request = WatchInteractionsRequest {
            customer: Some(by_id(&id)),
            cursor: cursor.clone(),
            ..WatchInteractionsRequest::default()
        };
        let mut stream = app.interaction().watch_interactions(request).await?.into_inner();
        for _ in 0..3 {
            let visit = app.record(by_id(&id), "visit", cut).await?;
            recorded.push(visit.interaction.context("the visit")?.interaction_id);
        }
        // The last one is left for the next stream.
        while seen.len() + 1 < recorded.len() {
            let message = tokio::time::timeout(LONG, stream.message()).await.context("silence")??;
            let message = message.context("the stream goes on")?;
            for interaction in message.interactions {
                seen.push(interaction.interaction_id);
            }
            cursor = message.cursor;
        }
    }
    let last = WatchInteractionsRequest { customer: Some(by_id(&id)), cursor, ..WatchInteractionsRequest::default() };
    let mut stream = app.interaction().watch_interactions(last).await?.into_inner();
    while seen.len() < recorded.len() {
        let message = tokio::time::timeout(LONG, stream.message()).await.context("silence")??;
        seen.extend(message.context("the stream goes on")?.interactions.into_iter().map(|i| i.interaction_id));
    }
    ensure!(seen == recorded, "{seen:?}\n{recorded:?}");
    Ok(())
}

async fn watched_segment(app: &App) -> Result<()> {
    let built = app.segment("callers", r#"count("call") >= 1"#).await?;
    let nobody = app.identify(&[("crm", "nobody")], json!({})).await?.customer_id;
    app.member(by_id(&nobody), "callers", &built.revision).await?;
    let mut entered = Vec::new();
    let mut called = Vec::new();
    let mut cursor = String::new();
    for round in 0..4 {
        let request = WatchSegmentRequest {
            segment: "callers".to_owned(),
            cursor: cursor.clone(),
            ..WatchSegmentRequest::default()
        };
        let mut stream = app.segmentation().watch_segment(request).await?.into_inner();
        for caller in 0..2 {
            let id = app.identify(&[("crm", &format!("caller-{round}-{caller}"))], json!({})).await?.customer_id;
            app.record(by_id(&id), "call", 0).await?;
            called.push(id);
        }
        // The last one is left for the next stream, but for the last stream.
        let enough = if round == 3 { called.len() } else { called.len() - 1 };
        while entered.len() < enough {
            let message = tokio::time::timeout(LONG, stream.message()).await.context("silence")??;
            let message = message.context("the stream goes on")?;
            entered.extend(message.transitions.into_iter().filter(|t| t.entered).map(|t| t.customer_id));
            cursor = message.cursor;
        }
    }
    // Between customers there is no order.
    entered.sort();
    called.sort();
    ensure!(entered == called, "{entered:?}\n{called:?}");
    Ok(())
}

async fn the_feed_resumes_where_it_stopped(shape: Shape) {
    feed(&App::new(shape, "feed")).await.expect("entries, each once");
}

async fn feed(app: &App) -> Result<()> {
    let mut created = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut cursors: Vec<PartitionCursor> = Vec::new();
    for round in 0..3 {
        for number in 0..5 {
            let known = app.identify(&[("crm", &format!("{round}-{number}"))], json!({})).await?;
            created.push(known.customer_id);
        }
        let request = WatchRequest {
            service: "identity".to_owned(),
            partitions: cursors.clone(),
            types: vec!["customer.changed".to_owned()],
            max_entries: 3,
            ..WatchRequest::default()
        };
        let mut stream = app.feed(Service::Identity).watch(request).await?.into_inner();
        let enough = created.len() - usize::from(round < 2);
        while seen.len() < enough {
            let message = tokio::time::timeout(LONG, stream.message()).await.context("silence")??;
            let message = message.context("the feed goes on")?;
            ensure!(message.entries.len() <= 3, "{} entries at once", message.entries.len());
            for entry in message.entries {
                ensure!(entry.tenant == app.tenant && entry.r#type == "customer.changed", "{entry:?}");
                match entry.event.and_then(|event| event.event) {
                    Some(Event::CustomerChanged(changed)) if changed.created => seen.push(changed.customer_id),
                    other => anyhow::bail!("{other:?}"),
                }
            }
            for moved in message.cursors {
                cursors.retain(|cursor| cursor.partition != moved.partition);
                cursors.push(moved);
            }
            // A cursor for every partition: one without would begin at the oldest entry.
            for partition in 0..message.partition_count {
                if !cursors.iter().any(|cursor| cursor.partition == partition) {
                    cursors.push(PartitionCursor { partition, cursor: String::new() });
                }
            }
        }
    }
    seen.sort();
    created.sort();
    ensure!(seen == created, "each once: {} of {}", seen.len(), created.len());
    Ok(())
}

async fn bulk_gives_each_record_its_verdict(shape: Shape) {
    bulk(&App::new(shape, "bulk")).await.expect("one verdict each");
}

async fn bulk(app: &App) -> Result<()> {
    const RECORDS: usize = 2_000;
    let records = (0..RECORDS).map(|i| IdentifyStreamRequest {
        correlation: format!("c{i}"),
        record: Some(IdentifyRequest {
            // Every hundredth names no source, and is refused alone.
            source: if i % 100 == 7 { String::new() } else { "shop".to_owned() },
            identifiers: vec![it::app::claim("crm", &(i / 2).to_string())],
            ..IdentifyRequest::default()
        }),
        ..IdentifyStreamRequest::default()
    });
    let mut stream =
        app.identity().identify_stream(tokio_stream::iter(records.collect::<Vec<_>>())).await?.into_inner();
    let mut verdicts = vec![None; RECORDS];
    while let Some(message) = stream.message().await? {
        for verdict in message.verdicts {
            ensure!(verdict.correlation == format!("c{}", verdict.index), "{verdict:?}");
            let fine = matches!(verdict.outcome, Some(identify_verdict::Outcome::Result(_)));
            ensure!(verdicts[usize::try_from(verdict.index)?].replace(fine).is_none(), "two verdicts");
        }
    }
    for (i, fine) in verdicts.iter().enumerate() {
        ensure!(*fine == Some(i % 100 != 7), "record {i}: {fine:?}");
    }
    let interactions = (0..RECORDS).map(|i| RecordInteractionsRequest {
        correlation: format!("c{i}"),
        interaction: Some(InteractionInput {
            customer: Some(it::app::by("crm", &(i / 2).to_string())),
            r#type: if i % 100 == 9 { String::new() } else { "visit".to_owned() },
            ..InteractionInput::default()
        }),
    });
    let interactions = tokio_stream::iter(interactions.collect::<Vec<_>>());
    let mut stream = app.interaction().record_interactions(interactions).await?.into_inner();
    let mut verdicts = vec![None; RECORDS];
    let mut revision = String::new();
    while let Some(message) = stream.message().await? {
        revision = message.revision;
        for verdict in message.verdicts {
            let fine = matches!(verdict.outcome, Some(record_verdict::Outcome::Recorded(_)));
            ensure!(verdicts[usize::try_from(verdict.index)?].replace(fine).is_none(), "two verdicts");
        }
    }
    for (i, fine) in verdicts.iter().enumerate() {
        ensure!(*fine == Some(i % 100 != 9), "record {i}: {fine:?}");
    }
    // The revision covers all of them.
    app.segment("two-visits", r#"count("visit") == 2"#).await?;
    let member = it::app::by("crm", "11");
    until("the segment is built", LONG, || async {
        app.member(member.clone(), "two-visits", &revision).await.ok().filter(|member| *member)
    })
    .await;
    Ok(())
}
