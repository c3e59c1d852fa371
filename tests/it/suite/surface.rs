//! What every server shows beside its RPCs: reflection, health, gRPC-Web, metrics.

use std::{collections::BTreeSet, time::Duration};

use it::{
    app::{App, by_id},
    contract::rpcs,
    suite::Shape,
    until::{LONG, until},
    web,
};
use prost::Message;
use rapport_proto::identity::v1::{GetCustomerRequest, GetCustomerResponse};
use serde_json::json;
use terms::Service;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

in_both_shapes!(servers_describe_themselves, health_is_watched, browsers_may_call, metrics_name_every_call);

async fn channel(app: &App, service: Service) -> Channel {
    let url = format!("http://{}", app.suite.address(service));
    Channel::from_shared(url).expect("an address").connect().await.expect("a connection")
}

/// The names of the services that are served at `service`'s address.
fn expected(shape: Shape, service: Service) -> BTreeSet<String> {
    let own = |s: Service| match s {
        Service::Identity => "rapport.identity.v1.IdentityService",
        Service::Interaction => "rapport.interaction.v1.InteractionService",
        Service::Segmentation => "rapport.segmentation.v1.SegmentationService",
        Service::Customization => "rapport.customization.v1.CustomizationService",
    };
    let served: Vec<Service> = if shape == Shape::One { Service::ALL.to_vec() } else { vec![service] };
    let mut names: BTreeSet<String> = served.into_iter().map(|s| own(s).to_owned()).collect();
    names.insert("rapport.feed.v1.FeedService".to_owned());
    names.insert("google.longrunning.Operations".to_owned());
    names.insert("grpc.health.v1.Health".to_owned());
    names
}

async fn servers_describe_themselves(shape: Shape) {
    let app = App::new(shape, "described");
    for service in Service::ALL {
        let channel = channel(&app, service).await;
        let listed = listed_v1(channel.clone()).await;
        let missing: Vec<String> = expected(shape, service).difference(&listed).cloned().collect();
        assert!(missing.is_empty(), "{service}: {missing:?} of {listed:?}");
        assert_eq!(listed, listed_v1alpha(channel.clone()).await);
        // Every symbol that is listed can be asked for, with its comments.
        for name in listed.iter().filter(|name| name.starts_with("rapport.")) {
            let file = file_v1(channel.clone(), name).await;
            let file = prost_types::FileDescriptorProto::decode(&file[..]).expect("a file");
            assert!(file.source_code_info.is_some_and(|info| !info.location.is_empty()), "{name} has no comments");
        }
    }
}

async fn ask_v1(
    channel: Channel,
    request: v1::server_reflection_request::MessageRequest,
) -> v1::server_reflection_response::MessageResponse {
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let mut replies =
        client.server_reflection_info(tokio_stream::once(request)).await.expect("reflection v1").into_inner();
    let reply = replies.message().await.expect("a reply").expect("one reply");
    reply.message_response.expect("a response")
}

