//! SQLite: copies the log into the database beside the writer, so that no commit waits for it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection};
use terms::Fault;
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::AbortOnDropHandle;

use super::open::sqlite_writer;

/// For how long the log grows before it is copied.
const EVERY: Duration = Duration::from_millis(500);
/// Copies what no reader still needs in the log; waits for nobody.
const COPY: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// Copies the log from time to time, on a connection of its own. Ends when dropped.
pub(super) struct Checkpoints {
    grown: Arc<Notify>,
    copied: Arc<AtomicBool>,
    _task: AbortOnDropHandle<()>,
}

impl Checkpoints {
    pub(super) async fn start(file: &Path, durable: bool) -> Result<Self, Fault> {
        let conn = sqlite_writer(file, durable).await?;
        let (grown, copied) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let task = tokio::spawn(run(conn, grown.clone(), copied.clone()));
        Ok(Self { grown, copied, _task: AbortOnDropHandle::new(task) })
    }

    /// Hears of a commit.
    pub(super) fn committed(&self) {
        self.grown.notify_one();
    }

    /// Between transactions of the writer: once most of the log was copied, copies the rest, which came meanwhile. Only
    /// then does the log begin anew instead of growing on.
    pub(super) async fn complete(&self, writer: &DatabaseConnection) {
        if self.copied.swap(false, Ordering::Relaxed) {
            copy(writer).await;
        }
    }
}

async fn run(conn: DatabaseConnection, grown: Arc<Notify>, copied: Arc<AtomicBool>) {
    loop {
        grown.notified().await;
        sleep(EVERY).await;
        copy(&conn).await;
        copied.store(true, Ordering::Relaxed);
    }
}

async fn copy(conn: &DatabaseConnection) {
    if let Err(error) = conn.execute_unprepared(COPY).await {
        // The log grows until it succeeds; commits are safe in it.
        tracing::warn!(%error, "the log could not be copied into the database; trying again");
    }
}
