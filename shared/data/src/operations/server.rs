//! `google.longrunning.Operations`: the operations of the services that live here.
//!
//! | RPC | scope |
//! |---|---|
//! | `GetOperation`, `WaitOperation` | `<service>.read` |
//! | `ListOperations` | `<service>.read`; without a service, those that the caller may read |
//! | `CancelOperation`, `DeleteOperation` | what it takes to start such an operation |

use std::{sync::Arc, time::Duration};

use prost_types::Duration as WireDuration;
use rapport_proto::google::longrunning as wire;
use terms::{Access, Caller, Fault, Id, Page, PageRequest, Reason, Scope, Service, Tenant};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};
use uuid::Uuid;

use super::{
    Operation, OperationId, Operations,
    query::{self, Filter},
    rows,
};

/// Serves operations by gRPC. A caller sees those of its own tenant.
///
/// Expects a [`Caller`] in the extensions of each request, and checks scopes itself: which one it is stands in the
/// request.
#[derive(Clone)]
pub struct Server {
    hosted: Arc<[Operations]>,
    status: fn(Fault) -> Status,
    deadline: fn(&Extensions) -> Option<Instant>,
    shutdown: CancellationToken,
}

/// How long `WaitOperation` waits at most when nobody says how long.
const WAIT: Duration = Duration::from_secs(60);
/// How long before the caller's deadline an answer is due.
const MARGIN: Duration = Duration::from_millis(100);

impl Server {
    /// Serves the operations of `hosted` services. `status` turns faults into statuses; `deadline` says until when the
    /// caller of a request waits; whoever waits is answered when `shutdown` is cancelled.
    pub fn new(
        hosted: impl IntoIterator<Item = Operations>,
        status: fn(Fault) -> Status,
        deadline: fn(&Extensions) -> Option<Instant>,
        shutdown: CancellationToken,
    ) -> Self {
        let mut hosted: Vec<Operations> = hosted.into_iter().collect();
        hosted.sort_by_key(Operations::service);
        Self { hosted: hosted.into(), status, deadline, shutdown }
    }

    /// The operations of a service that lives here.
    fn of(&self, service: Service) -> Result<&Operations, Fault> {
        self.hosted.iter().find(|operations| operations.service() == service).ok_or_else(|| {
            let here: Vec<&str> = self.hosted.iter().map(|operations| operations.service().name()).collect();
            let message = format!("the service `{service}` is not served here; there is {}", here.join(", "));
            Fault::new(Reason::ServiceUnknown, message).with("service", service.name())
        })
    }

    async fn get(&self, caller: &Caller, name: &str, until: Option<Instant>) -> Result<Operation, Fault> {
        let (service, id) = query::name("name", name)?;
        require(caller, service, Access::Read)?;
        let operations = self.of(service)?;
        let found = match until {
            None => operations.get(&caller.tenant, id).await?,
            Some(until) => {
                tokio::select! {
                    found = operations.wait(&caller.tenant, id, until) => found?,
                    () = self.shutdown.cancelled() => operations.get(&caller.tenant, id).await?,
                }
            }
        };
        found.ok_or_else(|| query::unknown(name))
    }

    /// The operation of that name, if the caller may do with it what starting it takes.
    async fn own(&self, caller: &Caller, name: &str) -> Result<(&Operations, OperationId), Fault> {
        let operation = self.get(caller, name, None).await?;
        require(caller, operation.service, operation.access)?;
        Ok((self.of(operation.service)?, operation.id))
    }

    async fn list(
        &self,
        caller: &Caller,
        request: wire::ListOperationsRequest,
    ) -> Result<wire::ListOperationsResponse, Fault> {
        let mut wrong = terms::Violations::new();
        let parent = wrong.take(query::parent(&request.name));
        let filter = wrong.take(Filter::parse(&request.filter));
        let scope = format!("operations\n{}\n{}\n{}", caller.tenant, request.name, request.filter);
        let page = wrong.take(PageRequest::parse(request.page_size, &request.page_token, &scope));
        wrong.done()?;
        let (Some(parent), Some(filter), Some(page)) = (parent, filter, page) else {
            return Err(Fault::internal("a checked request lacks a part"));
        };
        let wanted: Vec<&Operations> = match parent {
            Some(service) => {
                require(caller, service, Access::Read)?;
                vec![self.of(service)?]
            }
            None => self.hosted.iter().filter(|o| caller.may(o.service().name(), Access::Read)).collect(),
        };
        if let (true, Some(first)) = (wanted.is_empty(), self.hosted.first()) {
            return Err(scope_missing(first.service(), Access::Read));
        }
        let (found, unreachable) =
            gather(&wanted, &caller.tenant, &filter, &page, request.return_partial_success).await?;
        let page = Page::cut(found, page.size, key);
        Ok(wire::ListOperationsResponse {
            next_page_token: page.next_token(&scope),
            operations: page.items.iter().map(Operation::message).collect(),
            unreachable,
        })
    }
}

