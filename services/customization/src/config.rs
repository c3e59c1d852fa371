//! The section `[customization]` of the configuration.

use std::time::Duration;

use profile::ProfilesOptions;
use serde::{Deserialize, Serialize};

/// The settings of customization and their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CustomizationConfig {
    /// How much memory the profiles in process may take, in bytes, roughly.
    pub cache_bytes: u64,
    /// How long a profile stays in process at most, in seconds. The feeds keep it right; this bounds the harm if they
    /// do not.
    pub cache_seconds: u64,
    /// How long the owners of a profile may take, in milliseconds, before a decision does without them.
    pub profile_timeout_ms: u64,
    /// How many identifiers are remembered with the customers to whom they lead.
    pub identifiers: u64,
}

impl Default for CustomizationConfig {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, cache_seconds: 600, profile_timeout_ms: 3_000, identifiers: 100_000 }
    }
}

impl CustomizationConfig {
    /// What the hot profile takes of it.
    pub fn profiles(&self) -> ProfilesOptions {
        ProfilesOptions {
            bytes: self.cache_bytes,
            ttl: Duration::from_secs(self.cache_seconds.max(1)),
            load_timeout: Duration::from_millis(self.profile_timeout_ms.max(1)),
            ..ProfilesOptions::default()
        }
    }
}
