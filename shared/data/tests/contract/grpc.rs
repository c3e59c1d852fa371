//! The feed as an RPC: who sees what, and the client as a source like any other.

use std::{sync::Arc, time::Duration};

use data::{FeedSource, RemoteFeed, Watch, WatchFrom, feed::Server, follow};
use futures::{FutureExt, StreamExt};
use rapport_proto::feed::v1::{
    WatchRequest, feed_service_client::FeedServiceClient, feed_service_server::FeedServiceServer,
};
use terms::{Access, Caller, Fault, PARTITIONS, Reason, Scope, Service, SystemClock, Tenant};
use testkit::{TestStore, eventually};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, service::interceptor::InterceptedService};

use crate::{
    consumers::{Effects, distinct, effects, quick},
    support::{customer, entries, event, follower_store, name_of, publish, record, stores, tenant},
};

#[derive(Clone)]
struct Credential(Option<Caller>);

impl tonic::service::Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = &self.0 {
            request.extensions_mut().insert(caller.clone());
        }
        Ok(request)
    }
}

type Served = InterceptedService<FeedServiceServer<Server>, Credential>;

fn status(fault: Fault) -> Status {
    let code = match fault.kind() {
        terms::FaultKind::Invalid => Code::InvalidArgument,
        terms::FaultKind::NotFound => Code::NotFound,
        terms::FaultKind::Denied => Code::PermissionDenied,
        terms::FaultKind::Unauthenticated => Code::Unauthenticated,
        terms::FaultKind::OutOfRange => Code::OutOfRange,
        _ => Code::Unavailable,
    };
    Status::new(code, fault.to_string())
}

fn fault(status: Status) -> Fault {
    let reason = if status.code() == Code::OutOfRange { Reason::FeedCursorExpired } else { Reason::PeerUnavailable };
    Fault::new(reason, status.message())
}

/// Serves the store's feed to `caller`.
fn serve(store: &TestStore, caller: Option<Caller>, shutdown: &CancellationToken) -> Served {
    let server = Server::new([store.feed()], Arc::new(SystemClock), status, shutdown.clone());
    FeedServiceServer::with_interceptor(server, Credential(caller))
}

