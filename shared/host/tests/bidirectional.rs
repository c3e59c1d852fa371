//! A bidirectional RPC through the host's wrapper.

mod support;

use std::{convert::Infallible, task::Poll};

use bytes::Bytes;
use futures::{StreamExt as _, future::BoxFuture};
use host::{Replies, Routes, Rule, Server, Shared, Suite};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use rapport_proto::interaction::v1::{RecordInteractionsRequest, RecordInteractionsResponse};
use support::{context, loader, soon};
use terms::Fault;
use tonic::{
    Request, Response, Status, Streaming, body::Body, server::NamedService, server::StreamingService,
    transport::Endpoint,
};
use tower::{Service, ServiceExt as _};

/// Answers each message with its correlation as the revision.
#[derive(Clone)]
struct Echo;

impl StreamingService<RecordInteractionsRequest> for Echo {
    type Response = RecordInteractionsResponse;
    type ResponseStream = Replies<RecordInteractionsResponse>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<RecordInteractionsRequest>>) -> Self::Future {
        Box::pin(host::bidirectional(request, async |call, requests| {
            let tenant = call.caller.tenant;
            Ok::<_, Fault>(requests.map(move |request| {
                let revision = format!("{tenant} {}", request?.correlation);
                Ok(RecordInteractionsResponse { revision, ..Default::default() })
            }))
        }))
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "rapport.interaction.v1.InteractionService";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let codec = tonic_prost::ProstCodec::<RecordInteractionsResponse, RecordInteractionsRequest>::default();
        Box::pin(async move { Ok(tonic::server::Grpc::new(codec).streaming(Echo, request).await) })
    }
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// The revisions that come back for these frames, and the status at the end.
async fn exchange(frames: &[Vec<u8>]) -> (Vec<String>, String) {
    let context = context(loader().load().unwrap());
    let server = Server::bind(&context.config).await.unwrap();
    let access = vec![("rapport.interaction.v1.InteractionService/RecordInteractions", Rule::Authenticated)];
    let shared = vec![Shared { routes: Routes::new().add(Echo), access }];
    let running = server.serve(&context, Suite { built: Vec::new(), shared }).unwrap();
    let url = format!("http://{}", running.address());
    let request = http::Request::post(format!("{url}/rapport.interaction.v1.InteractionService/RecordInteractions"))
        .header("content-type", "application/grpc")
        .body(Body::new(Full::new(Bytes::from(frames.concat()))))
        .unwrap();
    let response = Endpoint::from_shared(url).unwrap().connect_lazy().oneshot(request).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap();
    let status = body.trailers().unwrap().get("grpc-status").unwrap().to_str().unwrap().to_owned();
    let mut bytes = body.to_bytes();
    let mut revisions = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.split_to(5);
        let length = u32::from_be_bytes(head[1..5].try_into().unwrap()) as usize;
        revisions.push(RecordInteractionsResponse::decode(bytes.split_to(length)).unwrap().revision);
    }
    (revisions, status)
}

fn message(correlation: &str) -> Vec<u8> {
    frame(&RecordInteractionsRequest { correlation: correlation.to_owned(), ..Default::default() }.encode_to_vec())
}

#[tokio::test]
async fn each_message_is_answered() {
    let (revisions, status) = exchange(&[message("a"), message("b")]).await;
    assert_eq!((revisions.as_slice(), status.as_str()), (&["default a".to_owned(), "default b".to_owned()][..], "0"));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_the_stream_as_the_callers_fault() {
    let (revisions, status) = exchange(&[message("a"), frame(b"\xff\xff\xff"), message("b")]).await;
    assert_eq!((revisions.len(), status.as_str()), (1, "3"));
    // Cut off in the middle of a message.
    let mut half = message("b");
    half.truncate(half.len() - 1);
    let (revisions, status) = exchange(&[message("a"), half]).await;
    assert_eq!((revisions.len(), status.as_str()), (1, "3"));
}
