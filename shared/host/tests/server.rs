//! A server's life: ready, serving, leaving.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use host::Check;
use rapport_proto::feed::v1::{WatchRequest, feed_service_client::FeedServiceClient};
use support::{Host, context, loader, reason, request, say, soon};
use terms::{Fault, Reason};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// What comes back for one HTTP/1.1 request.
async fn http(address: std::net::SocketAddr, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut all = Vec::new();
    soon(stream.read_to_end(&mut all)).await.unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    (String::from_utf8(all[..end].to_vec()).unwrap().to_ascii_lowercase(), all[end + 4..].to_vec())
}

async fn status(host: &Host, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    HealthClient::new(host.channel()).check(request).await.unwrap().into_inner().status()
}

async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within 10 s: {what}");
}

#[tokio::test]
async fn a_service_serves_once_what_it_needs_has_answered_and_stays() {
    let up = Arc::new(AtomicBool::new(false));
    let asked = up.clone();
    let check = Check::new("identity.store", move || {
        let up = asked.load(Ordering::Relaxed);
        async move { if up { Ok(()) } else { Err(Fault::new(Reason::StoreUnavailable, "the database is away")) } }
    });
    let config = loader().flag("test", "telemetry.address", "127.0.0.1:0").load().unwrap();
    let host = Host::with(context(config), vec![check]).await;
    let watched = "rapport.profile.v1.ProfileService";
    let mut watch = HealthClient::new(host.channel())
        .watch(HealthCheckRequest { service: watched.to_owned() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let machines = host.running.as_ref().unwrap().http_address().unwrap();
    let (head, body) = http(machines, "GET /readyz HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 503") && body.starts_with(b"starting\n"), "{head}");
    let (head, _) = http(machines, "GET /healthz HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 200"));

    up.store(true, Ordering::Relaxed);
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert!(soon(host.running.as_ref().unwrap().ready()).await);
    eventually("the whole server serves", async || status(&host, "").await == ServingStatus::Serving).await;
    let (head, body) = http(machines, "GET /readyz HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 200") && body.starts_with(b"serving\nidentity.store: ok\n"), "{head}");

    // The database blinks: nobody leaves, and readiness says what is wrong.
    up.store(false, Ordering::Relaxed);
    eventually("the blink shows", async || {
        let (head, body) = http(machines, "GET /readyz HTTP/1.1", b"").await;
        assert!(head.starts_with("http/1.1 200"));
        String::from_utf8(body).unwrap().contains("STORE_UNAVAILABLE")
    })
    .await;
    assert_eq!(status(&host, "").await, ServingStatus::Serving);
    assert_eq!(status(&host, watched).await, ServingStatus::Serving);
}

