//! Windows that expire by the clock alone; late and duplicate events. Hard cases 7 and 8.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by_id, from_now},
    suite::Shape,
    until::{LONG, until},
};
use prost_types::Timestamp;
use rapport_proto::{
    interaction::v1::InteractionInput,
    segmentation::v1::{MembershipReason, MembershipTransition, WatchSegmentRequest, WatchSegmentResponse},
};
use serde_json::json;
use tonic::Streaming;

/// How late a transition may be recorded after its due instant, on a machine that builds at the same time.
const LATE: i64 = 1_500_000;

in_both_shapes!(windows_expire_by_the_clock_alone, late_and_duplicate_events_end_as_in_order);

fn micros(at: Option<&Timestamp>) -> i64 {
    at.map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000)
}

/// The next transition that a stream tells.
async fn next(
    stream: &mut Streaming<WatchSegmentResponse>,
    kept: &mut Vec<MembershipTransition>,
) -> Result<MembershipTransition> {
    while kept.is_empty() {
        let message = tokio::time::timeout(LONG, stream.message()).await.context("nobody enters or leaves")??;
        kept.extend(message.context("the stream goes on")?.transitions);
    }
    Ok(kept.remove(0))
}

async fn watch(app: &App, segment: &str) -> Result<Streaming<WatchSegmentResponse>> {
    let request = WatchSegmentRequest { segment: segment.to_owned(), ..WatchSegmentRequest::default() };
    Ok(app.within(Duration::from_secs(120)).segmentation().watch_segment(request).await?.into_inner())
}

async fn windows_expire_by_the_clock_alone(shape: Shape) {
    clock_alone(&App::new(shape, "windows")).await.expect("exit and entry at the due instant");
}

async fn clock_alone(app: &App) -> Result<()> {
    const WINDOW: i64 = 2_000_000;
    let id = app.identify(&[("crm", "1")], json!({})).await?.customer_id;
    app.segment("active", r#"count("visit", duration("2s")) >= 1"#).await?;
    let built = app.segment("absent", r#"count("visit") >= 1 && count("visit", duration("2s")) == 0"#).await?;
    app.member(by_id(&id), "absent", &built.revision).await?;
    let mut active = watch(app, "active").await?;
    let mut absent = watch(app, "absent").await?;
    let (mut of_active, mut of_absent) = (Vec::new(), Vec::new());

    let visit = app.record(by_id(&id), "visit", 0).await?;
    let happened = micros(visit.interaction.context("the visit")?.occurred_at.as_ref());
    ensure!(app.member(by_id(&id), "active", &visit.revision).await?, "in, right after the visit");
    let entered = next(&mut active, &mut of_active).await?;
    ensure!(entered.entered && entered.reason() == MembershipReason::Event, "{entered:?}");

    // From here on only the clock moves.
    for (stream, kept, enters) in [(&mut active, &mut of_active, false), (&mut absent, &mut of_absent, true)] {
        let moved = next(stream, kept).await?;
        ensure!(moved.entered == enters && moved.reason() == MembershipReason::Clock, "{moved:?}");
        let due = micros(moved.occurred_at.as_ref());
        ensure!((due - happened - WINDOW).abs() <= 1, "due {due}, visit {happened}: {moved:?}");
        let late = micros(moved.record_time.as_ref()) - due;
        ensure!((0..LATE).contains(&late), "recorded {late} microseconds after its instant: {moved:?}");
        println!("{:?}: {} {} ms after the due instant", app.suite.shape, moved.segment, late / 1_000);
    }
    ensure!(!app.member(by_id(&id), "active", "").await?, "out, by the clock");

    // A repeat within the window enters once.
    for _ in 0..3 {
        app.record(by_id(&id), "visit", 0).await?;
    }
    let back = next(&mut active, &mut of_active).await?;
    ensure!(back.entered, "{back:?}");
    let left = next(&mut active, &mut of_active).await?;
    ensure!(!left.entered && left.reason() == MembershipReason::Clock, "entered once, left once: {left:?}");
    Ok(())
}

async fn late_and_duplicate_events_end_as_in_order(shape: Shape) {
    late_and_duplicate(&App::new(shape, "late")).await.expect("the order of arrival does not count");
}

async fn late_and_duplicate(app: &App) -> Result<()> {
    let rule = r#"count("visit", duration("1h")) >= 1 && count("visit", duration("1h")) <= 2"#;
    let built = app.segment("few", rule).await?;
    let id = app.identify(&[("crm", "2")], json!({})).await?.customer_id;
    app.member(by_id(&id), "few", &built.revision).await?;
    let mut stream = watch(app, "few").await?;
    let mut kept = Vec::new();
    let visit = |number: u32, minutes_ago: i64| InteractionInput {
        // The same id with the same content is the same visit.
        interaction_id: format!("int_01{number:024}"),
        customer: Some(by_id(&id)),
        r#type: "visit".to_owned(),
        occurred_at: Some(from_now(-minutes_ago * 60_000)),
        ..InteractionInput::default()
    };
    let first = visit(1, 10);
    app.record_input(first.clone()).await?;
    ensure!(next(&mut stream, &mut kept).await?.entered);
    let again = app.record_input(first.clone()).await?;
    ensure!(again.duplicate, "recorded once");
    let second = app.record_input(visit(2, 5)).await?;
    ensure!(app.member(by_id(&id), "few", &second.revision).await?, "two are few");
    // The third arrives last and happened first.
    let third = app.record_input(visit(3, 50)).await?;
    ensure!(!app.member(by_id(&id), "few", &third.revision).await?, "three are not");
    let left = next(&mut stream, &mut kept).await?;
    ensure!(!left.entered, "{left:?}");
    let again = app.record_input(first).await?;
    ensure!(again.duplicate && !app.member(by_id(&id), "few", &again.revision).await?, "a duplicate changes nothing");

    // One from before the window counts for nothing, and a segment created afterwards sees the same.
    let old = app.record_input(visit(4, 90)).await?;
    ensure!(!app.member(by_id(&id), "few", &old.revision).await?);
    app.segment("few-too", rule).await?;
    let three = app.segment("three", r#"count("visit", duration("1h")) == 3"#).await?;
    until("the later segment agrees", LONG, || async {
        app.member(by_id(&id), "three", &three.revision).await.ok().filter(|member| *member)
    })
    .await;
    ensure!(!app.member(by_id(&id), "few-too", &three.revision).await?);

    // Nobody else has moved: one entry, one exit.
    let nobody = tokio::time::timeout(Duration::from_millis(300), next(&mut stream, &mut kept)).await;
    ensure!(nobody.is_err(), "exactly once: {nobody:?}");
    Ok(())
}
