//! Sections of a profile, and the port to the services that own them.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use terms::{CustomerId, Fault, Position, Revision, Service, Tenant, partition};

/// A part of a profile, written by one service alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    /// Id, traits, identifiers, confidence.
    Identity = 0,
    /// Permissions, boundaries, statements, promises, counters.
    Interaction = 1,
    /// Memberships, value, needs.
    Segmentation = 2,
}

impl Section {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Identity, Self::Interaction, Self::Segmentation];

    /// The service that owns it.
    pub const fn service(self) -> Service {
        match self {
            Self::Identity => Service::Identity,
            Self::Interaction => Service::Interaction,
            Self::Segmentation => Service::Segmentation,
        }
    }

    /// The section that `service` owns; customization owns none.
    pub const fn of(service: Service) -> Option<Self> {
        match service {
            Service::Identity => Some(Self::Identity),
            Service::Interaction => Some(Self::Interaction),
            Service::Segmentation => Some(Self::Segmentation),
            Service::Customization => None,
        }
    }

    /// Whose changes show in it: the owner's, and of those whom the owner follows for its content.
    const fn sources(self) -> &'static [Self] {
        match self {
            Self::Identity => &[Self::Identity],
            Self::Interaction => &[Self::Interaction],
            Self::Segmentation => &Self::ALL,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service().name())
    }
}

/// A section as its owner read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// What the owner's state contained before it read: every change up to here shows.
    pub revision: Revision,
    /// The newest entry of the owner's feed in the customer's partition that shows, if there is any: what followers of
    /// the feed reach.
    pub version: Option<Position>,
    /// The section's protobuf message, `rapport.profile.v1.<Section>Section`.
    pub bytes: Bytes,
}

/// The owners of the sections.
#[async_trait]
pub trait Sections: Send + Sync + 'static {
    /// Reads one section from its owner. What comes back shows every write that was acknowledged before the call, and
    /// everything that `at_least` contains.
    ///
    /// # Errors
    /// [`terms::Reason::CustomerNotFound`] and [`terms::Reason::CustomerErased`] by identity,
    /// [`terms::Reason::RevisionNotReached`], [`terms::Reason::PeerUnavailable`].
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        at_least: &Revision,
    ) -> Result<Versioned, Fault>;
}

/// What a reader makes of the sections.
pub trait FromSections: Send + Sync + Sized + 'static {
    /// Whom the identity section describes: the survivor, if the customer that was asked for was merged away.
    ///
    /// # Errors
    /// When the bytes are no identity section.
    fn customer(identity: &[u8]) -> Result<CustomerId, Fault>;

    /// Decodes the three sections of `customer`.
    ///
    /// # Errors
    /// When the bytes are not what they should be.
    fn from_sections(tenant: &Tenant, customer: CustomerId, sections: &SectionSet) -> Result<Self, Fault>;
}

/// The three sections of one customer.
#[derive(Debug, Clone)]
pub struct SectionSet {
    pub(crate) partition: u16,
    pub(crate) held: [Option<Held>; 3],
}

impl SectionSet {
    /// The section's protobuf message; empty if it is missing.
    pub fn bytes(&self, section: Section) -> Bytes {
        self.held[section.index()].as_ref().map_or_else(Bytes::new, |held| held.bytes.clone())
    }

    /// Whether the section could not be read. Only in [`Profiles::get_partial`](crate::Profiles::get_partial).
    pub fn is_missing(&self, section: Section) -> bool {
        self.held[section.index()].is_none()
    }

    /// What the sections show together, in the customer's partition.
    pub fn revision(&self) -> Revision {
        let mut all = Stamp::default();
        self.held.iter().flatten().for_each(|held| all.merge(&held.stamp));
        all.revision(self.partition)
    }
}

/// A section as a cache holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) stamp: Stamp,
    pub(crate) bytes: Bytes,
}

impl Held {
    pub(crate) fn new(versioned: Versioned, partition: u16) -> Self {
        Self { stamp: Stamp::of(&versioned.revision, partition), bytes: versioned.bytes }
    }

    /// Whether it may answer for `section`: not older than its mark, and showing what is demanded.
    pub(crate) fn answers(&self, section: Section, marks: &Stamp, demand: &Stamp) -> bool {
        self.stamp.at(section) >= marks.at(section) && self.stamp.shows(section, demand)
    }
}

/// A revision cut to one customer's partition: one position for each section's service. [`Position::START`] where
/// nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) [Position; 3]);

impl Stamp {
    pub(crate) fn of(revision: &Revision, partition: u16) -> Self {
        Self(Section::ALL.map(|s| revision.position(s.service(), partition).unwrap_or_default()))
    }

    pub(crate) fn of_customer(revision: &Revision, tenant: &Tenant, customer: CustomerId) -> Self {
        if revision.is_empty() { Self::default() } else { Self::of(revision, partition(tenant, customer)) }
    }

    pub(crate) fn at(&self, section: Section) -> Position {
        self.0[section.index()]
    }

    pub(crate) fn raise(&mut self, section: Section, to: Position) {
        let known = &mut self.0[section.index()];
        *known = (*known).max(to);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for section in Section::ALL {
            self.raise(section, other.at(section));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a section with this stamp shows everything in `demand` that could show in it.
    pub(crate) fn shows(&self, section: Section, demand: &Self) -> bool {
        section.sources().iter().all(|source| self.at(*source) >= demand.at(*source))
    }

    pub(crate) fn revision(&self, partition: u16) -> Revision {
        let mut revision = Revision::new();
        for section in Section::ALL {
            if self.at(section) > Position::START {
                revision.raise(section.service(), partition, self.at(section));
            }
        }
        revision
    }
}

/// Whose profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: Tenant,
    pub(crate) customer: CustomerId,
}

impl Key {
    pub(crate) fn new(tenant: &Tenant, customer: CustomerId) -> Self {
        Self { tenant: tenant.clone(), customer }
    }

    pub(crate) fn partition(&self) -> u16 {
        partition(&self.tenant, self.customer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seq: i64) -> Position {
        Position { xid: 0, seq }
    }

    #[test]
    fn a_section_answers_for_its_own_sources_alone() {
        let stamp = Stamp([at(3), at(5), at(2)]);
        assert!(stamp.shows(Section::Identity, &Stamp([at(3), at(9), at(9)])));
        assert!(stamp.shows(Section::Interaction, &Stamp([at(9), at(5), at(9)])));
        assert!(stamp.shows(Section::Segmentation, &Stamp([at(3), at(5), at(2)])));
        assert!(!stamp.shows(Section::Segmentation, &Stamp([at(3), at(6), at(2)])));
    }

    #[test]
    fn other_partitions_say_nothing() {
        let mut revision = Revision::at(Service::Interaction, 7, at(4));
        revision.raise(Service::Interaction, 8, at(90));
        revision.raise(Service::Customization, 7, at(90));
        let stamp = Stamp::of(&revision, 7);
        assert_eq!(stamp, Stamp([Position::START, at(4), Position::START]));
        assert_eq!(stamp.revision(7), Revision::at(Service::Interaction, 7, at(4)));
    }
}
