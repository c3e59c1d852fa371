//! Calling the other services: in this process and elsewhere.

mod support;

use std::{sync::atomic::Ordering, time::Duration};

use rapport_proto::{
    feed::v1::{WatchRequest, feed_service_client::FeedServiceClient},
    profile::v1::profile_service_client::ProfileServiceClient,
};
use support::{
    Host, context,
    credentials::{CertificateAuthority, TokenIssuer},
    loader, profile, reason, request, request_with, say, soon,
};
use terms::{Caller, Reason, Service};
use tonic::Code;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Two hosts: the first calls the second, which lives elsewhere or in the same process.
async fn pair(local: bool) -> (Host, Host) {
    let other = Host::start(loader()).await;
    let loader = loader();
    let first = match local {
        true => Host::start(loader).await,
        false => Host::start(loader.flag("test", "peers.interaction", &other.url())).await,
    };
    if local {
        let routes = profile(&other.context, &other.puppet);
        first.context.peers.bind_local(Service::Interaction, routes);
    }
    (first, other)
}

#[tokio::test]
async fn both_adapters_behave_alike() {
    for local in [true, false] {
        let (first, mut other) = pair(local).await;
        let headers = [
            ("x-rapport-tenant", "acme"),
            ("x-rapport-subject", "jane"),
            ("x-request-id", "id-1"),
            ("traceparent", TRACEPARENT),
        ];
        let ask = |text: &str| {
            let request = request_with(text, &headers);
            let mut client = first.client();
            async move { say(&mut client, request).await }
        };
        let who = ask("peer who").await.unwrap();
        assert_eq!(who, "acme jane id-1 true rapport.profile.v1.ProfileService/GetSection", "local: {local}");
        assert_eq!(ask("peer trace").await.unwrap(), TRACEPARENT, "local: {local}");
        let status = ask("peer wrong").await.unwrap_err();
        assert_eq!((status.code(), reason(&status)), (Code::InvalidArgument, "INVALID_FIELDS".to_owned()));
        assert_eq!(host::fault(status).violations().len(), 2, "local: {local}");
        assert_eq!(reason(&ask("peer missing").await.unwrap_err()), "CUSTOMER_NOT_FOUND");
        assert_eq!(ask("peer panic").await.unwrap_err().code(), Code::Internal);
        assert_eq!(ask("peer large 3000000").await.unwrap().len(), 3_000_000);

        let late = request_with("peer wait", &[("grpc-timeout", "200m")]);
        let status = soon(say(&mut first.client(), late)).await.unwrap_err();
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "local: {local}: {status:?}");
        assert_eq!(soon(other.told.recv()).await, Some("waiting"));
        assert_eq!(soon(other.told.recv()).await, Some("gone"), "local: {local}");
    }
}

#[tokio::test]
async fn a_read_is_tried_again_when_its_peer_was_away() {
    let (first, other) = pair(false).await;
    assert_eq!(first.say("peer flaky 2").await.unwrap(), "at last");
    assert_eq!(other.puppet.tried.swap(0, Ordering::Relaxed), 3);
    let status = first.say("peer flaky 9").await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "STORE_UNAVAILABLE".to_owned()));
    assert_eq!(other.puppet.tried.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_peer_that_is_away_comes_back() {
    let place = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let first = Host::start(loader().flag("test", "peers.interaction", &format!("http://{place}"))).await;
    let status = soon(first.say("peer hello")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status)), (Code::Unavailable, "PEER_UNAVAILABLE".to_owned()));
    let _other = Host::start(loader().flag("test", "server.address", &place)).await;
    let answer = soon(async {
        loop {
            if let Ok(answer) = first.say("peer hello").await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert_eq!(answer.await, "said hello");
}

#[tokio::test]
async fn a_peer_without_an_address_is_unavailable() {
    let first = Host::start(loader()).await;
    assert!(!first.context.peers.knows(Service::Interaction));
    assert_eq!(reason(&first.say("peer hello").await.unwrap_err()), "PEER_UNAVAILABLE");
}

#[tokio::test]
async fn a_service_shows_its_own_credential() {
    let issuer = TokenIssuer::new();
    let token = issuer.file("token", &issuer.token("*", "identity", "*.write"));
    let other =
        Host::start(loader().flag("test", "auth.mode", "jwt").flag("test", "auth.issuer", &issuer.issuer).flag(
            "test",
            "auth.jwks_file",
            issuer.jwks_file().to_str().unwrap(),
        ))
        .await;
    let config = loader().flag("test", "peers.interaction", &other.url()).flag(
        "test",
        "peers.token_file",
        token.to_str().unwrap(),
    );
    let context = context(config.load().unwrap());
    let caller = Caller::all_powerful("acme".parse().unwrap(), "jane");
    let peer = context.peers.get(Service::Interaction).on_behalf_of(&caller);
    let reply = ProfileServiceClient::new(peer).get_section(request("who")).await.unwrap().into_inner();
    assert!(reply.section.starts_with(b"acme jane "));

    let peer = context.peers.get(Service::Interaction).for_every_tenant("identity");
    let watch = WatchRequest { service: "three".to_owned(), ..Default::default() };
    let mut items = FeedServiceClient::new(peer.clone()).watch(watch).await.unwrap().into_inner();
    assert!(items.message().await.unwrap().is_some());
    let status = ProfileServiceClient::new(peer).get_section(request("who")).await.unwrap_err();
    assert_eq!(host::fault(status).reason(), Reason::TenantMismatch);
}

#[tokio::test]
async fn a_service_shows_its_own_certificate() {
    let authority = CertificateAuthority::new();
    let (server, client) = (authority.server(), authority.client("identity.suite"));
    let path = |file: &std::path::Path| file.to_str().unwrap().to_owned();
    let other = Host::start(
        loader()
            .flag("test", "auth.mode", "mtls")
            .flag("test", "auth.clients", r#"[{ name = "identity.suite", tenant = "*", scopes = ["*.admin"] }]"#)
            .flag("test", "server.tls.cert_file", &path(&server.cert))
            .flag("test", "server.tls.key_file", &path(&server.key))
            .flag("test", "server.tls.client_ca_file", &path(&authority.ca_file())),
    )
    .await;
    let config = loader()
        .flag("test", "peers.interaction", &other.url().replace("http:", "https:"))
        .flag("test", "peers.ca_file", &path(&authority.ca_file()))
        .flag("test", "peers.cert_file", &path(&client.cert))
        .flag("test", "peers.key_file", &path(&client.key));
    let context = context(config.load().unwrap());
    let caller = Caller::all_powerful("acme".parse().unwrap(), "jane");
    let peer = context.peers.get(Service::Interaction).on_behalf_of(&caller);
    let reply = ProfileServiceClient::new(peer).get_section(request("who")).await.unwrap().into_inner();
    assert!(reply.section.starts_with(b"acme jane "));
}
