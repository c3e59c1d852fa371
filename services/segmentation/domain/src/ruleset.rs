//! The compiled rules of a tenant, in the order in which they are computed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use rules::{Path, Reference, References, Rule, Schema};

use crate::segment::{Kind, Segment, SegmentId};

/// The compiled rules of a tenant: a segment comes after all that it uses.
#[derive(Debug, Default)]
pub struct Ruleset {
    entries: Vec<Entry>,
    places: HashMap<SegmentId, usize>,
    pub(crate) attributes: Vec<Path>,
    topics: HashMap<Arc<str>, u32>,
    events: HashMap<Arc<str>, u32>,
    needs: Needs,
}

/// One segment, compiled.
#[derive(Debug)]
pub struct Entry {
    /// Which.
    pub id: SegmentId,
    /// Of its definition.
    pub version: i64,
    /// The segments that it uses.
    pub uses: BTreeSet<SegmentId>,
    pub(crate) body: Body,
}

/// How membership is computed.
#[derive(Debug)]
pub(crate) enum Body {
    Rule(Rule),
    List,
    /// A stored rule that this version of the language does not take: members stay as they are.
    Unreadable,
}

/// What the rules of a tenant read; nothing else has to be loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Event types; each stands for those below it, too.
    pub events: BTreeSet<String>,
    /// How far back events are read; `None`: all the time.
    pub window: Option<Duration>,
    /// Whether any field of events is read besides type, time, value and motivation.
    pub details: bool,
    /// Whether statements are read.
    pub statements: bool,
    /// Whether there are lists.
    pub lists: bool,
}

impl Needs {
    /// Of one rule.
    pub fn of(references: &References) -> Self {
        let mut needs = Self { window: Some(Duration::ZERO), ..Self::default() };
        needs.add(references);
        needs
    }

    fn add(&mut self, references: &References) {
        self.statements |= !references.topics.is_empty();
        for (kind, wanted) in &references.events {
            self.events.insert(kind.clone());
            self.window = self.window.zip(wanted.window).map(|(a, b)| a.max(b));
            let plain = |field: &String| matches!(field.as_str(), "type" | "occurred_at" | "value" | "motivation");
            self.details |= !wanted.fields.iter().all(plain);
        }
    }

    /// What either needs.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.events.extend(other.events.iter().cloned());
        self.window = self.window.zip(other.window).map(|(a, b)| a.max(b));
        self.details |= other.details;
        self.statements |= other.statements;
        self.lists |= other.lists;
        self
    }

    /// Whether events of the type are read.
    pub fn event(&self, kind: &str) -> bool {
        covering(kind).any(|above| self.events.contains(above))
    }
}

/// A dotted type and those above it: `a.b.c`, `a.b`, `a`.
pub(crate) fn covering(kind: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(kind), |below| below.rsplit_once('.').map(|(above, _)| above))
}

/// Which segments to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those at these places, in order.
    Only(Arc<[usize]>),
}

