//! What a store reads before a batch of news is taken in, and what it writes afterwards.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use terms::{CustomerId, Position, Timestamp};
use uuid::Uuid;

use crate::{
    facts::{Attributes, Facts},
    lineage::{Lineage, Link},
    membership::{Memberships, Transition},
    news::{Address, Event, InteractionId, News, Statement, StatementId, What},
    ruleset::Ruleset,
    segment::SegmentId,
};

/// One id of a customer: where it leads, and what is known under it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Subject {
    /// Who has what arrives for this id; `None`: itself. Always the last of a chain.
    pub survivor: Option<CustomerId>,
    /// The entry of identity's feed that last changed the attributes.
    pub changed_at: Position,
    /// Whether the customer was erased: nothing about it is kept, now or later.
    pub erased: bool,
    /// Golden traits, and `kind`.
    pub attributes: Arc<Attributes>,
    /// When memberships may next change by the clock alone.
    pub next_due: Option<Timestamp>,
    /// When memberships were last computed.
    pub settled_at: Timestamp,
    /// Rises whenever facts or memberships change.
    pub version: i64,
}

impl Subject {
    /// Whether it is a customer of its own.
    pub fn lives(&self) -> bool {
        self.survivor.is_none() && !self.erased
    }
}

/// A subject with what was read of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Person {
    /// The subject.
    pub subject: Subject,
    /// Whether the store has it already.
    pub stored: bool,
    /// Facts; `None` where [`View::involved`] did not ask for them.
    pub facts: Option<Facts>,
    /// Memberships; empty where facts were not read.
    pub memberships: Memberships,
}

/// What is read for a batch of news of one tenant.
#[derive(Debug, Default)]
pub struct View {
    /// By id.
    pub people: BTreeMap<CustomerId, Person>,
    /// Of the interactions in the news ([`View::events`]), those that are stored already.
    pub known_events: HashMap<InteractionId, Address>,
    /// Of the statements in the news ([`View::statements`]), those that are stored already.
    pub known_statements: HashMap<StatementId, Address>,
    /// Of both, those that are not stored yet and were moved already.
    pub forwards: HashMap<Uuid, Address>,
    /// The merges and splits of those whom news of merges and splits name ([`View::relinked`]), and of all who are
    /// connected with them.
    pub lineage: Lineage,
}

impl View {
    /// The interactions that news name: new ones, and those that move.
    pub fn events(news: &[News]) -> BTreeSet<InteractionId> {
        let mut ids = BTreeSet::new();
        for n in news {
            match &n.what {
                What::Interaction { event, .. } => ids.extend([event.id]),
                What::Moved { interactions, .. } => ids.extend(interactions),
                _ => {}
            }
        }
        ids
    }

    /// The statements that news name.
    pub fn statements(news: &[News]) -> BTreeSet<StatementId> {
        let mut ids = BTreeSet::new();
        for n in news {
            match &n.what {
                What::Statement { statement, .. } => ids.extend([statement.id]),
                What::Moved { statements, .. } => ids.extend(statements),
                _ => {}
            }
        }
        ids
    }

    /// Whose lineage to read: those whom merges and splits name.
    pub fn relinked(news: &[News]) -> BTreeSet<CustomerId> {
        let links = news.iter().filter(|n| matches!(n.what, What::Merged { .. } | What::Split { .. }));
        links.flat_map(|n| n.what.ids()).collect()
    }

    /// Whose subjects to read first: everybody whom the news name, to whom what is known was addressed, and who is
    /// connected with those who merge and split.
    pub fn mentioned(&self, news: &[News]) -> BTreeSet<CustomerId> {
        let named = news.iter().flat_map(|n| n.what.ids());
        let known = self.known_events.values().chain(self.known_statements.values()).chain(self.forwards.values());
        named.chain(known.map(|address| address.id)).chain(self.lineage.ids().iter().copied()).collect()
    }

    /// Whose subjects to read next: survivors that have not been read yet.
    pub fn survivors(&self) -> BTreeSet<CustomerId> {
        let survivors = self.people.values().filter_map(|p| p.subject.survivor);
        survivors.filter(|id| !self.people.contains_key(id)).collect()
    }

    /// Adds a subject that the store does not have, for each of `ids` that was not found.
    pub fn fill(&mut self, ids: &BTreeSet<CustomerId>) {
        for id in ids {
            let new = || Person { facts: Some(Facts::default()), ..Person::default() };
            self.people.entry(*id).or_insert_with(new);
        }
    }

    /// To whom an id leads.
    pub fn resolve(&self, id: CustomerId) -> CustomerId {
        self.people.get(&id).and_then(|p| p.subject.survivor).unwrap_or(id)
    }

