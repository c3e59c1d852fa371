//! Serving: ports bound early, then services, then a graceful end.
//!
//! ```no_run
//! # async fn run(context: host::Context, built: Vec<host::Built>) -> Result<(), terms::Fault> {
//! let server = host::Server::bind(&context.config).await?; // says early when a port is taken
//! let running = server.serve(&context, host::Suite { built, shared: Vec::new() })?;
//! running.until_signal().await; // serves, then drains
//! # Ok(())
//! # }
//! ```

mod connection;
mod health;
mod http;
mod standard;
mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use terms::{Fault, Ids};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Built, Config, Context, Shared,
    auth::{Authenticator, Directory},
    config::{AuthMode, Server as Settings},
    edge::{Edge, Table},
    telemetry,
};
use connection::Acceptor;
use health::{Health, Watched};
use tls::Certificates;

/// What a process serves.
#[derive(Debug, Default)]
pub struct Suite {
    /// The services.
    pub built: Vec<Built>,
    /// What no service owns: feeds, profiles.
    pub shared: Vec<Shared>,
}

/// Bound ports.
#[derive(Debug)]
pub struct Server {
    grpc: TcpListener,
    http: Option<TcpListener>,
    address: SocketAddr,
    http_address: Option<SocketAddr>,
}

impl Server {
    /// Binds the configured ports. Connections wait until [`serve`](Self::serve).
    ///
    /// # Errors
    /// When one cannot be bound.
    pub async fn bind(config: &Config) -> Result<Self, Fault> {
        let grpc = listen("server.address", config.server.address).await?;
        let http = match config.telemetry.address {
            Some(address) => Some(listen("telemetry.address", address).await?),
            None => None,
        };
        let address = grpc.local_addr().map_err(Fault::internal)?;
        let http_address = http.as_ref().and_then(|http| http.local_addr().ok());
        Ok(Self { grpc, http, address, http_address })
    }

    /// Where gRPC is served, also when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and readiness are served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Serves.
    ///
    /// # Errors
    /// When keys or certificates cannot be read, or an access table names an RPC that is not declared.
    pub fn serve(self, context: &Context, suite: Suite) -> Result<Running, Fault> {
        let config = &context.config;
        let mut table = Table::default();
        for built in &suite.built {
            table.add_built(built)?;
        }
        for shared in &suite.shared {
            table.add(&shared.routes, &shared.access)?;
        }
        let owned: Vec<&'static str> = suite.shared.iter().flat_map(|shared| shared.routes.names()).collect();
        let reporter = standard::add(&mut table, config.server.reflection)?;
        let auth = Authenticator::new(config, context.clock.clone())?;
        if config.auth.mode == AuthMode::Open {
            tracing::warn!(address = %self.address, "OPEN: whoever reaches this address may do everything, without a credential");
        }
        let draining = CancellationToken::new();
        let edge = Arc::new(Edge::new(&config.server, auth, table, &context.ids, draining.clone()));
        measure_load(&edge);

        let health = Health::new();
        health.measure();
        let leaving = CancellationToken::new();
        let (mut watched, mut tasks) = (Vec::new(), Vec::new());
        for built in suite.built {
            let names = built.routes.names().collect();
            watched.push(Watched { service: built.name, names, checks: built.checks });
            tasks.extend(built.tasks);
        }
        let watching = health.clone().watch(watched, owned, reporter, leaving.clone());
        let background = TaskTracker::new();
        background.spawn(watching);

        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let open = TaskTracker::new();
        let certificates = Certificates::open(config)?.map(Arc::new);
        if let Some(certificates) = &certificates {
            background.spawn(certificates.clone().watch(leaving.clone()));
        }
        let acceptor = Acceptor {
            edge,
            tls: certificates,
            clients: Arc::new(Directory::new(&config.auth.clients)),
            http: Acceptor::http(&config.server),
            age: age(&config.server, &context.ids),
            most: config.server.max_connections,
            stop: stop.clone(),
            cut: cut.clone(),
            open: open.clone(),
        };
        let accepting = tokio::spawn(acceptor.run(self.grpc));
        let gone = CancellationToken::new();
        if let Some(listener) = self.http {
            background.spawn(http::serve(listener, health.clone(), gone.clone().cancelled_owned()));
        }
        Ok(Running {
            address: self.address,
            http_address: self.http_address,
            settings: config.server.clone(),
            shutdown: context.shutdown.clone(),
            health,
            leaving,
            stop,
            cut,
            draining,
            gone,
            open,
            accepting,
            background,
            tasks,
        })
    }
}

