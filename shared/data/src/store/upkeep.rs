//! Retention.

use std::time::Duration;

use futures::FutureExt;
use terms::Fault;
use tokio_util::sync::CancellationToken;

use super::Store;
use crate::{feed::prune, operations, sql::Sql};

/// How many rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Of the feed.
    pub entries: u64,
    /// Of the recorded answers.
    pub answers: u64,
    /// Of the operations that have ended.
    pub operations: u64,
}

const EVERY: Duration = Duration::from_secs(3_600);
/// How many recorded answers one transaction removes.
const STEP: u64 = 5_000;

pub(super) async fn prune(store: &Store) -> Result<Pruned, Fault> {
    let options = &store.shared().options;
    let now = options.clock.now();
    let (feed_cutoff, once_cutoff) = (now - options.feed_retention, now - options.once_retention);
    let mut pruned = Pruned::default();
    loop {
        let step = store.write(move |tx| prune::step(tx, feed_cutoff).boxed()).await?.value;
        pruned.entries += step as u64;
        if step == 0 {
            break;
        }
    }
    loop {
        let step = store.write(move |tx| {
            async move {
                let sql = format!(
                    "DELETE FROM idempotency WHERE (tenant, method, request_id) IN (SELECT tenant, method, request_id \
                     FROM idempotency WHERE at < $1 ORDER BY at LIMIT {STEP})"
                );
                tx.conn().run(&sql, vec![once_cutoff.micros().into()]).await
            }
            .boxed()
        });
        let step = step.await?.value;
        pruned.answers += step;
        if step < STEP {
            break;
        }
    }
    pruned.operations = operations::prune(store, now - options.operation_retention).await?;
    Ok(pruned)
}

pub(super) async fn run(store: Store, shutdown: CancellationToken) {
    loop {
        match store.prune().await {
            Ok(pruned) if pruned == Pruned::default() => {}
            Ok(pruned) => tracing::info!(
                service = %store.service(),
                entries = pruned.entries,
                answers = pruned.answers,
                operations = pruned.operations,
                "pruned what is past its retention"
            ),
            Err(fault) => tracing::warn!(service = %store.service(), fault = ?fault, "pruning failed; trying again"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
