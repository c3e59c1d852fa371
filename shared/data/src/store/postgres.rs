//! PostgreSQL: one transaction per piece of work, READ COMMITTED, retried when it meets another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use sea_orm::{DatabaseConnection, TransactionTrait};
use terms::{Fault, Reason};
use tokio::time::{Instant, timeout};

use super::{
    Shared, gone,
    job::{ATTEMPTS, Job, guarded, pause},
    tx::{Effects, Tx},
    unanswered,
};
use crate::error::{OrFault, is_conflict};

/// The connections that write. Apart from those that read, so that neither waits for the other.
#[derive(Clone)]
pub(super) struct Writers {
    pool: DatabaseConnection,
    suspicion: Suspicion,
    closed: Arc<AtomicBool>,
}

/// Whether a connection was lately given up while it began a transaction. The driver does not know that such a
/// connection may stand in a transaction: what is then written on it as if alone is never committed. So for a while
/// every connection that comes back is closed.
#[derive(Clone, Default)]
pub(super) struct Suspicion(Arc<Mutex<Option<Instant>>>);

impl Suspicion {
    pub(super) fn raise(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    pub(super) fn stands(&self) -> bool {
        self.0.lock().is_some_and(|since| since.elapsed() < Duration::from_secs(60))
    }
}

impl Writers {
    pub(super) fn new(pool: DatabaseConnection, suspicion: Suspicion) -> Self {
        Self { pool, suspicion, closed: Arc::default() }
    }

    /// Waits for the transactions that run.
    pub(super) async fn close(&self) -> Result<(), Fault> {
        self.closed.store(true, Ordering::Release);
        self.pool.close_by_ref().await.or_fault()
    }
}

/// Runs the work until it commits, fails for good, or has met others too often. In a task of its own: see
/// [`Store::write`](super::Store::write).
pub(super) async fn run(shared: Arc<Shared>, writers: Writers, mut job: Box<dyn Job>) {
    let mut attempt = 0;
    let outcome = loop {
        if job.is_abandoned() {
            return;
        }
        if writers.closed.load(Ordering::Acquire) {
            break Err(gone());
        }
        attempt += 1;
        match once(&shared, &writers, job.as_mut()).await {
            Err(Ended::Before(fault)) if attempt < ATTEMPTS && is_conflict(&fault) => {
                tokio::time::sleep(pause(attempt)).await;
            }
            // A connection that went stale in the pool: nothing was committed, try another.
            Err(Ended::Before(fault)) if attempt < 3 && is_broken(&fault) => {
                tokio::time::sleep(pause(attempt)).await;
            }
            Err(Ended::Before(fault) | Ended::During(fault)) => break Err(fault),
            Ok(effects) => break Ok(effects),
        }
    };
    match outcome {
        Ok(effects) => {
            shared.after_commit(&effects);
            job.finish(Ok(effects.revision));
        }
        Err(fault) => job.finish(Err(fault)),
    }
}

/// Where an attempt ended.
enum Ended {
    /// Before the commit: nothing of it is there.
    Before(Fault),
    /// While committing: it may be there.
    During(Fault),
}

/// The store does not answer, and it was not the pool that said so.
fn is_broken(fault: &Fault) -> bool {
    let cause = fault.cause().and_then(|cause| cause.downcast_ref::<sea_orm::DbErr>());
    fault.reason() == Reason::StoreUnavailable
        && cause.is_some_and(|err| {
            matches!(err, sea_orm::DbErr::Exec(sea_orm::RuntimeErr::SqlxError(e))
                | sea_orm::DbErr::Query(sea_orm::RuntimeErr::SqlxError(e))
                if matches!(**e, sea_orm::sqlx::Error::Io(_)))
        })
}

/// One transaction, from its beginning to its end.
/// What a silently dead connection leaves unanswered is given up long after the server's own limits.
async fn once(shared: &Arc<Shared>, writers: &Writers, job: &mut dyn Job) -> Result<Effects, Ended> {
    let limit = limit(shared);
    let Ok(begun) = timeout(limit, writers.pool.begin()).await else {
        writers.suspicion.raise();
        return Err(Ended::Before(unanswered()));
    };
    let transaction = Arc::new(begun.or_fault().map_err(Ended::Before)?);
    let outcome = {
        let tx = Tx::new(transaction.clone(), shared.clone());
        guarded(limit, job.run(&tx)).await
    };
    let Some(transaction) = Arc::into_inner(transaction) else {
        return Err(Ended::Before(Fault::internal("a transaction outlived its work")));
    };
    match outcome {
        Ok(effects) => {
            match timeout(limit, transaction.commit()).await.map_err(|_| unanswered()).and_then(OrFault::or_fault) {
                Ok(()) => Ok(effects),
                // The server itself refused the commit: a deferred constraint, a conflict.
                Err(fault) if is_conflict(&fault) || fault.reason() == Reason::Internal => Err(Ended::Before(fault)),
                Err(fault) => Err(Ended::During(fault)),
            }
        }
        Err(fault) => {
            match timeout(ROLLBACK, transaction.rollback()).await {
                Ok(Ok(())) => {}
                Ok(Err(err)) => tracing::warn!(error = %err, "a rollback failed; the connection is given up"),
                Err(_) => tracing::warn!("a rollback is not answered; the connection is given up"),
            }
            Err(Ended::Before(fault))
        }
    }
}

const ROLLBACK: Duration = Duration::from_secs(5);

/// The server ends every statement and every idle transaction well before this.
fn limit(shared: &Shared) -> Duration {
    (shared.options.statement_timeout + shared.options.transaction_timeout) * 2
}
