//! One call, from the wire to the handler and back: faults, deadlines, panics, limits, request ids.

mod support;

use std::time::Duration;

use host::{Built, Server, Suite};
use rapport_proto::{
    feed::v1::{WatchRequest, feed_service_client::FeedServiceClient},
    profile::v1::{ResolveRefsRequest, profile_service_client::ProfileServiceClient},
};
use support::{Host, loader, reason, request, request_with, say, soon};
use terms::{Access, Service};
use tonic::{Code, Request, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

#[tokio::test]
async fn a_call_says_who_and_gets_an_id() {
    let host = Host::start(loader()).await;
    let reply = host.client().get_section(request("who")).await.unwrap();
    let id = reply.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let text = String::from_utf8(reply.into_inner().section.to_vec()).unwrap();
    assert_eq!(text, format!("default anonymous {id} true rapport.profile.v1.ProfileService/GetSection"));

    let reply = host.client().get_section(request_with("who", &[("x-request-id", "mine-1")])).await.unwrap();
    assert_eq!(reply.metadata().get("x-request-id").unwrap(), "mine-1");
    let status = host.client().get_section(request_with("wrong", &[("x-request-id", "mine-2")])).await.unwrap_err();
    assert_eq!(status.metadata().get("x-request-id").unwrap(), "mine-2");
}

#[tokio::test]
async fn a_fault_arrives_with_its_details() {
    let host = Host::start(loader()).await;
    let status = host.say("wrong").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INVALID_FIELDS", "rapport"));
    assert_eq!(info.metadata["count"], "2");
    let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["a", "b.c"]);

    let status = host.say("missing").await.unwrap_err();
    let details = status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("rapport/customer", "cust_1"));

    let status = host.say("unavailable").await.unwrap_err();
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());

    let status = host.client().get_section(request_with("internal", &[("x-request-id", "id-9")])).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["incident"], "id-9");
    assert!(!format!("{status:?}").contains("the cause"));
}

#[tokio::test]
async fn a_panic_is_internal_and_hurts_nobody_else() {
    let host = Host::start(loader()).await;
    let status = host.say("panic").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Internal, "INTERNAL".to_owned()));
    assert_eq!(host.say("hello").await.unwrap(), "said hello");
}

#[tokio::test]
async fn a_deadline_ends_the_work() {
    let mut host = Host::start(loader()).await;
    let late = request_with("wait", &[("grpc-timeout", "100m")]);
    let status = soon(say(&mut host.client(), late)).await.unwrap_err();
    // The client's own timer may be a hair faster.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert_eq!(host.told.recv().await, Some("waiting"));
    assert_eq!(soon(host.told.recv()).await, Some("gone"));
}

#[tokio::test]
async fn a_call_without_a_deadline_gets_one() {
    let loader = loader().flag("test", "server.default_deadline", "100ms").flag("test", "server.max_deadline", "200ms");
    let host = Host::start(loader).await;
    let status = soon(host.say("wait")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()));
    let long = request_with("wait", &[("grpc-timeout", "1H")]);
    assert_eq!(soon(say(&mut host.client(), long)).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_work_along() {
    let mut host = Host::start(loader()).await;
    let mut client = host.client();
    let call = tokio::spawn(async move { say(&mut client, request("wait")).await });
    assert_eq!(soon(host.told.recv()).await, Some("waiting"));
    call.abort();
    assert_eq!(soon(host.told.recv()).await, Some("gone"));
}

#[tokio::test]
async fn overload_is_refused_at_once() {
    let mut host = Host::start(loader().flag("test", "server.max_in_flight", "1")).await;
    let mut client = host.client();
    let first = tokio::spawn(async move { say(&mut client, request("wait")).await });
    assert_eq!(soon(host.told.recv()).await, Some("waiting"));
    let status = host.say("hello").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "OVERLOADED".to_owned()));
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());
    host.puppet.go.notify_one();
    assert_eq!(soon(first).await.unwrap().unwrap(), "went on");
    assert_eq!(host.say("hello").await.unwrap(), "said hello");
}

#[tokio::test]
async fn a_tenant_over_its_rate_hurts_no_other() {
    let loader = loader().flag("test", "server.tenant_rate", "1").flag("test", "server.tenant_burst", "3");
    let host = Host::start(loader).await;
    let mut refused = None;
    for _ in 0..5 {
        refused = refused.or(host.say("hello").await.err());
    }
    let status = refused.unwrap();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "RATE_LIMITED".to_owned()));
    let wait = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1) && !wait.is_zero());
    let other = request_with("hello", &[("x-rapport-tenant", "other")]);
    assert!(say(&mut host.client(), other).await.is_ok());
}

#[tokio::test]
async fn what_cannot_be_read_is_the_callers_fault() {
    let host = Host::start(loader().flag("test", "server.max_request_bytes", "1000")).await;
    let status = host.say(&"x".repeat(2_000)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE".to_owned()));
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["limit"], "1000");

    for message in [&b"\xff\xff\xff\xff"[..], b"\x0a\x7fshort", b"\x0a\x02\xff\xfe", b""] {
        let status = raw(&host, "/rapport.profile.v1.ProfileService/GetSection", message).await;
        // An empty message is a valid one.
        let expected = if message.is_empty() { 0 } else { 3 };
        assert_eq!(status, expected, "{message:?}");
    }
}