    /// Whose facts and memberships to read: all whose memberships the news may change. Subjects come first.
    pub fn involved(&self, news: &[News], ruleset: &Ruleset) -> BTreeSet<CustomerId> {
        let mut involved = BTreeSet::new();
        for n in news {
            let concerns = match &n.what {
                What::Changed { attributes, .. } => ruleset.reads_any_attribute(attributes.keys()),
                What::Interaction { event, .. } => ruleset.reads_event(&event.kind),
                What::Statement { statement, .. } => ruleset.reads_topic(&statement.topic),
                What::Erased { .. } => true,
                What::Merged { .. } | What::Split { .. } | What::Moved { .. } => !ruleset.is_empty(),
            };
            if !concerns {
                continue;
            }
            for id in n.what.ids() {
                involved.extend([id, self.resolve(id)]);
            }
        }
        if !ruleset.is_empty() {
            involved.extend(self.lineage.ids().iter().flat_map(|id| [*id, self.resolve(*id)]));
        }
        let addresses = self.known_statements.values().chain(self.forwards.values());
        involved.extend(addresses.map(|address| self.resolve(address.id)));
        if news.iter().any(|n| matches!(n.what, What::Moved { .. })) {
            involved.extend(self.known_events.values().map(|address| self.resolve(address.id)));
        }
        involved.retain(|id| self.people.get(id).is_some_and(|p| p.stored && p.facts.is_none()));
        involved
    }
}

/// Rows that change hands, in the order in which they must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relocation {
    /// Of what belongs to `from`, what was addressed to these ids belongs to `to`.
    Rehome {
        /// Whose it was.
        from: CustomerId,
        /// Whose it is.
        to: CustomerId,
        /// The ids.
        addressed_to: BTreeSet<CustomerId>,
    },
    /// What is stored of these belongs to `to`, as if it had been addressed to `address`.
    Readdress {
        /// Whose they are.
        to: CustomerId,
        /// Their new address; those whose address is later keep it.
        address: Address,
        /// Which interactions.
        interactions: Vec<InteractionId>,
        /// Which statements.
        statements: Vec<StatementId>,
    },
    /// What was addressed to these ids is deleted, and the history of their memberships.
    Erase {
        /// Who has it.
        owner: CustomerId,
        /// The ids.
        addressed_to: BTreeSet<CustomerId>,
    },
}

impl Relocation {
    /// Whose rows change: all whose section of the hot profile may look different.
    pub fn parties(&self) -> Vec<CustomerId> {
        match self {
            Self::Rehome { from, to, addressed_to } => {
                [*from, *to].into_iter().chain(addressed_to.iter().copied()).collect()
            }
            Self::Readdress { to, address, .. } => vec![*to, address.id],
            Self::Erase { owner, addressed_to } => {
                std::iter::once(*owner).chain(addressed_to.iter().copied()).collect()
            }
        }
    }
}

/// What a store writes, in the order of the fields.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows that change hands.
    pub relocations: Vec<Relocation>,
    /// New events with their owners. One that is stored already changes nothing.
    pub events: Vec<(CustomerId, Event)>,
    /// Statements with the owners that they have if they are new. One that is stored already keeps owner and address,
    /// and changes only if what is stored is older ([`Statement::told_at`]).
    pub statements: Vec<(CustomerId, Statement)>,
    /// What became known of merges and splits; what is stored already changes nothing.
    pub links: Vec<(CustomerId, Position, Link)>,
    /// Addresses of what is not stored yet; the later one stays.
    pub forwards: BTreeMap<Uuid, Address>,
    /// Subjects that are new or changed.
    pub subjects: BTreeMap<CustomerId, Change>,
    /// Who entered and left, in order per customer.
    pub transitions: Vec<Transition>,
    /// What is now known of those whose memberships were computed: for caches, once the writing is committed.
    pub settled: Vec<(CustomerId, Person)>,
}

/// A changed subject.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its new state.
    pub subject: Subject,
    /// Whether the store does not have it yet.
    pub new: bool,
    /// Whether the attributes changed.
    pub attributes: bool,
}

impl Effects {
    /// Whose memberships may look different from now on.
    pub fn customers(&self) -> BTreeSet<CustomerId> {
        self.subjects.keys().copied().chain(self.transitions.iter().map(|t| t.customer)).collect()
    }

    /// The earliest instant at which one of them is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.subjects.values().filter_map(|c| c.subject.next_due).min()
    }

    /// Segments in which somebody entered or left.
    pub fn segments(&self) -> BTreeSet<SegmentId> {
        self.transitions.iter().map(|t| t.segment).collect()
    }
}
