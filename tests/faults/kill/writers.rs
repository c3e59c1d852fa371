//! The process that acknowledges writes is killed while it does: all that it acknowledged is there.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by_id, money},
    process::{Process, directory},
    suite::{Suite, dev},
    until::{LONG, until},
};
use rapport_proto::{
    interaction::v1::{GetInteractionRequest, InteractionInput, ListInteractionsRequest, ListStatementsRequest},
    segmentation::v1::GetDifferentiationRequest,
};
use serde_json::json;
use terms::{Ids, SystemClock, id::Interaction};
use tokio::sync::mpsc;

const KILLS: usize = 12;
const WRITERS: usize = 6;
/// Writes acknowledged before each kill.
const WRITES: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives() {
    run().await.expect("nothing acknowledged is lost");
}

/// What the process said is durable.
enum Acknowledged {
    Interaction(String),
    Statement(String),
    Customer(String),
}

async fn run() -> Result<()> {
    let dir = directory("writers");
    let ids = Arc::new(Ids::new(Arc::new(SystemClock)));
    let mut known: [BTreeSet<String>; 3] = Default::default();
    let (mut process, mut app) = open(&dir)?;
    app.segment("buyers", r#"count("purchase") >= 1"#).await?;
    let jane = app.identify(&[("crm", "jane")], json!({})).await?.customer_id;
    for round in 0..KILLS {
        let (tell, mut told) = mpsc::unbounded_channel();
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let (app, ids, jane, tell) = (app.clone(), ids.clone(), jane.clone(), tell.clone());
                // It ends with the first call that is not answered.
                tokio::spawn(async move { write(&app, &ids, &jane, &format!("{round}-{number}"), &tell).await })
            })
            .collect();
        drop(tell);
        let mut process_now = Some(process);
        let mut count = 0;
        while let Some(acknowledged) = told.recv().await {
            let (kind, id) = match acknowledged {
                Acknowledged::Interaction(id) => (0, id),
                Acknowledged::Statement(id) => (1, id),
                Acknowledged::Customer(id) => (2, id),
            };
            known[kind].insert(id);
            count += 1;
            if count == WRITES + round * 7
                && let Some(victim) = process_now.take()
            {
                victim.kill()?;
            }
        }
        for writer in writers {
            writer.await?;
        }
        ensure!(process_now.is_none(), "round {round}: the writers gave up before the kill, after {count} writes");
        (process, app) = open(&dir)?;
        all_there(&app, &jane, &known).await.with_context(|| format!("round {round}"))?;
    }
    let [interactions, statements, customers] = known.map(|set| set.len());
    println!("{KILLS} kills: {interactions} interactions, {statements} statements, {customers} customers, none lost");
    drop(process);
    Ok(())
}

/// Starts the process, and an application that calls it.
fn open(dir: &Path) -> Result<(Process, App)> {
    let process = tokio::task::block_in_place(|| dev(dir))?;
    let suite = Box::leak(Box::new(Suite::one_at(dir, process.grpc)));
    Ok((process, App::of(suite, "writers")))
}

async fn write(app: &App, ids: &Ids, jane: &str, name: &str, tell: &mpsc::UnboundedSender<Acknowledged>) {
    for step in 0.. {
        let acknowledged = match step % 3 {
            0 => {
                let id = ids.next::<Interaction>().to_string();
                let purchase = InteractionInput {
                    interaction_id: id.clone(),
                    customer: Some(by_id(jane)),
                    r#type: "purchase".to_owned(),
                    value: Some(money(1)),
                    ..InteractionInput::default()
                };
                app.record_input(purchase).await.map(|_| Acknowledged::Interaction(id))
            }
            1 => {
                let topic = format!("topic-{name}-{step}");
                app.say(by_id(jane), &topic, json!(step)).await.map(|_| Acknowledged::Statement(topic))
            }
            _ => {
                let crm = format!("{name}-{step}");
                app.identify(&[("crm", &crm)], json!({})).await.map(|known| Acknowledged::Customer(known.customer_id))
            }
        };
        match acknowledged {
            Ok(acknowledged) => {
                let _ = tell.send(acknowledged);
            }
            Err(_) => return,
        }
    }
}

async fn all_there(app: &App, jane: &str, known: &[BTreeSet<String>; 3]) -> Result<()> {
    for id in &known[0] {
        let request = GetInteractionRequest { interaction_id: id.clone(), ..GetInteractionRequest::default() };
        app.interaction().get_interaction(request).await.with_context(|| format!("{id} is lost"))?;
    }
    for id in &known[2] {
        app.customer(by_id(id), "").await.with_context(|| format!("{id} is lost"))?;
    }
    let mut topics = BTreeSet::new();
    let mut list = ListStatementsRequest { customer: Some(by_id(jane)), page_size: 1_000, ..Default::default() };
    loop {
        let page = app.interaction().list_statements(list.clone()).await?.into_inner();
        topics.extend(page.statements.into_iter().map(|statement| statement.topic));
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    let lost: Vec<_> = known[1].difference(&topics).collect();
    ensure!(lost.is_empty(), "statements lost: {lost:?}");

    // What was stored without being acknowledged in time counts too, and everything counts once.
    let mut stored = 0;
    let mut list = ListInteractionsRequest { customer: Some(by_id(jane)), page_size: 1_000, ..Default::default() };
    loop {
        let page = app.interaction().list_interactions(list.clone()).await?.into_inner();
        stored += i64::try_from(page.interactions.len())?;
        list.page_token = page.next_page_token;
        if list.page_token.is_empty() {
            break;
        }
    }
    let request = GetDifferentiationRequest { customer: Some(by_id(jane)), ..GetDifferentiationRequest::default() };
    until(&format!("segmentation counts {stored} purchases"), LONG, || async {
        let found = app.segmentation().get_differentiation(request.clone()).await.ok()?.into_inner();
        let count = found.value?.rfm?.purchase_count;
        assert!(count <= stored, "{count} of {stored} purchases: some count twice");
        (count == stored).then_some(())
    })
    .await;
    Ok(())
}
