//! The API describes itself, to new clients and to old ones.

mod support;

use std::collections::BTreeSet;

use support::{Host, loader};
use tokio_stream::StreamExt as _;
use tonic::Code;

macro_rules! ask {
    ($version:ident, $host:expr, $request:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest { message_request: Some($request), ..Default::default() };
        let mut client = ServerReflectionClient::new($host.channel()).max_decoding_message_size(64 << 20);
        let mut replies = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        let reply: Option<MessageResponse> = replies.next().await.unwrap().unwrap().message_response;
        reply.unwrap()
    }};
}

macro_rules! listed {
    ($version:ident, $host:expr) => {{
        use tonic_reflection::pb::$version::{
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        match ask!($version, $host, MessageRequest::ListServices(String::new())) {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name).collect::<BTreeSet<_>>()
            }
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn both_versions_list_what_is_served() {
    let host = Host::start(loader()).await;
    let expected: BTreeSet<String> = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "rapport.feed.v1.FeedService",
        "rapport.profile.v1.ProfileService",
    ]
    .map(str::to_owned)
    .into();
    assert_eq!(listed!(v1, host), expected);
    assert_eq!(listed!(v1alpha, host), expected);
}

#[tokio::test]
async fn every_listed_service_can_be_described() {
    use tonic_reflection::pb::v1::{
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let host = Host::start(loader()).await;
    for service in listed!(v1, host) {
        match ask!(v1, host, MessageRequest::FileContainingSymbol(service.clone())) {
            MessageResponse::FileDescriptorResponse(files) => assert!(!files.file_descriptor_proto.is_empty()),
            other => panic!("{service}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn it_can_be_switched_off() {
    use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_client::ServerReflectionClient};
    let host = Host::start(loader().flag("test", "server.reflection", "false")).await;
    let request = tokio_stream::once(ServerReflectionRequest::default());
    let status = ServerReflectionClient::new(host.channel()).server_reflection_info(request).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
