//! Takes up what is open, keeps its lease, and writes how it ended.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use terms::{Fault, FaultKind, Reason};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Operations, Outcome, Run, Work, any, cancelled, rows, rows::Claim, work::Stop};
use crate::replica::process;

/// How a replica works on operations.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How long an operation stays with a replica that says nothing. `None`: as the store's options say.
    pub lease: Option<Duration>,
    /// How often to look for operations that other replicas accepted, or lost: 1 s.
    pub poll: Duration,
    /// How many operations to work on at once: 2.
    pub slots: usize,
    /// How often an operation is taken up without getting on before it is given up: 5.
    pub attempts: u32,
    /// How long to wait after an attempt that failed; doubled with each, up to 64 times as long. 1 s.
    pub pause: Duration,
    /// How long work may take to return when it is told to: 5 s.
    pub grace: Duration,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            lease: None,
            poll: Duration::from_secs(1),
            slots: 2,
            attempts: 5,
            pause: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

struct Runner {
    operations: Operations,
    works: Vec<Arc<dyn Work>>,
    options: RunOptions,
    lease: Duration,
    shutdown: CancellationToken,
}

pub(super) fn start(
    operations: Operations,
    works: Vec<Arc<dyn Work>>,
    options: RunOptions,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let lease = options.lease.unwrap_or(operations.store.shared().options.operation_lease);
    let span = tracing::info_span!("operations", service = %operations.service());
    let runner = Arc::new(Runner { operations, works, options, lease, shutdown });
    tokio::spawn(runner.run().instrument(span))
}

