//! TypeIDs: a prefix that says what kind of thing it is, and a UUIDv7 in Crockford base32.
//!
//! Specification: TypeID 0.3.0. The text form is `prefix_` followed by 26 lower-case characters; the stored form is
//! the 16 bytes of the UUID. UUIDv7 sorts by time of creation, which keeps indexes dense.

use std::{fmt, hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::fault::{Fault, Reason};

/// Marks what an [`Id`] names.
pub trait IdKind: Send + Sync + 'static {
    /// The TypeID prefix, without the underscore.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {}
        impl IdKind for $name { const PREFIX: &'static str = $prefix; }
    )*};
}

kinds! {
    /// A customer: a person, a household or an organisation.
    Customer = "cust",
    /// A source record, as identity received it.
    Record = "rec",
    /// An interaction between a customer and the enterprise.
    Interaction = "int",
    /// What a customer told us.
    Statement = "stmt",
    /// A consent, granted or withdrawn.
    Consent = "cns",
    /// A boundary: what the customer will never accept.
    Boundary = "bnd",
    /// A promise made to a customer.
    Promise = "prm",
    /// One dialogue across channels.
    Conversation = "conv",
    /// A segment.
    Segment = "seg",
    /// A treatment: what can be done differently.
    Treatment = "trt",
    /// A touchpoint: where something must be chosen.
    Touchpoint = "tp",
    /// A decision, as logged.
    Decision = "dec",
    /// An experiment.
    Experiment = "exp",
    /// An outcome of a decision.
    Outcome = "out",
    /// A long-running operation.
    Operation = "op",
}

/// The id of a `K`. Ordered by time of creation.
pub struct Id<K: IdKind>(Uuid, PhantomData<fn() -> K>);

impl<K: IdKind> Id<K> {
    /// Wraps a UUID that was stored before.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The stored form.
    pub const fn uuid(self) -> Uuid {
        self.0
    }

    /// The 16 bytes of the UUID.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Parses an id that stands in the request field `field`.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] that names the field, the value's fault and the form that is expected.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|e: ParseIdError| Fault::invalid(field, Reason::InvalidFields, e.to_string()))
    }
}

/// Why a text is not an id of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an id of the form `{prefix}_` and 26 characters of 0-9, a-z without i, l, o and u")]
pub struct ParseIdError {
    prefix: &'static str,
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

const VALUES: [u8; 256] = {
    let mut values = [0xFF; 256];
    let mut i = 0;
    while i < ALPHABET.len() {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

impl<K: IdKind> FromStr for Id<K> {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let wrong = ParseIdError { prefix: K::PREFIX };
        let suffix = text.strip_prefix(K::PREFIX).and_then(|rest| rest.strip_prefix('_')).ok_or(wrong.clone())?;
        // 26 characters carry 130 bits: the first may only hold the top three.
        if suffix.len() != 26 || suffix.as_bytes()[0] > b'7' {
            return Err(wrong);
        }
        let mut number: u128 = 0;
        for &byte in suffix.as_bytes() {
            let value = VALUES[byte as usize];
            if value == 0xFF {
                return Err(wrong);
            }
            number = (number << 5) | u128::from(value);
        }
        Ok(Self::from_uuid(Uuid::from_u128(number)))
    }
}

impl<K: IdKind> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.as_u128();
        let mut text = [0u8; 26];
        for (i, byte) in text.iter_mut().enumerate() {
            *byte = ALPHABET[((number >> (125 - 5 * i)) & 31) as usize];
        }
        f.write_str(K::PREFIX)?;
        f.write_str("_")?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl<K: IdKind> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K: IdKind> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K: IdKind> Copy for Id<K> {}
impl<K: IdKind> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K: IdKind> Eq for Id<K> {}
impl<K: IdKind> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: IdKind> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K: IdKind> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: IdKind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K: IdKind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Marks the vectors of the specification.
    enum Prefix {}
    impl IdKind for Prefix {
        const PREFIX: &'static str = "prefix";
    }

    #[test]
    fn vectors_of_the_specification() {
        for (text, uuid) in [
            ("prefix_00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
            ("prefix_0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
            ("prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            ("prefix_0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
            ("prefix_01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
        ] {
            let id: Id<Prefix> = text.parse().unwrap();
            assert_eq!(id.uuid().to_string(), uuid);
            assert_eq!(id.to_string(), text);
        }
        for wrong in [
            "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz",
            "PREFIX_00000000000000000000000000",
            "prefix_1234567890123456789012345",
            "prefix_123456789012345678901234567",
            "prefix_0123456789ABCDEFGHJKMNPQRS",
            "other_00000000000000000000000000",
            "00000000000000000000000000",
            "prefix_ooooooooooooooooooooooilou",
            "",
        ] {
            assert!(wrong.parse::<Id<Prefix>>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(number: u128) {
            let id = Id::<Customer>::from_uuid(Uuid::from_u128(number));
            prop_assert_eq!(id.to_string().parse::<Id<Customer>>().unwrap(), id);
        }

        #[test]
        fn any_text_is_refused_without_panic(text in ".*") {
            let _ = text.parse::<Id<Customer>>();
        }
    }
}
