//! `rapport.segmentation.v1.SegmentationService`: one RPC per file.

mod check_membership;
mod compare_segments;
mod create_segment;
mod decode;
mod delete_segment;
mod get_differentiation;
mod get_memberships;
mod get_segment;
mod list_members;
mod list_segments;
mod preview_segment;
mod update_segment;
mod watch_segment;

use std::{sync::Arc, time::Duration};

use host::{Call, Replies};
use rapport_proto::{
    google::longrunning::Operation,
    segmentation::v1::{segmentation_service_server::SegmentationService, *},
};
use segmentation_domain::{
    catalog::Catalog,
    definition::{BuildOver, Definition},
    ports::Store,
    segment::{Segment as Stored, SegmentId},
};
use terms::{Access, Clock, CustomerId, CustomerRef, Fault, Ids, Once, Revision};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{customers::Customers, encode, reach::Reach, section, store::SqlSegments, tasks::CHUNK, values::Values};

/// What the RPCs work with.
#[derive(Clone)]
pub(crate) struct Ports {
    pub(crate) segments: SqlSegments,
    pub(crate) customers: Customers,
    pub(crate) reach: Reach,
    pub(crate) values: Values,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<Ids>,
    pub(crate) build_at_once: i64,
    pub(crate) shutdown: CancellationToken,
}

/// How long a read waits for its revision when the caller names no deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// A read gives up so long before its caller does, so that the caller hears why.
const PARTING: Duration = Duration::from_millis(20);

/// How long a call waits for its revision.
fn patience(call: &Call) -> Duration {
    call.remaining().map_or(PATIENCE, |left| left.saturating_sub(PARTING))
}

/// How long a call goes on with a build, at most.
const BUILD_PATIENCE: Duration = Duration::from_secs(5);

impl Ports {
    /// Waits until what is read contains what `at_least` says of identity and interaction.
    pub(crate) async fn reach(&self, call: &Call, at_least: &Revision) -> Result<(), Fault> {
        self.reach.all(at_least, patience(call)).await
    }

    /// Who is meant, once what `at_least` says of them is there; and what the reading that follows contains.
    pub(crate) async fn customer(
        &self,
        call: &Call,
        reference: &CustomerRef,
        at_least: &Revision,
    ) -> Result<(CustomerId, Revision), Fault> {
        if let CustomerRef::Id(id) = reference {
            // Where the id leads is part of what is demanded.
            self.reach.of(call.tenant(), *id, at_least, patience(call)).await?;
        }
        let customer = self.customers.find(call, reference, at_least).await?;
        self.reach.of(call.tenant(), customer, at_least, patience(call)).await?;
        let mut revision = section::stamp(&self.segments.database, call.tenant(), customer).await?;
        revision.merge(at_least);
        Ok((customer, revision))
    }

    /// A definition, decided on the segments as they are, and stored nowhere.
    pub(crate) async fn try_definition(
        &self,
        call: &Call,
        decide: impl Fn(&Catalog) -> Result<Definition, Fault>,
    ) -> Result<Segment, Fault> {
        let catalog = self.segments.catalog(call.tenant()).await?;
        let segment = decide(&catalog)?.segment;
        let count = self.count(call, segment.id).await?;
        Ok(encode::segment(&catalog, &segment, count))
    }

    /// A definition, stored; and its members, as far as they can be computed within the call.
    pub(crate) async fn define(
        &self,
        call: &Call,
        once: Option<Once>,
        decide: impl Fn(&Catalog) -> Result<Definition, Fault> + Send + Sync + 'static,
    ) -> Result<(Stored, Revision), Fault> {
        let written = self.segments.define(call.tenant(), once.clone(), Arc::new(decide)).await?;
        let mut revision = written.revision;
        let built = self.build(call, written.value.id).await?.filter(|built| !revision.covers(built));
        if let Some(built) = built {
            revision.merge(&built);
            // Whoever sends the request again finds the build done, and is to see it all the same.
            if let Some(once) = once {
                revision = self.segments.database.add_to_recorded(once, revision).await?;
            }
        }
        Ok((written.value, revision))
    }

