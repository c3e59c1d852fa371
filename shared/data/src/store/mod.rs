//! One service's schema: reads, and transactions that write.
//!
//! | file | what is in it |
//! |---|---|
//! | `open` | pools, and what every connection is told |
//! | `tx` | [`Tx`]: one transaction |
//! | `job` | a piece of work, with its request id and whoever waits for it |
//! | `each` | several calls that share a transaction |
//! | `postgres` | one transaction per piece of work, retried when it meets another |
//! | `sqlite` | one writer; pieces of work that wait together share one commit |
//! | `checkpoint` | SQLite: the log is copied into the database beside the writer |
//! | `once` | the recorded answers |
//! | `migrate` | migrations |
//! | `progress` | what was consumed of other services' feeds |
//! | `upkeep` | retention |

mod checkpoint;
mod each;
mod job;
mod migrate;
mod once;
mod open;
mod postgres;
mod progress;
mod sqlite;
mod tx;
mod upkeep;

use std::{fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, IsolationLevel, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigrationTrait;
use serde::{Serialize, de::DeserializeOwned};
use terms::{Clock, Fault, Once, Position, Reason, Revision, Service, Tenant, Written};
use tokio::time::timeout;
use tracing::Instrument;

use crate::{
    config::{Dialect, StoreConfig, StoreOptions},
    error::OrFault,
    feed::{Feed, outbox, pulse::Pulse},
    follow::Following,
    sealer::Sealer,
};

pub use each::{Each, Part, Parts};
pub use once::once;
pub(crate) use progress::Progress;
pub use tx::Tx;

use each::Calls;
use job::{Call, Job, Recorder};

/// One service's schema on one database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    writer: Writer,
}

/// What the store's tasks share.
pub(crate) struct Shared {
    pub(crate) service: Service,
    pub(crate) options: StoreOptions,
    pub(crate) pulse: Pulse,
    pub(crate) progress: Progress,
    /// Told whenever this process accepts, cancels or ends an operation.
    pub(crate) operations: tokio::sync::Notify,
    config: StoreConfig,
    readers: DatabaseConnection,
    suspicion: postgres::Suspicion,
    migrations: Arc<[Box<dyn MigrationTrait>]>,
    /// Held for the directory's sake.
    _directory: Option<tempfile::TempDir>,
    sqlite_file: Option<std::path::PathBuf>,
}

#[derive(Clone)]
enum Writer {
    Sqlite(sqlite::Queue),
    Postgres(postgres::Writers),
}

impl Shared {
    pub(crate) fn reader(&self) -> &DatabaseConnection {
        &self.readers
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.config {
            StoreConfig::Postgres { .. } => Dialect::Postgres,
            _ => Dialect::Sqlite,
        }
    }

    /// After a commit: wakes whoever follows, and forgets what an erasure purged.
    fn after_commit(&self, effects: &tx::Effects) {
        self.pulse.forget(&effects.erased);
        if !effects.entries.is_empty() {
            self.options.hints.wake(self.service);
        }
    }

