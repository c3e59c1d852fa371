//! Long-running operations: served by every server, for the services that live in it.

use it::{
    app::App,
    raw::{self, Refusal},
    suite::Shape,
};
use rapport_proto::google::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest, WaitOperationRequest,
    operations_client::OperationsClient,
};
use terms::Service;
use tonic::{Code, Status};

in_both_shapes!(every_server_knows_its_own_operations);

async fn every_server_knows_its_own_operations(shape: Shape) {
    let app = App::new(shape, "operations");
    for service in Service::ALL {
        let mut client = OperationsClient::new(app.line(service));
        for name in ["operations".to_owned(), format!("operations/{service}")] {
            let request = ListOperationsRequest { name, ..ListOperationsRequest::default() };
            assert!(client.list_operations(request).await.expect("a list").into_inner().operations.is_empty());
        }
        let refused = |status: Status, code: Code, reason: &str| {
            assert_eq!((status.code(), Refusal::of(&status).reason.as_str()), (code, reason), "{status:?}");
            raw::lawful(&status).expect("a lawful status");
        };
        let name = format!("operations/{service}/op_00000000000000000000000000");
        let get = GetOperationRequest { name: name.clone() };
        refused(client.get_operation(get).await.expect_err("none"), Code::NotFound, "OPERATION_NOT_FOUND");
        let wait = WaitOperationRequest { name: name.clone(), timeout: None };
        refused(client.wait_operation(wait).await.expect_err("none"), Code::NotFound, "OPERATION_NOT_FOUND");
        let cancel = CancelOperationRequest { name: name.clone() };
        refused(client.cancel_operation(cancel).await.expect_err("none"), Code::NotFound, "OPERATION_NOT_FOUND");
        let delete = DeleteOperationRequest { name };
        refused(client.delete_operation(delete).await.expect_err("none"), Code::NotFound, "OPERATION_NOT_FOUND");
        let get = GetOperationRequest { name: "operations/1".to_owned() };
        refused(client.get_operation(get).await.expect_err("no name"), Code::InvalidArgument, "INVALID_FIELDS");
        if shape == Shape::Four {
            let elsewhere = Service::ALL.into_iter().find(|other| *other != service).expect("another");
            let name = format!("operations/{elsewhere}/op_00000000000000000000000000");
            let status = client.get_operation(GetOperationRequest { name }).await.expect_err("elsewhere");
            refused(status, Code::NotFound, "SERVICE_UNKNOWN");
        }
    }
}
