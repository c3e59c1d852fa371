//! Background work: the clock, and builds.

use std::{sync::Arc, time::Duration};

use segmentation_domain::ports::Store;
use terms::Clock;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::store::SqlSegments;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(25);
/// How often the store is asked who is due: other replicas write due instants that this one does not hear of.
const ASK: Duration = Duration::from_millis(500);
/// How long to wait after a fault.
const PAUSE: Duration = Duration::from_secs(1);
/// Customers in one transaction.
pub(crate) const CHUNK: usize = 500;

/// Settles customers when their instant has come, until `shutdown`. Any number of replicas may do so at once.
pub(crate) async fn settle(store: SqlSegments, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    let mut asked: Option<Instant> = None;
    while shutdown.run_until_cancelled(sleep(TICK)).await.is_some() {
        let ask = asked.is_none_or(|asked| asked.elapsed() >= ASK);
        if !ask && !store.wake().is_due(clock.now()) {
            continue;
        }
        store.wake().forget();
        asked = Some(Instant::now());
        loop {
            match store.settle_due(CHUNK).await {
                Ok(pass) => {
                    if let Some(next) = pass.next {
                        store.wake().earlier(next);
                    }
                    if pass.customers == 0 || shutdown.is_cancelled() {
                        break;
                    }
                }
                Err(fault) => {
                    tracing::warn!(?fault, "customers whose instant has come could not be settled");
                    asked = None;
                    shutdown.run_until_cancelled(sleep(PAUSE)).await;
                    break;
                }
            }
        }
    }
}

/// Goes on with builds, until `shutdown`: those of large tenants, and those that were cut off.
pub(crate) async fn build(store: SqlSegments, shutdown: CancellationToken) {
    loop {
        let bell = async {
            tokio::select! {
                () = store.wake().rung() => {}
                () = sleep(PAUSE) => {}
            }
        };
        if shutdown.run_until_cancelled(bell).await.is_none() {
            return;
        }
        loop {
            match store.build(None, CHUNK).await {
                Ok(Some(_)) if !shutdown.is_cancelled() => {}
                Ok(_) => break,
                Err(fault) => {
                    tracing::warn!(?fault, "the members of a segment could not be computed");
                    shutdown.run_until_cancelled(sleep(PAUSE)).await;
                    break;
                }
            }
        }
    }
}
