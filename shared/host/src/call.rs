//! What a handler knows of the call that it serves, and the wrappers that every handler uses.

use std::{future::Future, pin::Pin, sync::Arc};

use futures::{Stream, StreamExt};
use terms::{Caller, Fault, FaultKind, Reason, Scope, Tenant};
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::{status, trace::TraceParent};

/// One call: on whose behalf, until when, under which id.
#[derive(Debug, Clone)]
pub struct Call {
    /// On whose behalf.
    pub caller: Caller,
    /// When the caller stops waiting. Streams have one only if the caller set it.
    pub deadline: Option<Instant>,
    /// Names the call in logs and to the caller (`x-request-id`).
    pub request_id: Arc<str>,
    /// The RPC, as in `rapport.identity.v1.IdentityService/Identify`.
    pub rpc: &'static str,
    /// Where the call stands in a distributed trace.
    pub trace: Option<TraceParent>,
}

impl Call {
    /// A call of `rpc` for `caller` without a deadline: background work, and tests of handlers.
    pub fn new(caller: Caller, rpc: &'static str) -> Self {
        Self { caller, deadline: None, request_id: Arc::from(""), rpc, trace: None }
    }

    /// Whose data the call sees.
    pub fn tenant(&self) -> &Tenant {
        &self.caller.tenant
    }

