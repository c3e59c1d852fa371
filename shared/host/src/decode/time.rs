//! Instants and lengths of time.

use std::time::Duration;

use prost_types::{Duration as WireDuration, Timestamp as WireTimestamp};
use terms::{Fault, Timestamp};

use super::{required, wrong};

/// An instant, to the microsecond; `None` when the field is absent.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] outside of the years 1 to 9999, or when the nanoseconds are out of range.
pub fn timestamp(field: &str, value: Option<WireTimestamp>) -> Result<Option<Timestamp>, Fault> {
    let Some(value) = value else { return Ok(None) };
    match Timestamp::from_parts(value.seconds, value.nanos) {
        Some(instant) => Ok(Some(instant)),
        None => Err(wrong(field, "is no instant of the years 1 to 9999 with nanoseconds from 0 to 999999999")),
    }
}

/// An instant that must be there.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn required_timestamp(field: &str, value: Option<WireTimestamp>) -> Result<Timestamp, Fault> {
    timestamp(field, value).and_then(|value| required(field, value))
}

/// A length of time that is not negative; `None` when the field is absent.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn duration(field: &str, value: Option<WireDuration>) -> Result<Option<Duration>, Fault> {
    /// Protobuf's bound: about 10,000 years.
    const MOST_SECONDS: u64 = 315_576_000_000;
    let Some(value) = value else { return Ok(None) };
    match (u64::try_from(value.seconds), u32::try_from(value.nanos)) {
        (Ok(seconds @ 0..=MOST_SECONDS), Ok(nanos @ 0..1_000_000_000)) => Ok(Some(Duration::new(seconds, nanos))),
        _ => Err(wrong(field, "is no length of time from 0 to 10000 years")),
    }
}

/// A length of time that must be there and not be zero.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn required_duration(field: &str, value: Option<WireDuration>) -> Result<Duration, Fault> {
    let length = duration(field, value).and_then(|value| required(field, value))?;
    if length.is_zero() { Err(wrong(field, "must be longer than zero")) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode;

    proptest! {
        #[test]
        fn every_instant_is_read_back(micros in Timestamp::MIN.0..=Timestamp::MAX.0) {
            let wire = encode::timestamp(Timestamp(micros));
            prop_assert_eq!(timestamp("f", Some(wire)).unwrap(), Some(Timestamp(micros)));
        }

        #[test]
        fn nothing_panics(seconds: i64, nanos: i32) {
            let _ = timestamp("f", Some(WireTimestamp { seconds, nanos }));
            let _ = duration("f", Some(WireDuration { seconds, nanos }));
        }
    }

    #[test]
    fn lengths() {
        let of = |seconds, nanos| duration("f", Some(WireDuration { seconds, nanos }));
        assert_eq!(of(1, 500_000_000).unwrap(), Some(Duration::from_millis(1_500)));
        assert!(of(-1, 0).is_err() && of(0, -1).is_err() && of(i64::MAX, 0).is_err() && of(0, 1_000_000_000).is_err());
        assert!(required_duration("f", Some(WireDuration::default())).is_err());
    }
}
