//! `google.longrunning.Operations`: who sees what, who may do what, and what is wrong.

use std::{sync::Arc, time::Duration};

use data::operations::Server;
use prost::Message;
use rapport_proto::{
    google::longrunning::{
        CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
        WaitOperationRequest, operation, operations_client::OperationsClient, operations_server::OperationsServer,
    },
    r#type::v1::OperationProgress,
};
use terms::{Caller, Scope, Tenant};
use testkit::TestStore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, service::interceptor::InterceptedService};

use crate::{
    operations::{Steps, operations, replica, start, status},
    support::{stores, tenant},
};

#[derive(Clone)]
struct Credential {
    caller: Option<Caller>,
    wait: Option<Duration>,
}

/// Until when the caller waits.
#[derive(Clone)]
struct Until(Instant);

impl tonic::service::Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(caller) = &self.caller {
            request.extensions_mut().insert(caller.clone());
        }
        if let Some(wait) = self.wait {
            request.extensions_mut().insert(Until(Instant::now() + wait));
        }
        Ok(request)
    }
}

type Client = OperationsClient<InterceptedService<OperationsServer<Server>, Credential>>;

fn client(store: &TestStore, caller: Option<Caller>, wait: Option<Duration>) -> Client {
    let server = Server::new(
        [operations(store)],
        status,
        |extensions| extensions.get::<Until>().map(|until| until.0),
        CancellationToken::new(),
    );
    OperationsClient::new(OperationsServer::with_interceptor(server, Credential { caller, wait }))
}

fn scoped(tenant: &str, scope: &str) -> Option<Caller> {
    let tenant: Tenant = tenant.parse().unwrap();
    let scope: Scope = scope.parse().unwrap();
    Some(Caller { scopes: Arc::new([scope]), ..Caller::all_powerful(tenant, "ann") })
}

fn get(name: &str) -> GetOperationRequest {
    GetOperationRequest { name: name.to_owned() }
}

