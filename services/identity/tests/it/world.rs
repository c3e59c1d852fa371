//! Identity, as another service of the same process calls it.

use std::sync::Arc;

use data::Operations;
use host::{Config, Context, Peer, Peers};
use identity::{IdentityReader, build, migrations};
use profile::Marks;
use prost_types::{Struct, Value, value::Kind};
use rapport_proto::{
    identity::v1::identity_service_client::IdentityServiceClient,
    r#type::v1::{CustomerRef, Identifier, customer_ref::Ref},
};
use terms::{Caller, Clock, Ids, Service, SystemClock, Tenant};
use testkit::{TestStore, stores};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub type Client = IdentityServiceClient<Peer>;

/// A replica of identity; it ends when this is dropped.
pub struct Replica {
    pub client: Client,
    pub reader: IdentityReader,
    pub operations: Operations,
    tasks: Vec<JoinHandle<()>>,
    _shutdown: DropGuard,
}

impl Replica {
    pub async fn new(store: data::Store) -> Self {
        Self::configured(store, Config::default()).await
    }

    pub async fn configured(store: data::Store, config: Config) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let context = Context {
            peers: Peers::new(config.peers.clone()),
            config: Arc::new(config),
            ids: Arc::new(Ids::new(clock.clone())),
            clock,
            shutdown: CancellationToken::new(),
        };
        let built = build(&context, store.clone(), Marks::in_process()).await.unwrap();
        context.peers.bind_local(Service::Identity, built.routes);
        Self {
            client: IdentityServiceClient::new(context.peers.get(Service::Identity).on_behalf_of(&caller())),
            reader: IdentityReader::new(&context, store.clone()).unwrap(),
            operations: Operations::new(store, context.ids, host::status),
            tasks: built.tasks,
            _shutdown: context.shutdown.drop_guard(),
        }
    }

    /// Dies without a word.
    pub fn kill(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A replica on each store.
pub struct Served {
    pub client: Client,
    pub replica: Replica,
    pub store: TestStore,
}

pub async fn served() -> Vec<Served> {
    let mut all = Vec::new();
    for store in stores(Service::Identity, migrations).await {
        let replica = Replica::new(store.store()).await;
        all.push(Served { client: replica.client.clone(), replica, store });
    }
    all
}

pub fn tenant() -> Tenant {
    "default".parse().unwrap()
}

pub fn caller() -> Caller {
    Caller::all_powerful(tenant(), "tester")
}

pub fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

pub fn traits(said: &[(&str, &str)]) -> Option<Struct> {
    Some(Struct { fields: said.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect() })
}

/// From `namespace:value`.
pub fn identifier(written: &str) -> Identifier {
    let (namespace, value) = written.split_once(':').unwrap();
    Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

pub fn by_id(id: &str) -> Option<CustomerRef> {
    Some(CustomerRef { r#ref: Some(Ref::CustomerId(id.to_owned())) })
}

/// How a call was refused.
pub fn refusal(status: &Status) -> (Code, String) {
    (status.code(), reason(status))
}

/// The machine-readable reason of a refusal.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
