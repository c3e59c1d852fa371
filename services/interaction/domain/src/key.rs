//! Dotted keys: types, topics, channels, purposes, tags.

use terms::Violations;

/// The longest type, channel, purpose, touchpoint or tag, in bytes.
pub const KEY_MAX: usize = 63;
/// The longest topic, in bytes.
pub const TOPIC_MAX: usize = 128;

/// Whether `text` is 1 to `max` characters of `a-z`, `0-9`, `-`, `_` and `.`, with something between the dots.
pub fn is_key(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && text.split('.').all(|part| !part.is_empty())
}

/// Notes a violation unless `text` is a key.
pub fn check_key(wrong: &mut Violations, field: &str, text: &str, max: usize) {
    if !is_key(text, max) {
        wrong
            .add(field, format!("must be 1 to {max} characters of a-z, 0-9, `-`, `_` and `.`, such as `support.call`"));
    }
}

/// The same for a field that may be empty.
pub fn check_optional_key(wrong: &mut Violations, field: &str, text: &str, max: usize) {
    if !text.is_empty() {
        check_key(wrong, field, text, max);
    }
}

/// Notes a violation if `text` has more than `max` bytes.
pub fn check_length(wrong: &mut Violations, field: &str, text: &str, max: usize) {
    if text.len() > max {
        wrong.add(field, format!("has {} bytes; at most {max} are taken", text.len()));
    }
}

/// Whether `key` covers `below`: the same, or one of its dotted prefixes (`alcohol` covers `alcohol.wine`).
pub fn covers(key: &str, below: &str) -> bool {
    below.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        for fine in ["a", "support.call", "x-1_2.y"] {
            assert!(is_key(fine, KEY_MAX), "{fine}");
        }
        for wrong in ["", "A", "a b", ".", "a.", ".a", "a..b", "é", &"a".repeat(64)] {
            assert!(!is_key(wrong, KEY_MAX), "{wrong}");
        }
    }

    #[test]
    fn a_key_covers_those_below_it_and_no_others() {
        assert!(covers("alcohol", "alcohol") && covers("alcohol", "alcohol.wine.red"));
        assert!(!covers("alcohol", "alcoholic") && !covers("alcohol.wine", "alcohol") && !covers("alcohol", ""));
    }
}
