//! Each of the four services is killed in turn, while the others are called: they answer, or say that a peer is away;
//! once it is back, so is everything.

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by, by_id},
    process::Process,
    raw,
    suite::{Plan, Suite, redis_url},
    until::{LONG, until},
};
use serde_json::json;
use terms::Service;
use tonic::{Code, Status};

/// Calls to each living service while one is away.
const CALLS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_go_on() {
    run().await.expect("every service comes back");
}

async fn run() -> Result<()> {
    let each: Vec<[Service; 1]> = Service::ALL.map(|service| [service]).to_vec();
    let places: Vec<&[Service]> = each.iter().map(|service| &service[..]).collect();
    let plan = Plan::with_settings("peers", &redis_url()?, &places, "[feed]\nlease = \"1s\"\n")?;
    let suite: &'static Suite =
        tokio::task::block_in_place(|| Suite::planned(plan.clone(), &[])).map(|suite| &*Box::leak(Box::new(suite)))?;
    let mut processes: Vec<Option<Process>> = Vec::new();
    for starting in (0..4).map(|place| plan.begin(place)).collect::<Result<Vec<_>>>()? {
        processes.push(Some(tokio::task::block_in_place(|| starting.serving())?));
    }
    let app = App::of(suite, "peers");
    app.treatment("plain", "", 1.0).await?;
    app.touchpoint("home", &["plain"]).await?;
    app.segment("visitors", r#"count("visit") >= 1"#).await?;
    let mut visits = 0;
    for (place, away) in Service::ALL.into_iter().enumerate() {
        let crm = format!("c{place}");
        let id = app.identify(&[("crm", &crm)], json!({})).await?.customer_id;
        call_all(&app, &crm, &id, None).await.with_context(|| format!("before {away} is killed"))?;
        processes[place].take().context("a process")?.kill()?;
        for _ in 0..CALLS {
            visits += call_all(&app, &crm, &id, Some(away)).await.with_context(|| format!("without {away}"))?;
        }
        processes[place] = Some(tokio::task::block_in_place(|| plan.begin(place)?.serving())?);
        until(&format!("everything after {away} is back"), LONG, || async {
            call_all(&app, &crm, &id, None).await.ok()
        })
        .await;
        let last = app.record(by_id(&id), "visit", 0).await?;
        ensure!(app.member(by_id(&id), "visitors", &last.revision).await?, "after {away}: membership");
    }
    println!("{visits} visits recorded while some service was away");
    ensure!(visits > 0, "interaction never worked while another was away");
    Ok(())
}

/// Calls each service but the one that is away; gives the number of visits recorded. A refusal must say why, and with
/// everybody there, there is none.
async fn call_all(app: &App, crm: &str, id: &str, away: Option<Service>) -> Result<usize> {
    let fine = |service: Service, outcome: Result<(), Status>| -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(_) if away == Some(service) => Ok(false),
            Err(status) => {
                ensure!(away.is_some(), "{service}: {status:?}");
                ensure!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{service}: {status:?}");
                raw::lawful(&status).map_err(|wrong| anyhow::anyhow!("{service}: {wrong}"))?;
                Ok(false)
            }
        }
    };
    fine(Service::Identity, app.identify(&[("crm", crm)], json!({})).await.map(drop))?;
    let recorded = fine(Service::Interaction, app.record(by_id(id), "visit", 0).await.map(drop))?;
    fine(Service::Interaction, app.record(by("crm", crm), "call", 0).await.map(drop))?;
    fine(Service::Segmentation, app.member(by_id(id), "visitors", "").await.map(drop))?;
    fine(Service::Segmentation, app.member(by("crm", crm), "visitors", "").await.map(drop))?;
    fine(Service::Customization, app.decide(by_id(id), "home", "").await.map(drop))?;
    fine(Service::Customization, app.decide(by("crm", crm), "home", "").await.map(drop))?;
    Ok(usize::from(recorded))
}
