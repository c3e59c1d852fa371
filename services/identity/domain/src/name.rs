//! The syntax of names that callers choose: namespaces, sources, traits.

use terms::{Fault, Reason};

/// The longest name of a namespace or a source, in bytes.
pub const MAX_NAME: usize = 63;
/// The longest name of a trait, in bytes.
pub const MAX_TRAIT_NAME: usize = 128;

/// Checks the name of a namespace or a source: `[a-z0-9_.-]{1,63}`.
///
/// # Errors
/// [`Reason::InvalidFields`] that names `field` and the form that is expected.
pub fn check(field: &str, name: &str) -> Result<(), Fault> {
    if is_name(name) {
        return Ok(());
    }
    let problem = match name.len() {
        0 => "is empty; give",
        n if n > MAX_NAME => "is too long; give",
        _ => "is malformed; give",
    };
    Err(Fault::invalid(
        field,
        Reason::InvalidFields,
        format!("{problem} 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`"),
    ))
}

fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether `name` can name a trait: 1 to 128 ASCII letters, digits, `_`, `-` and `.`, beginning with a letter or `_`,
/// without an empty part between dots.
pub fn is_trait_name(name: &str) -> bool {
    (1..=MAX_TRAIT_NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.split('.').all(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for fine in ["email", "a", "3rd-party", "crm.eu-west_2", &"a".repeat(63)] {
            assert!(check("source", fine).is_ok(), "{fine}");
        }
        for wrong in ["", "Email", "a b", "é", "a/b", &"a".repeat(64)] {
            assert!(check("source", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn trait_names() {
        for fine in ["name", "address.city", "_x", "firstName", "a-b"] {
            assert!(is_trait_name(fine), "{fine}");
        }
        for wrong in ["", ".a", "a.", "a..b", "1a", "a b", "ä", &"a".repeat(129)] {
            assert!(!is_trait_name(wrong), "{wrong}");
        }
    }
}
