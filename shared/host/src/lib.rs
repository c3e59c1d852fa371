//! Everything around a service: configuration, authentication, limits, telemetry, serving, and calling the others.
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | settings from defaults, file, environment and flags, each with its origin |
//! | [`context`] | what a service is built from ([`Context`]), and what it gives back ([`Built`]) |
//! | [`mod@call`] | the wrappers of every handler: [`unary`], [`server_stream`], [`client_stream`], [`bidirectional`] |
//! | [`mod@status`] | [`terms::Fault`] to gRPC status with `google.rpc` details, and back |
//! | [`decode`], [`encode`] | request fields to domain values, and back |
//! | [`server`] | ports, connections, health, reflection, metrics, and a graceful end |
//! | [`telemetry`] | logs, metrics and traces of the process |
//! | [`routes`] | generated servers by name |
//! | [`peers`] | the other services: by channel, or directly when they live in this process |
//! | [`trace`] | W3C trace context |
//! | `auth` | tokens and client certificates to a [`terms::Caller`] |
//! | `edge` | the way of a request to its handler, in one pass |
//! | `catalog` | every RPC that the contract declares ([`Catalog`]) |

#![forbid(unsafe_code)]

mod auth;
pub mod call;
mod catalog;
pub mod config;
pub mod context;
pub mod decode;
mod edge;
pub mod encode;
pub mod peers;
pub mod routes;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod trace;

pub use auth::{SUBJECT_HEADER, TENANT_HEADER};
pub use call::{Call, Replies, Requests, bidirectional, call, client_stream, server_stream, unary};
pub use catalog::{Catalog, Rpc};
pub use config::Config;
pub use context::{Built, Check, Context};
pub use edge::{Rule, Shared};
pub use peers::{Peer, PeerOf, Peers};
pub use routes::Routes;
pub use server::{Running, Server, Suite, runtime};
pub use status::{fault, not_yet_served, status, unreadable};

/// The one compression that is spoken; for [`tuned!`].
#[doc(hidden)]
#[expect(non_upper_case_globals, reason = "stands for the enum's variant")]
pub const Gzip: tonic::codec::CompressionEncoding = tonic::codec::CompressionEncoding::Gzip;