    /// The segment as it is now.
    pub(crate) async fn reread(&self, call: &Call, defined: &Stored) -> Result<Segment, Fault> {
        let catalog = self.segments.catalog(call.tenant()).await?;
        let count = self.count(call, defined.id).await?;
        // Changed or deleted again since: what this call did is told.
        let now = catalog.get(defined.id).filter(|now| now.edit == defined.edit);
        Ok(encode::segment(&catalog, now.map_or(defined, |now| now), count))
    }

    async fn count(&self, call: &Call, segment: SegmentId) -> Result<i64, Fault> {
        let counts = self.segments.count_members(call.tenant(), Some(segment), None).await?;
        Ok(counts.get(&segment).copied().unwrap_or(0))
    }

    /// Computes the members of a segment, if there are not too many customers for a call; gives what contains them.
    /// What the call does not come to is done in the background.
    async fn build(&self, call: &Call, segment: SegmentId) -> Result<Option<Revision>, Fault> {
        let tenant = call.tenant();
        let Some(over) = self.segments.building(tenant, segment).await? else { return Ok(None) };
        if over == BuildOver::Everyone && self.segments.population(tenant).await? > self.build_at_once {
            self.segments.wake().ring();
            return Ok(None);
        }
        let patience = call.remaining().map_or(BUILD_PATIENCE, |left| (left / 2).min(BUILD_PATIENCE));
        let until = Instant::now() + patience;
        let mut revision = Revision::new();
        while Instant::now() < until {
            match self.segments.build(Some((tenant, segment)), CHUNK).await? {
                Some(step) => {
                    revision.merge(&step.revision);
                    if step.done {
                        break;
                    }
                }
                // Somebody else works on it.
                None if self.segments.building(tenant, segment).await?.is_some() => {
                    sleep(Duration::from_millis(2)).await;
                }
                None => break,
            }
        }
        Ok(Some(revision))
    }
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
        concat!("rapport.segmentation.v1.SegmentationService/", $name)
    };
}
pub(crate) use rpc;

/// Every RPC with the access that it needs.
pub const ACCESS: &[(&str, Access)] = &[
    (rpc!("CreateSegment"), Access::Write),
    (rpc!("GetSegment"), Access::Read),
    (rpc!("ListSegments"), Access::Read),
    (rpc!("UpdateSegment"), Access::Write),
    (rpc!("DeleteSegment"), Access::Write),
    (rpc!("PreviewSegment"), Access::Read),
    (rpc!("GetMemberships"), Access::Read),
    (rpc!("CheckMembership"), Access::Read),
    (rpc!("ListMembers"), Access::Read),
    (rpc!("WatchSegment"), Access::Read),
    (rpc!("CompareSegments"), Access::Read),
    (rpc!("DefineTrait"), Access::Write),
    (rpc!("ListTraits"), Access::Read),
    (rpc!("GetDifferentiation"), Access::Read),
    (rpc!("FitValueModel"), Access::Admin),
    (rpc!("GetValueModel"), Access::Read),
    (rpc!("FitNeedsModel"), Access::Admin),
    (rpc!("GetNeedsModel"), Access::Read),
];

/// RPCs that are declared, and come with a later release.
pub const NOT_YET_SERVED: &[&str] = &[
    rpc!("DefineTrait"),
    rpc!("ListTraits"),
    rpc!("FitValueModel"),
    rpc!("GetValueModel"),
    rpc!("FitNeedsModel"),
    rpc!("GetNeedsModel"),
];

/// Serves a unary RPC by its file.
macro_rules! unary {
    ($self:ident, $request:ident, $verb:ident) => {{
        let ports = &$self.ports;
        host::unary($request, |call, body| $verb::$verb(ports, call, body)).await
    }};
}

/// Serves a server-streaming RPC by its file.
macro_rules! stream {
    ($self:ident, $request:ident, $verb:ident) => {{
        let ports = $self.ports.clone();
        host::server_stream($request, |call, body| $verb::$verb(ports, call, body)).await
    }};
}

