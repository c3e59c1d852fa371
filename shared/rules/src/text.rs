//! Instants and durations in writing.

use std::fmt::Write;

use terms::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The longest duration that rules know, either way: 10,000 years of 365.25 days, in microseconds.
pub(crate) const MAX_DURATION: i64 = 315_576_000_000 * 1_000_000;

/// Reads RFC 3339, as in `2026-03-01T12:00:00Z`. `None` if it is not, or lies outside of the years 1 to 9999.
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    let micros = i64::try_from(parsed.unix_timestamp_nanos().div_euclid(1_000)).ok()?;
    (Timestamp::MIN.0..=Timestamp::MAX.0).contains(&micros).then_some(Timestamp(micros))
}

/// Writes RFC 3339 in UTC; the bare number of microseconds outside of the years 1 to 9999.
pub(crate) fn format_timestamp(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| at.0.to_string())
}

/// Reads a duration as CEL writes it, as in `720h`, `1h30m`, `-1.5s`; `d` is 24 hours. In microseconds; `None` if it
/// is not one, or longer than [`MAX_DURATION`].
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i128;
    while !rest.is_empty() {
        let (nanos, left) = parse_part(rest)?;
        total = total.checked_add(nanos)?;
        rest = left;
    }
    let micros = i64::try_from(total / 1_000).ok().filter(|micros| *micros <= MAX_DURATION)?;
    Some(if negative { -micros } else { micros })
}

/// One number with its unit, in nanoseconds, and what follows.
fn parse_part(text: &str) -> Option<(i128, &str)> {
    const UNITS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60 * 1_000_000_000),
        ("h", 3_600 * 1_000_000_000),
        ("d", 86_400 * 1_000_000_000),
    ];
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let whole_len = digits(text);
    let (whole, mut rest) = text.split_at_checked(whole_len)?;
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at_checked(digits(after))?;
    }
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
        return None;
    }
    let (unit, left) = UNITS.iter().find_map(|(unit, size)| rest.strip_prefix(unit).map(|left| (*size, left)))?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<i128>().ok()? };
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<i128>().ok()?.checked_mul(unit)? / 10i128.pow(fraction.len() as u32)
    };
    Some((whole.checked_mul(unit)?.checked_add(part)?, left))
}

/// Writes a duration as [`parse_duration`] reads it.
pub(crate) fn format_duration(micros: i64) -> String {
    let mut out = String::new();
    if micros < 0 {
        out.push('-');
    }
    let size = micros.unsigned_abs();
    let (hours, minutes, seconds) = (size / 3_600_000_000, size / 60_000_000 % 60, size / 1_000_000 % 60);
    for (amount, unit) in [(hours, 'h'), (minutes, 'm')] {
        if amount > 0 {
            let _ = write!(out, "{amount}{unit}");
        }
    }
    match size % 1_000_000 {
        0 if seconds > 0 || size == 0 => {
            let _ = write!(out, "{seconds}s");
        }
        0 => {}
        part => {
            let fraction = format!("{part:06}");
            let _ = write!(out, "{seconds}.{}s", fraction.trim_end_matches('0'));
        }
    }
    out
}

/// The closest of `known` to `word`, if it is close: for "did you mean".
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, on at most 64 characters of each.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().take(64).enumerate() {
        let mut corner = i;
        let mut last = i + 1;
        for (right, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let above = *cell;
            last = (corner + usize::from(left != *right)).min(above + 1).min(last + 1);
            corner = above;
            *cell = last;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("720h", Some(720 * 3_600_000_000)),
            ("1h30m", Some(5_400_000_000)),
            ("30d", Some(720 * 3_600_000_000)),
            ("-1.5s", Some(-1_500_000)),
            ("0", Some(0)),
            ("10ms", Some(10_000)),
            ("", None),
            ("-", None),
            ("5", None),
            ("h", None),
            ("1x", None),
            ("99999999999999999999h", None),
            ("999999999h", None),
        ] {
            assert_eq!(parse_duration(text), micros, "{text}");
        }
    }

    #[test]
    fn timestamps() {
        assert_eq!(parse_timestamp("1970-01-01T00:00:01Z"), Some(Timestamp(1_000_000)));
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some(Timestamp(0)));
        assert_eq!(parse_timestamp("1970-01-01"), None);
        assert_eq!(format_timestamp(Timestamp(1_500_000)), "1970-01-01T00:00:01.5Z");
    }

    #[test]
    fn near_words() {
        assert_eq!(closest("contry", ["country", "county", "age"]), Some("country"));
        assert_eq!(closest("zebra", ["country"]), None);
    }

    proptest! {
        #[test]
        fn durations_and_back(micros in -MAX_DURATION..=MAX_DURATION) {
            prop_assert_eq!(parse_duration(&format_duration(micros)), Some(micros));
        }

        #[test]
        fn timestamps_and_back(micros in Timestamp::MIN.0..=Timestamp::MAX.0) {
            prop_assert_eq!(parse_timestamp(&format_timestamp(Timestamp(micros))), Some(Timestamp(micros)));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            parse_duration(&text);
            parse_timestamp(&text);
            closest(&text, ["country"]);
        }
    }
}
