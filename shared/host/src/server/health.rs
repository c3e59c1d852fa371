//! Health: what `grpc.health.v1` and `/readyz` answer.
//!
//! A service is serving once everything that it needs has answered for the first time, and stays so until the process
//! is told to end. A database that blinks takes no replica out of service: all would leave at once, and callers get
//! `UNAVAILABLE` with a time to retry anyway. What is wrong shows in `/readyz`, in the log and in
//! `rapport_check_up`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use parking_lot::RwLock;
use terms::{Fault, Reason, Service};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{Check, telemetry};

/// Where a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Something that is needed has not answered yet.
    Starting,
    /// Takes requests.
    Serving,
    /// Told to end.
    Leaving,
}

/// What is known of the health of this process.
#[derive(Debug)]
pub(super) struct Health {
    phase: watch::Sender<Phase>,
    /// By check: whether it has ever held, and what was wrong last.
    checks: RwLock<BTreeMap<&'static str, State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    held: bool,
    wrong: Option<String>,
}

/// A service's names in `grpc.health.v1`, and what it needs.
pub(super) struct Watched {
    pub(super) service: Service,
    pub(super) names: Vec<&'static str>,
    pub(super) checks: Vec<Check>,
}

const WHILE_STARTING: Duration = Duration::from_millis(200);
const WHILE_SERVING: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);

impl Health {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { phase: watch::Sender::new(Phase::Starting), checks: RwLock::default() })
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the process serves; `false` when it leaves before.
    pub(super) async fn serving(&self) -> bool {
        let mut phase = self.phase.subscribe();
        match phase.wait_for(|phase| *phase != Phase::Starting).await {
            Ok(phase) => *phase == Phase::Serving,
            Err(_) => false,
        }
    }

    /// Every check with what is wrong with it.
    pub(super) fn report(&self) -> Vec<(&'static str, Option<String>)> {
        self.checks.read().iter().map(|(name, state)| (*name, state.wrong.clone())).collect()
    }

    /// Shows the checks as `rapport.check.up`.
    pub(super) fn measure(self: &Arc<Self>) {
        let health = self.clone();
        let _ = telemetry::meter()
            .u64_observable_gauge("rapport.check.up")
            .with_description("Whether something that a service needs answers.")
            .with_callback(move |observer| {
                for (name, wrong) in health.report() {
                    observer.observe(u64::from(wrong.is_none()), &[KeyValue::new("check", name)]);
                }
            })
            .build();
    }

    /// Asks after everything that is needed until the process leaves; ends then.
    pub(super) async fn watch(
        self: Arc<Self>,
        watched: Vec<Watched>,
        shared: Vec<&'static str>,
        reporter: HealthReporter,
        leaving: CancellationToken,
    ) {
        for name in watched.iter().flat_map(|w| &w.names).chain(&shared) {
            reporter.set_service_status(*name, ServingStatus::NotServing).await;
        }
        reporter.set_service_status("", ServingStatus::NotServing).await;
        let work = self.ask(&watched, &shared, &reporter);
        tokio::select! {
            () = leaving.cancelled() => {}
            () = work => {}
        }
        self.phase.send_replace(Phase::Leaving);
        for name in watched.iter().flat_map(|w| &w.names).chain(&shared) {
            reporter.set_service_status(*name, ServingStatus::NotServing).await;
        }
        reporter.set_service_status("", ServingStatus::NotServing).await;
    }

    async fn ask(&self, watched: &[Watched], shared: &[&'static str], reporter: &HealthReporter) {
        loop {
            let mut waiting = 0;
            for one in watched {
                futures::future::join_all(one.checks.iter().map(|check| self.probe(check))).await;
                if !self.held(&one.checks) {
                    waiting += 1;
                } else if self.phase() == Phase::Starting {
                    for name in &one.names {
                        reporter.set_service_status(*name, ServingStatus::Serving).await;
                    }
                }
            }
            if waiting == 0 && self.phase() == Phase::Starting {
                for name in shared.iter().chain(&[""]) {
                    reporter.set_service_status(*name, ServingStatus::Serving).await;
                }
                self.phase.send_replace(Phase::Serving);
                let services: Vec<_> = watched.iter().map(|w| w.service.name()).collect();
                tracing::info!(services = services.join(","), "serving");
            }
            tokio::time::sleep(if waiting == 0 { WHILE_SERVING } else { WHILE_STARTING }).await;
        }
    }

    fn held(&self, checks: &[Check]) -> bool {
        let known = self.checks.read();
        checks.iter().all(|check| known.get(check.name).is_some_and(|state| state.held))
    }

    async fn probe(&self, check: &Check) {
        let answer = timeout(PATIENCE, check.probe()).await;
        let answer = answer.unwrap_or_else(|_| Err(Fault::new(Reason::DeadlineExceeded, "does not answer in time")));
        let wrong = answer.err();
        let text = wrong.as_ref().map(ToString::to_string);
        let before = {
            let mut known = self.checks.write();
            let state = known.entry(check.name).or_default();
            state.held |= text.is_none();
            std::mem::replace(&mut state.wrong, text.clone())
        };
        match (before, wrong) {
            (before, Some(fault)) if before.as_ref() != text.as_ref() => {
                tracing::warn!(check = check.name, cause = ?fault, "something that is needed is not there");
            }
            (Some(_), None) => tracing::info!(check = check.name, "is there again"),
            _ => {}
        }
    }
}
