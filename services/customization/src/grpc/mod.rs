//! `rapport.customization.v1.CustomizationService`: one RPC per file.

mod create_touchpoint;
mod create_treatment;
mod decide;
mod decide_batch;
mod delete_touchpoint;
mod delete_treatment;
mod get_decision;
mod get_relationship;
mod get_touchpoint;
mod get_treatment;
mod list_touchpoints;
mod list_treatments;
mod lists;
mod replay_decision;
mod report_outcome;
mod touchpoints;
mod treatments;
mod update_touchpoint;
mod update_treatment;

use std::sync::Arc;

use customization_domain::ports::{Define, Definition, Definitions, How};
use host::{Call, Peers};
use prost::Message;
use rapport_proto::{customization::v1::*, google::longrunning::Operation};
use terms::{Access, Clock, Fault, Ids, Once, Revision, Violations, Written};
use tonic::{Request, Response, Status};

use crate::{customers::Customers, store::SqlStore};

/// What the RPCs work with.
pub(crate) struct Ports {
    pub(crate) store: SqlStore,
    pub(crate) customers: Customers,
    pub(crate) peers: Peers,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
}

/// Serves the RPCs.
pub(crate) struct Handler {
    ports: Arc<Ports>,
}

impl Handler {
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports: Arc::new(ports) }
    }
}

macro_rules! rpc {
    ($name:literal) => {
        concat!("rapport.customization.v1.CustomizationService/", $name)
    };
}

/// Every RPC with the access that it needs.
pub const ACCESS: &[(&str, Access)] = &[
    (rpc!("CreateTreatment"), Access::Admin),
    (rpc!("GetTreatment"), Access::Read),
    (rpc!("ListTreatments"), Access::Read),
    (rpc!("UpdateTreatment"), Access::Admin),
    (rpc!("DeleteTreatment"), Access::Admin),
    (rpc!("CreateTouchpoint"), Access::Admin),
    (rpc!("GetTouchpoint"), Access::Read),
    (rpc!("ListTouchpoints"), Access::Read),
    (rpc!("UpdateTouchpoint"), Access::Admin),
    (rpc!("DeleteTouchpoint"), Access::Admin),
    (rpc!("CreateExperiment"), Access::Admin),
    (rpc!("GetExperiment"), Access::Read),
    (rpc!("ListExperiments"), Access::Read),
    (rpc!("UpdateExperiment"), Access::Admin),
    (rpc!("DeleteExperiment"), Access::Admin),
    (rpc!("Decide"), Access::Read),
    (rpc!("DecideBatch"), Access::Read),
    (rpc!("ReportOutcome"), Access::Write),
    (rpc!("GetDecision"), Access::Read),
    (rpc!("ReplayDecision"), Access::Read),
    (rpc!("EvaluatePolicy"), Access::Admin),
    (rpc!("GetExperimentResults"), Access::Read),
    (rpc!("GetRelationship"), Access::Read),
    (rpc!("GetRelationshipMetrics"), Access::Read),
];

/// RPCs that are declared, and come with a later release.
pub const NOT_YET_SERVED: &[&str] = &[
    rpc!("CreateExperiment"),
    rpc!("GetExperiment"),
    rpc!("ListExperiments"),
    rpc!("UpdateExperiment"),
    rpc!("DeleteExperiment"),
    rpc!("EvaluatePolicy"),
    rpc!("GetExperimentResults"),
    rpc!("GetRelationshipMetrics"),
];

/// The idempotency key of a write, if the caller gave one.
fn once(wrong: &mut Violations, call: &Call, rpc: &'static str, request_id: &str, body: &impl Message) -> Option<Once> {
    if request_id.is_empty() {
        return None;
    }
    wrong.take(host::decode::request_id("request_id", request_id.to_owned()))?;
    data::store::once(&call.caller, rpc, request_id, body)
}