/// The code that a message of raw bytes is answered with.
async fn raw(host: &Host, path: &str, message: &[u8]) -> i32 {
    use http_body_util::{BodyExt as _, Full};
    use tower::ServiceExt as _;
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    let request = http::Request::post(format!("{}{path}", host.url()))
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(Full::new(bytes::Bytes::from(body))))
        .unwrap();
    let response = host.channel().oneshot(request).await.unwrap();
    let head = response.headers().get("grpc-status").cloned();
    let trailers = response.into_body().collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let status = head.or(trailers.get("grpc-status").cloned()).unwrap();
    status.to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn large_replies_and_gzip() {
    let host = Host::start(loader()).await;
    assert_eq!(host.say("large 5000000").await.unwrap().len(), 5_000_000);
    let mut client = host.client().send_compressed(CompressionEncoding::Gzip);
    assert_eq!(say(&mut client, request("hello")).await.unwrap(), "said hello");
}

#[tokio::test]
async fn unknown_rpcs() {
    let host = Host::start(loader()).await;
    assert_eq!(raw(&host, "/rapport.profile.v1.ProfileService/Nothing", b"").await, 12);
}

#[tokio::test]
async fn an_rpc_that_is_in_no_access_table_is_refused() {
    let host = Host::start(loader()).await;
    let status = host.client().resolve_refs(ResolveRefsRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::PermissionDenied, "SCOPE_MISSING".to_owned()));
}

#[tokio::test]
async fn what_is_not_served_yet_says_so_and_a_table_must_fit_the_contract() {
    let context = support::context(loader().load().unwrap());
    let (tell, _told) = tokio::sync::mpsc::unbounded_channel();
    let puppet =
        support::Puppet { peers: context.peers.clone(), go: Default::default(), told: tell, tried: Default::default() };
    let built = |access, unserved| Built {
        name: Service::Identity,
        routes: support::profile(&context, &puppet),
        access,
        tasks: Vec::new(),
        checks: Vec::new(),
        unserved,
    };
    let serve = async |built| {
        let server = Server::bind(&context.config).await.unwrap();
        server.serve(&context, Suite { built: vec![built], shared: Vec::new() })
    };
    let running = serve(built(support::WHOLE, &["rapport.profile.v1.ProfileService/ResolveRefs"])).await.unwrap();
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", running.address())).unwrap();
    let mut client = ProfileServiceClient::new(endpoint.connect_lazy());
    let status = client.resolve_refs(ResolveRefsRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unimplemented, "NOT_YET_SERVED".to_owned()));

    const STRANGE: &[(&str, Access)] = &[("rapport.profile.v1.ProfileService/GetSectoin", Access::Read)];
    let fault = serve(built(STRANGE, &[])).await.unwrap_err();
    assert!(format!("{fault:?}").contains("GetSectoin"));
}

async fn stream(host: &Host, kind: &str) -> (Vec<u32>, Option<tonic::Status>) {
    let request = WatchRequest { service: kind.to_owned(), ..Default::default() };
    let mut feed = FeedServiceClient::new(host.channel());
    let mut items = match feed.watch(request).await {
        Ok(reply) => reply.into_inner(),
        Err(status) => return (Vec::new(), Some(status)),
    };
    let mut counts = Vec::new();
    loop {
        match items.message().await {
            Ok(Some(item)) => counts.push(item.partition_count),
            Ok(None) => return (counts, None),
            Err(status) => return (counts, Some(status)),
        }
    }
}

#[tokio::test]
async fn streams_end_by_themselves_by_faults_and_by_panics() {
    let host = Host::start(loader()).await;
    let (items, end) = soon(stream(&host, "three")).await;
    assert!(end.is_none() && items == [1, 2, 3]);
    let (items, end) = soon(stream(&host, "fault")).await;
    assert_eq!((items.len(), end.unwrap().code()), (3, Code::Internal));
    // What was ready together with the panic goes with it.
    let (_, end) = soon(stream(&host, "panic")).await;
    assert_eq!(reason(&end.unwrap()), "INTERNAL");
    let (items, end) = soon(stream(&host, "refuse")).await;
    assert_eq!((items.len(), reason(&end.unwrap())), (0, "FEED_CURSOR_EXPIRED".to_owned()));
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let host = Host::start(loader()).await;
    let mut request = Request::new(WatchRequest { service: "forever".to_owned(), ..Default::default() });
    request.metadata_mut().insert("grpc-timeout", "100m".parse().unwrap());
    let mut items = FeedServiceClient::new(host.channel()).watch(request).await.unwrap().into_inner();
    let end = soon(async {
        loop {
            match items.message().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    });
    assert_eq!(end.await.unwrap_err().code(), Code::DeadlineExceeded);
}
