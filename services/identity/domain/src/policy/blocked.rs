//! Values that prove nothing: what people and programs write where there is no value.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Words that stand for no value, in lower case.
const WORDS: [&str; 28] = [
    "-",
    "--",
    "?",
    "n/a",
    "n.a.",
    "#n/a",
    "na",
    "nan",
    "nil",
    "none",
    "null",
    "(null)",
    "unknown",
    "undefined",
    "unbekannt",
    "inconnu",
    "not available",
    "not applicable",
    "not provided",
    "no email",
    "no phone",
    "noemail",
    "nophone",
    "anonymous",
    "guest",
    "tbd",
    "tba",
    "xxx",
];

/// Local parts and domain names that make an address up: `test@test.com`.
const MADE_UP: [&str; 12] =
    ["test", "none", "no", "na", "null", "noemail", "nomail", "noreply", "no-reply", "unknown", "abc", "email"];

/// How many equal digits no counter of customers reaches: 1111111.
const RUN: usize = 7;

/// Blocked values and patterns of one namespace, beside the built-in ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Blocked {
    /// As they were given.
    pub values: Vec<String>,
    /// `*` stands for any text, `?` for one character; without regard to case.
    pub patterns: Vec<String>,
    /// The values in the forms in which they are met.
    pub forms: BTreeSet<String>,
}

impl Blocked {
    /// Whether a value, trimmed or normalised, is one of them.
    pub fn contains(&self, value: &str) -> bool {
        if self.forms.is_empty() && self.patterns.is_empty() {
            return false;
        }
        let lower = value.to_lowercase();
        self.forms.contains(value)
            || self.forms.contains(&lower)
            || self.patterns.iter().any(|pattern| matches(&pattern.to_lowercase(), &lower))
    }
}

/// Whether a value, trimmed or normalised, is a built-in one.
pub fn is_built_in(value: &str) -> bool {
    if value.len() > 64 {
        return false;
    }
    let lower = value.to_lowercase();
    WORDS.contains(&lower.as_str()) || is_made_up(&lower) || is_one_digit(&lower)
}

/// `test@test.com`, `none@none.org`: the same word on both sides.
fn is_made_up(value: &str) -> bool {
    let Some((local, domain)) = value.split_once('@') else { return false };
    let name = domain.split('.').next().unwrap_or_default();
    MADE_UP.contains(&local) && (MADE_UP.contains(&name) && (local == name || local.starts_with("no")))
}

/// Zeros alone, or one digit so often that nobody counted up to it; with an area code or without.
fn is_one_digit(value: &str) -> bool {
    let plain = value.split(";ext=").next().unwrap_or_default();
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+')) {
        return false;
    }
    let digits: Vec<u8> = plain.bytes().filter(u8::is_ascii_digit).collect();
    let Some((last, _)) = digits.split_last() else { return false };
    let run = digits.iter().rev().take_while(|digit| *digit == last).count();
    // `0-0` is a key that somebody put together; `000-000-0000` is no number.
    let least = if digits.len() == plain.len() && *last == b'0' { 2 } else { RUN };
    let international = plain.starts_with('+') && run >= RUN && digits.len() - run <= 3;
    (run == digits.len() && run >= least) || international
}

/// Whether `text` has the form of `pattern`. Takes no longer than the product of the lengths.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == text.get(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                // The last star takes one character more.
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn built_in_values() {
        for nothing in [
            "n/a",
            "N/A",
            "none",
            "NULL",
            "Unknown",
            "test@test.com",
            "none@none.org",
            "no@email.com",
            "00",
            "0000000000",
            "000-000-0000",
            "1111111",
            "9999999999",
            "+15555555555",
            "+490000000000",
        ] {
            assert!(is_built_in(nothing), "{nothing}");
        }
        for something in [
            "jane@example.org",
            "0",
            "11",
            "1111",
            "555555",
            "+4930901820",
            "test@example.org",
            "jane@test.com",
            "0-0",
            "d1",
            "+49301111111",
            "nathan",
            "no@where.org",
            "",
        ] {
            assert!(!is_built_in(something), "{something}");
        }
    }

    #[test]
    fn a_tenants_own() {
        let blocked = Blocked {
            values: vec!["Info@Acme.example".to_owned()],
            patterns: vec!["*@Test.*".to_owned(), "demo-???".to_owned()],
            forms: ["info@acme.example".to_owned()].into(),
        };
        for nothing in ["INFO@acme.example", "info@acme.example", "jane@test.org", "DEMO-123"] {
            assert!(blocked.contains(nothing), "{nothing}");
        }
        for something in ["jane@acme.example", "jane@test", "demo-12", "demo-1234", ""] {
            assert!(!blocked.contains(something), "{something}");
        }
        assert!(!Blocked::default().contains("info@acme.example"));
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_was_made_of(text in "[ab*?]{0,12}", cut in 0usize..12) {
            prop_assert!(matches("*", &text));
            prop_assert!(matches(&"?".repeat(text.len()), &text));
            let cut = cut.min(text.len());
            let pattern = format!("{}*", &text[..cut].replace(['*', '?'], "?"));
            prop_assert!(matches(&pattern, &text));
        }
    }
}