/// Says that an RPC comes later.
macro_rules! later {
    ($name:literal) => {
        Err(host::not_yet_served(rpc!($name)))
    };
}

#[tonic::async_trait]
impl SegmentationService for Handler {
    async fn create_segment(
        &self,
        request: Request<CreateSegmentRequest>,
    ) -> Result<Response<CreateSegmentResponse>, Status> {
        unary!(self, request, create_segment)
    }

    async fn get_segment(&self, request: Request<GetSegmentRequest>) -> Result<Response<GetSegmentResponse>, Status> {
        unary!(self, request, get_segment)
    }

    async fn list_segments(
        &self,
        request: Request<ListSegmentsRequest>,
    ) -> Result<Response<ListSegmentsResponse>, Status> {
        unary!(self, request, list_segments)
    }

    async fn update_segment(
        &self,
        request: Request<UpdateSegmentRequest>,
    ) -> Result<Response<UpdateSegmentResponse>, Status> {
        unary!(self, request, update_segment)
    }

    async fn delete_segment(
        &self,
        request: Request<DeleteSegmentRequest>,
    ) -> Result<Response<DeleteSegmentResponse>, Status> {
        unary!(self, request, delete_segment)
    }

    async fn preview_segment(
        &self,
        request: Request<PreviewSegmentRequest>,
    ) -> Result<Response<PreviewSegmentResponse>, Status> {
        unary!(self, request, preview_segment)
    }

    async fn get_memberships(
        &self,
        request: Request<GetMembershipsRequest>,
    ) -> Result<Response<GetMembershipsResponse>, Status> {
        unary!(self, request, get_memberships)
    }

    async fn check_membership(
        &self,
        request: Request<CheckMembershipRequest>,
    ) -> Result<Response<CheckMembershipResponse>, Status> {
        unary!(self, request, check_membership)
    }

    type ListMembersStream = Replies<ListMembersResponse>;

    async fn list_members(
        &self,
        request: Request<ListMembersRequest>,
    ) -> Result<Response<Self::ListMembersStream>, Status> {
        stream!(self, request, list_members)
    }

    type WatchSegmentStream = Replies<WatchSegmentResponse>;

    async fn watch_segment(
        &self,
        request: Request<WatchSegmentRequest>,
    ) -> Result<Response<Self::WatchSegmentStream>, Status> {
        stream!(self, request, watch_segment)
    }

    async fn compare_segments(
        &self,
        request: Request<CompareSegmentsRequest>,
    ) -> Result<Response<CompareSegmentsResponse>, Status> {
        unary!(self, request, compare_segments)
    }

    async fn define_trait(&self, _: Request<DefineTraitRequest>) -> Result<Response<DefineTraitResponse>, Status> {
        later!("DefineTrait")
    }

    async fn list_traits(&self, _: Request<ListTraitsRequest>) -> Result<Response<ListTraitsResponse>, Status> {
        later!("ListTraits")
    }

    async fn get_differentiation(
        &self,
        request: Request<GetDifferentiationRequest>,
    ) -> Result<Response<GetDifferentiationResponse>, Status> {
        unary!(self, request, get_differentiation)
    }

    async fn fit_value_model(&self, _: Request<FitValueModelRequest>) -> Result<Response<Operation>, Status> {
        later!("FitValueModel")
    }

    async fn get_value_model(
        &self,
        _: Request<GetValueModelRequest>,
    ) -> Result<Response<GetValueModelResponse>, Status> {
        later!("GetValueModel")
    }

    async fn fit_needs_model(&self, _: Request<FitNeedsModelRequest>) -> Result<Response<Operation>, Status> {
        later!("FitNeedsModel")
    }

    async fn get_needs_model(
        &self,
        _: Request<GetNeedsModelRequest>,
    ) -> Result<Response<GetNeedsModelResponse>, Status> {
        later!("GetNeedsModel")
    }
}
