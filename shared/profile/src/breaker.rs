//! A circuit breaker: after some failures in a row nobody asks any more, until one probe succeeds.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// One probe at a time.
    HalfOpen,
    /// Nothing.
    Open,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    limit: u32,
    rest: Duration,
    inner: Mutex<Inner>,
    opened: AtomicU64,
}

#[derive(Debug)]
enum Inner {
    Closed { failures: u32 },
    Open { until: Instant },
    Probing,
}

/// The right to ask once. Dropped without a verdict it counts as neither; a probe then leaves the breaker open.
#[derive(Debug)]
pub(crate) struct Permit<'b> {
    breaker: &'b Breaker,
    settled: bool,
}

impl Breaker {
    /// Opens after `limit` failures in a row, and tries again after `rest`.
    pub(crate) fn new(limit: u32, rest: Duration) -> Self {
        Self { limit: limit.max(1), rest, inner: Mutex::new(Inner::Closed { failures: 0 }), opened: AtomicU64::new(0) }
    }

    pub(crate) fn admit(&self) -> Option<Permit<'_>> {
        let mut inner = self.inner.lock();
        match *inner {
            Inner::Closed { .. } => {}
            Inner::Open { until } if Instant::now() >= until => *inner = Inner::Probing,
            Inner::Open { .. } | Inner::Probing => return None,
        }
        Some(Permit { breaker: self, settled: false })
    }

    pub(crate) fn state(&self) -> BreakerState {
        match *self.inner.lock() {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Probing => BreakerState::HalfOpen,
            Inner::Open { until } if Instant::now() >= until => BreakerState::HalfOpen,
            Inner::Open { .. } => BreakerState::Open,
        }
    }

    /// How often it opened.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn open(&self, inner: &mut Inner) {
        *inner = Inner::Open { until: Instant::now() + self.rest };
        self.opened.fetch_add(1, Ordering::Relaxed);
    }
}

impl Permit<'_> {
    /// It went well. True if that closed the breaker.
    pub(crate) fn succeeded(mut self) -> bool {
        self.settled = true;
        let mut inner = self.breaker.inner.lock();
        let closes = matches!(*inner, Inner::Probing);
        // A straggler from before the breaker opened does not close it; the probe decides.
        if !matches!(*inner, Inner::Open { .. }) {
            *inner = Inner::Closed { failures: 0 };
        }
        closes
    }

    /// It failed. True if that opened the breaker.
    pub(crate) fn failed(mut self) -> bool {
        self.settled = true;
        let mut inner = self.breaker.inner.lock();
        match &mut *inner {
            Inner::Closed { failures } => {
                *failures += 1;
                let opens = *failures >= self.breaker.limit;
                if opens {
                    self.breaker.open(&mut inner);
                }
                opens
            }
            Inner::Probing => {
                self.breaker.open(&mut inner);
                true
            }
            Inner::Open { .. } => false,
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut inner = self.breaker.inner.lock();
        if matches!(*inner, Inner::Probing) {
            *inner = Inner::Open { until: Instant::now() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(breaker: &Breaker) -> bool {
        breaker.admit().is_some_and(Permit::failed)
    }

    #[test]
    fn opens_after_failures_in_a_row_and_closes_by_a_probe() {
        let breaker = Breaker::new(3, Duration::ZERO);
        assert!(!fail(&breaker) && !fail(&breaker));
        breaker.admit().unwrap().succeeded();
        assert!(!fail(&breaker) && !fail(&breaker) && fail(&breaker));
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_none(), "one probe at a time");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(probe.failed());
        assert!(breaker.admit().unwrap().succeeded());
        assert_eq!((breaker.state(), breaker.opened()), (BreakerState::Closed, 2));
    }

    #[test]
    fn rests_while_open() {
        let breaker = Breaker::new(1, Duration::from_secs(3600));
        assert!(fail(&breaker));
        assert!(breaker.admit().is_none());
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn a_probe_that_was_given_up_lets_the_next_one_in() {
        let breaker = Breaker::new(1, Duration::ZERO);
        assert!(fail(&breaker));
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().is_some());
    }
}
