//! The way of a request from the wire to its handler, in one pass: trace and metrics, panics, load, deadline,
//! authentication, scope. Everything that can be known before a request comes is put together per RPC at the start.

mod body;
pub(crate) mod deadline;
mod limits;
mod measure;
mod request_id;
mod table;
mod web;

use std::{collections::HashMap, error::Error as _, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode, header};
use terms::{Caller, Fault, FaultKind, Reason};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};
use tracing::Instrument as _;

use crate::{
    Call,
    auth::{Authenticator, Credential, TENANT_HEADER, names_no_tenant},
    call::{log, scope_missing},
    config::Server,
    status,
    telemetry::{Instruments, Recorded},
    trace::TraceParent,
};
use body::StreamBody;
pub(crate) use limits::Gauge;
use limits::{Place, Rate};
use measure::Measure;
pub(crate) use request_id::REQUEST_ID;
use request_id::RequestIds;
pub(crate) use table::{Method, Table};
pub use table::{Rule, Shared};
use web::Web;

/// Stands between the wire and the handlers.
pub(crate) struct Edge {
    methods: HashMap<&'static str, Arc<Method>>,
    unknown: Instruments,
    auth: Authenticator,
    requests: Arc<Gauge>,
    streams: Arc<Gauge>,
    rate: Option<Rate>,
    default_deadline: Duration,
    max_deadline: Duration,
    ids: RequestIds,
    web: Option<Web>,
    /// Cancelled when open streams are to end.
    draining: CancellationToken,
}

impl Edge {
    pub(crate) fn new(
        settings: &Server,
        auth: Authenticator,
        table: Table,
        ids: &terms::Ids,
        draining: CancellationToken,
    ) -> Self {
        Self {
            methods: table.methods,
            unknown: Instruments::server("_OTHER"),
            auth,
            requests: Gauge::new("requests", settings.max_in_flight),
            streams: Gauge::new("streams", settings.max_streams),
            rate: Rate::new(settings.tenant_rate, settings.tenant_burst),
            default_deadline: settings.default_deadline.get(),
            max_deadline: settings.max_deadline.get(),
            ids: RequestIds::new(ids),
            web: settings.grpc_web.then(|| Web::new(&settings.web_origins)),
            draining,
        }
    }

    /// What is under way: requests, and streams.
    pub(crate) fn load(&self) -> (Arc<Gauge>, Arc<Gauge>) {
        (self.requests.clone(), self.streams.clone())
    }

    /// Serves one HTTP request; `client` is the holder of the connection's certificate.
    pub(crate) async fn serve(
        self: Arc<Self>,
        request: Request<Body>,
        client: Option<Arc<Credential>>,
    ) -> Response<Body> {
        match &self.web {
            Some(web) if Web::concerns(request.method(), request.headers()) => {
                web.serve(self.clone(), request, client).await
            }
            _ => self.grpc(request, client.as_deref()).await,
        }
    }

    /// Serves one gRPC request.
    async fn grpc(&self, request: Request<Body>, client: Option<&Credential>) -> Response<Body> {
        let started = Instant::now();
        let name = request.uri().path().get(1..).unwrap_or_default();
        let Some(method) = self.methods.get(name) else {
            return self.no_such_method(&request, started);
        };
        let headers = request.headers();
        if !speaks_grpc(headers) {
            return web::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        let (request_id, id_header) = self.ids.of(headers);
        let recorded = Recorded::server(method.rpc.name, TraceParent::of(headers), &request_id);
        let trace = recorded.trace;
        let measure = Measure::new(method.clone(), started, recorded);
        let mut response = match self.admit(method, headers, client, started) {
            Ok((caller, deadline, place)) => {
                let call = Call { caller, deadline, request_id, rpc: method.rpc.name, trace };
                self.run(method, request, call, place, measure).await
            }
            Err(fault) => refuse(method, &request_id, trace, fault, measure),
        };
        response.headers_mut().insert(REQUEST_ID, id_header);
        response
    }

    /// Everything that is decided before the message is read.
    fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        client: Option<&Credential>,
        now: Instant,
    ) -> Result<(Caller, Option<Instant>, Place), Fault> {
        let place = if method.long() { self.streams.enter()? } else { self.requests.enter()? };
        let caller = match &method.rule {
            Rule::Open => Caller::clone(&method.anybody),
            _ => self.auth.caller(headers, client)?,
        };
        if let Some(rate) = &self.rate
            && !matches!(method.rule, Rule::Open)
        {
            rate.check(&caller.tenant, now)?;
        }
        if names_no_tenant(&caller) && method.rule != Rule::Authenticated {
            let message = format!("{} is of one tenant: name it in the header `{TENANT_HEADER}`", method.rpc.name);
            return Err(Fault::new(Reason::TenantMismatch, message).with("tenant", "*"));
        }
        match &method.rule {
            Rule::Open | Rule::Authenticated => {}
            Rule::Scope(scope) if caller.may(&scope.service, scope.access) => {}
            Rule::Scope(scope) => return Err(scope_missing(scope)),
            Rule::Refused => {
                let message = format!("{} is in no access table, so nobody may call it", method.rpc.name);
                return Err(Fault::new(Reason::ScopeMissing, message));
            }
        }
        if method.unserved {
            return Err(status::unserved(method.rpc.name));
        }
        let said = deadline::timeout(headers);
        let wait =
            if method.long() { said } else { Some(said.unwrap_or(self.default_deadline).min(self.max_deadline)) };
        Ok((caller, wait.map(|wait| now + wait), place))
    }

