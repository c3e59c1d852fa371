//! Every RPC with what belongs to another tenant: there is no such thing.

use futures::{StreamExt, stream};
use it::{
    app::{App, by, by_id},
    contract::{Rpc, rpcs},
    furniture::{Furniture, MARKER},
    raw,
    samples::{self, Sample},
    stored,
    suite::Shape,
};
use prost::Message;
use rapport_proto::{
    feed::v1::{WatchRequest, feed_service_client::FeedServiceClient},
    profile::v1::{ResolveRefsRequest, profile_service_client::ProfileServiceClient},
};
use terms::Service;
use tonic::Code;

use crate::not_yet_served::NOT_YET_SERVED;

in_both_shapes!(what_is_anothers_is_not_found, nothing_of_anothers_is_seen);

async fn what_is_anothers_is_not_found(shape: Shape) {
    let (ours, theirs) = (App::new(shape, "ours"), App::new(shape, "theirs"));
    let own = Furniture::make(&ours, "x").await.expect("furniture");
    let foreign = Furniture::make(&theirs, "y").await.expect("furniture");
    let before = stored::rows(theirs.suite, &theirs.tenant).await.expect("rows");
    let cases = samples::all()
        .iter()
        .filter(|sample| !NOT_YET_SERVED.contains(sample.rpc))
        .flat_map(|sample| sample.pieces().into_iter().map(move |piece| (sample, piece)));
    let wrong: Vec<String> = stream::iter(cases)
        .map(|(sample, piece)| one_piece(&ours, sample, piece, own.with_piece_of(&foreign, piece)))
        .buffer_unordered(8)
        .filter_map(|wrong| async move { wrong })
        .collect()
        .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(stored::rows(theirs.suite, &theirs.tenant).await.expect("rows"), before, "nothing of theirs changed");
}

/// A sample with one piece of another tenant's; gives what is wrong with the answer.
async fn one_piece(app: &App, sample: &Sample, piece: &str, furniture: Furniture) -> Option<String> {
    let rpc = Rpc::named(sample.rpc);
    match raw::call(app, rpc, &sample.request(&furniture)).await {
        // Resolving is not failing: it says that there is none.
        Ok(replies) if sample.rpc.ends_with("/ResolveRefs") => {
            let found = raw::field(replies.first()?, "customer_ids")?;
            let found = found.as_list()?.iter().any(|id| id.as_str().is_some_and(|id| !id.is_empty()));
            found.then(|| format!("{}: resolves another tenant's `${piece}`", sample.rpc))
        }
        Ok(_) => Some(format!("{}: answers for another tenant's `${piece}`", sample.rpc)),
        Err(status) if status.code() == Code::NotFound => {
            raw::lawful(&status).err().map(|wrong| format!("{}: `${piece}`: {wrong}", sample.rpc))
        }
        Err(status) => {
            Some(format!("{}: another tenant's `${piece}`: {:?} {}", sample.rpc, status.code(), status.message()))
        }
    }
}

async fn nothing_of_anothers_is_seen(shape: Shape) {
    let (theirs, ours) = (App::new(shape, "seen"), App::new(shape, "blind"));
    let foreign = Furniture::make(&theirs, "z").await.expect("furniture");
    // The same identifier is another person here.
    let email = foreign.get("email");
    let status = ours.customer(by("email", email), "").await.expect_err("nobody");
    assert_eq!(status.code(), Code::NotFound);
    assert!(!status.message().contains(MARKER), "an error repeats personal data: {status:?}");
    let here = ours.identify(&[("email", email)], serde_json::json!({})).await.expect("somebody new");
    assert!(here.created && here.customer_id != foreign.get("customer"));
    assert_eq!(
        ours.customer(by_id(&here.customer_id), &here.revision).await.expect("own").customer.map(|c| c.record_count),
        Some(1)
    );

    // Lists, streams and searches without any id.
    for rpc in
        rpcs().iter().filter(|rpc| rpc.method.name().starts_with("List") || rpc.method.name().starts_with("Watch"))
    {
        if let Ok(replies) = raw::call(&ours, rpc, &prost_reflect::DynamicMessage::new(rpc.input())).await {
            for reply in replies {
                let bytes = reply.encode_to_vec();
                let shown = [foreign.get("customer"), foreign.get("interaction"), foreign.get("segment"), MARKER]
                    .into_iter()
                    .find(|text| *text != MARKER && bytes.windows(text.len()).any(|w| w == text.as_bytes()));
                assert_eq!(shown, None, "{} shows what is another tenant's", rpc.name);
            }
        }
    }
    let refs = ResolveRefsRequest { refs: vec![by_id(foreign.get("customer"))], ..ResolveRefsRequest::default() };
    let resolved = ProfileServiceClient::new(ours.line(Service::Identity)).resolve_refs(refs).await.expect("an answer");
    assert_eq!(resolved.into_inner().customer_ids, [""]);

    // The feeds from their beginning.
    for service in Service::ALL {
        let watch = WatchRequest { service: service.to_string(), ..WatchRequest::default() };
        let mut feed = FeedServiceClient::new(ours.line(service)).watch(watch).await.expect("the feed").into_inner();
        let mut silence = 0;
        while silence < 2 {
            match tokio::time::timeout(std::time::Duration::from_millis(300), feed.message()).await {
                Ok(message) => {
                    let message = message.expect("the feed goes on").expect("and does not end");
                    for entry in message.entries {
                        assert_eq!(entry.tenant, ours.tenant, "the feed of {service} tells of another tenant");
                    }
                }
                Err(_) => silence += 1,
            }
        }
    }
    let log = ours.suite.logged();
    let line = log.lines().find(|line| line.contains(MARKER));
    assert_eq!(line, None, "personal data in a log");
}