impl Ruleset {
    /// Compiles segments and puts them in order. Stored definitions were accepted when they were saved; one that is no
    /// longer readable keeps its members.
    pub fn build<'s>(segments: impl Iterator<Item = &'s Segment>) -> Self {
        let segments: Vec<&Segment> = segments.collect();
        let schema = stored();
        let mut compiled: BTreeMap<&str, (&Segment, Body)> = BTreeMap::new();
        let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for segment in segments {
            let body = match &segment.kind {
                Kind::List => Body::List,
                Kind::Rule(source) => Rule::compile(source, &schema).map_or(Body::Unreadable, Body::Rule),
            };
            let used = match &body {
                Body::Rule(rule) => rule.references().segments.clone(),
                _ => BTreeSet::new(),
            };
            uses.insert(segment.name.clone(), used);
            compiled.insert(&segment.name, (segment, body));
        }
        let order = rules::topological_order(&uses).unwrap_or_else(|_| uses.keys().cloned().collect());
        let ids: HashMap<&str, SegmentId> = compiled.iter().map(|(name, (segment, _))| (*name, segment.id)).collect();
        let place_of: HashMap<&str, u32> = order.iter().map(String::as_str).zip(0..).collect();
        let mut ruleset = Self { needs: Needs { window: Some(Duration::ZERO), ..Needs::default() }, ..Self::default() };
        for name in &order {
            let Some((segment, body)) = compiled.remove(name.as_str()) else { continue };
            let body = ruleset.bind(body, &place_of);
            let used = uses.get(name).into_iter().flatten().filter_map(|used| ids.get(used.as_str()).copied());
            ruleset.places.insert(segment.id, ruleset.entries.len());
            ruleset.entries.push(Entry { id: segment.id, version: segment.version, uses: used.collect(), body });
        }
        ruleset
    }

    /// Numbers the names of a rule, so that facts find them without comparing text.
    fn bind(&mut self, body: Body, place_of: &HashMap<&str, u32>) -> Body {
        let rule = match body {
            Body::Rule(rule) => rule,
            other => {
                self.needs.lists |= matches!(other, Body::List);
                return other;
            }
        };
        self.needs.add(rule.references());
        Body::Rule(rule.bind(|reference: Reference<'_>| match reference {
            Reference::Attribute(path) => Some(self.attribute(path)),
            Reference::Topic(topic) => Some(number(&mut self.topics, topic.as_str())),
            Reference::Event(kind) => Some(number(&mut self.events, kind.as_str())),
            Reference::Segment(name) => place_of.get(name.as_str()).copied(),
            Reference::Field(_) => None,
        }))
    }

    fn attribute(&mut self, path: &Path) -> u32 {
        let known = self.attributes.iter().position(|known| known.parts() == path.parts());
        known.unwrap_or_else(|| {
            self.attributes.push(path.clone());
            self.attributes.len() - 1
        }) as u32
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The segments, in order.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The segment at a place.
    pub fn entry(&self, place: usize) -> Option<&Entry> {
        self.entries.get(place)
    }

    /// Where a segment stands in the order.
    pub fn place(&self, segment: SegmentId) -> Option<usize> {
        self.places.get(&segment).copied()
    }

    /// What has to be loaded.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Whether any rule reads events of the type.
    pub fn reads_event(&self, kind: &str) -> bool {
        self.needs.event(kind)
    }

    /// Whether any rule reads statements on the topic.
    pub fn reads_topic(&self, topic: &str) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether any rule reads one of the attributes of a customer.
    pub fn reads_any_attribute<'n>(&self, mut names: impl Iterator<Item = &'n Arc<str>>) -> bool {
        names.any(|name| self.attributes.iter().any(|path| path.parts().get(1) == Some(name)))
    }

    pub(crate) fn topic_slot(&self, topic: &str) -> Option<u32> {
        self.topics.get(topic).copied()
    }

    pub(crate) fn topic_count(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn event_count(&self) -> usize {
        self.events.len()
    }

    /// The slots of the event types that cover `kind`.
    pub(crate) fn event_slots(&self, kind: &str) -> impl Iterator<Item = u32> {
        covering(kind).filter_map(|above| self.events.get(above).copied())
    }

    /// The places of `changed` and of all that use them, directly or not.
    pub fn affected(&self, changed: &BTreeSet<SegmentId>) -> Scope {
        let mut hit: BTreeSet<SegmentId> = changed.clone();
        let mut places = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            if hit.contains(&entry.id) || !entry.uses.is_disjoint(&hit) {
                hit.insert(entry.id);
                places.push(place);
            }
        }
        Scope::Only(places.into())
    }

    /// What has to be loaded to compute a scope.
    pub fn needs_of(&self, scope: &Scope) -> Needs {
        let Scope::Only(places) = scope else { return self.needs.clone() };
        let mut needs = Needs { window: Some(Duration::ZERO), ..Needs::default() };
        for entry in places.iter().filter_map(|place| self.entries.get(*place)) {
            match &entry.body {
                Body::Rule(rule) => needs.add(rule.references()),
                Body::List => needs.lists = true,
                Body::Unreadable => {}
            }
        }
        needs
    }
}

impl Entry {
    /// The rule, if it has one.
    pub fn rule(&self) -> Option<&Rule> {
        match &self.body {
            Body::Rule(rule) => Some(rule),
            _ => None,
        }
    }

    pub(crate) fn reads_event(&self, kind: &str) -> bool {
        self.rule().is_some_and(|rule| covering(kind).any(|above| rule.references().events.contains_key(above)))
    }

    pub(crate) fn reads_topic(&self, topic: &str) -> bool {
        self.rule().is_some_and(|rule| rule.references().topics.contains(topic))
    }

    /// Whether it reads one of the attributes; with none named, whatever became known concerns it.
    pub(crate) fn reads_any_attribute(&self, names: &[Arc<str>]) -> bool {
        let reads = |rule: &Rule| {
            let mut read = rule.references().of_root("customer");
            read.any(|path| names.iter().any(|name| path.strip_prefix(&**name).is_some_and(is_end)))
        };
        names.is_empty() || self.rule().is_some_and(reads)
    }
}

fn is_end(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('.')
}

fn number(known: &mut HashMap<Arc<str>, u32>, name: &str) -> u32 {
    if let Some(number) = known.get(name) {
        return *number;
    }
    let number = known.len() as u32;
    known.insert(name.into(), number);
    number
}

/// What stored definitions may speak of: whatever a version of this service ever accepted.
pub(crate) fn stored() -> Schema {
    Schema::segmentation().declare("customer.kind", rules::Type::String)
}
