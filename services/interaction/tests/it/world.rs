//! A served interaction, and an identity to go with it: a directory with a real feed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex},
};

use data::StoreOptions;
use futures::FutureExt;
use host::{Config, Context, Peer, Peers, Routes};
use interaction::{InteractionReader, build, migrations};
use profile::Marks;
use rapport_proto::{
    feed::v1::{CustomerErased, CustomerMerged, CustomerSplit, event::Event},
    interaction::v1::{interaction_service_client::InteractionServiceClient, *},
    profile::v1::{
        GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse, ResolveRefsRequest,
        ResolveRefsResponse,
        profile_service_server::{ProfileService, ProfileServiceServer},
    },
    r#type::v1::{self as wire, customer_ref::Ref},
};
use terms::{Caller, Clock, CustomerId, Ids, Revision, Service, SystemClock, Tenant, partition};
use testkit::{TestStore, stores};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt;

pub type Client = InteractionServiceClient<Peer>;

/// A served interaction on one store.
pub struct World {
    pub client: Client,
    pub identity: Identity,
    pub owner: Arc<InteractionReader>,
    pub context: Context,
    pub store: TestStore,
}

impl Drop for World {
    fn drop(&mut self) {
        self.context.shutdown.cancel();
    }
}

pub async fn worlds() -> Vec<World> {
    let mut all = Vec::new();
    for store in stores(Service::Interaction, migrations).await {
        all.push(serve(store).await);
    }
    all
}

pub async fn serve(store: TestStore) -> World {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let feed = store.database().open(Service::Identity, vec![], StoreOptions::new(clock.clone())).await;
    let identity = Identity { feed: feed.clone(), known: Arc::default() };
    let config = Config::default();
    let context = Context {
        peers: Peers::new(config.peers.clone()),
        config: Arc::new(config),
        ids: Arc::new(Ids::new(clock.clone())),
        clock,
        shutdown: CancellationToken::new(),
    };
    context.peers.bind_local(Service::Identity, Routes::new().add(ProfileServiceServer::new(identity.clone())));
    let built = build(&context, store.store(), Marks::in_process(), [Arc::new(feed.feed())]).await;
    let (built, owner) = built.expect("the service is built");
    context.peers.bind_local(Service::Interaction, built.routes);
    let client = client(&context, "default");
    World { client, identity, owner, context, store }
}

/// A client for callers of a tenant.
pub fn client(context: &Context, tenant: &str) -> Client {
    let caller = Caller::all_powerful(tenant.parse().expect("a tenant"), "tester");
    InteractionServiceClient::new(context.peers.get(Service::Interaction).on_behalf_of(&caller))
}

pub fn tenant() -> Tenant {
    "default".parse().expect("a tenant")
}

/// Identity as the tests play it.
#[derive(Clone)]
pub struct Identity {
    feed: data::Store,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    ids: HashSet<CustomerId>,
    emails: HashMap<String, CustomerId>,
    survivors: HashMap<CustomerId, CustomerId>,
}

impl Identity {
    pub fn create(&self, world_ids: &Ids, email: &str) -> CustomerId {
        let id = world_ids.next();
        let mut known = self.known.lock().unwrap();
        known.ids.insert(id);
        known.emails.insert(email.to_owned(), id);
        id
    }

    pub async fn merge(&self, loser: CustomerId, survivor: CustomerId) -> Revision {
        {
            let mut known = self.known.lock().unwrap();
            for to in known.survivors.values_mut().filter(|to| **to == loser) {
                *to = survivor;
            }
            known.survivors.insert(loser, survivor);
        }
        let event = CustomerMerged {
            loser: loser.to_string(),
            survivor: survivor.to_string(),
            merge_id: "m".to_owned(),
            manual: false,
        };
        self.tell([loser, survivor], Event::CustomerMerged(event)).await
    }

