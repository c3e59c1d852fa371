//! What is known of one customer, and how rules read it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rules::Value;
use terms::CustomerId;

use crate::{
    news::{Event, Statement},
    segment::SegmentId,
};

/// Attributes by name; the values may hold more inside.
pub type Attributes = BTreeMap<Arc<str>, Value>;

/// What is known of one customer, besides attributes. Everything here was addressed to an id that leads to the
/// customer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// By time, then by id. Only those that rules of the tenant may ask for.
    pub events: Vec<Event>,
    /// By id.
    pub statements: Vec<Statement>,
    /// Lists by hand: each with the ids by which it names the customer.
    pub lists: BTreeSet<(SegmentId, CustomerId)>,
}

impl Facts {
    /// Adds an event in its place; one that is there already changes nothing.
    pub fn add_event(&mut self, event: Event) {
        let key = |e: &Event| (e.at, e.id);
        if let Err(place) = self.events.binary_search_by_key(&key(&event), key) {
            self.events.insert(place, event);
        }
    }

    /// Notes what is known of a statement, unless something later is.
    pub fn tell(&mut self, statement: Statement) -> bool {
        match self.statements.binary_search_by_key(&statement.id, |s| s.id) {
            Ok(place) => match self.statements.get_mut(place) {
                Some(known) if known.told_at < statement.told_at => {
                    *known = Statement { address: known.address, ..statement };
                    true
                }
                _ => false,
            },
            Err(place) => {
                self.statements.insert(place, statement);
                true
            }
        }
    }

    /// Takes out what `chosen` names, by the id to which it was addressed.
    #[must_use]
    pub fn take(&mut self, mut chosen: impl FnMut(CustomerId) -> bool) -> Self {
        let (events, kept) = std::mem::take(&mut self.events).into_iter().partition(|e| chosen(e.address.id));
        self.events = kept;
        let (statements, kept) = std::mem::take(&mut self.statements).into_iter().partition(|s| chosen(s.address.id));
        self.statements = kept;
        let (lists, kept) = std::mem::take(&mut self.lists).into_iter().partition(|(_, id)| chosen(*id));
        self.lists = kept;
        Self { events, statements, lists }
    }

    /// Adds what came from another customer.
    pub fn absorb(&mut self, other: Self) {
        for event in other.events {
            self.add_event(event);
        }
        for statement in other.statements {
            self.tell(statement);
        }
        self.lists.extend(other.lists);
    }

    /// The statement that stands on each topic: the newest that was not taken back, by the time at which it was said,
    /// then by id. It stands also when its validity is over: what it replaced does not come back by the clock. This is
    /// interaction's own rule, worked out here, so that it needs no word of what a merge or a split changes in it.
    pub fn told(&self) -> BTreeMap<&str, &Statement> {
        let mut told: BTreeMap<&str, &Statement> = BTreeMap::new();
        for statement in self.statements.iter().filter(|s| !s.retracted) {
            let known = told.entry(&statement.topic).or_insert(statement);
            if (known.at, known.id) < (statement.at, statement.id) {
                *known = statement;
            }
        }
        told
    }
}
