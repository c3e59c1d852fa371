//! Metrics and traces of a process. One test: what is set up here is set up for the whole process.

mod support;

use std::convert::Infallible;

use bytes::Bytes;
use host::telemetry::{Telemetry, prometheus_text};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use support::{Host, loader, profile, request_with, say, soon};
use terms::Service;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;

/// A collector: passes on what it is sent.
async fn collector() -> (String, mpsc::UnboundedReceiver<(String, Bytes)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: Request<Body>| {
        let tell = tell.clone();
        async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let _ = tell.send((path, body));
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 5]))), Ok(Frame::trailers(trailers))];
            let mut response = Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))));
            response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            Ok::<_, Infallible>(response)
        }
    });
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().serve_with_incoming(service, incoming));
    (url, told)
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_measured_and_traced() {
    let (url, mut told) = collector().await;
    let loader = loader().flag("test", "telemetry.otlp", &url).flag("test", "telemetry.sample", "0");
    let config = loader.load().unwrap();
    let telemetry = Telemetry::install(&config.telemetry).unwrap();
    assert!(Telemetry::install(&config.telemetry).is_err(), "once for a process");
    let host = Host::with(support::context(config), Vec::new()).await;
    let routes = profile(&host.context, &host.puppet);
    host.context.peers.bind_local(Service::Interaction, routes);

    for text in ["hello", "wrong", "panic", "missing"] {
        let _ = host.say(text).await;
    }
    let untraced = host.say("trace").await.unwrap();
    assert_eq!(untraced, "", "at a share of 0 nothing begins here");

    // A caller that records: the handler of the peer stands two spans further down the same trace.
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let traced = say(&mut host.client(), request_with("peer trace", &[("traceparent", &parent)])).await.unwrap();
    let parts: Vec<&str> = traced.split('-').collect();
    assert_eq!((parts[1], parts[3]), (trace_id, "01"));
    assert_ne!(parts[2], "00f067aa0ba902b7");
    let unrecorded = format!("00-{trace_id}-00f067aa0ba902b7-00");
    let passed = say(&mut host.client(), request_with("trace", &[("traceparent", &unrecorded)])).await.unwrap();
    assert_eq!(passed, unrecorded);

    let text = prometheus_text();
    for (code, count) in [("OK", 4), ("INVALID_ARGUMENT", 1), ("INTERNAL", 1), ("NOT_FOUND", 1)] {
        let line = text.lines().find(|line| {
            line.starts_with("rpc_server_call_duration_seconds_count")
                && line.contains("ProfileService/GetSection")
                && line.contains(&format!("\"{code}\""))
        });
        let line = line.unwrap_or_else(|| panic!("{code}\n{text}"));
        assert!(line.ends_with(&format!(" {count}")), "{line}");
    }
    for name in [
        "rpc_server_call_duration_seconds_bucket",
        "rpc_client_call_duration_seconds_count",
        "rpc_server_active_requests",
    ] {
        assert!(text.contains(name), "{name}\n{text}");
    }

    soon(telemetry.shut_down()).await;
    let id: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&trace_id[2 * i..2 * i + 2], 16).unwrap()).collect();
    let (mut spans, mut metrics) = (false, false);
    while let Ok((path, body)) = told.try_recv() {
        spans |= path.ends_with("TraceService/Export") && holds(&body, &id) && holds(&body, b"GetSection");
        metrics |= path.ends_with("MetricsService/Export") && holds(&body, b"rpc.server.call.duration");
    }
    assert!(spans && metrics, "spans {spans}, metrics {metrics}");
}
