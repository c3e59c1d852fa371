//! What evaluation reads.

use std::{fmt, sync::Arc};

use terms::Timestamp;

use crate::value::Datum;

/// The slot of a name that was not bound to one.
const UNBOUND: u32 = u32::MAX;

/// A name that a rule uses: an event type, a statement topic, a segment.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    text: Arc<str>,
    slot: u32,
}

impl Name {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), slot: UNBOUND }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The number that [`Rule::bind`](crate::Rule::bind) gave it.
    pub fn slot(&self) -> Option<u32> {
        (self.slot != UNBOUND).then_some(self.slot)
    }

    pub(crate) fn bind(&mut self, slot: Option<u32>) {
        self.slot = slot.unwrap_or(UNBOUND);
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// An attribute that a rule uses, `customer.address.city`; of an event's field without `event`: `properties.amount`.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    name: Name,
    parts: Box<[Arc<str>]>,
}

impl Path {
    pub(crate) fn new<P: AsRef<str>>(parts: &[P]) -> Self {
        let text = parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(".");
        Self { name: Name::new(&text), parts: parts.iter().map(|part| part.as_ref().into()).collect() }
    }

    /// Dotted.
    pub fn as_str(&self) -> &str {
        self.name.as_str()
    }

    /// Its parts; a part in itself may hold dots, where the rule said `customer["a.b"]`.
    pub fn parts(&self) -> &[Arc<str>] {
        &self.parts
    }

    /// The number that [`Rule::bind`](crate::Rule::bind) gave it.
    pub fn slot(&self) -> Option<u32> {
        self.name.slot()
    }

    pub(crate) fn bind(&mut self, slot: Option<u32>) {
        self.name.bind(slot);
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.name, f)
    }
}

/// The statement on a topic.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    /// What was said.
    pub value: Datum<'a>,
    /// From when on it no longer holds; `None`: it holds until superseded.
    pub valid_until: Option<Timestamp>,
}

/// One event, as a filter and a sum read it.
pub trait EventView {
    /// Event time.
    fn occurred_at(&self) -> Timestamp;
    /// A field: `type`, `channel`, `touchpoint`, `direction`, `directness`, `motivation`, `inducement`, `currency`,
    /// `conversation_id`, `value`,
    /// or `properties.…`. (`occurred_at` is not asked for here.)
    fn field(&self, path: &Path) -> Datum<'_>;
}

/// What is known of one customer (or of one list item). Evaluation reads nothing else, but for the instant.
///
/// Event types: a type covers those below it, `purchase` also `purchase.online`. Spans of time are open at their
/// beginning and closed at their end: `after < t <= until`. Events after the present instant may be there: evaluation
/// never asks for them, [`Rule::next_due`](crate::Rule::next_due) does.
///
/// Only the first method has to be written. Whoever has counters or sorted columns overrides the others for speed;
/// they must give what the default gives.
pub trait Facts {
    /// The attribute, or [`Datum::Null`].
    fn attribute(&self, path: &Path) -> Datum<'_>;

    /// The statement that holds on a topic, if any; it may have expired.
    fn statement(&self, topic: &Name) -> Option<Told<'_>> {
        let _ = topic;
        None
    }

    /// Whether the customer is a member.
    fn in_segment(&self, segment: &Name) -> bool {
        let _ = segment;
        false
    }

    /// Shows events in the order of their time, until `visit` says `false`.
    fn visit_events(
        &self,
        event_type: &Name,
        after: Timestamp,
        until: Timestamp,
        visit: &mut dyn FnMut(&dyn EventView) -> bool,
    ) {
        let _ = (event_type, after, until, visit);
    }

    /// How many.
    fn count_events(&self, event_type: &Name, after: Timestamp, until: Timestamp) -> u64 {
        let mut count = 0;
        self.visit_events(event_type, after, until, &mut |_| {
            count += 1;
            true
        });
        count
    }

    /// The sum of a field over the events where it is a number.
    fn sum_events(&self, event_type: &Name, field: &Path, after: Timestamp, until: Timestamp) -> f64 {
        let mut sum = 0.0;
        self.visit_events(event_type, after, until, &mut |event| {
            sum += event.field(field).number().unwrap_or_default();
            true
        });
        sum
    }

    /// The time of the `n`th event of the span, from 0.
    fn nth_event(&self, event_type: &Name, after: Timestamp, until: Timestamp, n: u64) -> Option<Timestamp> {
        let mut left = n;
        let mut found = None;
        self.visit_events(event_type, after, until, &mut |event| {
            if left == 0 {
                found = Some(event.occurred_at());
                return false;
            }
            left -= 1;
            true
        });
        found
    }

    /// The time of the last event of the span.
    fn last_event(&self, event_type: &Name, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut last = None;
        self.visit_events(event_type, after, until, &mut |event| {
            last = Some(event.occurred_at());
            true
        });
        last
    }
}

/// No facts at all: every attribute is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn attribute(&self, _: &Path) -> Datum<'_> {
        Datum::Null
    }
}
