//! A world to decide in: the service, and three services that are played.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use host::{Config, Context, Peer, Peers, Routes};
use parking_lot::Mutex;
use profile::{Marks, Section};
use prost::Message;
use rapport_proto::{
    customization::v1::{
        CreateTouchpointRequest, CreateTreatmentRequest, DecideRequest, DecideResponse, Touchpoint, Treatment,
        customization_service_client::CustomizationServiceClient,
    },
    feed::v1::event::Event,
    profile::v1::{
        BoundaryContacts, GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse,
        IdentitySection, InteractionSection, ProfileStatement, ResolveRefsRequest, ResolveRefsResponse, SectionKind,
        SegmentationSection,
        profile_service_server::{ProfileService, ProfileServiceServer},
    },
    r#type::v1::{CustomerRef, Identifier, StatementKind, customer_ref::Ref},
};
use terms::{Caller, CustomerId, Fault, FixedClock, Ids, Position, Reason, Revision, Service, Tenant, partition};
use testkit::{Database, TestStore};
use tonic::{Request, Response, Status};

pub(crate) type Client = CustomizationServiceClient<Peer>;

/// The three owners of the profile in one.
#[derive(Default)]
pub(crate) struct Owners {
    seq: AtomicI64,
    people: Mutex<HashMap<CustomerId, (IdentitySection, InteractionSection, SegmentationSection)>>,
    identifiers: Mutex<HashMap<(String, String), CustomerId>>,
    /// What interaction found within reach of boundaries.
    pub(crate) contacts: Mutex<Vec<BoundaryContacts>>,
    pub(crate) away: Mutex<Vec<SectionKind>>,
    pub(crate) loads: AtomicU64,
}

impl Owners {
    /// Changes a customer in one section; the token of the change.
    pub(crate) fn change(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        change: impl FnOnce(&mut IdentitySection, &mut InteractionSection, &mut SegmentationSection),
    ) -> Revision {
        let mut people = self.people.lock();
        let (identity, interaction, segmentation) = people.entry(customer).or_insert_with(|| {
            let identity =
                IdentitySection { customer_id: customer.to_string(), confidence: 1.0, ..IdentitySection::default() };
            (identity, InteractionSection::default(), SegmentationSection::default())
        });
        change(identity, interaction, segmentation);
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        Revision::at(section.service(), partition(tenant, customer), Position { xid: 0, seq })
    }

    pub(crate) fn identify(&self, namespace: &str, value: &str, customer: CustomerId) {
        self.identifiers.lock().insert((namespace.to_owned(), normal(value)), customer);
    }
}

/// An identifier as this identity keeps it: case does not count, nor do dots before the `@`.
pub(crate) fn normal(value: &str) -> String {
    let value = value.to_lowercase();
    match value.split_once('@') {
        Some((name, host)) => format!("{}@{host}", name.replace('.', "")),
        None => value,
    }
}

/// Serves what they own.
struct Server(Arc<Owners>);

#[tonic::async_trait]
impl ProfileService for Server {
    async fn get_section(&self, request: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        host::unary(request, |call, body| async move {
            let owners = &self.0;
            owners.loads.fetch_add(1, Ordering::SeqCst);
            if owners.away.lock().contains(&body.kind()) {
                return Err(Fault::new(Reason::PeerUnavailable, "away"));
            }
            let customer: CustomerId = body.customer_id.parse().unwrap();
            let seq = owners.seq.load(Ordering::SeqCst);
            let people = owners.people.lock();
            let Some((identity, interaction, segmentation)) = people.get(&customer) else {
                return Err(Fault::not_found(Reason::CustomerNotFound, format!("customer `{customer}`")));
            };
            let section = match body.kind() {
                SectionKind::Identity => identity.encode_to_vec(),
                SectionKind::Interaction => interaction.encode_to_vec(),
                _ => segmentation.encode_to_vec(),
            };
            let mut revision = Revision::new();
            for section in Section::ALL {
                let position = Position { xid: 0, seq };
                revision.raise(section.service(), partition(call.tenant(), customer), position);
            }
            Ok(GetSectionResponse {
                kind: body.kind,
                section: section.into(),
                revision: revision.to_string(),
                customer_id: body.customer_id,
                version: None,
            })
        })
        .await
    }

