//! Every write twice under one `request_id`, and checked only.

use it::{
    app::App,
    contract::{Rpc, rpcs},
    furniture::Furniture,
    raw::{self, Refusal},
    samples::Sample,
    stored,
    suite::Shape,
};
use prost_reflect::DynamicMessage;
use serde_json::json;
use tonic::Code;

use crate::not_yet_served::NOT_YET_SERVED;

in_both_shapes!(a_write_under_a_request_id_happens_once, what_is_only_checked_stores_nothing);

fn writes(field: &str) -> impl Iterator<Item = (&'static Rpc, &'static Sample)> {
    let served = rpcs().iter().filter(|rpc| !NOT_YET_SERVED.contains(rpc.name.as_str()));
    served.filter(move |rpc| rpc.takes(field)).filter_map(|rpc| Some((rpc, Sample::of(&rpc.name)?)))
}

async fn a_write_under_a_request_id_happens_once(shape: Shape) {
    let app = App::new(shape, "once");
    let mut wrong = Vec::new();
    let mut count = 0;
    for (rpc, sample) in writes("request_id") {
        count += 1;
        let furniture = Furniture::make(&app, &format!("o{count}")).await.expect("furniture");
        let key = json!({ "request_id": "the-same-key" });
        // The key is the method's: the same one serves every RPC.
        let first = raw::call(&app, rpc, &sample.request_with(&furniture, &key)).await;
        let again = raw::call(&app, rpc, &sample.request_with(&furniture, &key)).await;
        match (&first, &again) {
            (Ok(first), Ok(again)) if first == again => {}
            // The operation is the same, and may have got on.
            (Ok(first), Ok(again)) if is_operation(rpc) && name(first).is_some() && name(first) == name(again) => {}
            (Ok(first), Ok(again)) => {
                let shown = [first, again].map(|replies| replies.iter().map(raw::shown).collect::<String>());
                wrong.push(format!("{}: another reply:\n{}\n{}", rpc.name, shown[0], shown[1]));
            }
            (Err(status), _) => wrong.push(format!("{}: {status:?}", rpc.name)),
            (_, Err(status)) => wrong.push(format!("{}: the second time: {status:?}", rpc.name)),
        }
        match raw::call(&app, rpc, &sample.changed_with(&furniture, &key)).await {
            Err(status)
                if status.code() == Code::AlreadyExists && Refusal::of(&status).reason == "REQUEST_ID_REUSED" =>
            {
                wrong.extend(raw::lawful(&status).err().map(|found| format!("{}: {found}", rpc.name)));
            }
            Err(status) => wrong.push(format!("{}: with another body: {status:?}", rpc.name)),
            Ok(_) => wrong.push(format!("{}: with another body: answered", rpc.name)),
        }
        // Another tenant's keys are its own.
        let elsewhere = App::new(shape, "once-elsewhere");
        let theirs = Furniture::make(&elsewhere, &format!("e{count}")).await.expect("furniture");
        if let Err(status) = raw::call(&elsewhere, rpc, &sample.changed_with(&theirs, &key)).await
            && status.code() == Code::AlreadyExists
        {
            wrong.push(format!("{}: another tenant's key: {status:?}", rpc.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 15, "only {count} writes take a request id");
}

async fn what_is_only_checked_stores_nothing(shape: Shape) {
    let app = App::new(shape, "checked");
    let furniture = Furniture::make(&app, "c").await.expect("furniture");
    settled(&app).await;
    let before = stored::rows(app.suite, &app.tenant).await.expect("rows");
    let mut wrong = Vec::new();
    for (rpc, sample) in writes("validate_only") {
        match raw::call(&app, rpc, &sample.request_with(&furniture, &json!({ "validate_only": true }))).await {
            Err(status) => wrong.push(format!("{}: {status:?}", rpc.name)),
            Ok(replies) => {
                let revision = replies.first().and_then(|reply| raw::field(reply, "revision"));
                if is_operation(rpc) {
                    // None was started: it has no name.
                    wrong.extend(name(&replies).map(|name| format!("{}: started {name}", rpc.name)));
                } else if revision.as_ref().and_then(|r| r.as_str()) != Some("") {
                    wrong.push(format!("{}: the revision is {revision:?}", rpc.name));
                }
            }
        }
        let after = stored::rows(app.suite, &app.tenant).await.expect("rows");
        if after != before {
            wrong.push(format!("{}: stored something: {before:?} {after:?}", rpc.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether an RPC starts a long-running operation.
fn is_operation(rpc: &Rpc) -> bool {
    rpc.method.output().full_name() == "google.longrunning.Operation"
}

/// The name of an operation that was started.
fn name(replies: &[DynamicMessage]) -> Option<String> {
    let name = raw::field(replies.first()?, "name")?.as_str()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// Waits until what the services tell each other has arrived: nothing moves by itself any more.
async fn settled(app: &App) {
    let mut last = stored::rows(app.suite, &app.tenant).await.expect("rows");
    let mut same = 0;
    while same < 10 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let now = stored::rows(app.suite, &app.tenant).await.expect("rows");
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
}
