//! Long-running operations (AIP-151): work that outlives the call that asked for it, and the process that began it.
//!
//! An operation is a row. Whoever holds its lease works on it, and writes down from time to time how far it has come;
//! when a replica dies, another one goes on from there. The lease is a courtesy: what keeps a replica that lost it from
//! writing is that every write compares the owner first, in the transaction of its effects. So the effects that a
//! piece of work writes with its checkpoint, and its result, are there once.
//!
//! | file | what is in it |
//! |---|---|
//! | `rows` | the table `operation` |
//! | `work` | [`Work`]: a kind of work; [`Run`]: one operation in its hands |
//! | `runner` | takes up what is open, keeps its lease, writes how it ended |
//! | `server` | [`Server`]: `google.longrunning.Operations` |
//! | `query` | what its requests say |

mod query;
mod rows;
mod runner;
mod server;
mod work;

use std::{fmt, sync::Arc, time::Duration};

use prost::Message;
use rapport_proto::{
    google::{longrunning as wire, rpc},
    r#type::v1::OperationProgress,
};
use serde::{Deserialize, Serialize};
use terms::{Access, Caller, Fault, Id, Ids, Once, Reason, Service, Tenant, Timestamp, id};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::store::{Store, Tx};

pub(crate) use rows::prune;
pub use runner::RunOptions;
pub use server::Server;
pub use work::{Run, Work};

/// The id of an operation, `op_…`.
pub type OperationId = Id<id::Operation>;

/// How far a piece of work has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// What it is doing now, in a few words, without personal data.
    pub stage: String,
    /// Units of work finished.
    pub done: u64,
    /// Units of work in all; 0 while not known.
    pub total: u64,
}

impl Progress {
    /// `done` of `total` in `stage`.
    pub fn of(stage: impl Into<String>, done: u64, total: u64) -> Self {
        Self { stage: stage.into(), done, total }
    }
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With the message that its RPC promises.
    Response(prost_types::Any),
    /// With an error; `CANCELLED` if it was cancelled.
    Error(rpc::Status),
}

/// One operation as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Whose operation: with the id its name.
    pub service: Service,
    /// Which.
    pub id: OperationId,
    /// The RPC that started it.
    pub kind: String,
    /// What it takes to start, cancel or delete it.
    pub access: Access,
    /// How far it has come.
    pub progress: Progress,
    /// What a unit of its progress is.
    pub unit: String,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last moved.
    pub updated: Timestamp,
    /// Whether cancellation was asked for.
    pub cancelling: bool,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
}

impl Operation {
    /// `operations/<service>/<id>`.
    pub fn name(&self) -> String {
        format!("operations/{}/{}", self.service, self.id)
    }

    /// As it goes onto the wire, with [`OperationProgress`] as metadata.
    pub fn message(&self) -> wire::Operation {
        let progress = OperationProgress {
            kind: self.kind.clone(),
            stage: self.progress.stage.clone(),
            done_units: i64::try_from(self.progress.done).unwrap_or(i64::MAX),
            total_units: i64::try_from(self.progress.total).unwrap_or(i64::MAX),
            unit: self.unit.clone(),
            start_time: Some(timestamp(self.created)),
            update_time: Some(timestamp(self.updated)),
            cancel_requested: self.cancelling,
        };
        wire::Operation {
            name: self.name(),
            metadata: Some(any("rapport.type.v1.OperationProgress", progress.encode_to_vec())),
            done: self.outcome.is_some(),
            result: self.outcome.clone().map(|outcome| match outcome {
                Outcome::Response(response) => wire::operation::Result::Response(response),
                Outcome::Error(status) => wire::operation::Result::Error(status),
            }),
        }
    }
}

fn any(name: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value }
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.parts();
    prost_types::Timestamp { seconds, nanos }
}

/// The answer to [`Operations::start`] as it is recorded under a request id.
#[derive(Serialize, Deserialize)]
struct Started {
    id: OperationId,
    at: Timestamp,
}

/// The operations of one service. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    store: Store,
    ids: Arc<Ids>,
    status: fn(Fault) -> Status,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").field("service", &self.store.service()).finish_non_exhaustive()
    }
}

impl Operations {
    /// The operations in `store`. `status` makes of a fault what callers are told.
    pub fn new(store: Store, ids: Arc<Ids>, status: fn(Fault) -> Status) -> Self {
        Self { store, ids, status }
    }

    /// Whose they are.
    pub fn service(&self) -> Service {
        self.store.service()
    }

