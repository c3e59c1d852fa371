//! A peer in another process: channels that connect when first used and reconnect by themselves.

use std::{
    error::Error as _,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::AUTHORIZATION, uri::PathAndQuery};
use http_body_util::{BodyExt as _, Full};
use terms::{Fault, Reason, Service};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{
    Status,
    body::Body,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tower::{Service as _, ServiceExt as _};

use super::{Behalf, token::TokenFile};
use crate::{
    Rpc,
    auth::{NO_TENANT, SUBJECT_HEADER, TENANT_HEADER},
    config::PeerSettings,
    edge::{REQUEST_ID, deadline, late},
    status,
    trace::{TRACEPARENT, TraceParent},
};

/// The channels to one peer.
pub(super) struct Remote {
    service: Service,
    channels: Vec<Channel>,
    turn: AtomicUsize,
    token: Option<TokenFile>,
    attempts: u32,
    longest: Duration,
    /// Whether it was away when called last: said once, not at every call.
    away: AtomicBool,
}

/// Between two attempts; doubles.
const PAUSE: Duration = Duration::from_millis(25);

/// By how much two timers for the same instant may differ.
const HAIR: Duration = Duration::from_millis(5);

impl Remote {
    /// As configured; connects later.
    ///
    /// # Errors
    /// When the peer has no address, or a file of the credentials cannot be read.
    pub(super) fn new(service: Service, settings: &PeerSettings) -> Result<Self, Fault> {
        let Some(url) = settings.url(service) else {
            let message = format!("{service} does not live here, and `peers.{service}` says not where");
            return Err(Fault::new(Reason::PeerUnavailable, message).with("service", service.name()));
        };
        let endpoint = endpoint(url, settings)?;
        Ok(Self {
            service,
            channels: (0..settings.connections.max(1)).map(|_| endpoint.connect_lazy()).collect(),
            turn: AtomicUsize::new(0),
            token: settings.token_file.as_deref().map(TokenFile::open).transpose()?,
            attempts: settings.attempts.max(1),
            longest: settings.timeout.get(),
            away: AtomicBool::new(false),
        })
    }

    /// Calls. A unary RPC that changes nothing is tried again when the peer was unavailable.
    pub(super) async fn call(
        &self,
        rpc: Rpc,
        request: Request<Body>,
        behalf: &Behalf,
        trace: Option<TraceParent>,
    ) -> Result<Response<Body>, Fault> {
        let (mut head, body) = request.into_parts();
        self.headers(&mut head.headers, behalf, trace);
        if !rpc.unary() {
            if let Some(deadline) = behalf.deadline {
                set_timeout(&mut head.headers, deadline);
            }
            return self.send(Request::from_parts(head, body)).await.map_err(|e| self.away(e));
        }
        let until = behalf.until(self.longest);
        let attempts = if rpc.repeatable { self.attempts } else { 1 };
        // The message of a unary call is here already: collecting it waits for nothing.
        let message = body.collect().await.map_err(Fault::internal)?.to_bytes();
        let mut attempt = 1;
        loop {
            let request = copy(&head, &message, until);
            let answer = timeout_at(until, self.send(request)).await.map_err(|_| late())?;
            if answer.is_err() && Instant::now() + HAIR >= until {
                // The channel keeps the deadline too, and may be a hair faster.
                return Err(late());
            }
            // What never left can be sent again whatever it is: an old connection ended just then.
            let unsent = attempt < self.attempts && answer.as_ref().is_err_and(never_sent);
            let again = unsent || (attempt < attempts && passing(&answer));
            if !again {
                return answer.map_err(|e| self.away(e)).inspect(|_| self.back());
            }
            let pause = Instant::now() + PAUSE * 2u32.saturating_pow(attempt - 1);
            if pause >= until {
                return answer.map_err(|e| self.away(e));
            }
            sleep_until(pause).await;
            attempt += 1;
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, tonic::transport::Error> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        // There is at least one channel.
        let Some(channel) = self.channels.get(turn % self.channels.len()) else {
            return std::future::pending().await;
        };
        let mut channel = channel.clone();
        channel.ready().await?.call(request).await
    }

    /// Who calls, for whom, within which call.
    fn headers(&self, headers: &mut HeaderMap, behalf: &Behalf, trace: Option<TraceParent>) {
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.header());
        }
        let tenant = match behalf.caller.tenant.as_str() {
            NO_TENANT => "*",
            name => name,
        };
        let trace = trace.map(|trace| trace.header()).unwrap_or_default();
        let texts = [
            (HeaderName::from_static(TENANT_HEADER), tenant),
            (HeaderName::from_static(SUBJECT_HEADER), &behalf.caller.subject),
            (REQUEST_ID, &behalf.request_id),
            (HeaderName::from_static(TRACEPARENT), &trace),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            // A subject may hold what no header can: then the history names the service alone.
            if let Ok(value) = HeaderValue::from_str(text) {
                headers.insert(name, value);
            }
        }
    }

    fn away(&self, error: tonic::transport::Error) -> Fault {
        let service = self.service.name();
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(service, error = ?error, "a peer does not answer");
        }
        Fault::new(Reason::PeerUnavailable, format!("{service} does not answer; retry")).with("service", service)
    }

    fn back(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!(service = self.service.name(), "the peer answers again");
        }
    }
}

fn set_timeout(headers: &mut HeaderMap, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let left = deadline::timeout(headers).map_or(left, |said| said.min(left));
    if let Ok(value) = HeaderValue::from_str(&deadline::header(left)) {
        headers.insert(deadline::GRPC_TIMEOUT, value);
    }
}

/// The request once more.
fn copy(head: &http::request::Parts, message: &Bytes, until: Instant) -> Request<Body> {
    let mut request = Request::new(Body::new(Full::new(message.clone())));
    *request.method_mut() = head.method.clone();
    *request.version_mut() = head.version;
    let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = path.into();
    *request.headers_mut() = head.headers.clone();
    set_timeout(request.headers_mut(), until);
    request
}

/// Whether the connection ended before the request was given to it.
fn never_sent(error: &tonic::transport::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    cause.is_some_and(hyper::Error::is_canceled)
}

/// Whether the answer says that another attempt may fare better.
fn passing(answer: &Result<Response<Body>, tonic::transport::Error>) -> bool {
    match answer {
        Err(_) => true,
        Ok(response) => match Status::from_header_map(response.headers()) {
            Some(status) if status.code() == tonic::Code::Unavailable => {
                let reason = status::fault(status).reason();
                // These have waited or tried again already.
                !matches!(reason, Reason::RevisionNotReached)
            }
            _ => false,
        },
    }
}

fn endpoint(url: &str, settings: &PeerSettings) -> Result<Endpoint, Fault> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(Fault::internal)?
        .connect_timeout(settings.connect_timeout.get())
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_connection_window_size(4 << 20)
        .initial_stream_window_size(1 << 20);
    if url.starts_with("https:") {
        let mut tls = ClientTlsConfig::new();
        if let Some(file) = &settings.ca_file {
            tls = tls.ca_certificate(Certificate::from_pem(read("peers.ca_file", file)?));
        }
        if let (Some(cert), Some(key)) = (&settings.cert_file, &settings.key_file) {
            let identity = Identity::from_pem(read("peers.cert_file", cert)?, read("peers.key_file", key)?);
            tls = tls.identity(identity);
        }
        endpoint = endpoint.tls_config(tls).map_err(Fault::internal)?;
    }
    Ok(endpoint)
}

fn read(key: &str, file: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(file).map_err(|e| Fault::internal(format!("`{key}` {}: {e}", file.display())))
}
