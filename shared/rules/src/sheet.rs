//! Facts in maps: for tests, previews and other small uses.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use terms::Timestamp;

use crate::{
    facts::{EventView, Facts, Name, Path, Told},
    value::{Datum, Value},
};

type Entries = BTreeMap<Arc<str>, Value>;

/// Facts of one customer, held in maps.
#[derive(Debug, Clone, Default)]
pub struct FactSheet {
    attributes: Entries,
    statements: BTreeMap<Box<str>, (Value, Option<Timestamp>)>,
    segments: BTreeSet<Box<str>>,
    events: BTreeMap<Box<str>, Vec<Event>>,
}

impl FactSheet {
    /// Nothing known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an attribute by its dotted path; a whole root, too: `set("customer", map)`.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> &mut Self {
        put(&mut self.attributes, path, value.into());
        self
    }

    /// [`FactSheet::set`], in a chain.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        self.set(path, value);
        self
    }

    /// Notes a statement; a former one on the topic is replaced.
    pub fn tell(&mut self, topic: &str, value: impl Into<Value>, valid_until: Option<Timestamp>) -> &mut Self {
        self.statements.insert(topic.into(), (value.into(), valid_until));
        self
    }

    /// Forgets the statement on a topic.
    pub fn retract(&mut self, topic: &str) -> &mut Self {
        self.statements.remove(topic);
        self
    }

    /// Makes the customer a member.
    pub fn join(&mut self, segment: &str) -> &mut Self {
        self.segments.insert(segment.into());
        self
    }

    /// Ends a membership.
    pub fn leave(&mut self, segment: &str) -> &mut Self {
        self.segments.remove(segment);
        self
    }

    /// Notes an event; in any order.
    pub fn record(&mut self, event: Event) -> &mut Self {
        let events = self.events.entry(event.event_type.clone()).or_default();
        let place = events.partition_point(|other| other.occurred_at <= event.occurred_at);
        events.insert(place, event);
        self
    }

    /// The events of a type and of those below it, in runs that are each in order.
    fn runs(&self, event_type: &str, after: Timestamp, until: Timestamp) -> impl Iterator<Item = &[Event]> {
        let below = format!("{event_type}.");
        let exact = self.events.get(event_type).into_iter();
        let range = (Bound::Included(below.as_str()), Bound::Unbounded);
        let others: Vec<&Vec<Event>> = self
            .events
            .range::<str, _>(range)
            .take_while(|(name, _)| name.starts_with(&below))
            .map(|(_, events)| events)
            .collect();
        exact.chain(others).map(move |events| span(events, after, until)).filter(|run| !run.is_empty())
    }
}

/// The part of a run that lies within `after < t <= until`.
fn span(events: &[Event], after: Timestamp, until: Timestamp) -> &[Event] {
    let from = events.partition_point(|event| event.occurred_at <= after);
    let to = events.partition_point(|event| event.occurred_at <= until);
    events.get(from..to).unwrap_or_default()
}

impl Facts for FactSheet {
    fn attribute(&self, path: &Path) -> Datum<'_> {
        get(&self.attributes, path.parts())
    }

    fn statement(&self, topic: &Name) -> Option<Told<'_>> {
        let (value, valid_until) = self.statements.get(topic.as_str())?;
        Some(Told { value: value.into(), valid_until: *valid_until })
    }

    fn in_segment(&self, segment: &Name) -> bool {
        self.segments.contains(segment.as_str())
    }

    fn visit_events(
        &self,
        event_type: &Name,
        after: Timestamp,
        until: Timestamp,
        visit: &mut dyn FnMut(&dyn EventView) -> bool,
    ) {
        let mut events: Vec<&Event> = self.runs(event_type.as_str(), after, until).flatten().collect();
        events.sort_by_key(|event| event.occurred_at);
        for event in events {
            if !visit(event) {
                return;
            }
        }
    }

    fn count_events(&self, event_type: &Name, after: Timestamp, until: Timestamp) -> u64 {
        self.runs(event_type.as_str(), after, until).map(|run| run.len() as u64).sum()
    }

    fn last_event(&self, event_type: &Name, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.runs(event_type.as_str(), after, until).filter_map(|run| Some(run.last()?.occurred_at)).max()
    }
}

/// An event with its fields.
#[derive(Debug, Clone)]
pub struct Event {
    event_type: Box<str>,
    occurred_at: Timestamp,
    fields: Entries,
}

impl Event {
    /// An event of a dotted type.
    pub fn new(event_type: &str, occurred_at: Timestamp) -> Self {
        let fields = BTreeMap::from([("type".into(), event_type.into())]);
        Self { event_type: event_type.into(), occurred_at, fields }
    }

    /// Sets a field: `channel`, `value`, `properties.amount`.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<Value>) -> Self {
        put(&mut self.fields, path, value.into());
        self
    }
}

impl EventView for Event {
    fn occurred_at(&self) -> Timestamp {
        self.occurred_at
    }

    fn field(&self, path: &Path) -> Datum<'_> {
        get(&self.fields, path.parts())
    }
}

fn put(entries: &mut Entries, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            entries.insert(path.into(), value);
        }
        Some((first, rest)) => {
            let inner = entries.entry(first.into()).or_default();
            if !matches!(inner, Value::Map(_)) {
                *inner = Value::Map(Arc::default());
            }
            if let Value::Map(map) = inner {
                put(Arc::make_mut(map), rest, value);
            }
        }
    }
}

fn get<'a>(entries: &'a Entries, parts: &[Arc<str>]) -> Datum<'a> {
    let Some((last, above)) = parts.split_last() else {
        return Datum::Null;
    };
    let mut entries = entries;
    for part in above {
        match entries.get(part) {
            Some(Value::Map(map)) => entries = map,
            _ => return Datum::Null,
        }
    }
    entries.get(last).map_or(Datum::Null, Datum::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_covers_those_below_it() {
        let mut sheet = FactSheet::new();
        for (name, at) in [("purchase.online", 3), ("purchase", 1), ("purchases", 2), ("purchase.shop.till", 2)] {
            sheet.record(Event::new(name, Timestamp(at)));
        }
        let name = Name::new("purchase");
        assert_eq!(sheet.count_events(&name, Timestamp(0), Timestamp(9)), 3);
        assert_eq!(sheet.count_events(&name, Timestamp(1), Timestamp(2)), 1);
        assert_eq!(sheet.nth_event(&name, Timestamp(0), Timestamp(9), 1), Some(Timestamp(2)));
        assert_eq!(sheet.last_event(&name, Timestamp(0), Timestamp(9)), Some(Timestamp(3)));
    }

    #[test]
    fn paths_go_inside() {
        let sheet = FactSheet::new().with("customer.address.city", "Oslo").with("customer.age", 7.0);
        let get = |parts: &[&str]| sheet.attribute(&Path::new(parts)).to_value();
        assert_eq!(get(&["customer", "address", "city"]), "Oslo".into());
        assert_eq!(get(&["customer", "age"]), 7.0.into());
        assert_eq!(get(&["customer", "age", "x"]), Value::Null);
        assert_eq!(get(&["nobody"]), Value::Null);
    }
}