fn micros(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Runner {
    async fn run(self: Arc<Self>) {
        if self.works.is_empty() {
            return;
        }
        let (mut running, mut inherited) = (JoinSet::new(), false);
        while !self.shutdown.is_cancelled() {
            let begun = self.operations.store.shared().operations.notified();
            tokio::pin!(begun);
            begun.as_mut().enable();
            let mut pause = self.options.poll;
            if let Err(fault) = self.take(&mut running, &mut inherited).await {
                pause *= 5;
                tracing::warn!(fault = ?fault, "open operations could not be taken up; trying again");
            }
            tokio::select! {
                () = self.shutdown.cancelled() => {}
                () = begun => {}
                () = sleep(pause) => {}
                Some(_) = running.join_next() => {}
            }
        }
        while running.join_next().await.is_some() {}
    }

    /// Takes up as many as there is room for.
    async fn take(self: &Arc<Self>, running: &mut JoinSet<()>, inherited: &mut bool) -> Result<(), Fault> {
        let store = &self.operations.store;
        if !*inherited {
            store.write(|tx| Box::pin(rows::inherit(tx))).await?;
            *inherited = true;
        }
        while running.len() < self.options.slots && !self.shutdown.is_cancelled() && rows::any_open(store).await? {
            static COUNT: AtomicU64 = AtomicU64::new(0);
            let owner = format!("{}/{}", process(), COUNT.fetch_add(1, Ordering::Relaxed));
            let (runner, lease) = (self.clone(), micros(self.lease));
            let written = store.write(move |tx| {
                let (runner, owner) = (runner.clone(), owner.clone());
                Box::pin(async move {
                    let kinds: Vec<&str> = runner.works.iter().map(|work| work.kind()).collect();
                    rows::claim(tx, &kinds, &owner, lease).await
                })
            });
            let Some(claim) = written.await?.value else { return Ok(()) };
            let span = tracing::info_span!("operation", id = %claim.id, kind = claim.kind, tenant = %claim.tenant);
            let runner = self.clone();
            running.spawn(async move { runner.work(claim).await }.instrument(span));
        }
        Ok(())
    }

    /// One operation, from when it was taken up until it has ended or was given back.
    async fn work(&self, claim: Claim) {
        let Some(work) = self.works.iter().find(|work| work.kind() == claim.kind) else { return };
        let run = Run::new(self.operations.store.clone(), claim);
        let claim = &run.shared.claim;
        let result = if claim.cancelling {
            run.stop(Stop::Cancelled);
            Err(cancelled())
        } else if claim.attempts > self.options.attempts {
            Err(Fault::internal(format!("it was taken up {} times and did not get on", claim.attempts - 1)))
        } else {
            self.attempt(&**work, &run).await
        };
        if let Err(fault) = self.settle(&**work, &run, result).await {
            tracing::warn!(fault = ?fault, "what became of an operation could not be written; its lease runs out");
        }
        self.operations.store.shared().operations.notify_waiters();
    }

    /// Runs the work and keeps its lease, until it returns or has been told to return for too long.
    async fn attempt(&self, work: &dyn Work, run: &Run) -> Result<Vec<u8>, Fault> {
        let working = AssertUnwindSafe(work.run(run)).catch_unwind();
        let told = async {
            run.stopping().cancelled().await;
            sleep(self.options.grace).await;
        };
        tokio::select! {
            outcome = working => outcome.unwrap_or_else(|_| Err(Fault::internal("the work of an operation panicked"))),
            never = self.keep(run) => match never {},
            () = told => run.check().and_then(|()| Err(Fault::internal("work was told to return for no reason"))),
        }
    }

    /// Renews the lease, tells the progress, and hears of a cancellation.
    async fn keep(&self, run: &Run) -> std::convert::Infallible {
        let tick = (self.lease / 3).min(Duration::from_secs(1));
        let mut kept = Instant::now();
        let mut due = kept + tick;
        loop {
            let moved = self.operations.store.shared().operations.notified();
            tokio::select! {
                () = self.shutdown.cancelled(), if !run.stopping().is_cancelled() => run.stop(Stop::Leaving),
                () = sleep_until(due) => {}
                // Somebody may have asked this process to cancel; not more often than ten times in a tick.
                () = async { moved.await; sleep(tick / 10).await } => {}
            }
            due = Instant::now() + tick;
            match self.renew(run).await {
                Ok(Some(cancel)) => {
                    kept = Instant::now();
                    if cancel {
                        run.stop(Stop::Cancelled);
                    }
                }
                Ok(None) => run.stop(Stop::Lost),
                Err(fault) if kept.elapsed() >= self.lease => {
                    tracing::warn!(fault = ?fault, "the lease of an operation has run out");
                    run.stop(Stop::Lost);
                }
                Err(fault) => tracing::warn!(fault = ?fault, "the lease of an operation was not renewed; trying again"),
            }
        }
    }

    /// Whether cancellation was asked for; `None` if another replica has it.
    async fn renew(&self, run: &Run) -> Result<Option<bool>, Fault> {
        let (shared, lease) = (run.shared.clone(), micros(self.lease));
        let written = self.operations.store.write(move |tx| {
            let shared = shared.clone();
            Box::pin(async move {
                let progress = shared.latest.lock().progress.clone();
                rows::renew(tx, &shared.claim, &progress, lease).await
            })
        });
        Ok(written.await?.value)
    }

    /// Writes what became of it.
    async fn settle(&self, work: &dyn Work, run: &Run, result: Result<Vec<u8>, Fault>) -> Result<(), Fault> {
        let why = *run.shared.why.lock();
        let attempts = run.shared.claim.attempts;
        let fault = match (result, why) {
            (_, Some(Stop::Lost)) => {
                tracing::info!("another replica has the operation");
                return Ok(());
            }
            // Work that ended before it noticed has ended well.
            (Ok(response), _) => return self.finish(run, Outcome::Response(any(work.response(), response))).await,
            (Err(_), Some(Stop::Cancelled)) => cancelled(),
            (Err(_), Some(Stop::Leaving)) => return self.release(run, Duration::ZERO, false).await,
            (Err(fault), None) if passing(&fault) && attempts < self.options.attempts => {
                let pause = self.options.pause * 2u32.pow(attempts.saturating_sub(1).min(6));
                tracing::warn!(fault = ?fault, ?pause, "an operation stopped; it goes on later");
                return self.release(run, pause, true).await;
            }
            (Err(fault), None) => fault,
        };
        if fault.kind() == FaultKind::Internal {
            tracing::error!(fault = ?fault, "an operation failed");
        } else {
            tracing::info!(reason = fault.reason().as_str(), "an operation ended with an error");
        }
        self.finish(run, Outcome::Error(self.operations.told(fault))).await
    }

    async fn finish(&self, run: &Run, outcome: Outcome) -> Result<(), Fault> {
        let (shared, outcome) = (run.shared.clone(), Arc::new(outcome));
        let written = self.operations.store.write(move |tx| {
            let (shared, outcome) = (shared.clone(), outcome.clone());
            Box::pin(async move {
                let progress = shared.latest.lock().progress.clone();
                rows::finish(tx, &shared.claim, &progress, &outcome).await
            })
        });
        if !bounded(written).await?.value {
            tracing::info!("another replica has the operation");
        }
        Ok(())
    }

    async fn release(&self, run: &Run, pause: Duration, counts: bool) -> Result<(), Fault> {
        let shared = run.shared.clone();
        let written = self.operations.store.write(move |tx| {
            let shared = shared.clone();
            Box::pin(async move { rows::release(tx, &shared.claim, micros(pause), counts).await })
        });
        bounded(written).await.map(drop)
    }
}

/// A store that does not answer does not hold up the end of the process.
async fn bounded<T>(written: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let late = || Fault::new(Reason::StoreUnavailable, "the store does not answer; retry");
    timeout(Duration::from_secs(30), written).await.unwrap_or_else(|_| Err(late()))
}

/// Whether the same may succeed later.
fn passing(fault: &Fault) -> bool {
    matches!(fault.kind(), FaultKind::Unavailable | FaultKind::Exhausted | FaultKind::Late)
        || fault.reason() == Reason::WriteConflict
}
