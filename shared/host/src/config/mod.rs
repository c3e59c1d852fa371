//! Settings: defaults, then a file, then the environment, then flags; each value knows where it came from.
//!
//! ```
//! use host::config::Loader;
//! let config = Loader::new()
//!     .environment([("RAPPORT_SERVER__LINGER".to_owned(), "0".to_owned())])
//!     .load()
//!     .unwrap();
//! assert_eq!(config.origin("server.linger").to_string(), "environment RAPPORT_SERVER__LINGER");
//! ```

mod check;
mod dump;
mod load;
mod read;
mod secret;
mod sections;
mod span;
mod tree;

use std::sync::Arc;

use serde::Serialize;

pub use load::{Flags, Loader, Problem, Problems, shown};
pub use secret::Secret;
pub use sections::{
    Auth, AuthMode, Cache, Client, Feed, LogFormat, PeerSettings, Runtime, Server, Store, StoreKind, Telemetry, Tls,
};
pub use span::{ParseSpanError, Span};
pub use tree::Origin;

/// The configuration in force.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Config {
    /// How requests come in, and how much of them.
    pub server: Server,
    /// Who may call.
    pub auth: Auth,
    /// Where the services keep what they know.
    pub store: Store,
    /// The shared level of the hot profile.
    pub cache: Cache,
    /// Where the other services are.
    pub peers: PeerSettings,
    /// What the process says of itself.
    pub telemetry: Telemetry,
    /// How the services hear each other.
    pub feed: Feed,
    /// What was set, and where.
    #[serde(skip)]
    tree: Arc<tree::Node>,
}
