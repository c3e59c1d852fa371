//! One form for every way of writing the same identifier. Stores compare bytes, so this is where equality is decided.
//!
//! | normaliser | steps | sources |
//! |---|---|---|
//! | e-mail | trim; map and case-fold (UTS 46 "Map": NFKC and case folding); domain to ASCII; perhaps without plus tag | UTS 46, RFC 5321, RFC 5891 |
//! | phone | parse with the default region; E.164, and `;ext=` with an extension | ITU-T E.164, RFC 3966, libphonenumber |
//! | case fold | trim; UTS 46 "Map" | UTS 46 |
//! | digits | trim; NFKC; ASCII digits alone | UAX 15 |
//! | opaque | trim; NFC; case is kept | UAX 15 |

use icu_normalizer::{ComposingNormalizerBorrowed, uts46::Uts46MapperBorrowed};
use rlibphonenumber::{NumberLengthType, PhoneNumber, PhoneNumberFormat, enums::Region};
use terms::{Fault, Identifier, Reason, Violations};

use crate::{
    name,
    policy::{Normaliser, Policy, Rules, blocked},
};

/// The longest identifier value, in bytes of UTF-8.
pub const MAX_VALUE: usize = 512;

/// Checks an identifier and gives it with its normalised value. Normalising twice changes nothing.
///
/// # Errors
/// [`Reason::InvalidFields`] for `namespace`, `value` or both, with what to do; never with the value.
/// [`Reason::NamespaceUnknown`] where the policy does not take the namespace.
pub fn normalise(namespace: &str, value: &str, policy: &Policy) -> Result<Identifier, Fault> {
    let (identifier, _) = read(namespace, value, policy)?;
    match identifier {
        Some(identifier) => Ok(identifier),
        // It proves nothing, and nobody has it; a look-up must not fail for that.
        None => Ok(Identifier { namespace: namespace.to_owned(), value: value.trim().to_owned() }),
    }
}

/// The same for a claim; `None` where the value is blocked: `n/a`, `test@test.com`. Gives the rules as well.
///
/// # Errors
/// Those of [`normalise`].
pub fn read<'p>(namespace: &str, value: &str, policy: &'p Policy) -> Result<(Option<Identifier>, &'p Rules), Fault> {
    let mut wrong = Violations::new();
    let named = wrong.take(name::check("namespace", namespace)).is_some();
    let rules = policy.rules(namespace);
    if named && rules.is_none() {
        wrong.absorb(unknown(namespace));
    }
    let any = Rules::default();
    let value = wrong.take(claimed(value, rules.unwrap_or(&any), policy.default_region));
    wrong.done()?;
    let (Some(value), Some(rules)) = (value, rules) else { return Err(Fault::internal("a checked value is missing")) };
    Ok((value.map(|value| Identifier { namespace: namespace.to_owned(), value }), rules))
}

fn unknown(namespace: &str) -> Fault {
    let advice = "is not declared in the identity policy, which takes no others; declare it, or give one that is";
    Fault::invalid("namespace", Reason::NamespaceUnknown, advice).with("namespace", namespace)
}

/// The normal form of a value; `None` where it is blocked, as given or in its normal form.
fn claimed(value: &str, rules: &Rules, region: Option<Region>) -> Result<Option<String>, Fault> {
    let is_blocked = |value: &str| blocked::is_built_in(value) || rules.blocked.contains(value);
    if value.len() <= MAX_VALUE && is_blocked(value.trim()) {
        return Ok(None);
    }
    let normal = normal_form(value, rules, region)?;
    Ok(Some(normal).filter(|normal| !is_blocked(normal)))
}

/// The normal form of a value.
///
/// # Errors
/// [`Reason::InvalidFields`] for `value`.
pub fn normal_form(value: &str, rules: &Rules, region: Option<Region>) -> Result<String, Fault> {
    let trimmed = value.trim();
    if trimmed.is_empty() {
        return Err(wrong("is empty; give 1 to 512 bytes of UTF-8"));
    }
    if value.len() > MAX_VALUE {
        return Err(wrong("is too long; give 1 to 512 bytes of UTF-8"));
    }
    if trimmed.chars().any(char::is_control) {
        return Err(wrong("holds a control character; remove it"));
    }
    let normalised = match rules.normaliser {
        Normaliser::Email => email(trimmed, rules.strip_plus_tag)?,
        Normaliser::Phone => phone(trimmed, region)?,
        Normaliser::CaseFold => fold(trimmed)?,
        Normaliser::Digits => digits(trimmed)?,
        Normaliser::Opaque => ComposingNormalizerBorrowed::new_nfc().normalize(trimmed).into_owned(),
    };
    // Normal forms can be longer than what they come from.
    if normalised.len() > MAX_VALUE {
        return Err(wrong("is too long in its normal form; give 1 to 512 bytes of UTF-8"));
    }
    Ok(normalised)
}

