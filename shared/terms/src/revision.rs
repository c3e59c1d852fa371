//! Read your writes, across services and caches.
//!
//! A write answers with the [`Revision`] that contains it; a read that carries the revision waits until what it reads
//! from has caught up. Opaque to callers; inside, a small vector: (service, partition) → [`Position`] in that
//! service's change feed.

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{customer::PARTITIONS, fault::Fault, fault::Reason};

/// The four services, by the place that they have in tokens, feeds and scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Who is this?
    Identity = 1,
    /// What was said?
    Interaction = 2,
    /// What is this customer worth, what do they need?
    Segmentation = 3,
    /// What do we do differently?
    Customization = 4,
}

impl Service {
    /// All four, in the order in which changes travel.
    pub const ALL: [Self; 4] = [Self::Identity, Self::Interaction, Self::Segmentation, Self::Customization];

    /// The name in packages, schemas and scopes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Interaction => "interaction",
            Self::Segmentation => "segmentation",
            Self::Customization => "customization",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|s| *s as u8 == code)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = UnknownService;
    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::ALL.into_iter().find(|s| s.name() == text).ok_or(UnknownService)
    }
}

/// A text that names no service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is none of identity, interaction, segmentation, customization")]
pub struct UnknownService;

/// A place in a service's change feed: the writing transaction, then the order within it.
///
/// Sequences commit out of order on PostgreSQL; transaction ids bounded by the oldest running one do not. On SQLite
/// `xid` is 0 and `seq` alone orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The id of the writing transaction.
    pub xid: i64,
    /// The entry's sequence number.
    pub seq: i64,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { xid: 0, seq: 0 };
}

/// What a state contains: for each feed partition, up to where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Revision(BTreeMap<(Service, u16), Position>);

impl Revision {
    /// Contains nothing; every state covers it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Contains one partition up to `position`.
    pub fn at(service: Service, partition: u16, position: Position) -> Self {
        Self(BTreeMap::from([((service, partition), position)]))
    }

    /// Whether it demands nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `position`, if it is later than what is known of its partition.
    pub fn raise(&mut self, service: Service, partition: u16, position: Position) {
        let known = self.0.entry((service, partition)).or_default();
        *known = (*known).max(position);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (&(service, partition), &position) in &other.0 {
            self.raise(service, partition, position);
        }
    }

    /// Up to where `partition` of `service` is contained.
    pub fn position(&self, service: Service, partition: u16) -> Option<Position> {
        self.0.get(&(service, partition)).copied()
    }

    /// What is contained of `service`.
    pub fn of(&self, service: Service) -> impl Iterator<Item = (u16, Position)> + '_ {
        self.0.range((service, 0)..=(service, u16::MAX)).map(|(&(_, partition), &position)| (partition, position))
    }

    /// Everything that is contained.
    pub fn iter(&self) -> impl Iterator<Item = (Service, u16, Position)> + '_ {
        self.0.iter().map(|(&(service, partition), &position)| (service, partition, position))
    }

    /// Whether a state at this revision shows every write that `demanded` contains.
    pub fn covers(&self, demanded: &Self) -> bool {
        demanded.0.iter().all(|(key, position)| self.0.get(key).is_some_and(|known| known >= position))
    }

    /// The same, for what `demanded` says of one service alone.
    pub fn covers_of(&self, service: Service, demanded: &Self) -> bool {
        demanded.of(service).all(|(p, position)| self.position(service, p).is_some_and(|known| known >= position))
    }

    /// Reads the request field `field`; an empty text demands nothing.
    ///
    /// # Errors
    /// [`Reason::RevisionInvalid`] for a text that no write returned.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        text.parse().map_err(|e: ParseRevisionError| Fault::invalid(field, Reason::RevisionInvalid, e.to_string()))
    }

    /// The stored form: a version byte, then for each entry service, partition, xid and seq.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.0.len() * 12);
        bytes.push(1);
        for (&(service, partition), position) in &self.0 {
            bytes.push(service as u8);
            put(&mut bytes, u64::from(partition));
            put(&mut bytes, position.xid.cast_unsigned());
            put(&mut bytes, position.seq.cast_unsigned());
        }
        bytes
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the bytes are not of that form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParseRevisionError> {
        let Some((1, mut rest)) = bytes.split_first() else {
            return Err(ParseRevisionError);
        };
        let mut revision = Self::new();
        while let Some((&code, tail)) = rest.split_first() {
            rest = tail;
            let service = Service::from_code(code).ok_or(ParseRevisionError)?;
            let partition = take(&mut rest)?;
            let partition = u16::try_from(partition).ok().filter(|p| *p < PARTITIONS).ok_or(ParseRevisionError)?;
            let position = Position { xid: take(&mut rest)?.cast_signed(), seq: take(&mut rest)?.cast_signed() };
            revision.raise(service, partition, position);
        }
        Ok(revision)
    }
}

/// A text or bytes that are no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a revision; pass one on just as a write returned it")]
pub struct ParseRevisionError;

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { Ok(()) } else { f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(self.to_bytes())) }
    }
}

impl FromStr for Revision {
    type Err = ParseRevisionError;

    fn from_str(text: &str) -> Result<Self, ParseRevisionError> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        Self::from_bytes(&BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ParseRevisionError)?)
    }
}

/// LEB128.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Result<u64, ParseRevisionError> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(ParseRevisionError)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(ParseRevisionError)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn revisions() -> impl Strategy<Value = Revision> {
        prop::collection::vec((0usize..4, 0..PARTITIONS, any::<i64>(), any::<i64>()), 0..6).prop_map(|entries| {
            let mut revision = Revision::new();
            for (service, partition, xid, seq) in entries {
                revision.raise(Service::ALL[service], partition, Position { xid: xid & i64::MAX, seq: seq & i64::MAX });
            }
            revision
        })
    }

    proptest! {
        #[test]
        fn text_and_back(revision in revisions()) {
            prop_assert_eq!(revision.to_string().parse::<Revision>().unwrap(), revision);
        }

        #[test]
        fn a_merge_covers_both(a in revisions(), b in revisions()) {
            let mut both = a.clone();
            both.merge(&b);
            prop_assert!(both.covers(&a) && both.covers(&b));
            prop_assert_eq!(a.covers(&b), { let mut c = a.clone(); c.merge(&b); c == a });
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes: Vec<u8>, text in ".*") {
            let _ = Revision::from_bytes(&bytes);
            let _ = text.parse::<Revision>();
        }
    }
}
