//! What following a feed reports.

use std::time::Duration;

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram},
};
use terms::Service;

/// Upper bounds of the histogram's buckets; seconds.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0];

/// The instruments of one consumer of one feed.
pub(super) struct Metrics {
    attributes: [KeyValue; 2],
    delay: Histogram<f64>,
    failures: Counter<u64>,
    held: Gauge<u64>,
    stalled: Gauge<u64>,
}

impl Metrics {
    pub(super) fn new(consumer: &'static str, feed: Service) -> Self {
        let meter = global::meter("rapport.feed");
        Self {
            attributes: [KeyValue::new("consumer", consumer), KeyValue::new("feed", feed.name())],
            delay: meter
                .f64_histogram("rapport.feed.delay")
                .with_unit("s")
                .with_description("How old the last entry of a batch was when its effects were committed")
                .with_boundaries(BUCKETS.to_vec())
                .build(),
            failures: meter
                .u64_counter("rapport.feed.failures")
                .with_description("Attempts to follow a feed, or to apply an entry, that failed")
                .build(),
            held: meter
                .u64_gauge("rapport.feed.held_partitions")
                .with_description("Partitions that this replica follows; all replicas together should hold every one")
                .build(),
            stalled: meter
                .u64_gauge("rapport.feed.stalled_partitions")
                .with_description("Partitions that wait because an entry cannot be applied")
                .build(),
        }
    }

    pub(super) fn applied(&self, age: Duration) {
        self.delay.record(age.as_secs_f64(), &self.attributes);
    }

    pub(super) fn failed(&self) {
        self.failures.add(1, &self.attributes);
    }

    pub(super) fn places(&self, held: usize, stalled: usize) {
        self.held.record(held as u64, &self.attributes);
        self.stalled.record(stalled as u64, &self.attributes);
    }
}
