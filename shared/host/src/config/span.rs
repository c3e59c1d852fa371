//! Lengths of time as people write them.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time: a number with `us`, `ms`, `s`, `m`, `h` or `d`, as in `250ms` or `7d`; `0` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

impl Span {
    /// Whole seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// Milliseconds.
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }

    /// The length.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// Whether it is nothing; many settings read that as "off".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

/// Microseconds of each unit, the largest first.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no length of time; write a whole number and a unit of us, ms, s, m, h or d, as in `250ms`")]
pub struct ParseSpanError;

impl FromStr for Span {
    type Err = ParseSpanError;

    fn from_str(text: &str) -> Result<Self, ParseSpanError> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| ParseSpanError)?;
        let unit = unit.trim();
        if number == 0 && unit.is_empty() {
            return Ok(Self(Duration::ZERO));
        }
        let (_, micros) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(ParseSpanError)?;
        Ok(Self(Duration::from_micros(number.checked_mul(*micros).ok_or(ParseSpanError)?)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros == 0 {
            return f.write_str("0");
        }
        let (unit, size) =
            UNITS.iter().find(|(_, size)| micros.is_multiple_of(u128::from(*size))).unwrap_or(&("us", 1));
        write!(f, "{}{unit}", micros / u128::from(*size))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for (text, micros) in [("0", 0), ("250ms", 250_000), ("7d", 604_800_000_000), ("90s", 90_000_000), ("3us", 3)] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.get(), Duration::from_micros(micros));
            assert_eq!(span.to_string(), text);
        }
        for wrong in ["", "5", "ms", "1.5s", "-1s", "1 week", "99999999999999999999s", "9999999999999d"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
