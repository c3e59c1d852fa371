//! Time and randomness, handed in.

use std::{
    fmt,
    ops::{Add, Sub},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::id::{Id, IdKind};

/// An instant: microseconds since 1970-01-01T00:00:00Z, the resolution of both stores. Stored as a 64-bit integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0001-01-01T00:00:00Z, the earliest that a protobuf timestamp may say.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// 9999-12-31T23:59:59.999999Z, the latest that a protobuf timestamp may say.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// From protobuf's seconds and nanoseconds (truncated to microseconds); `None` outside of protobuf's range.
    pub fn from_parts(seconds: i64, nanos: i32) -> Option<Self> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let micros = seconds.checked_mul(1_000_000)?.checked_add(i64::from(nanos) / 1_000)?;
        (Self::MIN.0..=Self::MAX.0).contains(&micros).then_some(Self(micros))
    }

    /// Protobuf's seconds and nanoseconds.
    pub const fn parts(self) -> (i64, i32) {
        (self.0.div_euclid(1_000_000), (self.0.rem_euclid(1_000_000) * 1_000) as i32)
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Tells the time. The only source of it.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
        let now = std::time::SystemTime::now();
        let micros = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_micros());
        Timestamp(i64::try_from(micros).unwrap_or(i64::MAX))
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let mut now = self.0.lock();
        *now = *now + by;
        *now
    }

    /// Jumps.
    pub fn set(&self, at: Timestamp) {
        *self.0.lock() = at;
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// Makes ids: UUIDv7 from the clock's time and a generator of its own.
///
/// Ids made by one `Ids` rise strictly, also within a millisecond.
#[derive(Debug)]
pub struct Ids {
    clock: Arc<dyn Clock>,
    state: Mutex<IdState>,
}

#[derive(Debug)]
struct IdState {
    random: StdRng,
    last: u128,
}

impl Ids {
    /// Ids with randomness from the operating system.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::from_rng(clock, StdRng::from_os_rng())
    }

    /// The same ids for the same seed and clock: for tests.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::from_rng(clock, StdRng::seed_from_u64(seed))
    }

    fn from_rng(clock: Arc<dyn Clock>, random: StdRng) -> Self {
        Self { clock, state: Mutex::new(IdState { random, last: 0 }) }
    }

    /// A new id.
    pub fn next<K: IdKind>(&self) -> Id<K> {
        let millis = (self.clock.now().micros().max(0) / 1_000) as u64;
        let mut state = self.state.lock();
        let mut bytes = [0u8; 10];
        state.random.fill(&mut bytes);
        let fresh = uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid().as_u128();
        // Keep rising: one more than the last, when the clock has not moved past it.
        let number = if fresh > state.last { fresh } else { successor(state.last) };
        state.last = number;
        Id::from_uuid(Uuid::from_u128(number))
    }

    /// A number for seeding a generator that will be logged.
    pub fn seed(&self) -> u64 {
        self.state.lock().random.random()
    }
}

/// The next UUIDv7: counts within the 62 random low bits, then carries into the timestamp's successor.
fn successor(last: u128) -> u128 {
    const LOW: u128 = (1 << 62) - 1;
    if last & LOW == LOW {
        let millis = ((last >> 80) as u64).wrapping_add(1);
        uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid().as_u128()
    } else {
        last + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Customer;

    #[test]
    fn ids_rise_strictly_while_the_clock_stands_or_falls_back() {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1_700_000_000)));
        let ids = Ids::seeded(clock.clone(), 7);
        let mut last = ids.next::<Customer>();
        for i in 0..10_000 {
            if i == 5_000 {
                clock.set(Timestamp::from_seconds(1_600_000_000));
            }
            let next = ids.next::<Customer>();
            assert!(next > last);
            assert_eq!(next.uuid().get_version_num(), 7);
            last = next;
        }
    }

    #[test]
    fn parts_and_back() {
        for micros in [-1, 0, 1, -1_000_001, 1_700_000_000_123_456, Timestamp::MIN.0, Timestamp::MAX.0] {
            let (seconds, nanos) = Timestamp(micros).parts();
            assert_eq!(Timestamp::from_parts(seconds, nanos), Some(Timestamp(micros)));
        }
        assert_eq!(Timestamp::from_parts(i64::MAX, 0), None);
        assert_eq!(Timestamp::from_parts(0, -1), None);
    }
}
