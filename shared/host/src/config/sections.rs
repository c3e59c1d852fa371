//! The settings and their defaults. Keys read `<section>.<key>`, in the environment `RAPPORT_<SECTION>__<KEY>`.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use terms::{Service, Tenant};

use super::{secret::Secret, span::Span};

/// How requests come in, and how much of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where gRPC and gRPC-Web are served; port 0 takes a free one.
    pub address: SocketAddr,
    /// Certificates; without them the connection is in the clear.
    pub tls: Tls,
    /// How many threads work.
    pub runtime: Runtime,
    /// Worker threads of the `multi` runtime; 0 is one per core.
    pub workers: usize,
    /// A connection older than this is asked to reconnect, ±10 % per process, so that load evens out; 0 is never.
    pub max_connection_age: Span,
    /// Open connections beyond this are refused.
    pub max_connections: usize,
    /// Concurrent requests of one connection.
    pub max_streams_per_connection: u32,
    /// A larger message is refused with `MESSAGE_TOO_LARGE`; bytes.
    pub max_request_bytes: usize,
    /// The server sends no larger message; bytes.
    pub max_reply_bytes: usize,
    /// Requests being served beyond this are refused with `OVERLOADED`; streams are counted apart.
    pub max_in_flight: usize,
    /// Open streams beyond this are refused with `OVERLOADED`.
    pub max_streams: usize,
    /// Requests per second and tenant, beyond which they are refused with `RATE_LIMITED`; 0 is no limit.
    pub tenant_rate: u32,
    /// Requests that a tenant may make at once before the rate counts; 0 is one second's worth.
    pub tenant_burst: u32,
    /// The deadline of a unary call that names none.
    pub default_deadline: Span,
    /// A unary call's deadline is cut to this.
    pub max_deadline: Span,
    /// How often an idle connection is pinged; 0 is never.
    pub keep_alive: Span,
    /// A connection that does not answer a ping for this long is closed.
    pub keep_alive_timeout: Span,
    /// Whether gRPC-Web is served beside gRPC.
    pub grpc_web: bool,
    /// Origins of browsers that may call by gRPC-Web: `https://console.example.org`, or `*`.
    pub web_origins: Vec<String>,
    /// Whether the API describes itself to anybody (`grpc.reflection`).
    pub reflection: bool,
    /// From SIGTERM on: how long new requests are still taken, while load balancers notice.
    pub linger: Span,
    /// After that: how long requests under way may take to end.
    pub drain: Span,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 7400)),
            tls: Tls::default(),
            runtime: Runtime::Multi,
            workers: 0,
            max_connection_age: Span::seconds(30 * 60),
            max_connections: 10_000,
            max_streams_per_connection: 256,
            max_request_bytes: 4 << 20,
            max_reply_bytes: 16 << 20,
            max_in_flight: 2_048,
            max_streams: 4_096,
            tenant_rate: 0,
            tenant_burst: 0,
            default_deadline: Span::seconds(10),
            max_deadline: Span::seconds(120),
            keep_alive: Span::seconds(30),
            keep_alive_timeout: Span::seconds(10),
            grpc_web: true,
            web_origins: Vec::new(),
            reflection: true,
            linger: Span::seconds(3),
            drain: Span::seconds(25),
        }
    }
}

/// The flavour of the runtime. On one core `current` is faster by a tenth or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// A pool of worker threads.
    Multi,
    /// The calling thread alone.
    Current,
}

/// Certificates in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate with its chain.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// Who signs the certificates of clients; demanded with `auth.mode = "mtls"`.
    pub client_ca_file: Option<PathBuf>,
    /// How often these files are looked at; new connections get what changed. 0 is never.
    pub reload: Span,
}

impl Default for Tls {
    fn default() -> Self {
        Self { cert_file: None, key_file: None, client_ca_file: None, reload: Span::seconds(10) }
    }
}

/// Who may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// How callers prove who they are.
    pub mode: AuthMode,
    /// The tenant of open mode.
    pub open_tenant: Tenant,
    /// `iss` of a token.
    pub issuer: String,
    /// `aud` of a token.
    pub audience: String,
    /// The keys that tokens are signed with (RFC 7517); read again when the file changes.
    pub jwks_file: Option<PathBuf>,
    /// How far clocks may be apart.
    pub leeway: Span,
    /// How long a verified token is trusted without verifying it again, at most until it expires.
    pub cache: Span,
    /// Whom client certificates name.
    pub clients: Vec<Client>,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            mode: AuthMode::Open,
            open_tenant: Tenant::try_from("default".to_owned()).unwrap_or_else(|_| unreachable!("a valid name")),
            issuer: String::new(),
            audience: "rapport".to_owned(),
            jwks_file: None,
            leeway: Span::seconds(30),
            cache: Span::seconds(300),
            clients: Vec::new(),
        }
    }
}

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Not at all: everybody may do everything. Only on a loopback address.
    Open,
    /// By a bearer token (RFC 7519).
    Jwt,
    /// By a client certificate.
    Mtls,
}

