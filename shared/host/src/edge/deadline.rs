//! `grpc-timeout`: at most eight digits and a unit.

use std::time::Duration;

use http::HeaderMap;

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// How long the caller waits, as it said; what is malformed says nothing.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The header's value, in the finest unit that has room.
pub(crate) fn header(timeout: Duration) -> String {
    const MOST: u128 = 99_999_999;
    match (timeout.as_micros(), timeout.as_millis()) {
        (micros @ ..=MOST, _) => format!("{micros}u"),
        (_, millis @ ..=MOST) => format!("{millis}m"),
        _ => format!("{}S", u128::from(timeout.as_secs()).min(MOST)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
        timeout(&headers)
    }

    #[test]
    fn forms() {
        assert_eq!(read("1H"), Some(Duration::from_secs(3_600)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "m", "1", "123456789m", "-1S", "1x", "1.5S"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(micros in 0u64..=u64::MAX / 4) {
            let timeout = Duration::from_micros(micros);
            let back = read(&header(timeout)).unwrap();
            prop_assert!(back <= timeout);
            prop_assert!(back.as_secs_f64() >= timeout.as_secs_f64().min(9.9e7) * 0.999);
        }
    }
}
