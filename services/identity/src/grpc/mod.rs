//! `rapport.identity.v1.IdentityService`: one RPC per file.

mod batch_get_customers;
mod decide_match_candidate;
mod explain_identity;
mod get_customer;
mod get_identity_policy;
mod get_matcher;
mod identify;
mod identify_stream;
mod identity_policy;
mod list_customers;
mod list_identity_history;
mod list_match_candidates;
mod list_relations;
mod lookup_customer;
mod match_records;
mod merge_customers;
mod relate_customers;
mod split_customer;
mod train_matcher;
mod update_identity_policy;

use std::sync::Arc;

use data::Operations;
use host::Replies;
use identity_domain::{Customers, Relations, matching::Matches};
use rapport_proto::{google::longrunning::Operation, identity::v1::*};
use terms::{Access, Clock};
use tonic::{Request, Response, Status, Streaming};

use crate::{bulk::Bulk, policies::Policies, reader::Reader, training::Training};

/// What the RPCs work with.
pub(crate) struct Ports {
    pub(crate) customers: Arc<dyn Customers>,
    pub(crate) matches: Arc<dyn Matches>,
    pub(crate) relations: Arc<dyn Relations>,
    pub(crate) reader: Reader,
    pub(crate) policies: Policies,
    pub(crate) operations: Operations,
    pub(crate) training: Arc<Training>,
    pub(crate) bulk: Arc<Bulk>,
    pub(crate) clock: Arc<dyn Clock>,
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
        concat!("rapport.identity.v1.IdentityService/", $name)
    };
}

/// Every RPC with the access that it needs.
pub const ACCESS: &[(&str, Access)] = &[
    (rpc!("Identify"), Access::Write),
    (rpc!("IdentifyStream"), Access::Write),
    (rpc!("GetCustomer"), Access::Read),
    (rpc!("BatchGetCustomers"), Access::Read),
    (rpc!("ListCustomers"), Access::Read),
    (rpc!("LookupCustomer"), Access::Read),
    (rpc!("MergeCustomers"), Access::Write),
    (rpc!("SplitCustomer"), Access::Write),
    (rpc!("ExplainIdentity"), Access::Read),
    (rpc!("ListMatchCandidates"), Access::Read),
    (rpc!("DecideMatchCandidate"), Access::Write),
    (rpc!("ListIdentityHistory"), Access::Read),
    (rpc!("RelateCustomers"), Access::Write),
    (rpc!("ListRelations"), Access::Read),
    (rpc!("GetIdentityPolicy"), Access::Read),
    (rpc!("UpdateIdentityPolicy"), Access::Admin),
    (rpc!("TrainMatcher"), Access::Admin),
    (rpc!("GetMatcher"), Access::Read),
    (rpc!("MatchRecords"), Access::Admin),
    (rpc!("EraseCustomer"), Access::Admin),
    (rpc!("ExportCustomer"), Access::Admin),
];

/// RPCs that are declared, and come with a later release.
pub const NOT_YET_SERVED: &[&str] = &[rpc!("EraseCustomer"), rpc!("ExportCustomer")];

/// Serves a unary RPC by its file.
macro_rules! unary {
    ($self:ident, $request:ident, $verb:ident) => {{
        let ports = &$self.ports;
        host::unary($request, |call, body| $verb::$verb(ports, call, body)).await
    }};
}

/// Says that an RPC comes later.
macro_rules! later {
    ($name:literal) => {
        Err(host::not_yet_served(rpc!($name)))
    };
}

#[tonic::async_trait]
impl identity_service_server::IdentityService for Handler {
    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyResponse>, Status> {
        unary!(self, request, identify)
    }

    type IdentifyStreamStream = Replies<IdentifyStreamResponse>;

    async fn identify_stream(
        &self,
        request: Request<Streaming<IdentifyStreamRequest>>,
    ) -> Result<Response<Self::IdentifyStreamStream>, Status> {
        let ports = self.ports.clone();
        host::bidirectional(request, |call, records| identify_stream::identify_stream(ports, call, records)).await
    }

