//! A call's duration, code and span, told once, however the call ends.

use std::sync::Arc;

use tokio::time::Instant;
use tonic::Code;
use tracing::Span;

use super::Method;
use crate::telemetry::Recorded;

/// Counts a call when it ends; one that is dropped before counts as cancelled.
pub(super) struct Measure {
    method: Arc<Method>,
    started: Instant,
    recorded: Recorded,
    told: bool,
}

impl Measure {
    pub(super) fn new(method: Arc<Method>, started: Instant, recorded: Recorded) -> Self {
        Self { method, started, recorded, told: false }
    }

    pub(super) fn span(&self) -> &Span {
        &self.recorded.span
    }

    pub(super) fn end(&mut self, code: Code) {
        if !self.told {
            self.told = true;
            self.method.instruments.record(code, self.started.elapsed());
            self.recorded.end(code);
        }
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}