    /// Gives up on a query that a dead connection would never answer.
    pub(crate) async fn bounded<T>(&self, query: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let limit = self.options.acquire_timeout + self.options.statement_timeout;
        match tokio::time::timeout(limit, query).await {
            Ok(outcome) => outcome,
            Err(_) => Err(unanswered()),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("service", &self.service).field("config", &self.config).finish_non_exhaustive()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl Store {
    /// Opens `service`'s schema with the service's own `migrations`. Runs none: see [`Store::migrate`].
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a configuration that cannot work, [`Reason::StoreUnavailable`] when the database
    /// does not answer.
    pub async fn open(
        config: &StoreConfig,
        service: Service,
        migrations: Vec<Box<dyn MigrationTrait>>,
        options: StoreOptions,
    ) -> Result<Self, Fault> {
        open::open(config, service, migrations, options).await
    }

    /// Brings the schema up to date: the tables of this crate first, then the service's own. Several processes may
    /// do so at once.
    ///
    /// # Errors
    /// What the database says; the migrations before the one that failed stay applied.
    pub async fn migrate(&self) -> Result<(), Fault> {
        migrate::migrate(&self.shared).await
    }

    /// The migrations that [`Store::migrate`] would apply.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn pending_migrations(&self) -> Result<Vec<String>, Fault> {
        migrate::pending(&self.shared).await
    }

    /// Whose schema it is.
    pub fn service(&self) -> Service {
        self.shared.service
    }

    /// Which SQL it speaks.
    pub fn dialect(&self) -> Dialect {
        self.shared.dialect()
    }

    /// For queries outside of a transaction. What was acknowledged before is visible. Begin no transaction on it: use
    /// [`Store::snapshot`] or [`Store::write`].
    pub fn reader(&self) -> &DatabaseConnection {
        self.shared.reader()
    }

    /// Seals and opens personal data.
    pub fn sealer(&self) -> &Sealer {
        &self.shared.options.sealer
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.options.clock
    }

    /// Runs several queries on one unchanging state, in a task of its own.
    ///
    /// # Errors
    /// What `work` or the database says.
    pub async fn snapshot<T, F>(&self, work: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t DatabaseTransaction) -> BoxFuture<'t, Result<T, Fault>> + Send + 'static,
    {
        let shared = self.shared.clone();
        let task = async move {
            let options = match shared.dialect() {
                Dialect::Postgres => TransactionOptions {
                    isolation_level: Some(IsolationLevel::RepeatableRead),
                    access_mode: Some(AccessMode::ReadOnly),
                    ..TransactionOptions::default()
                },
                Dialect::Sqlite => TransactionOptions::default(),
            };
            let limit = shared.options.statement_timeout;
            let Ok(begun) = timeout(limit, shared.reader().begin_with_options(options)).await else {
                shared.suspicion.raise();
                return Err(unanswered());
            };
            let transaction = begun.or_fault()?;
            let outcome = work(&transaction).await;
            timeout(limit, transaction.rollback()).await.map_err(|_| unanswered())?.or_fault()?;
            outcome
        };
        joined(tokio::spawn(task.in_current_span())).await
    }

    /// Runs `work` in one transaction. What it does is all there when this returns, on disk, or not at all.
    ///
    /// The transaction runs in a task of its own: a caller that goes away stops it before it begins or not at all. On
    /// SQLite, pieces of work that wait together share one commit, each in its own savepoint. When two transactions
    /// meet, `work` runs again, so it must have no effect outside of the transaction.
    ///
    /// # Errors
    /// What `work` says, after which nothing of it is there; [`Reason::WriteConflict`] when it met others too often;
    /// [`Reason::StoreUnavailable`] when the database does not answer: it is then unknown whether the write is there.
    pub async fn write<T, F>(&self, work: F) -> Result<Written<T>, Fault>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
    {
        self.submit(work, None, None).await
    }

    /// The same under a request id, which takes effect once: the first call's answer and revision are recorded with
    /// its effects; the same id again gets them back (`replayed`). Without `once` it is a plain write.
    ///
    /// # Errors
    /// As [`Store::write`]; [`Reason::RequestIdReused`] for an id that came before with another body;
    /// [`Reason::CustomerErased`] for one whose answer went with the customer.
    pub async fn write_once<T, F>(&self, once: Option<Once>, work: F) -> Result<Written<T>, Fault>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
    {
        self.submit(work, once, Some(Recorder::json())).await
    }

    /// Several calls of one tenant in one transaction, each under its own request id, of which none comes twice. `work`
    /// gets the places of those that were not answered before, and gives an answer or a failure for each; what failed
    /// is not recorded. A call's revision covers what the transaction did, but for what only other calls speak of.
    ///
    /// # Errors
    /// As [`Store::write`], and what `work` says as a whole: then nothing was written, whichever call it was.
    pub async fn write_each<T, A, F>(
        &self,
        tenant: &Tenant,
        onces: Vec<Option<Once>>,
        work: F,
    ) -> Result<Each<T, A>, Fault>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        A: Send + 'static,
        F: for<'t> Fn(&'t Tx, Vec<usize>) -> BoxFuture<'t, Result<Parts<T, A>, Fault>> + Send + Sync + 'static,
    {
        let (calls, reply) = Calls::new(tenant.clone(), onces, work, Recorder::json());
        self.put(Box::new(calls)).await?;
        reply.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Adds to the revision of an answer that is recorded under `request_id` what its call brought about after its
    /// transaction: the same id again gets back all of it. Gives the whole.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn add_to_recorded(&self, request: Once, more: Revision) -> Result<Revision, Fault> {
        let written = self.write(move |tx| {
            let (request, more) = (request.clone(), more.clone());
            Box::pin(async move { once::add(tx, &request, &more).await })
        });
        Ok(written.await?.value)
    }

    async fn submit<T, F>(
        &self,
        work: F,
        once: Option<Once>,
        recorder: Option<Recorder<T>>,
    ) -> Result<Written<T>, Fault>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
    {
        let (call, reply) = Call::new(work, once, recorder);
        self.put(Box::new(call)).await?;
        reply.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn put(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        match &self.writer {
            Writer::Sqlite(queue) => queue.put(job).await,
            Writer::Postgres(writers) => {
                tokio::spawn(postgres::run(self.shared.clone(), writers.clone(), job).in_current_span());
                Ok(())
            }
        }
    }

    /// Everything that was committed at or below this is visible to reads that begin after this call.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn horizon(&self) -> Result<Position, Fault> {
        outbox::horizon(self.reader()).await
    }

    /// The newest entry of each of these partitions: a revision that reads that begin after this call show, and that
    /// followers reach. Partitions without entries are left out.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn newest(&self, partitions: &[u16]) -> Result<Revision, Fault> {
        let mut revision = Revision::new();
        if !partitions.is_empty() {
            for (partition, position) in outbox::newest(self.reader(), partitions).await? {
                revision.raise(self.shared.service, partition, position);
            }
        }
        Ok(revision)
    }

