//! SQLite: one writer. Pieces of work that wait together share one commit; each can fail without the others.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use terms::{Fault, Reason};
use tokio::sync::{mpsc, oneshot};

use super::{
    Shared,
    checkpoint::Checkpoints,
    gone,
    job::{ATTEMPTS, Job, guarded},
    open::sqlite_writer,
    tx::{Effects, Tx},
};
use crate::error::{OrFault, is_conflict};

/// How many pieces of work wait before callers do.
const WAITING: usize = 1_024;
/// How many share a commit at most.
const GROUP: usize = 256;
/// For how long a commit is put off to take in what waits.
const PATIENCE: Duration = Duration::from_millis(20);

/// Leads to the writer. It ends with the last clone.
#[derive(Clone)]
pub(super) struct Queue(mpsc::Sender<Message>);

enum Message {
    Work(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

impl Queue {
    pub(super) async fn start(shared: Arc<Shared>, file: PathBuf, durable: bool) -> Result<Self, Fault> {
        let conn = sqlite_writer(&file, durable).await?;
        let checkpoints = Checkpoints::start(&file, durable).await?;
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(Writer { shared, file, durable, conn, checkpoints, sound: true }.run(receiver));
        Ok(Self(sender))
    }

    pub(super) async fn put(&self, job: Box<dyn Job>) -> Result<(), Fault> {
        self.0.send(Message::Work(job)).await.map_err(|_| gone())
    }

    /// Finishes what waits, then closes.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

struct Writer {
    shared: Arc<Shared>,
    file: PathBuf,
    durable: bool,
    conn: DatabaseConnection,
    checkpoints: Checkpoints,
    /// Whether the connection is where it should be: outside of any transaction.
    sound: bool,
}

/// Work that is done and waits for the commit.
struct Done {
    job: Box<dyn Job>,
    effects: Effects,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut closing = None;
        while closing.is_none() {
            match queue.recv().await {
                Some(Message::Work(first)) => closing = self.group(first, &mut queue).await,
                Some(Message::Close(done)) => closing = Some(done),
                None => break,
            }
        }
        queue.close();
        while let Some(message) = queue.recv().await {
            if let Message::Work(job) = message {
                job.finish(Err(gone()));
            }
        }
        let _ = self.conn.close_by_ref().await;
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    /// One transaction: the first piece of work and whatever else waits.
    async fn group(&mut self, first: Box<dyn Job>, queue: &mut mpsc::Receiver<Message>) -> Option<oneshot::Sender<()>> {
        if first.is_abandoned() {
            return None;
        }
        let transaction = match self.begin().await {
            Ok(transaction) => Arc::new(transaction),
            Err(fault) => {
                first.finish(Err(fault));
                return None;
            }
        };
        let began = Instant::now();
        let (mut done, mut next, mut closing) = (Vec::new(), Some(first), None);
        while let Some(job) = next.take() {
            if !job.is_abandoned() && !self.take(&transaction, job, &mut done).await {
                break;
            }
            if done.len() < GROUP && began.elapsed() < PATIENCE {
                match queue.try_recv() {
                    Ok(Message::Work(job)) => next = Some(job),
                    Ok(Message::Close(reply)) => closing = Some(reply),
                    Err(_) => {}
                }
            }
        }
        self.end(transaction, done).await;
        closing
    }

    /// Begins at once as a writer: a transaction that reads first and writes later can be refused past any timeout.
    async fn begin(&mut self) -> Result<DatabaseTransaction, Fault> {
        if !self.sound {
            let _ = self.conn.close_by_ref().await;
            self.conn = sqlite_writer(&self.file, self.durable).await?;
            self.sound = true;
        }
        self.checkpoints.complete(&self.conn).await;
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let begun = self.conn.begin_with_options(options).await.or_fault();
        if begun.as_ref().is_err_and(|fault| !is_conflict(fault)) {
            self.sound = false;
        }
        begun
    }

    /// Does one piece of work, which can be undone without what was done before. Says whether the transaction still
    /// stands.
    async fn take(
        &mut self,
        transaction: &Arc<DatabaseTransaction>,
        mut job: Box<dyn Job>,
        done: &mut Vec<Done>,
    ) -> bool {
        // The first piece of work needs no savepoint: to undo it is to begin again.
        let (before, well, ill) = match done.is_empty() {
            true => (None, None, "ROLLBACK; BEGIN IMMEDIATE"),
            false => (Some("SAVEPOINT work"), Some("RELEASE work"), "ROLLBACK TO work; RELEASE work"),
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            if let Err(fault) = mark(transaction, before).await {
                return self.lost(job, fault);
            }
            let outcome = {
                let tx = Tx::new(transaction.clone(), self.shared.clone());
                guarded(self.shared.options.transaction_timeout, job.run(&tx)).await
            };
            // The database may have rolled back the whole transaction by itself: a full disk. Then there is nothing to
            // go back to, and nothing of the group is there.
            if let Err(fault) = mark(transaction, if outcome.is_ok() { well } else { Some(ill) }).await {
                return self.lost(job, fault);
            }
            match outcome {
                Ok(effects) => {
                    done.push(Done { job, effects });
                    return true;
                }
                Err(fault) if is_conflict(&fault) && attempt < ATTEMPTS => {}
                Err(fault) => {
                    job.finish(Err(fault));
                    return true;
                }
            }
        }
    }

    fn lost(&mut self, job: Box<dyn Job>, fault: Fault) -> bool {
        self.sound = false;
        job.finish(Err(unavailable(&fault)));
        false
    }

    /// Commits, then tells everybody.
    async fn end(&mut self, transaction: Arc<DatabaseTransaction>, done: Vec<Done>) {
        let outcome = match Arc::into_inner(transaction) {
            None => Err(Fault::internal("a transaction outlived its work")),
            Some(transaction) if !self.sound => {
                let _ = transaction.rollback().await;
                Err(Fault::new(Reason::StoreUnavailable, "the store cannot write; retry"))
            }
            Some(transaction) if done.is_empty() => transaction.rollback().await.or_fault(),
            Some(transaction) => {
                self.checkpoints.committed();
                transaction.commit().await.or_fault()
            }
        };
        if let Err(fault) = &outcome {
            tracing::error!(service = %self.shared.service, fault = ?fault, writes = done.len(), "a commit failed");
            self.sound = false;
        }
        for Done { job, mut effects } in done {
            match &outcome {
                Ok(()) => {
                    self.shared.after_commit(&effects);
                    self.shared.pulse.committed(std::mem::take(&mut effects.entries));
                    job.finish(Ok(effects.revision));
                }
                Err(fault) => job.finish(Err(unavailable(fault))),
            }
        }
    }
}

/// One fault becomes many: each waiting caller gets its own.
fn unavailable(fault: &Fault) -> Fault {
    Fault::new(Reason::StoreUnavailable, "the store cannot write; retry")
        .retry_after(Duration::from_millis(500))
        .because(format!("{fault:?}"))
}

async fn mark(transaction: &DatabaseTransaction, sql: Option<&str>) -> Result<(), Fault> {
    match sql {
        Some(sql) => transaction.execute_unprepared(sql).await.or_fault().map(drop),
        None => Ok(()),
    }
}