    /// Takes a former id out again, with its e-mail.
    pub async fn split(&self, from: CustomerId, to: CustomerId, email: &str) -> Revision {
        {
            let mut known = self.known.lock().unwrap();
            known.survivors.remove(&to);
            known.emails.insert(email.to_owned(), to);
        }
        let event = CustomerSplit {
            from_customer_id: from.to_string(),
            to_customer_id: to.to_string(),
            customer_ids: vec![to.to_string()],
            split_id: "s".to_owned(),
            ..CustomerSplit::default()
        };
        self.tell([from, to], Event::CustomerSplit(event)).await
    }

    pub async fn erase(&self, customer: CustomerId) -> Revision {
        self.known.lock().unwrap().ids.remove(&customer);
        let (customer_id, operation) = (customer.to_string(), String::new());
        let event = CustomerErased { customer_ids: vec![customer_id.clone()], customer_id, operation };
        self.tell([customer, customer], Event::CustomerErased(event)).await
    }

    async fn tell(&self, customers: [CustomerId; 2], event: Event) -> Revision {
        let written = self.feed.write(move |tx| {
            let event = event.clone();
            async move {
                tx.publish(&tenant(), customers[0], event.clone());
                if partition(&tenant(), customers[0]) != partition(&tenant(), customers[1]) {
                    tx.publish(&tenant(), customers[1], event);
                }
                Ok(())
            }
            .boxed()
        });
        written.await.expect("the news is told").revision
    }
}

#[tonic::async_trait]
impl ProfileService for Identity {
    async fn get_section(&self, _: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }

    async fn resolve_refs(
        &self,
        request: Request<ResolveRefsRequest>,
    ) -> Result<Response<ResolveRefsResponse>, Status> {
        let horizon = self.feed.horizon().await.map_err(host::status)?;
        let known = self.known.lock().unwrap();
        let mut revision = Revision::new();
        let resolve = |reference: wire::CustomerRef| {
            let id = match reference.r#ref? {
                Ref::CustomerId(id) => id.parse().ok()?,
                Ref::Identifier(i) => *known.emails.get(&i.value.to_lowercase())?,
            };
            let id = known.survivors.get(&id).copied().unwrap_or(id);
            known.ids.contains(&id).then(|| {
                revision.raise(Service::Identity, partition(&tenant(), id), horizon);
                id.to_string()
            })
        };
        let customer_ids = request.into_inner().refs.into_iter().map(resolve).map(Option::unwrap_or_default).collect();
        Ok(Response::new(ResolveRefsResponse { customer_ids, revision: revision.to_string(), ..Default::default() }))
    }

    async fn get_dialogue(&self, _: Request<GetDialogueRequest>) -> Result<Response<GetDialogueResponse>, Status> {
        Err(Status::unimplemented("not in these tests"))
    }
}

pub fn by_id(id: CustomerId) -> Option<wire::CustomerRef> {
    Some(wire::CustomerRef { r#ref: Some(Ref::CustomerId(id.to_string())) })
}

pub fn by_email(value: &str) -> Option<wire::CustomerRef> {
    let identifier = wire::Identifier { namespace: "email".to_owned(), value: value.to_owned() };
    Some(wire::CustomerRef { r#ref: Some(Ref::Identifier(identifier)) })
}

pub fn happening(customer: Option<wire::CustomerRef>, kind: &str) -> InteractionInput {
    InteractionInput { customer, r#type: kind.to_owned(), channel: "web".to_owned(), ..InteractionInput::default() }
}

pub fn text(value: &str) -> Option<prost_types::Value> {
    Some(prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(value.to_owned())) })
}

pub fn saying(topic: &str, value: &str) -> StatementInput {
    StatementInput { topic: topic.to_owned(), value: text(value), ..StatementInput::default() }
}

/// The code and the reason of a refusal.
pub fn refusal<T: std::fmt::Debug>(outcome: Result<Response<T>, Status>) -> (Code, String) {
    let status = outcome.expect_err("a refusal");
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// The fields that a refusal names.
pub fn fields<T: std::fmt::Debug>(outcome: Result<Response<T>, Status>) -> Vec<String> {
    let status = outcome.expect_err("a refusal");
    let wrong = status.get_details_bad_request().map(|wrong| wrong.field_violations).unwrap_or_default();
    wrong.into_iter().map(|violation| violation.field).collect()
}
