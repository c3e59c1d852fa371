//! `TrainMatcher`.

use data::once;
use host::{Call, decode};
use prost::Message;
use rapport_proto::{google::longrunning::Operation, identity::v1::TrainMatcherRequest, r#type::v1::CustomerKind};
use terms::{Fault, Violations};

use super::Ports;

/// How many random pairs one training draws at most.
const MOST_PAIRS: i64 = 100_000_000;
/// How many iterations one training does at most.
const MOST_ITERATIONS: i32 = 10_000;

pub(super) async fn train_matcher(ports: &Ports, call: Call, body: TrainMatcherRequest) -> Result<Operation, Fault> {
    let mut wrong = Violations::new();
    let kind = wrong.take(decode::enumeration::<CustomerKind>("kind", body.kind));
    let others = matches!(kind, Some(CustomerKind::Household | CustomerKind::Organization));
    wrong.add_if(others, "kind", "is not trained on; give persons, by whose records one matcher is trained for all");
    wrong.add_if(!(0..=MOST_PAIRS).contains(&body.max_pairs), "max_pairs", "must be 0 to 100000000");
    wrong.add_if(!(0..=MOST_ITERATIONS).contains(&body.max_iterations), "max_iterations", "must be 0 to 10000");
    wrong.take(decode::request_id("request_id", body.request_id.clone()));
    wrong.done()?;
    if body.validate_only {
        // It has no name: there is no such operation.
        return Ok(Operation::default());
    }
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let operation = ports.operations.start(&call.caller, once, &*ports.training, body.encode_to_vec()).await?;
    Ok(operation.message())
}
