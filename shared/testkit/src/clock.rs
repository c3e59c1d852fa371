//! A clock that moves only when told to, and ids that are the same at every run.

use std::sync::Arc;

use terms::{FixedClock, Ids, Timestamp};

/// 2026-01-01T00:00:00Z, where [`clock`] stands.
pub const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// A clock that stands at [`START`].
pub fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new(START))
}

/// Ids by that clock, the same for the same seed.
pub fn ids(clock: &Arc<FixedClock>, seed: u64) -> Arc<Ids> {
    Arc::new(Ids::seeded(clock.clone(), seed))
}
