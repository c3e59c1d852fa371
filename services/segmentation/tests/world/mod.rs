//! Segmentation as another service of the same process sees it, with feeds that the test writes.

#![allow(dead_code, reason = "each test uses its part")]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use data::{Store, StoreOptions, Tx};
use futures::FutureExt;
use host::{Context, Peer, Peers, Routes, config::Loader};
use profile::{Marks, Sections};
use rapport_proto::{
    feed::v1::{CustomerChanged, CustomerMerged, InteractionRecorded, StatementChanged, event::Event},
    profile::v1::{
        GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse, ResolveRefsRequest,
        ResolveRefsResponse,
        profile_service_server::{ProfileService, ProfileServiceServer},
    },
    segmentation::v1::{segmentation_service_client::SegmentationServiceClient, *},
    r#type::v1::{self as wire, CustomerRef, customer_ref::Ref},
};
use terms::{Caller, Clock, CustomerId, FixedClock, Ids, Revision, Service, Tenant};
use testkit::Database;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

pub type Client = SegmentationServiceClient<Peer>;

/// A served segmentation, and the feeds of the other two.
pub struct World {
    pub client: Client,
    pub section: Arc<dyn Sections>,
    pub clock: Arc<FixedClock>,
    pub segmentation: Store,
    identity: Store,
    interaction: Store,
    ids: AtomicU64,
    shutdown: CancellationToken,
    pub database: Arc<Database>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn tenant() -> Tenant {
    "default".parse().unwrap()
}

/// One world on each kind of database.
pub async fn worlds() -> Vec<World> {
    worlds_with(&[]).await
}

/// The same with settings.
pub async fn worlds_with(settings: &[(&str, &str)]) -> Vec<World> {
    let mut worlds = Vec::new();
    for database in Database::each().await {
        worlds.push(World::on(Arc::new(database), settings).await);
    }
    worlds
}

/// Identity, as far as references are concerned: it knows customers whose identifier is their number.
struct Identity;

#[async_trait]
impl ProfileService for Identity {
    async fn get_section(&self, _: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn resolve_refs(
        &self,
        request: Request<ResolveRefsRequest>,
    ) -> Result<Response<ResolveRefsResponse>, Status> {
        let resolve = |reference: CustomerRef| match reference.r#ref {
            Some(Ref::Identifier(identifier)) => {
                identifier.value.parse().map_or_else(|_| String::new(), |n| customer(n).to_string())
            }
            Some(Ref::CustomerId(id)) if id < customer(1_000).to_string() => id,
            _ => String::new(),
        };
        let customer_ids = request.into_inner().refs.into_iter().map(resolve).collect();
        Ok(Response::new(ResolveRefsResponse { customer_ids, ..ResolveRefsResponse::default() }))
    }

    async fn get_dialogue(&self, _: Request<GetDialogueRequest>) -> Result<Response<GetDialogueResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

impl World {
    pub async fn on(database: Arc<Database>, settings: &[(&str, &str)]) -> Self {
        let clock = testkit::clock();
        let open =
            async |service, migrations| database.open(service, migrations, StoreOptions::new(clock.clone())).await;
        let identity = open(Service::Identity, vec![]).await;
        let interaction = open(Service::Interaction, vec![]).await;
        let segmentation = open(Service::Segmentation, segmentation::migrations()).await;
        let loader = Loader::new().allow("segmentation");
        let loader = settings.iter().fold(loader, |loader, (key, value)| loader.flag("--test", key, value));
        let config = loader.load().expect("the settings can be read");
        let context = Context {
            peers: Peers::new(config.peers.clone()),
            config: Arc::new(config),
            ids: Arc::new(Ids::seeded(clock.clone(), 1)),
            clock: clock.clone(),
            shutdown: CancellationToken::new(),
        };
        context.peers.bind_local(Service::Identity, Routes::new().add(ProfileServiceServer::new(Identity)));
        let feeds: [Arc<dyn data::FeedSource>; 2] = [Arc::new(identity.feed()), Arc::new(interaction.feed())];
        let (built, section) =
            segmentation::build(&context, segmentation.clone(), Marks::in_process(), feeds).await.unwrap();
        context.peers.bind_local(Service::Segmentation, built.routes);
        let caller = Caller::all_powerful(tenant(), "tester");
        let client = SegmentationServiceClient::new(context.peers.get(Service::Segmentation).on_behalf_of(&caller));
        let shutdown = context.shutdown.clone();
        let ids = AtomicU64::new(1);
        Self { client, section, clock, segmentation, identity, interaction, ids, shutdown, database }
    }

    pub fn now(&self) -> prost_types::Timestamp {
        host::encode::timestamp(self.clock.now())
    }

    /// What identity tells.
    pub async fn identity(&self, customer: CustomerId, events: Vec<Event>) -> Revision {
        tell(&self.identity, customer, events).await
    }

