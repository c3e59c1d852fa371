//! A profile as rules and guards read it: with a note of what was read, or without one thing.

use std::{cell::RefCell, sync::Arc};

use rules::{Datum, Facts, Name, Path, Told, Value};
use terms::Timestamp;

use crate::profile::{Boundary, Consent, Profile, Promise, Statement, look_up};

/// Something about a customer that may change a decision; by its place in the profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Factor {
    /// A statement.
    Statement(usize),
    /// A boundary.
    Boundary(usize),
    /// A consent.
    Consent(usize),
    /// A promise.
    Promise(usize),
    /// A need, as segmentation worked it out.
    Need(usize),
    /// An attribute, by its dotted path.
    Attribute(Arc<str>),
    /// A membership, by the segment's place.
    Segment(usize),
}

/// What was read, each once, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    factors: RefCell<Vec<Factor>>,
    now: RefCell<Vec<u16>>,
}

impl Reads {
    fn note(&self, is: impl Fn(&Factor) -> bool, make: impl FnOnce() -> Factor) {
        let mut factors = self.factors.borrow_mut();
        let place = match factors.iter().position(is) {
            Some(place) => place,
            None => {
                factors.push(make());
                factors.len() - 1
            }
        };
        // More than 65,535 factors cannot be: the request that brings them is over its size.
        let place = u16::try_from(place).unwrap_or(u16::MAX);
        let mut now = self.now.borrow_mut();
        if !now.contains(&place) {
            now.push(place);
        }
    }

    /// Ends one reader's notes; gives them.
    pub(crate) fn turn(&self) -> Vec<u16> {
        std::mem::take(&mut *self.now.borrow_mut())
    }

    pub(crate) fn into_factors(self) -> Vec<Factor> {
        self.factors.into_inner()
    }
}

/// What is known, at one instant.
#[derive(Debug)]
pub(crate) struct View<'a> {
    profile: &'a Profile,
    context: &'a Value,
    now: Timestamp,
    reads: Option<&'a Reads>,
    without: Option<&'a Factor>,
    /// Set when something was asked for that could not be read.
    missed: std::cell::Cell<bool>,
}

impl<'a> View<'a> {
    pub(crate) fn new(profile: &'a Profile, context: &'a Value, now: Timestamp) -> Self {
        Self { profile, context, now, reads: None, without: None, missed: std::cell::Cell::new(false) }
    }

    /// The same, noting what is read.
    pub(crate) fn noting(self, reads: &'a Reads) -> Self {
        Self { reads: Some(reads), ..self }
    }

    /// The same as if one thing were not known.
    pub(crate) fn without(self, factor: &'a Factor) -> Self {
        Self { without: Some(factor), ..self }
    }

    pub(crate) fn profile(&self) -> &'a Profile {
        self.profile
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Whether something was asked for that could not be read; asked once.
    pub(crate) fn take_missed(&self) -> bool {
        self.missed.take()
    }

    fn hides(&self, factor: &Factor) -> bool {
        self.without == Some(factor)
    }

    /// Notes that `factor` was read.
    pub(crate) fn read(&self, factor: Factor) {
        if let Some(reads) = self.reads {
            reads.note(|known| *known == factor, || factor.clone());
        }
    }

    /// Boundaries that hold, by place.
    pub(crate) fn boundaries(&self) -> impl Iterator<Item = (usize, &'a Boundary)> {
        let holds = |b: &Boundary| b.valid_until.is_none_or(|until| self.now < until);
        let all = self.profile.interaction.boundaries.iter().enumerate();
        all.filter(move |(i, b)| holds(b) && !self.hides(&Factor::Boundary(*i)))
    }

    /// Consents, by place, expired ones too.
    pub(crate) fn consents(&self) -> impl Iterator<Item = (usize, &'a Consent)> {
        let all = self.profile.interaction.consents.iter().enumerate();
        all.filter(|(i, _)| !self.hides(&Factor::Consent(*i)))
    }

    /// Broken promises, by place.
    pub(crate) fn broken_promises(&self) -> impl Iterator<Item = (usize, &'a Promise)> {
        let all = self.profile.interaction.promises.iter().enumerate();
        all.filter(|(i, promise)| promise.is_broken(self.now) && !self.hides(&Factor::Promise(*i)))
    }

    /// Statements that hold, by place.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (usize, &'a Statement)> {
        let all = self.profile.interaction.statements.iter().enumerate();
        all.filter(|(i, statement)| statement.holds(self.now) && !self.hides(&Factor::Statement(*i)))
    }

    /// The statement that is left out, if one is.
    pub(crate) fn hidden_statement(&self) -> Option<&'a Statement> {
        match self.without {
            Some(Factor::Statement(place)) => self.profile.interaction.statements.get(*place),
            _ => None,
        }
    }

    /// Needs, by place.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (usize, &'a crate::profile::Need)> {
        let all = self.profile.segmentation.needs.iter().enumerate();
        all.filter(|(i, _)| !self.hides(&Factor::Need(*i)))
    }

    fn hides_attribute(&self, path: &str) -> bool {
        match self.without {
            Some(Factor::Attribute(hidden)) => crate::key::covers(hidden, path),
            _ => false,
        }
    }

    fn missing(&self, degraded: bool) {
        if degraded {
            self.missed.set(true);
        }
    }
}

impl Facts for View<'_> {
    fn attribute(&self, path: &Path) -> Datum<'_> {
        let Some((root, rest)) = path.parts().split_first() else { return Datum::Null };
        let degraded = &self.profile.degraded;
        let (from, degraded) = match &**root {
            "context" => return look_up(self.context, rest).map_or(Datum::Null, Datum::from),
            "customer" => (&self.profile.identity.traits, degraded.identity),
            "traits" => (&self.profile.segmentation.traits, degraded.segmentation),
            "value" => (&self.profile.segmentation.value, degraded.segmentation),
            "needs" => (&self.profile.segmentation.needs_attributes, degraded.segmentation),
            _ => return Datum::Null,
        };
        self.missing(degraded);
        let Some(found) = look_up(from, rest) else { return Datum::Null };
        if self.hides_attribute(path.as_str()) {
            return Datum::Null;
        }
        if let Some(reads) = self.reads {
            let text = path.as_str();
            let same = |known: &Factor| matches!(known, Factor::Attribute(known) if **known == *text);
            reads.note(same, || Factor::Attribute(text.into()));
        }
        Datum::from(found)
    }

    fn statement(&self, topic: &Name) -> Option<Told<'_>> {
        self.missing(self.profile.degraded.interaction);
        let (place, statement) = self.profile.interaction.statement(topic.as_str())?;
        let factor = Factor::Statement(place);
        if self.hides(&factor) {
            return None;
        }
        if statement.holds(self.now) {
            self.read(factor);
        }
        Some(Told { value: Datum::from(&statement.value), valid_until: statement.valid_until })
    }

    fn in_segment(&self, segment: &Name) -> bool {
        self.missing(self.profile.degraded.segmentation);
        let segments = &self.profile.segmentation.segments;
        let Ok(place) = segments.binary_search_by(|name| name.as_str().cmp(segment.as_str())) else { return false };
        let factor = Factor::Segment(place);
        if self.hides(&factor) {
            return false;
        }
        self.read(factor);
        true
    }
}