async fn listed_v1(channel: Channel) -> BTreeSet<String> {
    use v1::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
    match ask_v1(channel, MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}

async fn file_v1(channel: Channel, symbol: &str) -> Vec<u8> {
    use v1::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
    match ask_v1(channel, MessageRequest::FileContainingSymbol(symbol.to_owned())).await {
        MessageResponse::FileDescriptorResponse(files) => {
            files.file_descriptor_proto.into_iter().next().expect("a file")
        }
        other => panic!("{symbol}: {other:?}"),
    }
}

async fn listed_v1alpha(channel: Channel) -> BTreeSet<String> {
    use v1alpha::{server_reflection_request::MessageRequest, server_reflection_response::MessageResponse};
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut replies =
        client.server_reflection_info(tokio_stream::once(request)).await.expect("reflection v1alpha").into_inner();
    let reply = replies.message().await.expect("a reply").expect("one reply");
    match reply.message_response.expect("a response") {
        MessageResponse::ListServicesResponse(list) => list.service.into_iter().map(|s| s.name).collect(),
        other => panic!("{other:?}"),
    }
}

async fn health_is_watched(shape: Shape) {
    let app = App::new(shape, "health");
    for service in Service::ALL {
        let mut client = HealthClient::new(channel(&app, service).await);
        let own = expected(shape, service).into_iter().filter(|name| name.contains(service.name()));
        for name in own.chain([String::new()]) {
            let request = HealthCheckRequest { service: name.clone() };
            let status = client.check(request.clone()).await.expect("a check").into_inner().status();
            assert_eq!(status, ServingStatus::Serving, "`{name}`");
            let mut watched = client.watch(request).await.expect("a watch").into_inner();
            let first = watched.message().await.expect("a status").expect("at once").status();
            assert_eq!(first, ServingStatus::Serving, "`{name}`");
        }
        let unknown = client.check(HealthCheckRequest { service: "no.such.Service".to_owned() }).await;
        assert_eq!(unknown.expect_err("no such service").code(), Code::NotFound);
    }
}

async fn browsers_may_call(shape: Shape) {
    let app = App::new(shape, "browsers");
    let id =
        app.identify(&[("email", "web@example.org")], json!({ "name": "Web" })).await.expect("somebody").customer_id;
    let address = app.suite.address(Service::Identity);
    let credential = match &app.suite.issuer {
        Some(issuer) => format!("Authorization: Bearer {}\r\n", issuer.token(&app.tenant, &["identity.read"])),
        None => format!("X-Rapport-Tenant: {}\r\n", app.tenant),
    };
    let path = "/rapport.identity.v1.IdentityService/GetCustomer";
    let request = |id: &str| GetCustomerRequest { customer: Some(by_id(id)), ..GetCustomerRequest::default() };
    let answer = web::post_message(address, path, &credential, &request(&id).encode_to_vec()).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.headers);
    let (messages, trailers) = web::frames(&answer.body).expect("frames");
    assert!(
        trailers.to_lowercase().contains("grpc-status:0") || answer.headers.contains("grpc-status: 0"),
        "{trailers}"
    );
    let customer =
        GetCustomerResponse::decode(messages.first().expect("one message").as_slice()).expect("a reply").customer;
    assert_eq!(customer.map(|customer| customer.customer_id), Some(id));

    let unknown = request("cust_00000000000000000000000000").encode_to_vec();
    let answer = web::post_message(address, path, &credential, &unknown).await.expect("an answer");
    let (_, trailers) = web::frames(&answer.body).expect("frames");
    let told = format!("{}\r\n{}", answer.headers.replace(": ", ":"), trailers.to_lowercase().replace(": ", ":"));
    assert!(told.contains("grpc-status:5"), "{told}");
}

async fn metrics_name_every_call(shape: Shape) {
    let app = App::new(shape, "metrics");
    for rpc in rpcs().iter().filter(|rpc| rpc.is_public()) {
        let _ = it::raw::call(&app, rpc, &prost_reflect::DynamicMessage::new(rpc.input())).await;
    }
    let processes = &app.suite.processes;
    let mut page = String::new();
    for process in processes {
        let address = process.metrics.expect("a metrics address");
        let text = until("the metrics page", LONG, || async { web::get(address, "/metrics").await.ok() }).await;
        assert_eq!(text.status, 200);
        page.push_str(&String::from_utf8_lossy(&text.body));
        for probe in ["/healthz", "/readyz"] {
            assert_eq!(web::get(address, probe).await.expect(probe).status, 200, "{probe}");
        }
    }
    let without: Vec<&str> = rpcs()
        .iter()
        .filter(|rpc| rpc.is_public())
        .filter(|rpc| !page.contains(&format!("\"{}\"", rpc.method.name())) && !page.contains(&rpc.name))
        .map(|rpc| rpc.name.as_str())
        .collect();
    assert!(without.is_empty(), "no metric names {without:?}");
    assert!(!page.contains("marker7f3a"), "personal data in a metric");
}

/// SIGTERM: what is under way ends, nothing more is taken, the process ends with 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_ends_when_it_is_asked_to() {
    let dir = it::process::directory("term");
    let process = it::suite::dev(&dir).expect("a process");
    let channel = Channel::from_shared(format!("http://{}", process.grpc)).expect("an address");
    let mut client = HealthClient::new(channel.connect().await.expect("a connection"));
    let mut watched = client.watch(HealthCheckRequest::default()).await.expect("a watch").into_inner();
    assert_eq!(watched.message().await.expect("a status").expect("at once").status(), ServingStatus::Serving);
    let ended = tokio::task::spawn_blocking(move || process.terminate(Duration::from_secs(20)));
    let told = watched.message().await;
    assert!(!matches!(&told, Ok(Some(status)) if status.status() == ServingStatus::Serving), "{told:?}");
    ended.await.expect("no panic").expect("status 0");
}