/// The operations of a page and one more, service by service, and the services whose store did not answer.
async fn gather(
    wanted: &[&Operations],
    tenant: &Tenant,
    filter: &Filter,
    page: &PageRequest,
    partial: bool,
) -> Result<(Vec<Operation>, Vec<String>), Fault> {
    let after = after(&page.after)?;
    let (mut found, mut unreachable) = (Vec::new(), Vec::new());
    for operations in wanted {
        let service = operations.service();
        let before = match after {
            Some((last, _)) if service < last => continue,
            Some((last, id)) if service == last => Some(id),
            _ => None,
        };
        let room = (page.size + 1).saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
        if room == 0 {
            break;
        }
        match rows::list(&operations.store, tenant, filter, before, room).await {
            Ok(more) => found.extend(more),
            Err(_) if partial => unreachable.push(format!("operations/{service}")),
            Err(fault) => return Err(fault),
        }
    }
    Ok((found, unreachable))
}

/// What a page token says of the last operation that was sent: its service and id.
fn key(operation: &Operation) -> Vec<u8> {
    let mut key = operation.id.as_bytes().to_vec();
    key.extend_from_slice(operation.service.name().as_bytes());
    key
}

fn after(key: &[u8]) -> Result<Option<(Service, OperationId)>, Fault> {
    if key.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (id, service) = key.split_at_checked(16)?;
        let service = std::str::from_utf8(service).ok()?.parse().ok()?;
        Some((service, Id::from_uuid(Uuid::from_slice(id).ok()?)))
    };
    let foreign = "is not a token that this list gave out for the same request; leave it empty to start again";
    read().map(Some).ok_or_else(|| Fault::invalid("page_token", Reason::PageTokenInvalid, foreign))
}

fn require(caller: &Caller, service: Service, access: Access) -> Result<(), Fault> {
    if caller.may(service.name(), access) { Ok(()) } else { Err(scope_missing(service, access)) }
}

fn scope_missing(service: Service, access: Access) -> Fault {
    let scope = Scope { service: service.name().to_owned(), access }.to_string();
    Fault::new(Reason::ScopeMissing, format!("the credential lacks the scope `{scope}`")).with("scope", scope)
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Fault> {
    request.extensions().get::<Caller>().cloned().ok_or_else(|| {
        Fault::new(Reason::CredentialMissing, "this call needs a credential; send one as `authorization: Bearer`")
    })
}

/// Until when to wait: as asked, and never past the caller's deadline.
fn until(timeout: Option<WireDuration>, deadline: Option<Instant>) -> Result<Instant, Fault> {
    let now = Instant::now();
    let asked = match timeout {
        None => WAIT,
        Some(timeout) => Duration::try_from(timeout).map_err(|_| {
            Fault::invalid("timeout", Reason::InvalidFields, "is negative or no duration; give 0s or more")
        })?,
    };
    let asked = now.checked_add(asked).unwrap_or(now + WAIT);
    Ok(deadline.map_or(asked, |deadline| asked.min(deadline.checked_sub(MARGIN).unwrap_or(now))))
}

#[tonic::async_trait]
impl wire::operations_server::Operations for Server {
    async fn list_operations(
        &self,
        request: Request<wire::ListOperationsRequest>,
    ) -> Result<Response<wire::ListOperationsResponse>, Status> {
        let listed = async { self.list(&caller(&request)?, request.into_inner()).await };
        listed.await.map(Response::new).map_err(self.status)
    }

    async fn get_operation(
        &self,
        request: Request<wire::GetOperationRequest>,
    ) -> Result<Response<wire::Operation>, Status> {
        let got = async { self.get(&caller(&request)?, &request.get_ref().name, None).await };
        got.await.map(|operation| Response::new(operation.message())).map_err(self.status)
    }

    async fn delete_operation(&self, request: Request<wire::DeleteOperationRequest>) -> Result<Response<()>, Status> {
        let deleted = async {
            let (caller, name) = (caller(&request)?, &request.get_ref().name);
            let (operations, id) = self.own(&caller, name).await?;
            let known = operations.delete(&caller.tenant, id).await?;
            if known { Ok(()) } else { Err(query::unknown(name)) }
        };
        deleted.await.map(Response::new).map_err(self.status)
    }

    async fn cancel_operation(&self, request: Request<wire::CancelOperationRequest>) -> Result<Response<()>, Status> {
        let cancelled = async {
            let (caller, name) = (caller(&request)?, &request.get_ref().name);
            let (operations, id) = self.own(&caller, name).await?;
            let known = operations.cancel(&caller.tenant, id).await?;
            if known { Ok(()) } else { Err(query::unknown(name)) }
        };
        cancelled.await.map(Response::new).map_err(self.status)
    }

    async fn wait_operation(
        &self,
        request: Request<wire::WaitOperationRequest>,
    ) -> Result<Response<wire::Operation>, Status> {
        let waited = async {
            let caller = caller(&request)?;
            let deadline = (self.deadline)(request.extensions());
            let body = request.get_ref();
            // A wrong name is told before a wrong timeout; both are told at once where both are wrong.
            let mut wrong = terms::Violations::new();
            if let Err(fault) = query::name("name", &body.name)
                && fault.reason() == Reason::InvalidFields
            {
                wrong.absorb(fault);
            }
            let until = wrong.take(until(body.timeout, deadline));
            wrong.done()?;
            self.get(&caller, &body.name, until).await
        };
        waited.await.map(|operation| Response::new(operation.message())).map_err(self.status)
    }
}
