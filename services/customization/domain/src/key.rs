//! Names and dotted keys.

use terms::Violations;

/// The longest purpose, channel, tag or inducement, in bytes.
pub const KEY_MAX: usize = 63;
/// The longest topic or need, in bytes.
pub const TOPIC_MAX: usize = 128;

/// Whether `text` is a handle: 1 to 63 characters of `a-z`, `0-9`, `-`, `_` and `.`, beginning with a letter.
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
}

/// Whether `text` is 1 to `max` characters of `a-z`, `0-9`, `-`, `_` and `.`, with something between the dots.
pub fn is_key(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && text.split('.').all(|part| !part.is_empty())
}

/// Whether `key` covers `below`: the same, or one of its dotted prefixes (`alcohol` covers `alcohol.wine`).
pub fn covers(key: &str, below: &str) -> bool {
    below.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

pub(crate) fn check_name(wrong: &mut Violations, field: &str, text: &str) {
    if !is_name(text) {
        wrong.add(field, "must be 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, beginning with a letter");
    }
}

pub(crate) fn check_keys(wrong: &mut Violations, field: &str, keys: &[String], most: usize, max: usize) {
    if keys.len() > most {
        wrong.add(field, format!("has {} entries; at most {most} are taken", keys.len()));
    }
    for (i, key) in keys.iter().enumerate() {
        if !is_key(key, max) {
            wrong.add(
                format!("{field}[{i}]"),
                format!("must be 1 to {max} characters of a-z, 0-9, `-`, `_` and `.`, such as `wine.red`"),
            );
        }
    }
}

pub(crate) fn check_optional_key(wrong: &mut Violations, field: &str, key: &str) {
    if !key.is_empty() && !is_key(key, KEY_MAX) {
        wrong.add(field, format!("must be empty, or 1 to {KEY_MAX} characters of a-z, 0-9, `-`, `_` and `.`"));
    }
}

pub(crate) fn check_length(wrong: &mut Violations, field: &str, text: &str, max: usize) {
    if text.len() > max {
        wrong.add(field, format!("has {} bytes; at most {max} are taken", text.len()));
    }
}

pub(crate) fn check_range(wrong: &mut Violations, field: &str, number: f64, least: f64, most: f64) {
    if !(number >= least && number <= most) {
        wrong.add(field, format!("is {number}; it must lie between {least} and {most}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_keys() {
        assert!(
            is_name("winter-offer.2") && !is_name("2") && !is_name("") && !is_name("A") && !is_name(&"a".repeat(64))
        );
        assert!(is_key("wine.red", 63) && is_key("9", 63) && !is_key("a..b", 63) && !is_key(".", 63));
    }

    #[test]
    fn a_key_covers_those_below_it_and_no_others() {
        assert!(covers("alcohol", "alcohol") && covers("alcohol", "alcohol.wine.red"));
        assert!(!covers("alcohol", "alcoholic") && !covers("alcohol.wine", "alcohol") && !covers("alcohol", ""));
    }
}
