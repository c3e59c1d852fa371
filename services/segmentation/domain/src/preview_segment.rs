//! A definition tried out, without saving it: who would belong, and which of its clauses matter.

use std::collections::{BTreeSet, BinaryHeap};

use rules::{References, Rule, Value};
use terms::{CustomerId, Fault, Timestamp};
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    clauses::clauses,
    definition::{compile, segments_of},
    eyes::Eyes,
    ruleset::{Needs, Ruleset},
    segment::{Kind, Segment, SegmentId, State},
    view::Person,
};

/// A definition and its clauses, ready to be tried on customers.
#[derive(Debug)]
pub struct Trial {
    ruleset: Ruleset,
    whole: SegmentId,
    clauses: Vec<Clause>,
    needs: Needs,
    /// The names of the segments that it uses.
    pub depends_on: BTreeSet<String>,
}

/// One clause of a definition.
#[derive(Debug, Clone)]
pub struct Clause {
    id: SegmentId,
    /// As it stands there.
    pub source: String,
    /// What it reads: `customer.country`, `statements.size`, `segments.vip`, `events.purchase`.
    pub reads: Vec<String>,
}

/// How a definition fits one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// Whether the whole holds.
    pub whole: bool,
    /// Whether each clause holds alone.
    pub clauses: Vec<bool>,
}

impl Trial {
    /// Compiles `source`, which stands in the request field `field`.
    ///
    /// # Errors
    /// [`terms::Reason::RuleInvalid`] with every mistake, by line and column.
    pub fn new(catalog: &Catalog, field: &str, source: &str) -> Result<Self, Fault> {
        let rule = compile(field, source, catalog)?;
        let parts: Vec<Rule> = clauses(source).iter().filter_map(|part| compile(field, part, catalog).ok()).collect();
        let whole = nth(0);
        // Other segments are not computed here: whether a customer is inside is known.
        let others = catalog.living().map(|segment| Segment { kind: Kind::List, ..(**segment).clone() });
        let mut segments: Vec<Segment> = others.collect();
        segments.push(tried(whole, source));
        let mut tried_clauses = Vec::new();
        for (n, part) in parts.iter().enumerate() {
            let id = nth(n + 1);
            segments.push(tried(id, part.source()));
            tried_clauses.push(Clause { id, source: part.source().to_owned(), reads: reads(part.references()) });
        }
        Ok(Self {
            ruleset: Ruleset::build(segments.iter()),
            whole,
            clauses: tried_clauses,
            needs: Needs::of(rule.references()),
            depends_on: segments_of(&rule),
        })
    }

    /// What has to be loaded.
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// The clauses.
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Tries it on a customer with facts.
    pub fn try_on(&self, person: &Person, now: Timestamp) -> Fit {
        let Some(facts) = &person.facts else {
            return Fit { whole: false, clauses: vec![false; self.clauses.len()] };
        };
        let eyes = Eyes::new(&self.ruleset, &person.subject.attributes, facts, &person.memberships);
        let holds = |id| self.ruleset.place(id).is_some_and(|place| eyes.holds_until(place, now).0);
        Fit { whole: holds(self.whole), clauses: self.clauses.iter().map(|clause| holds(clause.id)).collect() }
    }
}

fn nth(n: usize) -> SegmentId {
    SegmentId::from_uuid(Uuid::from_u128(n as u128))
}

fn tried(id: SegmentId, source: &str) -> Segment {
    Segment {
        id,
        // No handle is written like this.
        name: format!("?{id}"),
        display_name: String::new(),
        description: String::new(),
        kind: Kind::Rule(source.to_owned()),
        version: 0,
        edit: 0,
        state: State::Building,
        created_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
    }
}

fn reads(references: &References) -> Vec<String> {
    let attributes = references.attributes.iter().cloned();
    let topics = references.topics.iter().map(|topic| format!("statements.{topic}"));
    let segments = references.segments.iter().map(|name| format!("segments.{name}"));
    let events = references.events.keys().map(|kind| format!("events.{kind}"));
    attributes.chain(topics).chain(segments).chain(events).collect()
}

/// What a definition would select, summed up customer by customer.
#[derive(Debug)]
pub struct Tried<'t> {
    trial: &'t Trial,
    now: Timestamp,
    compare_with: Option<SegmentId>,
    sample_size: usize,
    sample: BinaryHeap<(u64, CustomerId)>,
    /// Customers looked at.
    pub population: i64,
    /// Who would belong.
    pub count: i64,
    /// Of the compared segment's members, who would not belong.
    pub would_leave: i64,
    /// Who would belong and is no member of the compared segment.
    pub would_enter: i64,
    /// For each clause: who satisfies it alone, and who would belong without it.
    pub clauses: Vec<(i64, i64)>,
}

impl<'t> Tried<'t> {
    /// Nobody looked at yet.
    pub fn new(trial: &'t Trial, compare_with: Option<SegmentId>, sample_size: usize, now: Timestamp) -> Self {
        Self {
            trial,
            now,
            compare_with,
            sample_size,
            sample: BinaryHeap::new(),
            population: 0,
            count: 0,
            would_leave: 0,
            would_enter: 0,
            clauses: vec![(0, 0); trial.clauses.len()],
        }
    }

    /// Looks at one more customer.
    pub fn look(&mut self, customer: CustomerId, person: &Person) {
        let fit = self.trial.try_on(person, self.now);
        self.population += 1;
        self.count += i64::from(fit.whole);
        if let Some(other) = self.compare_with {
            let inside = person.memberships.contains_key(&other);
            self.would_enter += i64::from(fit.whole && !inside);
            self.would_leave += i64::from(!fit.whole && inside);
        }
        for (n, (alone, without)) in self.clauses.iter_mut().enumerate() {
            *alone += i64::from(fit.clauses.get(n).copied().unwrap_or(false));
            let others = fit.clauses.iter().enumerate().all(|(m, holds)| m == n || *holds);
            *without += i64::from(others);
        }
        if fit.whole {
            self.keep(customer);
        }
    }

    /// The members whose ids have the least hashes: as good as chosen by lot, and the same every time.
    fn keep(&mut self, customer: CustomerId) {
        self.sample.push((scatter(customer), customer));
        if self.sample.len() > self.sample_size {
            self.sample.pop();
        }
    }

    /// The sample, by id.
    pub fn sample(&self) -> Vec<CustomerId> {
        let mut sample: Vec<_> = self.sample.iter().map(|(_, customer)| *customer).collect();
        sample.sort_unstable();
        sample
    }
}

/// FNV-1a over the bytes of the id, finished as in MurmurHash3 so that every bit counts.
fn scatter(customer: CustomerId) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = customer.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    for multiplier in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(multiplier);
    }
    hash ^ (hash >> 33)
}

/// One attribute of a definition: the value that a customer has there, for an explanation. Only where a clause reads
/// exactly one attribute.
pub fn actual<'p>(clause: &Clause, person: &'p Person) -> Option<&'p Value> {
    let [path] = clause.reads.as_slice() else { return None };
    let mut parts = path.strip_prefix("customer.")?.split('.');
    let mut value = person.subject.attributes.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Map(inside) => inside.get(part)?,
            _ => return None,
        };
    }
    Some(value)
}
