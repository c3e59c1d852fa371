//! The names in a client certificate: subject alternative names (DNS, URI, e-mail) and common names.
//!
//! TLS has verified the certificate before it comes here; this only finds the names, by walking the DER (X.690) of
//! RFC 5280. Anything unexpected ends the walk with the names found so far.

/// 2.5.4.3, the common name.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17, the subject alternative name.
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;

/// One element: its tag and its content; the rest stays in `bytes`.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let length = match first {
        short @ 0..0x80 => usize::from(short),
        long => {
            let count = usize::from(long & 0x7f);
            let (digits, tail) = rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            rest = tail;
            digits.iter().fold(0, |n, digit| (n << 8) | usize::from(*digit))
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((tag, content))
}

fn expect<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    next(bytes).filter(|(found, _)| *found == tag).map(|(_, content)| content)
}

/// The names in a certificate; none in what is no certificate.
pub(crate) fn names(der: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let _ = walk(der, &mut names);
    names
}

fn walk(mut der: &[u8], names: &mut Vec<String>) -> Option<()> {
    let mut certificate = expect(&mut der, SEQUENCE)?;
    let mut body = expect(&mut certificate, SEQUENCE)?;
    if body.first() == Some(&VERSION) {
        next(&mut body)?;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        next(&mut body)?;
    }
    let subject = expect(&mut body, SEQUENCE)?;
    // Public key; then unique ids may stand before the extensions.
    next(&mut body)?;
    while let Some((tag, content)) = next(&mut body) {
        if tag == EXTENSIONS {
            alternative_names(content, names);
        }
    }
    common_names(subject, names);
    Some(())
}

fn alternative_names(mut content: &[u8], names: &mut Vec<String>) -> Option<()> {
    let mut extensions = expect(&mut content, SEQUENCE)?;
    while let Some(mut extension) = expect(&mut extensions, SEQUENCE) {
        if expect(&mut extension, OBJECT)? != ALTERNATIVE_NAME {
            continue;
        }
        if extension.first() == Some(&BOOLEAN) {
            next(&mut extension)?;
        }
        let mut value = expect(&mut extension, OCTETS)?;
        let mut list = expect(&mut value, SEQUENCE)?;
        while let Some((tag, name)) = next(&mut list) {
            if matches!(tag, EMAIL | DNS | URI) {
                names.extend(text(name));
            }
        }
    }
    Some(())
}

fn common_names(mut subject: &[u8], names: &mut Vec<String>) -> Option<()> {
    while let Some(mut attributes) = expect(&mut subject, SET) {
        while let Some(mut attribute) = expect(&mut attributes, SEQUENCE) {
            if expect(&mut attribute, OBJECT)? == COMMON_NAME {
                names.extend(next(&mut attribute).and_then(|(_, name)| text(name)));
            }
        }
    }
    Some(())
}

/// A name in UTF-8 without control characters: one with a NUL in it could pass for another.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate() -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["checkout.example.org".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "checkout");
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.subject_alt_names.push(SanType::URI("spiffe://example.org/checkout".try_into().unwrap()));
        params.subject_alt_names.push(SanType::Rfc822Name("ops@example.org".try_into().unwrap()));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn every_name_is_found() {
        let mut found = names(&certificate());
        found.sort();
        assert_eq!(found, ["checkout", "checkout.example.org", "ops@example.org", "spiffe://example.org/checkout"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at in 0usize..400, byte: u8) {
            names(&bytes);
            let mut damaged = certificate();
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            names(&damaged);
            names(&damaged[..at.min(damaged.len())]);
        }
    }
}
