//! What a rule depends on.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::facts::{Name, Path};

/// What a rule depends on: when none of it changes, the outcome does not either (but for the clock).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// Attributes by their dotted path, `customer.country`.
    pub attributes: BTreeSet<String>,
    /// Topics of statements.
    pub topics: BTreeSet<String>,
    /// Segments, by name: the edges of the dependency graph.
    pub segments: BTreeSet<String>,
    /// Event types, and what is needed of them. A type stands for those below it, too.
    pub events: BTreeMap<String, EventUse>,
    /// For a filter over one event ([`Schema::event`](crate::Schema::event)): the fields that it reads.
    pub event_fields: BTreeSet<String>,
    /// Whether the outcome may change while only the clock moves. If not, `next_due` is always none.
    pub clock: bool,
}

/// What a rule needs of the events of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventUse {
    /// How far back; `None`: all the time.
    pub window: Option<Duration>,
    /// The fields that filters and sums read: `channel`, `value`, `properties.amount`.
    pub fields: BTreeSet<String>,
}

impl References {
    /// The attributes below a root, without it: `of_root("context")` for `context.page` gives `page`.
    pub fn of_root<'a>(&'a self, root: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter_map(move |path| path.strip_prefix(root)?.strip_prefix('.'))
    }

    pub(crate) fn note_event(&mut self, event_type: &str, window: Option<Duration>, fields: BTreeSet<String>) {
        let longest = match self.events.get(event_type) {
            Some(known) => known.window.zip(window).map(|(a, b)| a.max(b)),
            None => window,
        };
        let entry = self.events.entry(event_type.to_owned()).or_default();
        entry.window = longest;
        entry.fields.extend(fields);
    }
}

/// One name in a compiled rule, for [`Rule::bind`](crate::Rule::bind).
#[derive(Debug, Clone, Copy)]
pub enum Reference<'a> {
    /// An attribute.
    Attribute(&'a Path),
    /// A field of an event.
    Field(&'a Path),
    /// A topic of statements.
    Topic(&'a Name),
    /// A segment.
    Segment(&'a Name),
    /// An event type.
    Event(&'a Name),
}