    async fn resolve_refs(
        &self,
        request: Request<ResolveRefsRequest>,
    ) -> Result<Response<ResolveRefsResponse>, Status> {
        host::unary(request, |_, body: ResolveRefsRequest| async move {
            let known = self.0.identifiers.lock();
            let one = |wire: CustomerRef| match wire.r#ref {
                Some(Ref::CustomerId(id)) => (id, Identifier::default()),
                Some(Ref::Identifier(Identifier { namespace, value })) => {
                    let key = (namespace, normal(&value));
                    let customer = known.get(&key).map_or_else(String::new, ToString::to_string);
                    (customer, Identifier { namespace: key.0, value: key.1 })
                }
                None => Default::default(),
            };
            let (customer_ids, identifiers) = body.refs.into_iter().map(one).unzip();
            Ok(ResolveRefsResponse { customer_ids, identifiers, ..ResolveRefsResponse::default() })
        })
        .await
    }

    /// Everything was said since whenever it is asked for.
    async fn get_dialogue(
        &self,
        request: Request<GetDialogueRequest>,
    ) -> Result<Response<GetDialogueResponse>, Status> {
        host::unary(request, |_, body: GetDialogueRequest| async move {
            if self.0.away.lock().contains(&SectionKind::Interaction) {
                return Err(Fault::new(Reason::PeerUnavailable, "away"));
            }
            let people = self.0.people.lock();
            let said = &people.get(&body.customer_id.parse().unwrap()).unwrap().1;
            Ok(GetDialogueResponse {
                inbound_count: said.inbound_count,
                outbound_count: said.outbound_count,
                organic_count: said.organic_count,
                boundaries: self.0.contacts.lock().clone(),
                ..GetDialogueResponse::default()
            })
        })
        .await
    }
}

pub(crate) struct World {
    pub(crate) context: Context,
    pub(crate) clock: Arc<FixedClock>,
    pub(crate) owners: Arc<Owners>,
    pub(crate) marks: Marks,
    pub(crate) store: TestStore,
    /// A feed of identity for the service to follow.
    pub(crate) identity: data::Store,
    pub(crate) tenant: Tenant,
    _elsewhere: Vec<Database>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.context.shutdown.cancel();
    }
}

impl World {
    /// One for each database that there is here.
    pub(crate) async fn each() -> Vec<Self> {
        let mut worlds = Vec::new();
        for store in testkit::stores(Service::Customization, customization::migrations).await {
            worlds.push(Self::new(store).await);
        }
        worlds
    }

    async fn new(store: TestStore) -> Self {
        let clock = testkit::clock();
        let owners: Arc<Owners> = Arc::default();
        let context = Context {
            config: Arc::new(Config::default()),
            clock: clock.clone(),
            ids: Arc::new(Ids::seeded(clock.clone(), 7)),
            shutdown: tokio_util::sync::CancellationToken::new(),
            peers: Peers::new(Config::default().peers),
        };
        let marks = Marks::in_process();
        let mut elsewhere = Vec::new();
        let mut stores = Vec::new();
        for service in [Service::Identity, Service::Interaction, Service::Segmentation] {
            context.peers.bind_local(service, Routes::new().add(ProfileServiceServer::new(Server(owners.clone()))));
            let database = Database::sqlite();
            stores.push(database.open(service, Vec::new(), data::StoreOptions::new(clock.clone())).await);
            elsewhere.push(database);
        }
        let [identity, interaction, segmentation] = stores.try_into().unwrap();
        let feeds: [Arc<dyn data::FeedSource>; 3] =
            [Arc::new(identity.feed()), Arc::new(interaction.feed()), Arc::new(segmentation.feed())];
        let built = customization::build(&context, store.store(), marks.clone(), feeds).await.unwrap();
        context.peers.bind_local(built.name, built.routes);
        let tenant = "default".parse().unwrap();
        Self { context, clock, owners, marks, store, identity, tenant, _elsewhere: elsewhere }
    }

