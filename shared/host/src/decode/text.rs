//! Texts: bounded, and without U+0000, which PostgreSQL cannot hold.

use terms::Fault;

use super::wrong;

/// A text of at most `most` characters; may be empty.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] for a longer one, or one with U+0000.
pub fn text(field: &str, text: String, most: usize) -> Result<String, Fault> {
    // No text has more characters than bytes: counting is for the long ones.
    if text.len() > most {
        let count = text.chars().count();
        if count > most {
            return Err(wrong(field, format!("has {count} characters; at most {most} are taken")));
        }
    }
    if text.as_bytes().contains(&0) {
        return Err(wrong(field, "contains the character U+0000"));
    }
    Ok(text)
}

/// A text of 1 to `most` characters, at least one of which is no white space.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn required_text(field: &str, value: String, most: usize) -> Result<String, Fault> {
    if value.trim().is_empty() {
        return Err(wrong(field, "is required"));
    }
    text(field, value, most)
}

/// A name that people write in rules: 1 to 63 characters of `a-z`, `0-9`, `-`, `_` and `.`, beginning with a letter.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn handle(field: &str, name: String) -> Result<String, Fault> {
    let fine = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'))
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if fine {
        return Ok(name);
    }
    Err(wrong(field, "is not a name: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, beginning with a letter"))
}

/// The namespace of an identifier: as [`handle`], but may begin with a digit.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn namespace(field: &str, name: String) -> Result<String, Fault> {
    let fine = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    if fine {
        Ok(name)
    } else {
        Err(wrong(field, "is not a namespace: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`"))
    }
}

/// An idempotency key: up to 128 visible ASCII characters; may be empty.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn request_id(field: &str, id: String) -> Result<String, Fault> {
    if id.len() <= 128 && id.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(id)
    } else {
        Err(wrong(field, "is at most 128 visible ASCII characters; a UUID is a good one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_by_characters() {
        assert!(text("f", "ééé".to_owned(), 3).is_ok());
        assert!(text("f", "éééé".to_owned(), 3).is_err());
        assert!(text("f", "a\0".to_owned(), 3).is_err());
        assert!(required_text("f", "  ".to_owned(), 3).is_err());
    }

    #[test]
    fn names() {
        for fine in ["a", "high-value", "vip.eu_1"] {
            assert!(handle("f", fine.to_owned()).is_ok(), "{fine}");
        }
        for bad in ["", "1a", "A", "a b", "é", &"a".repeat(64)] {
            assert!(handle("f", bad.to_owned()).is_err(), "{bad}");
        }
        assert!(namespace("f", "3rd-party".to_owned()).is_ok());
        assert!(request_id("f", "a b".to_owned()).is_err());
    }
}