    async fn get_customer(
        &self,
        request: Request<GetCustomerRequest>,
    ) -> Result<Response<GetCustomerResponse>, Status> {
        unary!(self, request, get_customer)
    }

    async fn batch_get_customers(
        &self,
        request: Request<BatchGetCustomersRequest>,
    ) -> Result<Response<BatchGetCustomersResponse>, Status> {
        unary!(self, request, batch_get_customers)
    }

    async fn list_customers(
        &self,
        request: Request<ListCustomersRequest>,
    ) -> Result<Response<ListCustomersResponse>, Status> {
        unary!(self, request, list_customers)
    }

    async fn lookup_customer(
        &self,
        request: Request<LookupCustomerRequest>,
    ) -> Result<Response<LookupCustomerResponse>, Status> {
        unary!(self, request, lookup_customer)
    }

    async fn merge_customers(
        &self,
        request: Request<MergeCustomersRequest>,
    ) -> Result<Response<MergeCustomersResponse>, Status> {
        unary!(self, request, merge_customers)
    }

    async fn split_customer(
        &self,
        request: Request<SplitCustomerRequest>,
    ) -> Result<Response<SplitCustomerResponse>, Status> {
        unary!(self, request, split_customer)
    }

    async fn explain_identity(
        &self,
        request: Request<ExplainIdentityRequest>,
    ) -> Result<Response<ExplainIdentityResponse>, Status> {
        unary!(self, request, explain_identity)
    }

    async fn list_match_candidates(
        &self,
        request: Request<ListMatchCandidatesRequest>,
    ) -> Result<Response<ListMatchCandidatesResponse>, Status> {
        unary!(self, request, list_match_candidates)
    }

    async fn decide_match_candidate(
        &self,
        request: Request<DecideMatchCandidateRequest>,
    ) -> Result<Response<DecideMatchCandidateResponse>, Status> {
        unary!(self, request, decide_match_candidate)
    }

    async fn list_identity_history(
        &self,
        request: Request<ListIdentityHistoryRequest>,
    ) -> Result<Response<ListIdentityHistoryResponse>, Status> {
        unary!(self, request, list_identity_history)
    }

    async fn relate_customers(
        &self,
        request: Request<RelateCustomersRequest>,
    ) -> Result<Response<RelateCustomersResponse>, Status> {
        unary!(self, request, relate_customers)
    }

    async fn list_relations(
        &self,
        request: Request<ListRelationsRequest>,
    ) -> Result<Response<ListRelationsResponse>, Status> {
        unary!(self, request, list_relations)
    }

    async fn get_identity_policy(
        &self,
        request: Request<GetIdentityPolicyRequest>,
    ) -> Result<Response<GetIdentityPolicyResponse>, Status> {
        unary!(self, request, get_identity_policy)
    }

    async fn update_identity_policy(
        &self,
        request: Request<UpdateIdentityPolicyRequest>,
    ) -> Result<Response<UpdateIdentityPolicyResponse>, Status> {
        unary!(self, request, update_identity_policy)
    }

    async fn train_matcher(&self, request: Request<TrainMatcherRequest>) -> Result<Response<Operation>, Status> {
        unary!(self, request, train_matcher)
    }

    async fn get_matcher(&self, request: Request<GetMatcherRequest>) -> Result<Response<GetMatcherResponse>, Status> {
        unary!(self, request, get_matcher)
    }

    async fn match_records(&self, request: Request<MatchRecordsRequest>) -> Result<Response<Operation>, Status> {
        unary!(self, request, match_records)
    }

    async fn erase_customer(&self, _: Request<EraseCustomerRequest>) -> Result<Response<Operation>, Status> {
        later!("EraseCustomer")
    }

    type ExportCustomerStream = Replies<ExportCustomerResponse>;

    async fn export_customer(
        &self,
        _: Request<ExportCustomerRequest>,
    ) -> Result<Response<Self::ExportCustomerStream>, Status> {
        later!("ExportCustomer")
    }
}