    /// Calls as this world's tenant.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&self.tenant)
    }

    pub(crate) fn client_of(&self, tenant: &Tenant) -> Client {
        let caller = Caller::all_powerful(tenant.clone(), "tester");
        Client::new(self.context.peers.get(Service::Customization).on_behalf_of(&caller))
    }

    pub(crate) async fn treatment(&self, treatment: Treatment) -> Treatment {
        let request = CreateTreatmentRequest { treatment: Some(treatment), ..CreateTreatmentRequest::default() };
        self.client().create_treatment(request).await.unwrap().into_inner().treatment.unwrap()
    }

    pub(crate) async fn touchpoint(&self, name: &str, treatments: &[&str]) -> Touchpoint {
        let treatments = treatments.iter().map(|t| (*t).to_owned()).collect();
        let touchpoint = Touchpoint { name: name.to_owned(), treatments, ..Touchpoint::default() };
        let request = CreateTouchpointRequest { touchpoint: Some(touchpoint), ..CreateTouchpointRequest::default() };
        self.client().create_touchpoint(request).await.unwrap().into_inner().touchpoint.unwrap()
    }

    /// A touchpoint `home`, where vegans get the vegan menu and everyone else the usual one.
    pub(crate) async fn menus(&self) {
        let content = |text: &str| Some(host::encode::json(&serde_json::json!({ "menu": text })));
        let usual = Treatment { name: "usual".into(), value: 2.0, content: content("usual"), ..Treatment::default() };
        self.treatment(usual).await;
        self.treatment(Treatment {
            name: "vegan".into(),
            value: 5.0,
            content: content("vegan"),
            eligibility: "statements.diet == \"vegan\"".into(),
            ..Treatment::default()
        })
        .await;
        self.touchpoint("home", &["usual", "vegan"]).await;
    }

    /// A customer who is known and has said nothing.
    pub(crate) fn customer(&self) -> CustomerId {
        let customer = self.context.ids.next();
        self.owners.change(&self.tenant, customer, Section::Identity, |identity, _, _| {
            identity.namespaces.push("email".to_owned());
        });
        customer
    }

    /// A customer says something; the token and the statement's id.
    pub(crate) fn say(&self, customer: CustomerId, topic: &str, value: &str) -> (Revision, String) {
        let id = self.context.ids.next::<terms::id::Statement>().to_string();
        let statement = ProfileStatement {
            statement_id: id.clone(),
            topic: topic.to_owned(),
            value: Some(host::encode::json(&value.into())),
            kind: StatementKind::Fact.into(),
            confidence: 1.0,
            occurred_at_micros: 1,
            source_interaction: "int_1".to_owned(),
            ..ProfileStatement::default()
        };
        let token = self.owners.change(&self.tenant, customer, Section::Interaction, |_, interaction, _| {
            interaction.statements.retain(|s| s.topic != topic);
            interaction.statements.push(statement);
            interaction.inbound_count += 1;
            interaction.interaction_count += 1;
        });
        (token, id)
    }

    pub(crate) async fn mark(&self, customer: CustomerId, section: Section, token: &Revision) {
        self.marks.mark(&self.tenant, &[customer], section, token).await;
    }

    /// Identity publishes something.
    pub(crate) async fn tell(&self, customer: CustomerId, event: Event) {
        let tenant = self.tenant.clone();
        let told = self.identity.write(move |tx| {
            let (tenant, event) = (tenant.clone(), event.clone());
            Box::pin(async move {
                tx.publish(&tenant, customer, event);
                Ok(())
            })
        });
        told.await.unwrap();
    }

    pub(crate) async fn decide(&self, customer: CustomerId) -> DecideResponse {
        self.decide_with(DecideRequest { explain: true, ..ask(customer) }).await
    }

    pub(crate) async fn decide_with(&self, request: DecideRequest) -> DecideResponse {
        self.client().decide(request).await.unwrap().into_inner()
    }
}

pub(crate) fn by_id(customer: CustomerId) -> Option<CustomerRef> {
    Some(CustomerRef { r#ref: Some(Ref::CustomerId(customer.to_string())) })
}

pub(crate) fn by_email(value: &str) -> Option<CustomerRef> {
    let identifier = Identifier { namespace: "email".to_owned(), value: value.to_owned() };
    Some(CustomerRef { r#ref: Some(Ref::Identifier(identifier)) })
}

pub(crate) fn ask(customer: CustomerId) -> DecideRequest {
    DecideRequest { customer: by_id(customer), touchpoint: "home".to_owned(), ..DecideRequest::default() }
}

/// The names of the treatments, best first.
pub(crate) fn chosen(response: &DecideResponse) -> Vec<&str> {
    response.treatments.iter().map(|treatment| treatment.treatment.as_str()).collect()
}

/// The reason of a status.
pub(crate) fn reason(status: Status) -> Reason {
    host::fault(status).reason()
}
