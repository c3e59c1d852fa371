//! How much at once: requests under way, and requests per second of a tenant.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use terms::{Fault, Reason, Tenant};
use tokio::time::Instant;

/// Counts what is under way, up to a bound.
#[derive(Debug)]
pub(crate) struct Gauge {
    resource: &'static str,
    used: AtomicUsize,
    most: usize,
}

/// A place in a [`Gauge`]; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Gauge>);

impl Gauge {
    pub(crate) fn new(resource: &'static str, most: usize) -> Arc<Self> {
        Arc::new(Self { resource, used: AtomicUsize::new(0), most })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Reason::Overloaded`] when there is none.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, Fault> {
        let place = Place(self.clone());
        if self.used.fetch_add(1, Ordering::Relaxed) < self.most { Ok(place) } else { Err(self.full()) }
    }

    #[cold]
    fn full(&self) -> Fault {
        let message = format!("the server has {} {} under way and takes no more; retry soon", self.most, self.resource);
        Fault::new(Reason::Overloaded, message).with("resource", self.resource).retry_after(Duration::from_millis(250))
    }

    /// How many places are taken.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Requests per second of each tenant, by the generic cell rate algorithm (ITU-T I.371): one number per tenant, no
/// timer.
#[derive(Debug)]
pub(crate) struct Rate {
    start: Instant,
    /// Nanoseconds between two requests at the rate.
    interval: i64,
    /// How far ahead of the rate a tenant may be; nanoseconds.
    ahead: i64,
    rate: u32,
    /// When each tenant is back at the rate; nanoseconds since `start`.
    tenants: RwLock<HashMap<Tenant, Arc<AtomicI64>>>,
}

/// Tenants remembered at most: beyond it, those at rest are forgotten.
const MOST: usize = 10_000;

impl Rate {
    /// `rate` requests per second, of which `burst` may come at once; no limit at a rate of 0.
    pub(crate) fn new(rate: u32, burst: u32) -> Option<Self> {
        let interval = 1_000_000_000i64.checked_div(i64::from(rate))?.max(1);
        let burst = if burst == 0 { rate } else { burst };
        let ahead = interval.saturating_mul(i64::from(burst));
        Some(Self { start: Instant::now(), interval, ahead, rate, tenants: RwLock::default() })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// [`Reason::RateLimited`], with the time to wait.
    pub(crate) fn check(&self, tenant: &Tenant, at: Instant) -> Result<(), Fault> {
        let now = i64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(i64::MAX);
        let known = self.tenants.read().get(tenant).cloned();
        let cell = known.unwrap_or_else(|| self.add(tenant, now));
        let mut due = cell.load(Ordering::Relaxed);
        loop {
            let next = due.max(now) + self.interval;
            let wait = next - self.ahead - now;
            if wait > 0 {
                return Err(self.over(wait));
            }
            match cell.compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => due = changed,
            }
        }
    }

    #[cold]
    fn add(&self, tenant: &Tenant, now: i64) -> Arc<AtomicI64> {
        let mut tenants = self.tenants.write();
        if tenants.len() >= MOST {
            tenants.retain(|_, due| due.load(Ordering::Relaxed) > now);
        }
        tenants.entry(tenant.clone()).or_default().clone()
    }

    #[cold]
    fn over(&self, wait: i64) -> Fault {
        let message = format!("the tenant is over its rate of {} requests a second", self.rate);
        Fault::new(Reason::RateLimited, message)
            .with("limit", self.rate.to_string())
            .with("period", "1s")
            .retry_after(Duration::from_nanos(wait.cast_unsigned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_takes_no_more_than_its_bound() {
        let gauge = Gauge::new("requests", 2);
        let first = gauge.enter().unwrap();
        let _second = gauge.enter().unwrap();
        let fault = gauge.enter().unwrap_err();
        assert_eq!(fault.reason(), Reason::Overloaded);
        assert!(fault.retry_delay().is_some());
        drop(first);
        assert_eq!(gauge.used(), 1);
        assert!(gauge.enter().is_ok());
    }

    #[test]
    fn a_tenant_gets_its_burst_and_then_its_rate() {
        let rate = Rate::new(10, 5).unwrap();
        let (one, other): (Tenant, Tenant) = ("one".parse().unwrap(), "other".parse().unwrap());
        let at = |ms| rate.start + Duration::from_millis(ms);
        for _ in 0..5 {
            rate.check(&one, at(0)).unwrap();
        }
        let fault = rate.check(&one, at(0)).unwrap_err();
        assert_eq!(fault.retry_delay(), Some(Duration::from_millis(100)));
        assert!(rate.check(&other, at(0)).is_ok());
        assert!(rate.check(&one, at(99)).is_err());
        assert!(rate.check(&one, at(100)).is_ok());
        assert!(rate.check(&one, at(150)).is_err());
        assert!(Rate::new(0, 5).is_none());
    }
}
