//! `rapport.interaction.v1.InteractionService`: one RPC per file.

mod get_interaction;
mod get_permissions;
mod lift_boundary;
mod list_interactions;
mod list_statements;
mod record_consent;
mod record_interaction;
mod record_interactions;
mod record_statement;
mod retract_statement;
mod set_boundary;
mod watch_interactions;

use std::{sync::Arc, time::Duration};

use data::{Feed, once};
use host::{Call, Replies};
use interaction_domain::{How, store::Demand};
use prost::Message;
use rapport_proto::interaction::v1::*;
use terms::{Access, Revision, Violations};
use tonic::{Request, Response, Status, Streaming};

use crate::{config::InteractionConfig, store::SqlInteractions};

/// What the RPCs work with.
pub(crate) struct Ports {
    pub(crate) domain: Arc<interaction_domain::Ports<SqlInteractions>>,
    pub(crate) feed: Feed,
    pub(crate) config: InteractionConfig,
}

/// Serves the RPCs.
pub(crate) struct Handler {
    ports: Arc<Ports>,
}

impl Handler {
    pub(crate) fn new(
        domain: Arc<interaction_domain::Ports<SqlInteractions>>,
        feed: Feed,
        config: InteractionConfig,
    ) -> Self {
        Self { ports: Arc::new(Ports { domain, feed, config }) }
    }
}

impl Ports {
    /// What a read must show. It gives up a little before its caller does, so that the caller hears why.
    fn demand(&self, wrong: &mut Violations, call: &Call, at_least: &str) -> Demand {
        let revision = wrong.take(Revision::parse("at_least", at_least)).unwrap_or_default();
        let left = call.remaining().map(|left| left.saturating_sub(Duration::from_millis(20)));
        let patience = left.unwrap_or(Duration::MAX).min(self.config.patience());
        Demand { revision, patience }
    }
}

/// How a write is to be carried out. `body` is the request as it came.
fn how(wrong: &mut Violations, call: &Call, request_id: &str, dry: bool, body: &impl Message) -> How {
    wrong.take(host::decode::request_id("request_id", request_id.to_owned()));
    How { once: once(&call.caller, call.rpc, request_id, body), dry }
}

macro_rules! rpc {
    ($name:literal) => {
        concat!("rapport.interaction.v1.InteractionService/", $name)
    };
}

/// Every RPC with the access that it needs.
pub const ACCESS: &[(&str, Access)] = &[
    (rpc!("RecordInteraction"), Access::Write),
    (rpc!("RecordInteractions"), Access::Write),
    (rpc!("GetInteraction"), Access::Read),
    (rpc!("ListInteractions"), Access::Read),
    (rpc!("WatchInteractions"), Access::Read),
    (rpc!("RecordStatement"), Access::Write),
    (rpc!("RetractStatement"), Access::Write),
    (rpc!("ListStatements"), Access::Read),
    (rpc!("DefineQuestion"), Access::Admin),
    (rpc!("ListQuestions"), Access::Read),
    (rpc!("NextQuestion"), Access::Write),
    (rpc!("AnswerQuestion"), Access::Write),
    (rpc!("DeclineQuestion"), Access::Write),
    (rpc!("StartConversation"), Access::Write),
    (rpc!("GetConversation"), Access::Read),
    (rpc!("CloseConversation"), Access::Write),
    (rpc!("RecordConsent"), Access::Write),
    (rpc!("SetBoundary"), Access::Write),
    (rpc!("LiftBoundary"), Access::Write),
    (rpc!("GetPermissions"), Access::Read),
    (rpc!("UpdateContactPolicy"), Access::Admin),
    (rpc!("CheckContact"), Access::Read),
    (rpc!("ReserveContact"), Access::Write),
    (rpc!("SettleContact"), Access::Write),
    (rpc!("MakePromise"), Access::Write),
    (rpc!("SettlePromise"), Access::Write),
    (rpc!("ListPromises"), Access::Read),
    (rpc!("RecordFeedback"), Access::Write),
    (rpc!("GetExperience"), Access::Read),
];

