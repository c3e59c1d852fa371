//! A first load of customers: records are linked by their identifiers as they come, and compared all together when they
//! are there, by a model that was fitted to them.

use anyhow::{Result, bail};
use prost::Message;
use rapport_proto::{
    google::longrunning::{Operation, WaitOperationRequest, operation, operations_client::OperationsClient},
    identity::v1::{GetMatcherRequest, TrainMatcherRequest, identity_service_client::IdentityServiceClient},
    r#type::v1::OperationProgress,
};
use tonic::Code;

use super::progress;
use crate::connect::Transport;

/// From so many lines on a model is fitted to them.
const MANY: u64 = 10_000;

/// Whether `lines` lines are a first load: nothing was learnt of this tenant's customers yet, and there is a lot to learn
/// from.
///
/// # Errors
/// When the server does not answer.
pub async fn is_one(channel: &Transport, lines: u64) -> Result<bool> {
    if lines < MANY {
        return Ok(false);
    }
    match IdentityServiceClient::new(channel.clone()).get_matcher(GetMatcherRequest::default()).await {
        Ok(reply) => Ok(reply.into_inner().matcher.is_some_and(|matcher| matcher.trained_on_records == 0)),
        // Whoever may only write sends records that are compared as they come.
        Err(status) if status.code() == Code::PermissionDenied => Ok(false),
        Err(status) => Err(status.into()),
    }
}

/// Fits a model to what was loaded, and waits until all of it is compared.
///
/// # Errors
/// When the server does not answer, or training failed. Without the right to train it is said, and no error: the server
/// compares what was loaded by itself.
pub async fn complete(channel: Transport) -> Result<()> {
    let bar = progress("matching", 0);
    let request = TrainMatcherRequest { activate: true, ..TrainMatcherRequest::default() };
    let mut training = match IdentityServiceClient::new(channel.clone()).train_matcher(request).await {
        Ok(accepted) => accepted.into_inner(),
        Err(status) if status.code() == Code::PermissionDenied => {
            bar.finish_and_clear();
            eprintln!("  these credentials may not train a matcher: the records are compared by the shipped one, soon");
            return Ok(());
        }
        Err(status) => return Err(status.into()),
    };
    let mut operations = OperationsClient::new(channel);
    while !training.done {
        if let Some(progress) = told(&training) {
            bar.set_message(progress.stage);
        }
        let timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        let wait = WaitOperationRequest { name: training.name.clone(), timeout };
        training = operations.wait_operation(wait).await?.into_inner();
    }
    bar.finish_and_clear();
    match training.result {
        // Nobody of whom there is anything to compare.
        Some(operation::Result::Error(status)) if status.code == Code::NotFound as i32 => Ok(()),
        Some(operation::Result::Error(status)) => bail!("the records are there, but not compared: {}", status.message),
        _ => Ok(()),
    }
}

fn told(operation: &Operation) -> Option<OperationProgress> {
    OperationProgress::decode(operation.metadata.as_ref()?.value.as_slice()).ok()
}