fn suite() -> Option<Caller> {
    Some(Caller { every_tenant: true, ..Caller::all_powerful(tenant(), "suite") })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_feed_is_the_feed() {
    for store in stores().await {
        let shutdown = CancellationToken::new();
        let remote = RemoteFeed::new(Service::Interaction, serve(&store, suite(), &shutdown), fault);
        publish(&store, "a", 0..1_500).await;
        let from = || Watch::new(WatchFrom::Oldest);
        let near = entries(&mut store.feed().watch(from()).await.unwrap(), 1_500).await;
        let mut batches = remote.watch(from()).await.unwrap();
        assert_eq!(batches.next().await.unwrap().unwrap().cursors.len(), usize::from(PARTITIONS));
        let far = entries(&mut batches, 1_500).await;
        assert_eq!(near, far, "{}", store.name());
        shutdown.cancel();
        let end = batches.next().await.unwrap();
        assert_eq!(end.unwrap_err().reason(), Reason::PeerUnavailable);
        assert!(batches.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_follows_over_grpc() {
    for source in stores().await {
        let store = follower_store(&source, Service::Segmentation).await;
        let shutdown = CancellationToken::new();
        let remote = RemoteFeed::new(Service::Interaction, serve(&source, suite(), &shutdown), fault);
        let _task = follow(store.clone(), Arc::new(remote), Arc::new(Effects::default()), quick(), shutdown.clone());
        publish(&source, "a", 0..700).await;
        let last = record(&source, customer(3), "last").await.unwrap().revision;
        store.reach("effects", &last, Duration::from_secs(20)).await.unwrap();
        eventually("all effects", || async { effects(&store).await == 701 }).await;
        assert_eq!(distinct(&store).await, 701);
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_its_own_tenant() {
    for store in stores().await {
        let shutdown = CancellationToken::new();
        let other: Tenant = "other".parse().unwrap();
        let foreign = other.clone();
        let written = store.write(move |tx| {
            tx.publish(&tenant(), customer(1), event("ours"));
            tx.publish(&foreign, customer(1), event("theirs"));
            async { Ok(()) }.boxed()
        });
        written.await.unwrap();
        let ours = RemoteFeed::new(
            Service::Interaction,
            serve(&store, Some(Caller::all_powerful(tenant(), "lake")), &shutdown),
            fault,
        );
        let mut batches = ours.watch(Watch::new(WatchFrom::Oldest)).await.unwrap();
        assert_eq!(name_of(&entries(&mut batches, 1).await[0]), "ours");
        let more = tokio::time::timeout(Duration::from_millis(100), batches.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_and_what_is_wrong() {
    for store in stores().await {
        let shutdown = CancellationToken::new();
        let watch = |caller: Option<Caller>, request: WatchRequest| {
            let served = serve(&store, caller, &shutdown);
            async move { FeedServiceClient::new(served).watch(request).await.err().map(|status| status.code()) }
        };
        let request = |service: &str| WatchRequest { service: service.to_owned(), ..WatchRequest::default() };
        let scoped = |service: &str| {
            let scope = Scope { service: service.to_owned(), access: Access::Read };
            Some(Caller { scopes: Arc::new([scope]), ..Caller::all_powerful(tenant(), "lake") })
        };
        assert_eq!(watch(None, request("interaction")).await, Some(Code::Unauthenticated));
        assert_eq!(watch(scoped("identity"), request("interaction")).await, Some(Code::PermissionDenied));
        assert_eq!(watch(scoped("interaction"), request("interaction")).await, None);
        assert_eq!(watch(scoped("*"), request("identity")).await, Some(Code::NotFound));
        assert_eq!(watch(scoped("*"), request("nonsense")).await, Some(Code::NotFound));
        let cursor = |partition: u32, cursor: &str| rapport_proto::feed::v1::PartitionCursor {
            partition,
            cursor: cursor.to_owned(),
        };
        for wrong in [cursor(64, ""), cursor(u32::MAX, ""), cursor(1, "%%"), cursor(1, "AAAA")] {
            let request = WatchRequest { partitions: vec![wrong], ..request("interaction") };
            assert_eq!(watch(scoped("*"), request).await, Some(Code::InvalidArgument));
        }
        for request in [
            WatchRequest { max_entries: -1, ..request("interaction") },
            WatchRequest { heartbeat: Some(prost_types::Duration { seconds: 0, nanos: 0 }), ..request("interaction") },
        ] {
            assert_eq!(watch(scoped("*"), request).await, Some(Code::InvalidArgument));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outside_consumer_resumes_by_the_cursor_of_an_entry() {
    for store in stores().await {
        let shutdown = CancellationToken::new();
        for i in 0..5 {
            record(&store, customer(1), &format!("n{i}")).await.unwrap();
        }
        let mut client = FeedServiceClient::new(serve(&store, suite(), &shutdown));
        let request = |partitions| WatchRequest {
            service: "interaction".to_owned(),
            partitions,
            max_entries: 2,
            ..WatchRequest::default()
        };
        let mut seen = Vec::new();
        let mut at: Vec<rapport_proto::feed::v1::PartitionCursor> = Vec::new();
        while seen.len() < 5 {
            let mut responses = client.watch(request(at.clone())).await.unwrap().into_inner();
            let entry = loop {
                let response = responses.next().await.unwrap().unwrap();
                if let Some(entry) = response.entries.into_iter().next() {
                    break entry;
                }
            };
            at = vec![rapport_proto::feed::v1::PartitionCursor { partition: entry.partition, cursor: entry.cursor }];
            seen.push(entry.event.unwrap());
        }
        let seen: Vec<_> = seen.into_iter().map(|event| event.event.unwrap()).collect();
        assert_eq!(seen, (0..5).map(|i| event(&format!("n{i}"))).collect::<Vec<_>>(), "{}", store.name());
    }
}