fn list(name: &str, filter: &str) -> ListOperationsRequest {
    ListOperationsRequest { name: name.to_owned(), filter: filter.to_owned(), ..ListOperationsRequest::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_over_grpc() {
    for store in stores().await {
        let work = Arc::new(Steps { pace: Duration::from_millis(1), ..Steps::default() });
        let shutdown = CancellationToken::new();
        let mut client = client(&store, scoped("acme", "interaction.admin"), None);
        let name = start(&store, &work, 4).await.name();
        let open = client.get_operation(get(&name)).await.unwrap().into_inner();
        assert!(!open.done && open.result.is_none() && open.name == name);
        let _running = replica(&store, &work, &shutdown);
        let done = client.wait_operation(WaitOperationRequest { name: name.clone(), timeout: None }).await.unwrap();
        let done = done.into_inner();
        let Some(operation::Result::Response(any)) = &done.result else { panic!("{done:?}") };
        assert!(done.done && any.value == [4] && any.type_url.ends_with("/rapport.test.v1.CountResponse"));
        let metadata = done.metadata.unwrap();
        assert_eq!(metadata.type_url, "type.googleapis.com/rapport.type.v1.OperationProgress");
        let progress = OperationProgress::decode(&metadata.value[..]).unwrap();
        assert_eq!((progress.kind.as_str(), progress.unit.as_str()), ("Count", "steps"));
        assert_eq!((progress.done_units, progress.total_units, progress.cancel_requested), (4, 4, false));
        client.cancel_operation(CancelOperationRequest { name: name.clone() }).await.unwrap();
        client.delete_operation(DeleteOperationRequest { name: name.clone() }).await.unwrap();
        assert_eq!(client.get_operation(get(&name)).await.unwrap_err().code(), Code::NotFound, "{}", store.name());
        shutdown.cancel();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_is_answered_before_its_deadline() {
    for store in stores().await {
        let name = start(&store, &Arc::default(), 4).await.name();
        let timeout = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
        let mut hasty = client(&store, scoped("acme", "interaction.read"), Some(Duration::from_millis(400)));
        let begun = Instant::now();
        let wait = |timeout| WaitOperationRequest { name: name.clone(), timeout };
        let open = hasty.wait_operation(wait(timeout(3_600, 0))).await.unwrap().into_inner();
        assert!(!open.done && begun.elapsed() < Duration::from_millis(400), "{}", store.name());
        let mut patient = client(&store, scoped("acme", "interaction.read"), None);
        let begun = Instant::now();
        assert!(!patient.wait_operation(wait(timeout(0, 300_000_000))).await.unwrap().into_inner().done);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert!(!patient.wait_operation(wait(timeout(0, 0))).await.unwrap().into_inner().done);
        let wrong = patient.wait_operation(wait(timeout(-1, 0))).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_and_who_may_not() {
    for store in stores().await {
        let name = start(&store, &Arc::default(), 4).await.name();
        for (caller, reads, cancels) in [
            (None, Code::Unauthenticated, Code::Unauthenticated),
            (scoped("acme", "identity.admin"), Code::PermissionDenied, Code::PermissionDenied),
            (scoped("acme", "interaction.read"), Code::Ok, Code::PermissionDenied),
            (scoped("acme", "interaction.write"), Code::Ok, Code::PermissionDenied),
            (scoped("other", "*.admin"), Code::NotFound, Code::NotFound),
            (scoped("acme", "*.admin"), Code::Ok, Code::Ok),
        ] {
            let told = format!("{} {:?}", store.name(), caller);
            let mut client = client(&store, caller, None);
            let code = |status: Result<(), Status>| status.err().map_or(Code::Ok, |status| status.code());
            assert_eq!(code(client.get_operation(get(&name)).await.map(drop)), reads, "{told}");
            let wait = WaitOperationRequest { name: name.clone(), timeout: Some(prost_types::Duration::default()) };
            assert_eq!(code(client.wait_operation(wait).await.map(drop)), reads, "{told}");
            let cancel = CancelOperationRequest { name: name.clone() };
            assert_eq!(code(client.cancel_operation(cancel).await.map(drop)), cancels, "{told}");
            let delete = DeleteOperationRequest { name: name.clone() };
            assert_eq!(code(client.delete_operation(delete).await.map(drop)), cancels, "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_in_pages() {
    for store in stores().await {
        let work: Arc<Steps> = Arc::default();
        let mut names = Vec::new();
        for _ in 0..7 {
            names.push(start(&store, &work, 1).await.name());
        }
        // Newest first; those of one millisecond stand in the order of their ids.
        names.sort_unstable_by(|one, other| other.cmp(one));
        operations(&store).cancel(&tenant(), names[2].rsplit('/').next().unwrap().parse().unwrap()).await.unwrap();
        let mut ours = client(&store, scoped("acme", "interaction.read"), None);
        for parent in ["", "operations", "operations/interaction"] {
            let (mut seen, mut token) = (Vec::new(), String::new());
            loop {
                let request = ListOperationsRequest { page_size: 3, page_token: token, ..list(parent, "") };
                let page = ours.list_operations(request).await.unwrap().into_inner();
                seen.extend(page.operations.into_iter().map(|operation| operation.name));
                token = page.next_page_token;
                if token.is_empty() {
                    break;
                }
            }
            assert_eq!(seen, names, "{} {parent}", store.name());
        }
        let mut listed = async |filter: &str| {
            let page = ours.list_operations(list("operations/interaction", filter)).await.map(|p| p.into_inner());
            page.map(|page| page.operations.len()).map_err(|status| status.code())
        };
        assert_eq!(listed("done").await, Ok(1));
        assert_eq!(listed("!done && kind == \"Count\"").await, Ok(6));
        assert_eq!(listed("kind == \"Other\"").await, Ok(0));
        assert_eq!(listed("kind < 3").await, Err(Code::InvalidArgument));
        for (caller, parent, expected) in [
            (scoped("other", "*.read"), "operations", Ok(0)),
            (scoped("acme", "identity.read"), "operations", Err(Code::PermissionDenied)),
            (scoped("acme", "identity.read"), "operations/interaction", Err(Code::PermissionDenied)),
            (scoped("acme", "*.read"), "operations/identity", Err(Code::NotFound)),
            (scoped("acme", "*.read"), "projects/7", Err(Code::InvalidArgument)),
        ] {
            let listed = client(&store, caller, None).list_operations(list(parent, "")).await;
            let listed = listed.map(|page| page.into_inner().operations.len()).map_err(|status| status.code());
            assert_eq!(listed, expected, "{} {parent}", store.name());
        }
        let foreign = ListOperationsRequest { page_token: "AAAA".to_owned(), page_size: -1, ..list("", "") };
        assert_eq!(ours.list_operations(foreign).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_none() {
    for store in stores().await {
        let mut client = client(&store, scoped("acme", "*.admin"), None);
        let known = start(&store, &Arc::default(), 4).await;
        for (name, code) in [
            (String::new(), Code::InvalidArgument),
            ("operations/1".to_owned(), Code::InvalidArgument),
            (format!("operations/interaction/{}x", known.id), Code::InvalidArgument),
            (format!("operations/identity/{}", known.id), Code::NotFound),
            ("operations/interaction/op_00000000000000000000000000".to_owned(), Code::NotFound),
        ] {
            assert_eq!(client.get_operation(get(&name)).await.unwrap_err().code(), code, "{name}");
            let cancel = CancelOperationRequest { name: name.clone() };
            assert_eq!(client.cancel_operation(cancel).await.unwrap_err().code(), code, "{name}");
            let delete = DeleteOperationRequest { name: name.clone() };
            assert_eq!(client.delete_operation(delete).await.unwrap_err().code(), code, "{name}");
        }
    }
}