    /// Waits until this service's own horizon covers what `demanded` says of this service; gives the horizon.
    ///
    /// A write that was acknowledged is visible at once; the horizon follows when every older transaction has ended.
    ///
    /// # Errors
    /// [`Reason::RevisionNotReached`] after `deadline`.
    pub async fn settle(&self, demanded: &Revision, deadline: Duration) -> Result<Position, Fault> {
        progress::settle(self, demanded, deadline).await
    }

    /// For how long the feed's oldest hidden entry has waited for an older transaction to end: to alarm on. Always
    /// nothing on SQLite.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn held_back(&self) -> Result<Duration, Fault> {
        outbox::held_back(self.reader(), self.shared.options.clock.now()).await
    }

    /// What this service has consumed of other services' feeds: the durable cursors of all replicas; of several
    /// consumers of one feed, the last.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn progress(&self) -> Result<Revision, Fault> {
        progress::progress(&self.shared, None).await
    }

    /// The same of one partition.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn progress_of(&self, partition: u16) -> Result<Revision, Fault> {
        progress::progress(&self.shared, Some(partition)).await
    }

    /// Waits until `consumer` has consumed what `demanded` says of the services that it follows. What it says of
    /// other services is no matter.
    ///
    /// # Errors
    /// [`Reason::RevisionNotReached`] after `deadline`.
    pub async fn reach(&self, consumer: &str, demanded: &Revision, deadline: Duration) -> Result<(), Fault> {
        progress::reach(&self.shared, consumer, demanded, deadline).await
    }

    /// This service's own feed.
    pub fn feed(&self) -> Feed {
        Feed::new(self.shared.clone())
    }

    /// How the consumers of this process do: for health and metrics.
    pub fn following(&self) -> Vec<Following> {
        self.shared.progress.following()
    }

    /// Removes what is older than its retention: feed entries and recorded answers.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn prune(&self) -> Result<upkeep::Pruned, Fault> {
        upkeep::prune(self).await
    }

    /// Prunes every hour until `shutdown`.
    pub fn keep_up(&self, shutdown: tokio_util::sync::CancellationToken) -> tokio::task::JoinHandle<()> {
        tokio::spawn(upkeep::run(self.clone(), shutdown))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn ping(&self) -> Result<(), Fault> {
        self.reader().ping().await.or_fault()
    }

    /// Finishes what is being written, then closes every connection. Later calls fail.
    ///
    /// # Errors
    /// See [`fault`](crate::fault).
    pub async fn close(&self) -> Result<(), Fault> {
        match &self.writer {
            Writer::Sqlite(queue) => queue.close().await,
            Writer::Postgres(writers) => writers.close().await?,
        }
        self.shared.readers.close_by_ref().await.or_fault()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// Nothing came back where the server itself would have given up long ago.
fn unanswered() -> Fault {
    Fault::new(Reason::StoreUnavailable, "the store does not answer; retry")
}

/// The task that had the work ended without an answer: the process is going down.
fn gone() -> Fault {
    Fault::new(Reason::ShuttingDown, "the server is going away; retry elsewhere")
}

async fn joined<T>(task: tokio::task::JoinHandle<Result<T, Fault>>) -> Result<T, Fault> {
    task.await.unwrap_or_else(|err| if err.is_panic() { Err(Fault::internal("a query panicked")) } else { Err(gone()) })
}
