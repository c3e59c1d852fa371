//! The other services: one port with two adapters. A peer in another process is called by a channel, with our
//! credential; a peer in this process is called directly, its generated server by our generated client, without a
//! socket and without a credential.
//!
//! ```
//! # use host::{Call, Peers};
//! # use rapport_proto::identity::v1::identity_service_client::IdentityServiceClient;
//! # use terms::Service;
//! # fn client(peers: &Peers, call: &Call) {
//! let mut identity = IdentityServiceClient::new(peers.get(Service::Identity).for_call(call));
//! # }
//! ```
//!
//! Its statuses become faults by [`host::fault`](crate::fault), and pass through unchanged.

mod local;
mod remote;
mod token;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use parking_lot::RwLock;
use terms::{Caller, Fault, Scope, Service};
use tokio::time::Instant;
use tonic::{Code, Status, body::Body};
use tracing::Instrument as _;

use crate::{
    Call, Catalog, Routes, Rpc,
    auth::{all_scopes, no_tenant},
    config::PeerSettings,
    status,
    telemetry::{Instruments, Recorded},
    trace::TraceParent,
};
use remote::Remote;

/// Every other service, wherever it runs. Cheap to clone.
#[derive(Clone)]
pub struct Peers(Arc<Inner>);

struct Inner {
    settings: PeerSettings,
    local: RwLock<HashMap<Service, Routes>>,
    remote: RwLock<HashMap<Service, Arc<Remote>>>,
    instruments: RwLock<HashMap<&'static str, Instruments>>,
    scopes: Arc<[Scope]>,
}

impl Peers {
    /// Peers as configured; those that live in this process are bound later.
    pub fn new(settings: PeerSettings) -> Self {
        Self(Arc::new(Inner {
            settings,
            local: RwLock::default(),
            remote: RwLock::default(),
            instruments: RwLock::default(),
            scopes: all_scopes(),
        }))
    }

    /// The peer lives in this process: its generated servers are called directly. Several calls add up.
    pub fn bind_local(&self, service: Service, routes: Routes) {
        self.0.local.write().entry(service).or_default().merge(routes);
    }

    /// Whether the peer can be called at all: it lives here, or its address is configured.
    pub fn knows(&self, service: Service) -> bool {
        self.0.local.read().contains_key(&service) || self.0.settings.url(service).is_some()
    }

    /// A peer; say on whose behalf before calling. It may be bound, or come up, after this.
    pub fn get(&self, service: Service) -> PeerOf {
        PeerOf { peers: self.clone(), service }
    }

    fn remote(&self, service: Service) -> Result<Arc<Remote>, Fault> {
        if let Some(remote) = self.0.remote.read().get(&service) {
            return Ok(remote.clone());
        }
        let mut all = self.0.remote.write();
        if let Some(remote) = all.get(&service) {
            return Ok(remote.clone());
        }
        let remote = Arc::new(Remote::new(service, &self.0.settings)?);
        all.insert(service, remote.clone());
        Ok(remote)
    }

    fn instruments(&self, rpc: &'static str) -> Instruments {
        if let Some(known) = self.0.instruments.read().get(rpc) {
            return known.clone();
        }
        self.0.instruments.write().entry(rpc).or_insert_with(|| Instruments::client(rpc)).clone()
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("local", &*self.0.local.read()).finish_non_exhaustive()
    }
}

/// A peer that nobody has been named for yet.
#[derive(Debug, Clone)]
pub struct PeerOf {
    peers: Peers,
    service: Service,
}

impl PeerOf {
    /// Calls within a call: for its tenant, with its subject as the actor, by this service's own scopes; its
    /// deadline, request id and trace go along.
    pub fn for_call(&self, call: &Call) -> Peer {
        self.peer(&call.caller, call.deadline, call.request_id.clone(), call.trace)
    }

    /// Calls outside of any call: for `caller`'s tenant, with `caller`'s subject as the actor, by this service's own
    /// scopes.
    pub fn on_behalf_of(&self, caller: &Caller) -> Peer {
        self.peer(caller, None, "".into(), None)
    }

    /// Calls that concern every tenant: to follow a feed. Other RPCs refuse it.
    pub fn for_every_tenant(&self, subject: &str) -> Peer {
        let everybody =
            Caller { tenant: no_tenant(), subject: subject.into(), scopes: Arc::new([]), every_tenant: true };
        self.peer(&everybody, None, "".into(), None)
    }

    fn peer(
        &self,
        caller: &Caller,
        deadline: Option<Instant>,
        request_id: Arc<str>,
        trace: Option<TraceParent>,
    ) -> Peer {
        // As the credential of a service says it to a peer elsewhere.
        let caller = Caller { scopes: self.peers.0.scopes.clone(), every_tenant: true, ..caller.clone() };
        let behalf = Behalf { caller, deadline, request_id, trace };
        Peer { peers: self.peers.clone(), service: self.service, behalf: Arc::new(behalf) }
    }
}

/// One other service on somebody's behalf: a transport for generated clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    peers: Peers,
    service: Service,
    behalf: Arc<Behalf>,
}

/// On whose behalf, until when, within which call.
#[derive(Debug)]
struct Behalf {
    caller: Caller,
    deadline: Option<Instant>,
    request_id: Arc<str>,
    trace: Option<TraceParent>,
}

impl Behalf {
    /// When a unary call is given up.
    fn until(&self, longest: Duration) -> Instant {
        let own = Instant::now() + longest;
        self.deadline.map_or(own, |deadline| deadline.min(own))
    }
}

impl Peer {
    async fn send(self, rpc: Rpc, request: Request<Body>) -> Result<Response<Body>, Status> {
        let started = Instant::now();
        let recorded = Recorded::client(rpc.name, self.behalf.trace);
        let trace = recorded.trace;
        let name = rpc.service;
        let handler = self.peers.0.local.read().get(&self.service).and_then(|routes| routes.handler(name).cloned());
        let sent = async {
            match handler {
                Some(handler) => Ok(local::call(&handler, rpc, request, &self.behalf, trace).await),
                None => self.peers.remote(self.service)?.call(rpc, request, &self.behalf, trace).await,
            }
        };
        let result = sent.instrument(recorded.span.clone()).await.map_err(status::status);
        let code = match &result {
            Ok(response) => {
                response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
            }
            Err(status) => status.code(),
        };
        self.peers.instruments(rpc.name).record(code, started.elapsed());
        recorded.end(code);
        result
    }
}

impl tower::Service<Request<Body>> for Peer {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let name = request.uri().path().get(1..).unwrap_or_default();
        match Catalog::get().rpc(name) {
            Some(rpc) => Box::pin(self.clone().send(*rpc, request)),
            None => Box::pin(async { Err(Status::unimplemented("the contract declares no such RPC")) }),
        }
    }
}