/// RPCs that are declared, and come with a later release.
pub const NOT_YET_SERVED: &[&str] = &[
    rpc!("DefineQuestion"),
    rpc!("ListQuestions"),
    rpc!("NextQuestion"),
    rpc!("AnswerQuestion"),
    rpc!("DeclineQuestion"),
    rpc!("StartConversation"),
    rpc!("GetConversation"),
    rpc!("CloseConversation"),
    rpc!("UpdateContactPolicy"),
    rpc!("CheckContact"),
    rpc!("ReserveContact"),
    rpc!("SettleContact"),
    rpc!("MakePromise"),
    rpc!("SettlePromise"),
    rpc!("ListPromises"),
    rpc!("RecordFeedback"),
    rpc!("GetExperience"),
];

/// Serves unary RPCs, each by its file, and says of the others that they come later.
macro_rules! rpcs {
    (
        served { $($verb:ident: $req:ty => $resp:ty,)* }
        later { $($name:ident $rpc:literal: $later_req:ty => $later_resp:ty,)* }
    ) => {
        #[tonic::async_trait]
        impl interaction_service_server::InteractionService for Handler {
            $(
                async fn $verb(&self, request: Request<$req>) -> Result<Response<$resp>, Status> {
                    let ports = &self.ports;
                    host::unary(request, |call, body| $verb::$verb(ports, call, body)).await
                }
            )*

            $(
                async fn $name(&self, _: Request<$later_req>) -> Result<Response<$later_resp>, Status> {
                    Err(host::not_yet_served(rpc!($rpc)))
                }
            )*

            type RecordInteractionsStream = Replies<RecordInteractionsResponse>;

            async fn record_interactions(
                &self,
                request: Request<Streaming<RecordInteractionsRequest>>,
            ) -> Result<Response<Self::RecordInteractionsStream>, Status> {
                let ports = self.ports.clone();
                host::bidirectional(request, |call, records| {
                    record_interactions::record_interactions(ports, call, records)
                })
                .await
            }

            type WatchInteractionsStream = Replies<WatchInteractionsResponse>;

            async fn watch_interactions(
                &self,
                request: Request<WatchInteractionsRequest>,
            ) -> Result<Response<Self::WatchInteractionsStream>, Status> {
                let ports = self.ports.clone();
                host::server_stream(request, |call, body| watch_interactions::watch_interactions(ports, call, body)).await
            }
        }
    };
}

rpcs! {
    served {
        record_interaction: RecordInteractionRequest => RecordInteractionResponse,
        get_interaction: GetInteractionRequest => GetInteractionResponse,
        list_interactions: ListInteractionsRequest => ListInteractionsResponse,
        record_statement: RecordStatementRequest => RecordStatementResponse,
        retract_statement: RetractStatementRequest => RetractStatementResponse,
        list_statements: ListStatementsRequest => ListStatementsResponse,
        record_consent: RecordConsentRequest => RecordConsentResponse,
        set_boundary: SetBoundaryRequest => SetBoundaryResponse,
        lift_boundary: LiftBoundaryRequest => LiftBoundaryResponse,
        get_permissions: GetPermissionsRequest => GetPermissionsResponse,
    }
    later {
        define_question "DefineQuestion": DefineQuestionRequest => DefineQuestionResponse,
        list_questions "ListQuestions": ListQuestionsRequest => ListQuestionsResponse,
        next_question "NextQuestion": NextQuestionRequest => NextQuestionResponse,
        answer_question "AnswerQuestion": AnswerQuestionRequest => AnswerQuestionResponse,
        decline_question "DeclineQuestion": DeclineQuestionRequest => DeclineQuestionResponse,
        start_conversation "StartConversation": StartConversationRequest => StartConversationResponse,
        get_conversation "GetConversation": GetConversationRequest => GetConversationResponse,
        close_conversation "CloseConversation": CloseConversationRequest => CloseConversationResponse,
        update_contact_policy "UpdateContactPolicy": UpdateContactPolicyRequest => UpdateContactPolicyResponse,
        check_contact "CheckContact": CheckContactRequest => CheckContactResponse,
        reserve_contact "ReserveContact": ReserveContactRequest => ReserveContactResponse,
        settle_contact "SettleContact": SettleContactRequest => SettleContactResponse,
        make_promise "MakePromise": MakePromiseRequest => MakePromiseResponse,
        settle_promise "SettlePromise": SettlePromiseRequest => SettlePromiseResponse,
        list_promises "ListPromises": ListPromisesRequest => ListPromisesResponse,
        record_feedback "RecordFeedback": RecordFeedbackRequest => RecordFeedbackResponse,
        get_experience "GetExperience": GetExperienceRequest => GetExperienceResponse,
    }
}