    /// How long the caller still waits; `None` if for ever.
    pub fn remaining(&self) -> Option<std::time::Duration> {
        self.deadline.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Refuses a caller that lacks `scope`, for the RPCs whose scope depends on the request.
    ///
    /// # Errors
    /// [`Reason::ScopeMissing`].
    pub fn require(&self, scope: &Scope) -> Result<(), Fault> {
        if self.caller.may(&scope.service, scope.access) { Ok(()) } else { Err(scope_missing(scope)) }
    }

    /// The status of a fault that ends a stream under way; logs the fault, as the edge does for unary calls.
    pub fn fail(&self, fault: Fault) -> Status {
        log(self.rpc, &self.request_id, self.trace.as_ref(), &fault);
        status::told(&fault, Some(&self.request_id))
    }

    /// The request that puts this call in front of a handler without a server around it: for tests.
    pub fn request<T>(&self, body: T) -> Request<T> {
        let mut request = Request::new(body);
        request.extensions_mut().insert(self.clone());
        request
    }
}

pub(crate) fn scope_missing(scope: &Scope) -> Fault {
    Fault::new(Reason::ScopeMissing, format!("the credential lacks the scope `{scope}`"))
        .with("scope", scope.to_string())
}

/// Logs a fault, once, at the edge: our mistakes and outages with their cause, the caller's only when debugging.
pub(crate) fn log(rpc: &str, request_id: &str, trace: Option<&TraceParent>, fault: &Fault) {
    let told = fault.cause().is_some_and(|cause| cause.is::<status::ToldByPeer>());
    let reason = fault.reason().as_str();
    let trace_id = trace.map(TraceParent::trace_id_text);
    let trace_id = trace_id.as_deref();
    let cause = fault.cause().map(chain);
    let cause = cause.as_deref();
    match fault.kind() {
        // Whoever told it has logged it, with its cause.
        _ if told => tracing::debug!(rpc, request_id, trace_id, reason, "a peer's fault was passed on"),
        FaultKind::Internal => tracing::error!(rpc, request_id, trace_id, reason, cause, "{}", fault.message()),
        FaultKind::Unavailable => tracing::warn!(rpc, request_id, trace_id, reason, cause, "{}", fault.message()),
        // Messages of the caller's mistakes may quote what the caller sent: the reason is enough here.
        _ => tracing::debug!(rpc, request_id, trace_id, reason, "refused"),
    }
}

fn chain(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = cause.to_string();
    let mut next = cause.source();
    while let Some(error) = next {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = error.source();
    }
    text
}

/// The call behind a request.
///
/// # Errors
/// `UNAUTHENTICATED` when the request did not come through the host.
pub fn call<T>(request: &Request<T>) -> Result<Call, Status> {
    request.extensions().get::<Call>().cloned().ok_or_else(without_host)
}

#[cold]
fn without_host() -> Status {
    status::status(Fault::new(Reason::CredentialMissing, "the request carries no verified caller"))
}

fn open<T>(request: Request<T>) -> Result<(Call, T), Status> {
    let (_, mut extensions, body) = request.into_parts();
    Ok((extensions.remove::<Call>().ok_or_else(without_host)?, body))
}

/// Serves a unary RPC: `work` gets the call and the message, and its fault becomes a status.
///
/// # Errors
/// The status of the fault.
pub async fn unary<Req, Resp, Work, Done>(request: Request<Req>, work: Work) -> Result<Response<Resp>, Status>
where
    Work: FnOnce(Call, Req) -> Done,
    Done: Future<Output = Result<Resp, Fault>>,
{
    let (call, body) = open(request)?;
    work(call, body).await.map(Response::new).map_err(status::status)
}

/// The stream type of a generated server: `type WatchStream = host::Replies<WatchResponse>;`.
pub type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Serves a server-streaming RPC. The stream's first fault ends it.
///
/// # Errors
/// The status of the fault with which `work` refuses.
pub async fn server_stream<Req, Resp, Work, Done, Items>(
    request: Request<Req>,
    work: Work,
) -> Result<Response<Replies<Resp>>, Status>
where
    Work: FnOnce(Call, Req) -> Done,
    Done: Future<Output = Result<Items, Fault>>,
    Items: Stream<Item = Result<Resp, Fault>> + Send + 'static,
    Resp: Send + 'static,
{
    let (call, body) = open(request)?;
    let items = work(call.clone(), body).await.map_err(status::status)?;
    Ok(Response::new(replies(call, items)))
}

/// The messages of a client stream; one that cannot be read is a fault of the caller's.
pub type Requests<T> = Pin<Box<dyn Stream<Item = Result<T, Fault>> + Send + 'static>>;

/// Serves a bidirectional RPC. The stream's first fault ends it.
///
/// # Errors
/// The status of the fault with which `work` refuses.
pub async fn bidirectional<Req, Resp, Work, Done, Items>(
    request: Request<Streaming<Req>>,
    work: Work,
) -> Result<Response<Replies<Resp>>, Status>
where
    Req: Send + 'static,
    Work: FnOnce(Call, Requests<Req>) -> Done,
    Done: Future<Output = Result<Items, Fault>>,
    Items: Stream<Item = Result<Resp, Fault>> + Send + 'static,
    Resp: Send + 'static,
{
    let (call, body) = open(request)?;
    let items = work(call.clone(), requests(body)).await.map_err(status::status)?;
    Ok(Response::new(replies(call, items)))
}

/// Serves a client-streaming RPC.
///
/// # Errors
/// The status of the fault.
pub async fn client_stream<Req, Resp, Work, Done>(
    request: Request<Streaming<Req>>,
    work: Work,
) -> Result<Response<Resp>, Status>
where
    Req: Send + 'static,
    Work: FnOnce(Call, Requests<Req>) -> Done,
    Done: Future<Output = Result<Resp, Fault>>,
{
    let (call, body) = open(request)?;
    work(call, requests(body)).await.map(Response::new).map_err(status::status)
}

fn requests<Req: Send + 'static>(body: Streaming<Req>) -> Requests<Req> {
    Box::pin(body.map(|message| message.map_err(status::unreadable)))
}

fn replies<Resp, Items>(call: Call, items: Items) -> Replies<Resp>
where
    Items: Stream<Item = Result<Resp, Fault>> + Send + 'static,
    Resp: Send + 'static,
{
    let mut ended = false;
    let items = items.map(move |item| item.map_err(|fault| call.fail(fault)));
    Box::pin(items.take_while(move |item| {
        let go_on = !ended;
        ended |= item.is_err();
        futures::future::ready(go_on)
    }))
}