async fn listen(key: &str, address: SocketAddr) -> Result<TcpListener, Fault> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| Fault::internal(format!("`{key}` {address} cannot be bound: {e}")))
}

/// The age at which connections are asked to reconnect: a tenth more or less, so that replicas do not ask at once.
fn age(settings: &Settings, ids: &Ids) -> Option<Duration> {
    let age = settings.max_connection_age.get();
    (!age.is_zero()).then(|| age.mul_f64(0.9 + 0.2 * (ids.seed() as f64 / u64::MAX as f64)))
}

fn measure_load(edge: &Arc<Edge>) {
    let (requests, streams) = edge.load();
    let _ = telemetry::meter()
        .u64_observable_gauge("rpc.server.active_requests")
        .with_description("Calls under way.")
        .with_callback(move |observer| {
            observer.observe(requests.used() as u64, &[KeyValue::new("kind", "unary")]);
            observer.observe(streams.used() as u64, &[KeyValue::new("kind", "stream")]);
        })
        .build();
}

/// A server at work. Ends by [`shut_down`](Self::shut_down).
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    settings: Settings,
    shutdown: CancellationToken,
    health: Arc<Health>,
    leaving: CancellationToken,
    stop: CancellationToken,
    cut: CancellationToken,
    draining: CancellationToken,
    gone: CancellationToken,
    open: TaskTracker,
    accepting: JoinHandle<()>,
    background: TaskTracker,
    tasks: Vec<JoinHandle<()>>,
}

/// How long streams may go on by themselves while the server drains, before they are told to end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long background work may take to reach its next safe point.
const SAFE_POINT: Duration = Duration::from_secs(10);

impl Running {
    /// Where gRPC is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where metrics and readiness are served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Waits until everything that the services need has answered once; `false` when the process leaves before.
    pub async fn ready(&self) -> bool {
        self.health.serving().await
    }

    /// Serves until `end`, then shuts down.
    pub async fn until(self, end: impl Future<Output = ()>) {
        end.await;
        self.shut_down().await;
    }

    /// Serves until SIGTERM or SIGINT, then shuts down; a second signal ends it at once.
    pub async fn until_signal(self) {
        signal().await;
        tokio::select! {
            () = signal() => tracing::warn!("told twice: ending at once"),
            () = self.shut_down() => {}
        }
    }

    /// Says that it does not serve, lingers while load balancers notice, lets requests under way end, and stops.
    pub async fn shut_down(self) {
        tracing::info!("leaving: not serving any more");
        self.leaving.cancel();
        sleep(self.settings.linger.get()).await;
        self.stop.cancel();
        let _ = self.accepting.await;
        self.open.close();
        let drain = self.settings.drain.get();
        let draining = self.draining.clone();
        let last_words = tokio::spawn(async move {
            sleep(LAST_WORDS.min(drain / 2)).await;
            draining.cancel();
        });
        if timeout(drain, self.open.wait()).await.is_err() {
            tracing::warn!(connections = self.open.len(), "some requests did not end in time and are cut off");
        }
        last_words.abort();
        self.cut.cancel();
        self.shutdown.cancel();
        let work = futures::future::join_all(self.tasks);
        if timeout(SAFE_POINT, work).await.is_err() {
            tracing::warn!("some background work did not reach a safe point in time");
        }
        self.gone.cancel();
        self.background.close();
        let _ = timeout(Duration::from_secs(1), self.background.wait()).await;
        tracing::info!("left");
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Registering fails only when the runtime has no signal driver, which ours have.
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// The runtime that the configuration asks for.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime(settings: &Settings) -> std::io::Result<tokio::runtime::Runtime> {
    let mut builder = match settings.runtime {
        crate::config::Runtime::Current => tokio::runtime::Builder::new_current_thread(),
        crate::config::Runtime::Multi => tokio::runtime::Builder::new_multi_thread(),
    };
    if settings.workers > 0 {
        builder.worker_threads(settings.workers);
    }
    builder.enable_all().build()
}
