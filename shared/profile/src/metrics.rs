//! What the levels report: counted in plain numbers, read when metrics are collected.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry::{KeyValue, global};

use crate::{breaker::BreakerState, redis::Redis, section::Section};

#[derive(Debug, Default)]
pub(crate) struct Counts {
    local: Pair,
    redis: Pair,
    owners: [AtomicU64; 3],
}

#[derive(Debug, Default)]
struct Pair {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Counts {
    /// Registers the instruments; they read from what is given back for as long as it lives.
    pub(crate) fn register(redis: Option<&Arc<Redis>>) -> Arc<Self> {
        let counts = Arc::new(Self::default());
        let meter = global::meter("rapport.profile");
        let seen = Arc::downgrade(&counts);
        let _reads = meter
            .u64_observable_counter("rapport.profile.reads")
            .with_description("Reads of profiles, by the level that was asked and whether it could answer")
            .with_unit("{read}")
            .with_callback(move |observer| {
                let Some(counts) = Weak::upgrade(&seen) else { return };
                for (level, pair) in [("process", &counts.local), ("redis", &counts.redis)] {
                    for (result, number) in [("hit", &pair.hits), ("miss", &pair.misses)] {
                        let attributes = [KeyValue::new("level", level), KeyValue::new("result", result)];
                        observer.observe(number.load(Ordering::Relaxed), &attributes);
                    }
                }
            })
            .build();
        let seen = Arc::downgrade(&counts);
        let _loads = meter
            .u64_observable_counter("rapport.profile.owner_loads")
            .with_description("Sections that were read from the service that owns them")
            .with_unit("{section}")
            .with_callback(move |observer| {
                let Some(counts) = Weak::upgrade(&seen) else { return };
                for section in Section::ALL {
                    let attributes = [KeyValue::new("section", section.service().name())];
                    observer.observe(counts.owners[section.index()].load(Ordering::Relaxed), &attributes);
                }
            })
            .build();
        if let Some(redis) = redis {
            register_redis(redis);
        }
        counts
    }

    pub(crate) fn local_hit(&self) {
        self.local.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn local_miss(&self) {
        self.local.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn redis_hit(&self) {
        self.redis.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn redis_miss(&self) {
        self.redis.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn owner_load(&self, section: Section) {
        self.owners[section.index()].fetch_add(1, Ordering::Relaxed);
    }
}

fn register_redis(redis: &Arc<Redis>) {
    let meter = global::meter("rapport.profile");
    let seen = Arc::downgrade(redis);
    let _state = meter
        .u64_observable_gauge("rapport.profile.redis_breaker")
        .with_description("What the breaker before Redis lets through: 0 everything, 1 one probe, 2 nothing")
        .with_callback(move |observer| {
            let Some(redis) = Weak::upgrade(&seen) else { return };
            let state = match redis.state() {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen => 1,
                BreakerState::Open => 2,
            };
            observer.observe(state, &[]);
        })
        .build();
    let seen = Arc::downgrade(redis);
    let _opened = meter
        .u64_observable_counter("rapport.profile.redis_breaker_opened")
        .with_description("How often the breaker before Redis opened")
        .with_callback(move |observer| {
            if let Some(redis) = Weak::upgrade(&seen) {
                observer.observe(redis.times_opened(), &[]);
            }
        })
        .build();
    let seen = Arc::downgrade(redis);
    let _lost = meter
        .u64_observable_counter("rapport.profile.marks_dropped")
        .with_description("Marks that could not be kept for later while Redis did not answer")
        .with_callback(move |observer| {
            if let Some(redis) = Weak::upgrade(&seen) {
                observer.observe(redis.marks_lost(), &[]);
            }
        })
        .build();
}