fn fold(value: &str) -> Result<String, Fault> {
    let mapped: String = Uts46MapperBorrowed::new().map_normalize(value.chars()).collect();
    let mapped = mapped.trim();
    if mapped.is_empty() || mapped.contains(char::REPLACEMENT_CHARACTER) {
        return Err(wrong("holds characters that no text has; give letters, digits and signs"));
    }
    Ok(mapped.to_owned())
}

fn digits(value: &str) -> Result<String, Fault> {
    let normal = ComposingNormalizerBorrowed::new_nfkc().normalize(value);
    let digits: String = normal.chars().filter(char::is_ascii_digit).collect();
    if digits.is_empty() { Err(wrong("holds no digit; give at least one")) } else { Ok(digits) }
}

fn email(value: &str, strip_plus_tag: bool) -> Result<String, Fault> {
    let not_an_address = || wrong("is not an e-mail address; give one of the form name@example.org");
    let mapped: String = if value.is_ascii() {
        value.to_ascii_lowercase()
    } else {
        Uts46MapperBorrowed::new().map_normalize(value.chars()).collect()
    };
    let (local, domain) = mapped.rsplit_once('@').ok_or_else(not_an_address)?;
    let forbidden = |c: char| c.is_whitespace() || c == '@' || c == char::REPLACEMENT_CHARACTER;
    if local.is_empty() || local.contains(forbidden) {
        return Err(not_an_address());
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let domain =
        idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::URL).map_err(|_| not_an_address())?;
    if domain.len() > 253 || domain.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(not_an_address());
    }
    let local = match local.split_once('+') {
        Some((name, _)) if strip_plus_tag && !name.is_empty() => name,
        _ => local,
    };
    Ok(format!("{local}@{domain}"))
}

fn phone(value: &str, region: Option<Region>) -> Result<String, Fault> {
    let number = PhoneNumber::parse(value, region).map_err(|_| match region {
        Some(_) => wrong("is not a phone number; give one with its country code, as in +49 30 901820"),
        None => wrong(
            "is not a phone number with a country code; give one as in +49 30 901820, or configure a default region",
        ),
    })?;
    if !matches!(number.is_possible_with_reason(), Ok(NumberLengthType::IsPossible)) {
        return Err(wrong("has too few or too many digits for its country; check the number and its country code"));
    }
    let e164 = number.format_as(PhoneNumberFormat::E164);
    // Behind one switchboard sit many people: the extension is part of the identifier.
    Ok(match number.extension.as_deref() {
        Some(extension) if !extension.is_empty() => format!("{e164};ext={extension}"),
        _ => e164.into_owned(),
    })
}

