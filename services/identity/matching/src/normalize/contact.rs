//! E-mail addresses, phone numbers, identifiers, gender, and what else is compared as text.

use super::text::{digits, fold, words};
use crate::record::Identifier;

/// An e-mail address, folded, without a display name and angle brackets; `None` without an `@`.
pub fn email(text: &str) -> Option<String> {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    let folded = fold(inner.trim());
    let (local, domain) = folded.rsplit_once('@')?;
    // What follows a plus is for sorting mail.
    let local = local.split_once('+').map_or(local, |(name, _)| name);
    (!local.is_empty() && !domain.is_empty()).then(|| format!("{local}@{domain}"))
}

/// The digits of a phone number, without an international prefix `00` or a national `0` before it. Country codes are
/// left in place: comparing looks at the end of the number. `None` for fewer than six digits, or one digit repeated.
pub fn phone(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    let number = text.split_once("ext").map_or(text.as_str(), |(number, _)| number);
    let all = digits(number);
    let significant = all.trim_start_matches('0');
    let filler = significant.bytes().all(|b| Some(b) == significant.bytes().next());
    (significant.len() >= 6 && !filler).then(|| significant.to_owned())
}

/// Namespace and value of an identifier: letters and digits alone. `None` for fillers such as `000000` or `n/a`.
pub fn identifier(identifier: &Identifier) -> Option<(String, String)> {
    let value = words(&identifier.value).concat();
    let filler = value.bytes().all(|b| Some(b) == value.bytes().next());
    let word = matches!(value.as_str(), "na" | "none" | "null" | "unknown" | "nil" | "tba");
    (value.len() >= 3 && !filler && !word).then(|| (fold(identifier.namespace.trim()), value))
}

/// 1 female, 2 male, 3 another; 0 unknown.
pub fn gender(text: &str) -> u8 {
    match fold(text.trim()).as_str() {
        "f" | "female" | "w" | "woman" | "weiblich" => 1,
        "m" | "male" | "man" | "mannlich" => 2,
        "x" | "d" | "nonbinary" | "non-binary" | "diverse" | "divers" | "other" => 3,
        _ => 0,
    }
}

/// The name of an organisation: words without legal forms.
pub fn organisation(text: &str) -> String {
    const FORMS: [&str; 22] = [
        "inc",
        "incorporated",
        "llc",
        "ltd",
        "limited",
        "corp",
        "corporation",
        "co",
        "company",
        "plc",
        "gmbh",
        "ag",
        "kg",
        "sa",
        "srl",
        "spa",
        "bv",
        "nv",
        "pty",
        "pte",
        "the",
        "and",
    ];
    let all = words(text);
    let kept: Vec<&str> = all.iter().map(String::as_str).filter(|word| !FORMS.contains(word)).collect();
    if kept.is_empty() { all.join(" ") } else { kept.join(" ") }
}

/// Any other text: folded words.
pub fn text(value: &str) -> String {
    words(value).join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        assert_eq!(email("\"Jay Jones\" <JJones@Fmail.com>").as_deref(), Some("jjones@fmail.com"));
        assert_eq!(email("a.b+news@x.org ").as_deref(), Some("a.b@x.org"));
        assert_eq!(email("nobody"), None);
    }

    #[test]
    fn phones() {
        assert_eq!(phone("(702) 919-1300").as_deref(), Some("7029191300"));
        assert_eq!(phone("+39 0352 6553537").as_deref(), Some("3903526553537"));
        assert_eq!(phone("0352 6553537").as_deref(), Some("3526553537"));
        assert_eq!(phone("000 000 000"), None);
        assert_eq!(phone("12"), None);
    }

    #[test]
    fn identifiers_and_fillers() {
        let id = |value: &str| Identifier { namespace: "SSN".into(), value: value.into(), verified_unique: false };
        assert_eq!(identifier(&id("294-66-9999")), Some(("ssn".into(), "294669999".into())));
        assert_eq!(identifier(&id("000-00-0000")), None);
        assert_eq!(identifier(&id("n/a")), None);
    }

    #[test]
    fn organisations_lose_their_legal_form() {
        assert_eq!(organisation("Universal Exports, Inc."), "universal exports");
        assert_eq!(organisation("The Company"), "the company");
    }
}