/// The holder of a client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// A subject alternative name (DNS, URI or e-mail) or the common name of its certificate.
    pub name: String,
    /// Whose data it sees; `*` lets it choose by the header `x-rapport-tenant`.
    pub tenant: String,
    /// What it may do: `<service>.<read|write|admin>`.
    pub scopes: Vec<String>,
}

/// Where the services keep what they know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Which database.
    pub kind: StoreKind,
    /// Of `sqlite`: the directory of the database files, one per service.
    pub dir: PathBuf,
    /// Of `postgres`: `postgres://user:password@host/database`.
    pub url: Secret,
    /// Of `postgres`: connections per service.
    pub max_connections: u32,
    /// A file with the secret, 32 bytes or more, from which the keys are made by which identifiers are looked up. Every
    /// process of a suite needs the same one, for ever. Demanded with `postgres`; else made in `dir` when missing.
    pub lookup_key_file: Option<PathBuf>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            kind: StoreKind::Sqlite,
            dir: PathBuf::from("data"),
            url: Secret::default(),
            max_connections: 8,
            lookup_key_file: None,
        }
    }
}

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// SQLite in memory: gone with the process.
    Memory,
    /// SQLite in files.
    Sqlite,
    /// PostgreSQL, or what speaks its protocol.
    Postgres,
}

/// The shared level of the hot profile.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// `redis://:password@host:6379`; empty: in process only.
    pub url: Secret,
    /// Connections, used in turn.
    pub connections: usize,
    /// A command that takes longer counts as failed.
    pub timeout: Span,
    /// How long an unused profile stays.
    pub ttl: Span,
    /// Profiles kept in process.
    pub local_entries: u64,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            connections: 2,
            timeout: Span::millis(50),
            ttl: Span::seconds(3_600),
            local_entries: 100_000,
        }
    }
}

/// Where the other services are, and how to speak with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerSettings {
    /// `http://host:port` or `https://host:port` of identity, unless it lives in this process.
    pub identity: Option<String>,
    /// The same of interaction.
    pub interaction: Option<String>,
    /// The same of segmentation.
    pub segmentation: Option<String>,
    /// The same of customization.
    pub customization: Option<String>,
    /// A file with the bearer token that this process shows to the others; read again when it changes.
    pub token_file: Option<PathBuf>,
    /// Who signs the certificates of the others.
    pub ca_file: Option<PathBuf>,
    /// The certificate that this process shows to the others, for mTLS.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// How long opening a connection may take.
    pub connect_timeout: Span,
    /// The deadline of a call that has none of its own.
    pub timeout: Span,
    /// How often a read that found its peer unavailable is tried in all.
    pub attempts: u32,
    /// Connections to each, used in turn.
    pub connections: usize,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            identity: None,
            interaction: None,
            segmentation: None,
            customization: None,
            token_file: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            connect_timeout: Span::seconds(2),
            timeout: Span::seconds(10),
            attempts: 3,
            connections: 1,
        }
    }
}

impl PeerSettings {
    /// Where a service is, when it is not in this process.
    pub fn url(&self, service: Service) -> Option<&str> {
        match service {
            Service::Identity => self.identity.as_deref(),
            Service::Interaction => self.interaction.as_deref(),
            Service::Segmentation => self.segmentation.as_deref(),
            Service::Customization => self.customization.as_deref(),
        }
    }
}

/// What the process says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// `text` for people, `json` for collectors.
    pub log_format: LogFormat,
    /// What is logged: `info`, or directives such as `info,identity=debug`.
    pub log_filter: String,
    /// An OTLP collector (gRPC), as in `http://localhost:4317`; empty sends nothing.
    pub otlp: String,
    /// The share of traces begun here that is recorded, 0 to 1; a caller's own decision is followed.
    pub sample: f64,
    /// How often metrics are sent to the collector.
    pub metrics_interval: Span,
    /// Where `/metrics`, `/healthz` and `/readyz` are served; none: not at all.
    pub address: Option<SocketAddr>,
    /// `service.name` of traces and metrics.
    pub service_name: String,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            otlp: String::new(),
            sample: 0.1,
            metrics_interval: Span::seconds(30),
            address: None,
            service_name: "rapport".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// How the services hear each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// How often the outbox is looked at, without wake-ups from other processes.
    pub poll: Span,
    /// The same, with wake-ups.
    pub poll_with_hints: Span,
    /// Entries taken at once.
    pub batch: usize,
    /// How long a partition stays with a replica that says nothing.
    pub lease: Span,
    /// How long entries are kept.
    pub retention: Span,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            poll: Span::millis(50),
            poll_with_hints: Span::seconds(1),
            batch: 1_000,
            lease: Span::seconds(10),
            retention: Span::seconds(7 * 86_400),
        }
    }
}
