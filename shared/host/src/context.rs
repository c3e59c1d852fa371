//! What the host hands to a service when it is built, and what it gets back.

use std::{fmt, future::Future, sync::Arc};

use futures::future::BoxFuture;
use terms::{Access, Clock, Fault, Ids, Service};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Config, Peers, Routes};

/// What every service is built from.
#[derive(Debug, Clone)]
pub struct Context {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<Ids>,
    /// Cancelled when the process is to end: background work stops at its next safe point.
    pub shutdown: CancellationToken,
    /// The other services, wherever they run.
    pub peers: Peers,
}

impl Context {
    /// A context with the peers that `config` names.
    pub fn new(config: Arc<Config>, clock: Arc<dyn Clock>, ids: Arc<Ids>) -> Self {
        let peers = Peers::new(config.peers.clone());
        Self { config, clock, ids, shutdown: CancellationToken::new(), peers }
    }
}

/// A service that is ready to be served.
#[derive(Debug)]
pub struct Built {
    /// Which.
    pub name: Service,
    /// Its generated servers.
    pub routes: Routes,
    /// Every RPC of it with the access that it needs: `("rapport.identity.v1.IdentityService/Identify", Access::Write)`.
    /// An RPC that is missing here is refused.
    pub access: &'static [(&'static str, Access)],
    /// Background work; ended by [`Context::shutdown`], awaited at the end.
    pub tasks: Vec<JoinHandle<()>>,
    /// What its health depends on.
    pub checks: Vec<Check>,
    /// RPCs that are declared and not served yet.
    pub unserved: &'static [&'static str],
}

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Fault>> + Send + Sync>;

/// Something that a service needs, asked about from time to time.
#[derive(Clone)]
pub struct Check {
    /// As in `identity.store`.
    pub name: &'static str,
    probe: Probe,
}

impl Check {
    /// A check that holds when `probe` gives `Ok`.
    pub fn new<F, Done>(name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Done + Send + Sync + 'static,
        Done: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        Self { name, probe: Arc::new(move || Box::pin(probe())) }
    }

    /// Asks.
    ///
    /// # Errors
    /// What is wrong.
    pub async fn probe(&self) -> Result<(), Fault> {
        (self.probe)().await
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Check").field(&self.name).finish()
    }
}