    /// What interaction tells.
    pub async fn interaction(&self, customer: CustomerId, events: Vec<Event>) -> Revision {
        tell(&self.interaction, customer, events).await
    }

    /// The same of several customers at once.
    pub async fn interaction_all(&self, events: Vec<(u128, Event)>) -> Revision {
        let events = Arc::new(events);
        let written = self.interaction.write(move |tx: &Tx| {
            let events = events.clone();
            async move {
                events.iter().for_each(|(n, event)| tx.publish(&tenant(), customer(*n), event.clone()));
                Ok(())
            }
            .boxed()
        });
        written.await.unwrap().revision
    }

    /// Waits until segmentation has followed.
    pub async fn reach(&self, revision: &Revision) {
        let patience = std::time::Duration::from_secs(300);
        self.segmentation.reach("segmentation", revision, patience).await.unwrap();
    }

    /// Somebody is new, or changes.
    pub async fn meet(&self, n: u128, traits: serde_json::Value) -> Revision {
        let changed = CustomerChanged {
            customer_id: customer(n).to_string(),
            created: true,
            kind: wire::CustomerKind::Person.into(),
            traits: traits.as_object().map(host::encode::object),
            ..CustomerChanged::default()
        };
        self.identity(customer(n), vec![Event::CustomerChanged(changed)]).await
    }

    /// Interactions of a type happen now.
    pub async fn happen(&self, n: u128, kind: &str, times: usize) -> Revision {
        let events = (0..times).map(|_| Event::InteractionRecorded(self.recorded(n, kind))).collect();
        self.interaction(customer(n), events).await
    }

    pub fn recorded(&self, n: u128, kind: &str) -> InteractionRecorded {
        let id = uuid::Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)));
        InteractionRecorded {
            interaction_id: terms::Id::<terms::id::Interaction>::from_uuid(id).to_string(),
            r#type: kind.to_owned(),
            occurred_at: Some(self.now()),
            customer_id: customer(n).to_string(),
            ..InteractionRecorded::default()
        }
    }

    pub async fn merge(&self, loser: u128, survivor: u128) -> Revision {
        let merged = CustomerMerged {
            loser: customer(loser).to_string(),
            survivor: customer(survivor).to_string(),
            ..CustomerMerged::default()
        };
        let mut revision = self.identity(customer(loser), vec![Event::CustomerMerged(merged.clone())]).await;
        revision.merge(&self.identity(customer(survivor), vec![Event::CustomerMerged(merged)]).await);
        revision
    }

    pub async fn tell(&self, n: u128, topic: &str, value: &str) -> Revision {
        let id = uuid::Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)));
        let changed = StatementChanged {
            statement_id: terms::Id::<terms::id::Statement>::from_uuid(id).to_string(),
            topic: topic.to_owned(),
            value: Some(host::encode::json(&value.into())),
            occurred_at: Some(self.now()),
            customer_id: customer(n).to_string(),
            ..StatementChanged::default()
        };
        self.interaction(customer(n), vec![Event::StatementChanged(changed)]).await
    }

    /// Creates a rule.
    pub async fn rule(&self, name: &str, definition: &str) -> Segment {
        let segment = Segment {
            name: name.to_owned(),
            kind: Some(segment::Kind::Definition(definition.to_owned())),
            ..Segment::default()
        };
        let request = CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() };
        self.client.clone().create_segment(request).await.unwrap().into_inner().segment.unwrap()
    }

    /// The names of the segments of a customer.
    pub async fn inside(&self, n: u128, at_least: &Revision) -> Vec<String> {
        let reply = self.memberships(n, at_least).await.unwrap();
        reply.memberships.into_iter().map(|m| m.segment).collect()
    }

    pub async fn memberships(&self, n: u128, at_least: &Revision) -> Result<GetMembershipsResponse, Status> {
        let request = GetMembershipsRequest { customer: by_id(n), as_of: None, at_least: at_least.to_string() };
        self.client.clone().get_memberships(request).await.map(Response::into_inner)
    }
}

async fn tell(store: &Store, customer: CustomerId, events: Vec<Event>) -> Revision {
    let events = Arc::new(events);
    let written = store
        .write(move |tx: &Tx| {
            let events = events.clone();
            async move {
                for event in events.iter() {
                    tx.publish(&tenant(), customer, event.clone());
                }
                Ok(())
            }
            .boxed()
        })
        .await;
    written.unwrap().revision
}

/// Customer number `n`.
pub fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

pub fn by_id(n: u128) -> Option<CustomerRef> {
    Some(CustomerRef { r#ref: Some(Ref::CustomerId(customer(n).to_string())) })
}

pub fn by_number(n: u128) -> Option<CustomerRef> {
    let identifier = wire::Identifier { namespace: "crm".to_owned(), value: n.to_string() };
    Some(CustomerRef { r#ref: Some(Ref::Identifier(identifier)) })
}