#[tokio::test]
async fn requests_under_way_end_while_new_ones_are_refused() {
    let mut host = Host::start(loader().flag("test", "server.linger", "300ms")).await;
    let mut health = HealthClient::new(host.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut slow = host.client();
    let slow = tokio::spawn(async move { say(&mut slow, request("wait")).await });
    assert_eq!(soon(host.told.recv()).await, Some("waiting"));
    let (late, shutdown) = (host.client(), host.context.shutdown.clone());
    let leaving = tokio::spawn(host.running.take().unwrap().shut_down());
    assert_eq!(soon(health.message()).await.unwrap().unwrap().status(), ServingStatus::NotServing);
    // It lingers: what still comes is served. Then it takes no more connections.
    let refused = soon(async {
        loop {
            if let Err(status) = say(&mut late.clone(), request("hello")).await {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(!leaving.is_finished() && !shutdown.is_cancelled());
    host.puppet.go.notify_one();
    assert_eq!(soon(slow).await.unwrap().unwrap(), "went on");
    soon(leaving).await.unwrap();
    assert!(shutdown.is_cancelled());
}

#[tokio::test]
async fn draining_has_a_limit() {
    let mut host = Host::start(loader().flag("test", "server.drain", "200ms")).await;
    let mut slow = host.client();
    let slow = tokio::spawn(async move { say(&mut slow, request("wait")).await });
    assert_eq!(soon(host.told.recv()).await, Some("waiting"));
    soon(host.running.take().unwrap().shut_down()).await;
    assert!(soon(slow).await.unwrap().is_err());
    assert_eq!(soon(host.told.recv()).await, Some("gone"));
}

#[tokio::test]
async fn endless_streams_are_told_to_go_elsewhere() {
    let mut host = Host::start(loader().flag("test", "server.drain", "1s")).await;
    let watch = WatchRequest { service: "forever".to_owned(), ..Default::default() };
    let mut items = FeedServiceClient::new(host.channel()).watch(watch).await.unwrap().into_inner();
    for _ in 0..3 {
        assert!(items.message().await.unwrap().is_some());
    }
    let leaving = tokio::spawn(host.running.take().unwrap().shut_down());
    let status = soon(items.message()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "SHUTTING_DOWN".to_owned()));
    soon(leaving).await.unwrap();
}

#[tokio::test]
async fn old_connections_are_renewed_without_a_lost_call() {
    let other = Host::start(loader().flag("test", "server.max_connection_age", "50ms")).await;
    let host = Host::start(loader().flag("test", "peers.interaction", &other.url())).await;
    let mut client = host.client();
    for _ in 0..300 {
        assert_eq!(say(&mut client, request("peer hello")).await.unwrap(), "said hello");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_taken_port_is_told_early() {
    let host = Host::start(loader()).await;
    let address = host.running.as_ref().unwrap().address().to_string();
    let config = loader().flag("test", "server.address", &address).load().unwrap();
    let fault = host::Server::bind(&config).await.unwrap_err();
    assert!(format!("{fault:?}").contains(&address), "{fault:?}");
}

/// A gRPC-Web call by plain HTTP/1.1.
async fn web(host: &Host, origin: Option<&str>, message: &[u8]) -> (String, Vec<u8>) {
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(message);
    let origin = origin.map(|origin| format!("\r\norigin: {origin}")).unwrap_or_default();
    let head = format!(
        "POST /rapport.profile.v1.ProfileService/GetSection HTTP/1.1\r\ncontent-type: application/grpc-web+proto{origin}"
    );
    http(host.running.as_ref().unwrap().address(), &head, &body).await
}

#[tokio::test]
async fn grpc_web_works_over_http_1() {
    let host = Host::start(loader().flag("test", "server.web_origins", "https://console.example")).await;
    let (head, body) = web(&host, None, b"\x0a\x05hello").await;
    assert!(head.starts_with("http/1.1 200") && head.contains("content-type: application/grpc-web+proto"), "{head}");
    assert!(head.contains("x-request-id: "), "{head}");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("said hello") && text.contains("grpc-status:0"), "{text}");
    let (head, body) = web(&host, None, b"\x0a\x05wrong").await;
    let text = format!("{head}{}", String::from_utf8_lossy(&body));
    assert!(text.contains("grpc-status:3") || text.contains("grpc-status: 3"), "{text}");

    let (head, _) = web(&host, Some("https://console.example"), b"\x0a\x05hello").await;
    assert!(head.contains("access-control-allow-origin: https://console.example"), "{head}");
    let (head, _) = web(&host, Some("https://evil.example"), b"\x0a\x05hello").await;
    assert!(head.starts_with("http/1.1 403"), "{head}");

    let address = host.running.as_ref().unwrap().address();
    let ask = "OPTIONS /rapport.profile.v1.ProfileService/GetSection HTTP/1.1\r\norigin: https://console.example\
               \r\naccess-control-request-method: POST\r\naccess-control-request-headers: content-type,x-grpc-web";
    let (head, _) = http(address, ask, b"").await;
    assert!(head.starts_with("http/1.1 204") && head.contains("access-control-allow-headers: content-type"), "{head}");
    let (head, _) = http(address, "GET / HTTP/1.1", b"").await;
    assert!(head.starts_with("http/1.1 404"), "{head}");
}
