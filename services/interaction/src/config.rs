//! The section `[interaction]`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How interaction works. Every key may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InteractionConfig {
    /// How many resolved references are kept in process; 0: none.
    pub reference_cache: u64,
    /// How long one is kept, in seconds. A merge or a split is noticed whatever this says.
    pub reference_cache_seconds: u64,
    /// How many records of a stream one transaction takes at most.
    pub stream_group: usize,
    /// How long a read waits for `at_least` when its caller sets no deadline, in seconds.
    pub patience_seconds: u64,
}

impl Default for InteractionConfig {
    fn default() -> Self {
        Self { reference_cache: 100_000, reference_cache_seconds: 10, stream_group: 1_000, patience_seconds: 10 }
    }
}

impl InteractionConfig {
    /// How long a read waits for `at_least` at most.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds.max(1))
    }
}