    async fn run(
        &self,
        method: &Arc<Method>,
        mut request: Request<Body>,
        call: Call,
        place: Place,
        mut measure: Measure,
    ) -> Response<Body> {
        let deadline = call.deadline;
        if method.rule == Rule::Authenticated {
            // Servers that no service owns look at the caller alone.
            request.extensions_mut().insert(call.caller.clone());
        }
        request.extensions_mut().insert(call.clone());
        let handler = &method.handler;
        let work = AssertUnwindSafe(async move { handler.handle(request).await }).catch_unwind();
        let work = work.instrument(measure.span().clone());
        let done = match deadline {
            Some(at) => timeout_at(at, work).await.map_err(|_| late()),
            None => Ok(work.await),
        };
        let mut response = match done {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_panic)) => return refuse(method, &call.request_id, call.trace, panicked(), measure),
            Err(fault) => return refuse(method, &call.request_id, call.trace, fault, measure),
        };
        match response.extensions_mut().remove::<Status>() {
            Some(status) => settle(method, response, status, &call, measure),
            None if method.rpc.server_streaming => {
                let (head, body) = response.into_parts();
                let body = StreamBody::watch(body, call, measure, self.draining.clone(), place);
                Response::from_parts(head, body)
            }
            None => {
                measure.end(code(&response));
                response
            }
        }
    }

    #[cold]
    fn no_such_method(&self, request: &Request<Body>, started: Instant) -> Response<Body> {
        if !speaks_grpc(request.headers()) {
            return web::plain(StatusCode::NOT_FOUND);
        }
        self.unknown.record(Code::Unimplemented, started.elapsed());
        Status::unimplemented("this server has no such RPC; ask its reflection for those that it has").into_http()
    }
}

/// Whether a request says that it is one of gRPC.
fn speaks_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// The code in the head of a reply; none there means that it comes after the message, and is `OK`.
fn code(response: &Response<Body>) -> Code {
    response.headers().get("grpc-status").map_or(Code::Ok, |value| Code::from_bytes(value.as_bytes()))
}

/// The reply of a fault of the host's own.
#[cold]
fn refuse(
    method: &Method,
    request_id: &str,
    trace: Option<TraceParent>,
    fault: Fault,
    mut measure: Measure,
) -> Response<Body> {
    log(method.rpc.name, request_id, trace.as_ref(), &fault);
    let status = status::told(&fault, Some(request_id));
    measure.end(status.code());
    status.into_http()
}

/// The reply of a handler's fault. It is logged here, once. What the library says of unreadable messages becomes a
/// fault of ours.
#[cold]
fn settle(
    method: &Method,
    response: Response<Body>,
    status: Status,
    call: &Call,
    mut measure: Measure,
) -> Response<Body> {
    if let Some(fault) = status.source().and_then(|source| source.downcast_ref::<Fault>()) {
        log(method.rpc.name, &call.request_id, call.trace.as_ref(), fault);
        if fault.kind() == FaultKind::Internal {
            measure.end(status.code());
            return status::told(fault, Some(&call.request_id)).into_http();
        }
    } else if status.details().is_empty() && status::is_unreadable(&status) {
        return refuse(method, &call.request_id, call.trace, status::unreadable(status), measure);
    } else if matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss) {
        tracing::error!(rpc = method.rpc.name, request_id = &*call.request_id, code = ?status.code(), "a handler failed");
    }
    measure.end(status.code());
    response
}

#[cold]
pub(crate) fn late() -> Fault {
    Fault::new(
        Reason::DeadlineExceeded,
        "the deadline passed before the answer; a write may have happened: retry it with the same `request_id`",
    )
}

#[cold]
pub(crate) fn panicked() -> Fault {
    Fault::internal("a handler panicked; the panic's own line in the log names the place")
}