/// How a resource is named: by id, or else by name.
fn which(id: &str, name: &str) -> String {
    if id.is_empty() { name.to_owned() } else { id.to_owned() }
}

/// A required field that holds an id or a name.
fn check_which(wrong: &mut Violations, field: &str, text: &str) {
    wrong.add_if(text.is_empty(), field, "is required: an id or a name");
    wrong.add_if(text.len() > 128, field, "is neither an id nor a name: it has more than 128 bytes");
}

/// Stores a definition, or only checks it.
async fn define(
    ports: &Ports,
    call: &Call,
    once: Option<Once>,
    validate_only: bool,
    decide: Define,
) -> Result<Written<Definition>, Fault> {
    let tenant = call.tenant().clone();
    if validate_only {
        let catalog = ports.store.catalog(&tenant, &Revision::new()).await?;
        let value = decide(&catalog, ports.clock.now())?;
        return Ok(Written { value, revision: Revision::new(), replayed: false });
    }
    ports.store.define(How { tenant, actor: call.caller.subject.clone(), once }, decide).await
}

/// Serves a unary RPC by its file.
macro_rules! unary {
    ($self:ident, $request:ident, $verb:ident) => {{
        let ports = &$self.ports;
        host::unary($request, |call, body| $verb::$verb(ports, call, body)).await
    }};
}

macro_rules! serve {
    ({ $($verb:ident: $request:ident => $response:ident;)* } later { $($later:ident = $name:literal: $asked:ident => $answer:ident;)* }) => {
        #[tonic::async_trait]
        impl customization_service_server::CustomizationService for Handler {
            $(async fn $verb(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                unary!(self, request, $verb)
            })*
            $(async fn $later(&self, _: Request<$asked>) -> Result<Response<$answer>, Status> {
                Err(host::not_yet_served(rpc!($name)))
            })*
        }
    };
}

serve! {{
    create_treatment: CreateTreatmentRequest => CreateTreatmentResponse;
    get_treatment: GetTreatmentRequest => GetTreatmentResponse;
    list_treatments: ListTreatmentsRequest => ListTreatmentsResponse;
    update_treatment: UpdateTreatmentRequest => UpdateTreatmentResponse;
    delete_treatment: DeleteTreatmentRequest => DeleteTreatmentResponse;
    create_touchpoint: CreateTouchpointRequest => CreateTouchpointResponse;
    get_touchpoint: GetTouchpointRequest => GetTouchpointResponse;
    list_touchpoints: ListTouchpointsRequest => ListTouchpointsResponse;
    update_touchpoint: UpdateTouchpointRequest => UpdateTouchpointResponse;
    delete_touchpoint: DeleteTouchpointRequest => DeleteTouchpointResponse;
    decide: DecideRequest => DecideResponse;
    decide_batch: DecideBatchRequest => DecideBatchResponse;
    report_outcome: ReportOutcomeRequest => ReportOutcomeResponse;
    get_decision: GetDecisionRequest => GetDecisionResponse;
    replay_decision: ReplayDecisionRequest => ReplayDecisionResponse;
    get_relationship: GetRelationshipRequest => GetRelationshipResponse;
} later {
    create_experiment = "CreateExperiment": CreateExperimentRequest => CreateExperimentResponse;
    get_experiment = "GetExperiment": GetExperimentRequest => GetExperimentResponse;
    list_experiments = "ListExperiments": ListExperimentsRequest => ListExperimentsResponse;
    update_experiment = "UpdateExperiment": UpdateExperimentRequest => UpdateExperimentResponse;
    delete_experiment = "DeleteExperiment": DeleteExperimentRequest => DeleteExperimentResponse;
    evaluate_policy = "EvaluatePolicy": EvaluatePolicyRequest => Operation;
    get_experiment_results = "GetExperimentResults": GetExperimentResultsRequest => GetExperimentResultsResponse;
    get_relationship_metrics = "GetRelationshipMetrics": GetRelationshipMetricsRequest => GetRelationshipMetricsResponse;
}}
