//! The services of a process, by name.

use std::{collections::BTreeMap, convert::Infallible, fmt, sync::Arc};

use futures::future::BoxFuture;
use http::{Request, Response};
use tonic::{body::Body, server::NamedService};
use tower::Service;

/// A generated server behind a common face.
pub(crate) trait Handler: Send + Sync {
    fn handle(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>>;
}

struct Generated<S>(S);

impl<S> Handler for Generated<S>
where
    S: Service<
            Request<Body>,
            Response = Response<Body>,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
        > + Clone
        + Send
        + Sync,
{
    fn handle(&self, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, Infallible>> {
        // Generated servers are always ready, and cloning one counts a reference.
        self.0.clone().call(request)
    }
}

/// Generated servers by the full names of their services.
#[derive(Clone, Default)]
pub struct Routes {
    services: BTreeMap<&'static str, Arc<dyn Handler>>,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server, such as `IdentityServiceServer::new(handler)`; [`tuned!`](crate::tuned) gives it the
    /// configured limits.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "adds a server to a list, not a number to a number")]
    pub fn add<S>(mut self, server: S) -> Self
    where
        S: Service<
                Request<Body>,
                Response = Response<Body>,
                Error = Infallible,
                Future = BoxFuture<'static, Result<Response<Body>, Infallible>>,
            > + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.services.insert(S::NAME, Arc::new(Generated(server)));
        self
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.services.extend(other.services);
    }

    /// The names of the services.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.services.keys().copied()
    }

    pub(crate) fn handler(&self, service: &str) -> Option<&Arc<dyn Handler>> {
        self.services.get(service)
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.services.keys()).finish()
    }
}

/// A generated server with the configured limits on message sizes, and gzip for callers that ask for it:
/// `host::tuned!(context, IdentityServiceServer::new(handler))`.
#[macro_export]
macro_rules! tuned {
    ($context:expr, $server:expr) => {
        $server
            .max_decoding_message_size($context.config.server.max_request_bytes)
            .max_encoding_message_size($context.config.server.max_reply_bytes)
            .accept_compressed($crate::Gzip)
    };
}
