//! One customer as rules see them: names already resolved, events in columns by type.

use std::{cell::Cell, sync::Arc};

use rules::{Datum, EventView, Name, Path, Told, Value};
use terms::Timestamp;

use crate::{
    facts::{Attributes, Facts},
    membership::Memberships,
    news::{Event, Statement},
    ruleset::{Body, Ruleset},
};

/// One customer as the rules of one ruleset see them.
pub(crate) struct Eyes<'a> {
    ruleset: &'a Ruleset,
    facts: &'a Facts,
    attributes: Vec<Datum<'a>>,
    told: Vec<Option<&'a Statement>>,
    /// For each event type that rules name, the events that it covers, in order.
    runs: Vec<Vec<&'a Event>>,
    inside: Vec<Cell<bool>>,
}

impl<'a> Eyes<'a> {
    pub(crate) fn new(
        ruleset: &'a Ruleset,
        attributes: &'a Attributes,
        facts: &'a Facts,
        memberships: &Memberships,
    ) -> Self {
        let mut told = vec![None; ruleset.topic_count()];
        if !told.is_empty() {
            for (topic, statement) in facts.told() {
                if let Some(slot) = ruleset.topic_slot(topic).and_then(|slot| told.get_mut(slot as usize)) {
                    *slot = Some(statement);
                }
            }
        }
        Self {
            ruleset,
            facts,
            attributes: ruleset.attributes.iter().map(|path| attribute(attributes, path)).collect(),
            told,
            runs: runs(ruleset, facts),
            inside: ruleset.entries().map(|entry| Cell::new(memberships.contains_key(&entry.id))).collect(),
        }
    }

    /// Whether the segment at `place` holds at an instant, and until when that stands while only the clock moves.
    pub(crate) fn holds_until(&self, place: usize, at: Timestamp) -> (bool, Option<Timestamp>) {
        let Some(entry) = self.ruleset.entry(place) else { return (false, None) };
        match &entry.body {
            Body::Rule(rule) => {
                let outcome = rule.evaluate(self, at);
                (outcome.holds, outcome.next_due)
            }
            Body::List => (self.facts.lists.iter().any(|(segment, _)| *segment == entry.id), None),
            Body::Unreadable => (self.inside(place), None),
        }
    }

    pub(crate) fn inside(&self, place: usize) -> bool {
        self.inside.get(place).is_some_and(Cell::get)
    }

    pub(crate) fn put_inside(&self, place: usize, inside: bool) {
        if let Some(cell) = self.inside.get(place) {
            cell.set(inside);
        }
    }

    /// The events of a type within `after < t <= until`.
    fn run(&self, kind: &Name, after: Timestamp, until: Timestamp) -> &[&'a Event] {
        let run = kind.slot().and_then(|slot| self.runs.get(slot as usize)).map_or(&[][..], Vec::as_slice);
        let from = run.partition_point(|event| event.at <= after);
        let to = run.partition_point(|event| event.at <= until);
        run.get(from..to).unwrap_or_default()
    }
}

fn runs<'a>(ruleset: &Ruleset, facts: &'a Facts) -> Vec<Vec<&'a Event>> {
    let mut runs = vec![Vec::new(); ruleset.event_count()];
    if runs.is_empty() {
        return runs;
    }
    // Neighbours are often of one type: look its slots up once.
    let mut last: Option<(&Arc<str>, Vec<u32>)> = None;
    for event in &facts.events {
        if last.as_ref().is_none_or(|(kind, _)| **kind != event.kind) {
            last = Some((&event.kind, ruleset.event_slots(&event.kind).collect()));
        }
        for slot in last.iter().flat_map(|(_, slots)| slots) {
            if let Some(run) = runs.get_mut(*slot as usize) {
                run.push(event);
            }
        }
    }
    runs
}

/// The value at a path that begins with `customer`.
fn attribute<'a>(attributes: &'a Attributes, path: &Path) -> Datum<'a> {
    match path.parts() {
        [root, name, inside @ ..] if &**root == "customer" => descend(attributes.get(name), inside),
        _ => Datum::Null,
    }
}

fn descend<'a>(mut value: Option<&'a Value>, parts: &[Arc<str>]) -> Datum<'a> {
    for part in parts {
        value = match value {
            Some(Value::Map(inside)) => inside.get(part),
            _ => None,
        };
    }
    value.map_or(Datum::Null, Datum::from)
}

impl rules::Facts for Eyes<'_> {
    fn attribute(&self, path: &Path) -> Datum<'_> {
        path.slot().and_then(|slot| self.attributes.get(slot as usize)).cloned().unwrap_or_default()
    }

    fn statement(&self, topic: &Name) -> Option<Told<'_>> {
        let statement = (*self.told.get(topic.slot()? as usize)?)?;
        Some(Told { value: Datum::from(&statement.value), valid_until: statement.valid_until })
    }

    fn in_segment(&self, segment: &Name) -> bool {
        segment.slot().is_some_and(|place| self.inside(place as usize))
    }

    fn visit_events(
        &self,
        kind: &Name,
        after: Timestamp,
        until: Timestamp,
        visit: &mut dyn FnMut(&dyn EventView) -> bool,
    ) {
        for event in self.run(kind, after, until) {
            if !visit(*event) {
                return;
            }
        }
    }

    fn count_events(&self, kind: &Name, after: Timestamp, until: Timestamp) -> u64 {
        self.run(kind, after, until).len() as u64
    }

    fn sum_events(&self, kind: &Name, field: &Path, after: Timestamp, until: Timestamp) -> f64 {
        let run = self.run(kind, after, until);
        if field.as_str() == "value" {
            // Whole millionths add up the same in any order.
            let micros: i128 = run.iter().filter_map(|event| event.micros).map(i128::from).sum();
            return micros as f64 / 1e6;
        }
        run.iter().filter_map(|event| event.field(field).number()).sum()
    }

    fn nth_event(&self, kind: &Name, after: Timestamp, until: Timestamp, n: u64) -> Option<Timestamp> {
        let run = self.run(kind, after, until);
        usize::try_from(n).ok().and_then(|n| run.get(n)).map(|event| event.at)
    }

    fn last_event(&self, kind: &Name, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        self.run(kind, after, until).last().map(|event| event.at)
    }
}

impl EventView for Event {
    fn occurred_at(&self) -> Timestamp {
        self.at
    }

    fn field(&self, path: &Path) -> Datum<'_> {
        match path.parts() {
            [name] => match &**name {
                "type" => Datum::str(&self.kind),
                "value" => self.micros.map_or(Datum::Null, |micros| Datum::Double(micros as f64 / 1e6)),
                "motivation" => Datum::str(if self.incentivised { "incentivised" } else { "organic" }),
                _ => self.details.get(name).map_or(Datum::Null, Datum::from),
            },
            [name, inside @ ..] => descend(self.details.get(name), inside),
            [] => Datum::Null,
        }
    }
}