    /// Accepts an operation of `work`'s kind; some replica takes it up at once. The same request id gets the same
    /// operation again, as it then stands. `request` is what the work needs to know; it is sealed at rest.
    ///
    /// # Errors
    /// As [`Store::write_once`].
    pub async fn start(
        &self,
        caller: &Caller,
        once: Option<Once>,
        work: &dyn Work,
        request: Vec<u8>,
    ) -> Result<Operation, Fault> {
        let new = New::of(work, caller, request);
        let (ids, draft) = (self.ids.clone(), new.clone());
        let written = self.store.write_once(once, move |tx| {
            let (ids, new) = (ids.clone(), draft.clone());
            Box::pin(async move { start_in(tx, &ids, new).await })
        });
        let written = written.await?;
        self.store.shared().operations.notify_waiters();
        let Started { id, at } = written.value;
        match if written.replayed { self.get(&caller.tenant, id).await? } else { None } {
            Some(operation) => Ok(operation),
            None => Ok(new.accepted(self.service(), id, at)),
        }
    }

    /// Accepts an operation within a transaction: it exists if and when that commits.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn start_in(
        &self,
        tx: &Tx,
        caller: &Caller,
        work: &dyn Work,
        request: Vec<u8>,
    ) -> Result<Operation, Fault> {
        let new = New::of(work, caller, request);
        let Started { id, at } = start_in(tx, &self.ids, new.clone()).await?;
        Ok(new.accepted(self.service(), id, at))
    }

    /// The tenant's operation; `None` if there is none, or it was deleted.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn get(&self, tenant: &Tenant, id: OperationId) -> Result<Option<Operation>, Fault> {
        rows::get(&self.store, tenant, id).await
    }

    /// The same once it has ended, or `until` has come.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn wait(&self, tenant: &Tenant, id: OperationId, until: Instant) -> Result<Option<Operation>, Fault> {
        loop {
            let moved = self.store.shared().operations.notified();
            tokio::pin!(moved);
            // From here on it hears; what happened before is in the row.
            moved.as_mut().enable();
            let operation = self.get(tenant, id).await?;
            let open = operation.as_ref().is_some_and(|operation| operation.outcome.is_none());
            if !open || Instant::now() >= until {
                return Ok(operation);
            }
            // What another replica does is not heard: look again.
            let _ = timeout_at(until.min(Instant::now() + LOOK), moved).await;
        }
    }

    /// Asks an operation to stop. One that nobody works on ends at once, any other at its next safe point; one that has
    /// ended stays as it is. Says whether there is one.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn cancel(&self, tenant: &Tenant, id: OperationId) -> Result<bool, Fault> {
        let (tenant, status) = (tenant.clone(), self.told(cancelled()));
        let written = self.store.write(move |tx| {
            let (tenant, status) = (tenant.clone(), status.clone());
            Box::pin(async move { rows::cancel(tx, &tenant, id, &status).await })
        });
        let known = written.await?.value;
        self.store.shared().operations.notify_waiters();
        Ok(known)
    }

    /// Forgets an operation. One that has not ended goes on, and nobody sees it any more. Says whether there was one.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn delete(&self, tenant: &Tenant, id: OperationId) -> Result<bool, Fault> {
        let tenant = tenant.clone();
        let written = self.store.write(move |tx| {
            let tenant = tenant.clone();
            Box::pin(async move { rows::delete(tx, &tenant, id).await })
        });
        Ok(written.await?.value)
    }

    /// Takes up open operations of these kinds until `shutdown`; then gives back what it holds. Any number of replicas
    /// may do so at once.
    pub fn run(&self, works: Vec<Arc<dyn Work>>, options: RunOptions, shutdown: CancellationToken) -> JoinHandle<()> {
        runner::start(self.clone(), works, options, shutdown)
    }

    /// What callers are told of a fault, as a message.
    fn told(&self, fault: Fault) -> rpc::Status {
        let status = (self.status)(fault);
        let plain =
            || rpc::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() };
        if status.details().is_empty() {
            return plain();
        }
        rpc::Status::decode(status.details()).unwrap_or_else(|_| plain())
    }
}

/// How often somebody who waits looks at what another replica does.
const LOOK: Duration = Duration::from_millis(250);

fn cancelled() -> Fault {
    Fault::new(Reason::Cancelled, "the operation was cancelled")
}

/// An operation that is asked for.
#[derive(Clone)]
struct New {
    kind: &'static str,
    access: Access,
    unit: &'static str,
    tenant: Tenant,
    actor: Arc<str>,
    request: Arc<[u8]>,
}

impl New {
    fn of(work: &dyn Work, caller: &Caller, request: Vec<u8>) -> Self {
        Self {
            kind: work.kind(),
            access: work.access(),
            unit: work.unit(),
            tenant: caller.tenant.clone(),
            actor: caller.subject.clone(),
            request: request.into(),
        }
    }

    /// As it stands before anybody took it up.
    fn accepted(self, service: Service, id: OperationId, at: Timestamp) -> Operation {
        Operation {
            service,
            id,
            kind: self.kind.to_owned(),
            access: self.access,
            progress: Progress::default(),
            unit: self.unit.to_owned(),
            created: at,
            updated: at,
            cancelling: false,
            outcome: None,
        }
    }
}

async fn start_in(tx: &Tx, ids: &Ids, new: New) -> Result<Started, Fault> {
    let id = ids.next();
    rows::insert(tx, id, &new).await?;
    Ok(Started { id, at: tx.now() })
}