fn wrong(description: &str) -> Fault {
    Fault::invalid("value", Reason::InvalidFields, description)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        Policy::shipped(Some(Policy::region("DE").unwrap()), false)
    }

    fn value(namespace: &str, value: &str) -> Option<String> {
        normalise(namespace, value, &policy()).ok().map(|i| i.value)
    }

    #[test]
    fn emails() {
        for (given, normal) in [
            (" Jane.Doe@Example.ORG ", "jane.doe@example.org"),
            ("jane+news@example.org", "jane+news@example.org"),
            ("ＪＡＮＥ＠ｅｘａｍｐｌｅ．ｏｒｇ", "jane@example.org"),
            ("jane@MÜNCHEN.example", "jane@xn--mnchen-3ya.example"),
            ("jane@xn--mnchen-3ya.example", "jane@xn--mnchen-3ya.example"),
            ("jane@mu\u{308}nchen.example", "jane@xn--mnchen-3ya.example"),
            ("JOSÉ@example.org", "josé@example.org"),
            ("jose\u{301}@example.org", "josé@example.org"),
            ("ΟΔΟΣ@example.gr", "οδοσ@example.gr"),
            ("jane@example.org.", "jane@example.org"),
            ("root@localhost", "root@localhost"),
        ] {
            assert_eq!(value("email", given).as_deref(), Some(normal), "{given}");
        }
        for wrong in [
            "",
            "   ",
            "jane",
            "@example.org",
            "jane@",
            "ja ne@example.org",
            "a@b@c.org",
            "jane@exa mple.org",
            "j@a..b",
        ] {
            assert_eq!(value("email", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn plus_tags_go_only_where_policy_says_so() {
        let policy = Policy::shipped(None, true);
        assert_eq!(normalise("email", "Jane+news@example.org", &policy).unwrap().value, "jane@example.org");
        assert_eq!(normalise("email", "+news@example.org", &policy).unwrap().value, "+news@example.org");
    }

    #[test]
    fn phones() {
        for (given, normal) in [
            ("+49 30 901820", "+4930901820"),
            ("030 / 90 18 20", "+4930901820"),
            ("0049 30 901820", "+4930901820"),
            ("(030) 901-820", "+4930901820"),
            ("tel:+49-30-901820", "+4930901820"),
            ("+1 (212) 555-0123", "+12125550123"),
            ("+1 212 555 0123 ext. 45", "+12125550123;ext=45"),
            ("+39 06 698 12345", "+390669812345"),
        ] {
            assert_eq!(value("phone", given).as_deref(), Some(normal), "{given}");
        }
        for wrong in ["12", "+999 123456789", "+49 1", "hello", "+4930901820901820901820"] {
            assert_eq!(value("phone", wrong), None, "{wrong}");
        }
        let homeless = Policy::default();
        assert!(normalise("phone", "+49 30 901820", &homeless).is_ok());
        let fault = normalise("phone", "030 901820", &homeless).unwrap_err();
        assert!(fault.message().contains("default region"), "{fault}");
    }

    #[test]
    fn other_namespaces_keep_their_case() {
        assert_eq!(value("loyalty_card", " AbC-1 ").as_deref(), Some("AbC-1"));
        assert_eq!(value("nickname", "Ame\u{301}lie").as_deref(), Some("Amélie"));
        assert_eq!(value("crm", "a\0b"), None);
        assert_eq!(value("crm", &"x".repeat(513)), None);
        assert_eq!(value("CRM", "x"), None);
    }

    #[test]
    fn a_declared_namespace_has_the_normaliser_that_it_names() {
        let mut policy = policy();
        for (name, normaliser) in
            [("fold", Normaliser::CaseFold), ("number", Normaliser::Digits), ("phone", Normaliser::Opaque)]
        {
            policy.namespaces.insert(name.to_owned(), Rules { normaliser, ..Rules::default() });
        }
        let value = |namespace: &str, value: &str| normalise(namespace, value, &policy).ok().map(|i| i.value);
        assert_eq!(value("fold", " ＡbC Straße").as_deref(), Some("abc straße"));
        assert_eq!(value("number", "DE 12-34 ５").as_deref(), Some("12345"));
        assert_eq!(value("number", "none at all"), None);
        assert_eq!(value("phone", "030 1").as_deref(), Some("030 1"));
    }

    #[test]
    fn blocked_values_are_told_apart_from_wrong_ones() {
        let claim = |namespace: &str, value: &str| read(namespace, value, &policy()).map(|(known, _)| known.is_some());
        for (namespace, value) in
            [("email", "n/a"), ("phone", "0000000000"), ("crm", "Unknown"), ("email", "TEST@test.com")]
        {
            assert!(!claim(namespace, value).unwrap(), "{value}");
        }
        assert!(claim("email", "jane").is_err() && claim("crm", "7").unwrap());
    }

    #[test]
    fn a_namespace_that_is_not_taken_is_named() {
        let policy = Policy { allow_undeclared: false, ..policy() };
        assert!(normalise("email", "jane@example.org", &policy).is_ok());
        let fault = normalise("crm", "7", &policy).unwrap_err();
        assert_eq!((fault.reason(), fault.violations()[0].field.as_str()), (Reason::NamespaceUnknown, "namespace"));
    }

    #[test]
    fn every_wrong_field_is_told_and_no_value() {
        let fault = normalise("E-Mail", "se\u{7}cret", &policy()).unwrap_err();
        let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["namespace", "value"]);
        assert!(!fault.message().contains("cret"));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(
            namespace in prop::sample::select(vec!["email", "phone", "crm"]),
            text in "\\PC{0,20}(@\\PC{1,12})?|[+0-9 ()/-]{3,16}",
        ) {
            if let Ok(once) = normalise(namespace, &text, &policy()) {
                let twice = normalise(namespace, &once.value, &policy());
                prop_assert_eq!(twice.ok(), Some(once));
            }
        }
    }
}
