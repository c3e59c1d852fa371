//! Personal data at rest.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use terms::{CustomerId, Fault, Reason, Tenant};

/// Seals what is stored of a person, and makes the keys by which it can be looked up without being read.
///
/// Every column that holds personal data passes through here. The sealed form begins with a version byte; version 1
/// is the identity. A later version takes a key per customer, so that destroying the key erases the customer from
/// backups too; it needs no change of schema.
#[derive(Clone)]
pub struct Sealer {
    lookup: Arc<[u8]>,
}

/// The form that is written now.
const VERSION: u8 = 1;

impl Sealer {
    /// Seals under `lookup_key`: the secret behind the lookup keys. Lookups miss after it changes.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a key of less than 16 bytes.
    pub fn new(lookup_key: &[u8]) -> Result<Self, Fault> {
        if lookup_key.len() < 16 {
            let description = "is too short; give at least 16 bytes of random data";
            return Err(Fault::invalid("lookup_key", Reason::InvalidFields, description));
        }
        Ok(Self { lookup: lookup_key.into() })
    }

    /// A key that everybody knows: for development and tests.
    pub fn development() -> Self {
        Self { lookup: Arc::from(*b"rapport development lookup key, not a secret") }
    }

    /// Seals `plain`, which belongs to `customer`.
    pub fn seal(&self, _tenant: &Tenant, _customer: CustomerId, plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(1 + plain.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(plain);
        sealed
    }

    /// Opens what [`Sealer::seal`] made.
    ///
    /// # Errors
    /// [`Reason::Internal`] for bytes of an unknown form.
    pub fn open(&self, _tenant: &Tenant, _customer: CustomerId, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        match sealed.split_first() {
            Some((&VERSION, plain)) => Ok(plain.to_vec()),
            Some((version, _)) => Err(Fault::internal(format!("sealed bytes of unknown version {version}"))),
            None => Err(Fault::internal("sealed bytes are empty")),
        }
    }

    /// The key under which the normalised `value` of `namespace` is found: HMAC-SHA-256 (RFC 2104) over tenant,
    /// namespace and value, each with its length before it.
    pub fn lookup_key(&self, tenant: &Tenant, namespace: &str, value: &str) -> [u8; 32] {
        // HMAC takes keys of any length: this cannot fail.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.lookup) else { return [0; 32] };
        for part in [tenant.as_str(), namespace, value] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac.finalize().into_bytes().into()
    }

    /// A key by whose beginning a text is found by its own beginning: the key of every beginning of a text, of
    /// [`PREFIX`](Self::PREFIX) characters and more, begins the key of the text. Beyond [`Self::DEPTH`] characters
    /// texts have the same key; one of fewer characters than [`PREFIX`](Self::PREFIX) has a key that begins no other.
    ///
    /// 4 bytes of HMAC-SHA-256 over the first characters, then 2 bytes for each further one: SHA-256 over the rest of
    /// that HMAC, which is stored nowhere, and the text up to there. Whoever has the keys but not the secret learns which
    /// texts begin alike, and not how.
    pub fn prefix_key(&self, tenant: &Tenant, namespace: &str, text: &str) -> Vec<u8> {
        let ends = text.char_indices().map(|(i, c)| i + c.len_utf8()).take(Self::DEPTH);
        let mut further = ends.skip(Self::PREFIX - 1);
        let first = further.next().unwrap_or(text.len());
        let stem = self.lookup_key(tenant, namespace, &text[..first]);
        let (shown, secret) = stem.split_at(4);
        let mut key = shown.to_vec();
        for end in further {
            let digest = Sha256::new().chain_update(secret).chain_update(&text[..end]).finalize();
            key.extend_from_slice(&digest[..2]);
        }
        key
    }

    /// How many characters of a text its key begins with.
    pub const PREFIX: usize = 3;
    /// How many characters of a text its key tells apart.
    pub const DEPTH: usize = 16;
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terms::Id;

    #[test]
    fn sealed_and_opened() {
        let (sealer, tenant) = (Sealer::development(), "t".parse().unwrap());
        let customer = Id::from_uuid(uuid::Uuid::from_u128(7));
        let sealed = sealer.seal(&tenant, customer, b"jane");
        assert_eq!(sealed[0], 1);
        assert_eq!(sealer.open(&tenant, customer, &sealed).unwrap(), b"jane");
        for wrong in [&b""[..], &[9, 1, 2]] {
            assert_eq!(sealer.open(&tenant, customer, wrong).unwrap_err().reason(), Reason::Internal);
        }
    }

    #[test]
    fn a_text_is_found_by_its_beginning() {
        let (sealer, tenant): (_, Tenant) = (Sealer::development(), "t".parse().unwrap());
        let key = |text: &str| sealer.prefix_key(&tenant, "name", text);
        let whole = key("müllerström");
        assert_eq!(whole.len(), 4 + 2 * 8);
        for beginning in ["mül", "müll", "müllers"] {
            assert!(whole.starts_with(&key(beginning)), "{beginning}");
        }
        for other in ["mü", "mul", "muller", "müllet", "llers"] {
            assert!(!whole.starts_with(&key(other)), "{other}");
        }
        assert_eq!(key("abcdefghijklmnopqrs"), key("abcdefghijklmnop"));
        assert_eq!((key("").len(), key("ab").len(), key("abc").len()), (4, 4, 4));
        assert_ne!(sealer.prefix_key(&"u".parse().unwrap(), "name", "abc"), key("abc"));
        assert_ne!(sealer.prefix_key(&tenant, "mail", "abc"), key("abc"));
    }

    #[test]
    fn lookup_keys_differ_by_every_part() {
        let sealer = Sealer::development();
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let key = sealer.lookup_key(&a, "email", "x");
        assert_eq!(key, sealer.lookup_key(&a, "email", "x"));
        for other in [
            sealer.lookup_key(&b, "email", "x"),
            sealer.lookup_key(&a, "phone", "x"),
            sealer.lookup_key(&a, "email", "y"),
            sealer.lookup_key(&a, "emai", "lx"),
            Sealer::new(&[7; 32]).unwrap().lookup_key(&a, "email", "x"),
        ] {
            assert_ne!(key, other);
        }
        assert!(Sealer::new(b"short").is_err());
    }
}
