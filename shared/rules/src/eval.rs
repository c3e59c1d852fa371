//! Evaluation at one instant.

use terms::Timestamp;

use crate::{
    facts::{EventView, Facts, Name, Path},
    operate::{index, member, negate, size, within},
    program::{Over, Quantified, Tally, Term, Test, Unanswered},
    value::Datum,
};

/// All that evaluation reads.
pub(crate) struct Env<'e, F: ?Sized> {
    pub(crate) facts: &'e F,
    pub(crate) now: Timestamp,
    pub(crate) event: Option<&'e dyn EventView>,
    pub(crate) item: Option<&'e Datum<'e>>,
}

impl<F: ?Sized> Clone for Env<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: ?Sized> Copy for Env<'_, F> {}

impl<'e, F: Facts + ?Sized> Env<'e, F> {
    pub(crate) fn new(facts: &'e F, now: Timestamp) -> Self {
        Self { facts, now, event: None, item: None }
    }
}

impl Test {
    pub(crate) fn holds<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>) -> bool {
        match self {
            Self::Const(value) => *value,
            Self::All(tests) => tests.iter().all(|test| test.holds(env)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(env)),
            Self::Not(test) => !test.holds(env),
            Self::Choose(tests) => {
                let [test, yes, no] = &**tests;
                if test.holds(env) { yes.holds(env) } else { no.holds(env) }
            }
            Self::Truth(term) => matches!(term.value(env), Datum::Bool(true)),
            Self::Present(term) => !term.value(env).is_null(),
            Self::Compare(comparison, sides) => {
                let [left, right] = &**sides;
                comparison.holds(&left.value(env), &right.value(env))
            }
            Self::Against(against) => against.holds(env.facts.attribute(&against.path)),
            Self::CountIs(comparison, tally, limit) => {
                comparison.accepts(i64::try_from(tally.count(env)).unwrap_or(i64::MAX).cmp(limit))
            }
            Self::OneOf(term, constants) => constants.contain(&term.value(env)),
            Self::Among(term, others) => {
                let value = term.value(env);
                others.iter().any(|other| value.equals(&other.value(env)))
            }
            Self::Within(sides) => {
                let [item, all] = &**sides;
                within(&item.value(env), &all.value(env))
            }
            Self::Text(test, sides) => {
                let [text, part] = &**sides;
                match (text.value(env), part.value(env)) {
                    (Datum::String(text), Datum::String(part)) => test.holds(&text, &part),
                    _ => false,
                }
            }
            Self::Matches(term, regex) => matches!(term.value(env), Datum::String(text) if regex.is_match(&text)),
            Self::Told(topic) => statement(env, topic).is_some(),
            Self::InSegment(segment) => env.facts.in_segment(segment),
            Self::Quantified(quantified) => quantified.holds(env),
            Self::Unanswered(unanswered) => unanswered.holds(env),
        }
    }
}

impl Term {
    pub(crate) fn value<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>) -> Datum<'e> {
        match self {
            Self::Const(value) => value.into(),
            Self::Duration(length) => Datum::Duration(*length),
            Self::Now => Datum::Timestamp(env.now),
            Self::Attribute(path, reading) => reading.of(env.facts.attribute(path)),
            Self::Field(path, reading) => env.event.map_or(Datum::Null, |event| reading.of(event.field(path))),
            Self::OccurredAt => env.event.map_or(Datum::Null, |event| Datum::Timestamp(event.occurred_at())),
            Self::Item => env.item.cloned().unwrap_or_default(),
            Self::Statement(topic, reading) => statement(env, topic).map_or(Datum::Null, |value| reading.of(value)),
            Self::Member(term, name) => member(term.value(env), name),
            Self::Index(sides) => {
                let [all, at] = &**sides;
                index(all.value(env), &at.value(env))
            }
            Self::Test(test) => Datum::Bool(test.holds(env)),
            Self::Choose(parts) => {
                let (test, yes, no) = &**parts;
                if test.holds(env) { yes.value(env) } else { no.value(env) }
            }
            Self::Arithmetic(operation, sides) => {
                let [left, right] = &**sides;
                operation.of(left.value(env), right.value(env))
            }
            Self::Negate(term) => negate(term.value(env)),
            Self::Size(term) => size(&term.value(env)),
            Self::Letters(letters, term) => letters.of(term.value(env)),
            Self::Convert(convert, term) => convert.of(term.value(env)),
            Self::Part(part, term) => part.of(&term.value(env)),
            Self::Count(tally) => Datum::Int(i64::try_from(tally.count(env)).unwrap_or(i64::MAX)),
            Self::Sum(tally, field) => tally.sum(env, field),
            Self::Last(tally) => tally.last(env).map_or(Datum::Null, Datum::Timestamp),
            Self::First(tally) => tally.nth(env, env.now, 0).map_or(Datum::Null, Datum::Timestamp),
        }
    }
}

/// The statement on a topic, if it has not expired.
fn statement<'e, F: Facts + ?Sized>(env: Env<'e, F>, topic: &Name) -> Option<Datum<'e>> {
    let told = env.facts.statement(topic)?;
    told.valid_until.is_none_or(|end| env.now < end).then_some(told.value)
}

impl Tally {
    /// Calls `visit` with each event that passes, in order, until it says `false`.
    pub(crate) fn visit<'e, F: Facts + ?Sized>(
        &'e self,
        env: Env<'e, F>,
        (after, until): (Timestamp, Timestamp),
        visit: &mut dyn FnMut(&dyn EventView) -> bool,
    ) {
        if after >= until {
            return;
        }
        env.facts.visit_events(&self.event, after, until, &mut |event| !self.passes(env, event) || visit(event));
    }

    fn passes<F: Facts + ?Sized>(&self, env: Env<'_, F>, event: &dyn EventView) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.holds(Env { event: Some(event), ..env }))
    }

    pub(crate) fn count<F: Facts + ?Sized>(&self, env: Env<'_, F>) -> u64 {
        let (after, until) = self.span.at(env.now);
        if after >= until {
            return 0;
        }
        if self.filter.is_none() {
            return env.facts.count_events(&self.event, after, until);
        }
        let mut count = 0;
        self.visit(env, (after, until), &mut |_| {
            count += 1;
            true
        });
        count
    }

    fn sum<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>, field: &Path) -> Datum<'e> {
        let (after, until) = self.span.at(env.now);
        if after >= until {
            return Datum::Double(0.0);
        }
        if self.filter.is_none() {
            return Datum::finite(env.facts.sum_events(&self.event, field, after, until));
        }
        let mut sum = 0.0;
        self.visit(env, (after, until), &mut |event| {
            sum += event.field(field).number().unwrap_or_default();
            true
        });
        Datum::finite(sum)
    }

    pub(crate) fn last<F: Facts + ?Sized>(&self, env: Env<'_, F>) -> Option<Timestamp> {
        let (after, until) = self.span.at(env.now);
        if after >= until {
            return None;
        }
        if self.filter.is_none() {
            return env.facts.last_event(&self.event, after, until);
        }
        let mut last = None;
        self.visit(env, (after, until), &mut |event| {
            last = Some(event.occurred_at());
            true
        });
        last
    }

    /// The time of the `n`th event (from 0) that is in the span at `env.now`, or comes no later than `until`.
    pub(crate) fn nth<F: Facts + ?Sized>(&self, env: Env<'_, F>, until: Timestamp, n: u64) -> Option<Timestamp> {
        let (after, end) = self.span.ever(env.now);
        self.nth_between(env, (after, end.min(until)), n)
    }

    pub(crate) fn nth_between<F: Facts + ?Sized>(
        &self,
        env: Env<'_, F>,
        (after, until): (Timestamp, Timestamp),
        n: u64,
    ) -> Option<Timestamp> {
        if after >= until {
            return None;
        }
        if self.filter.is_none() {
            return env.facts.nth_event(&self.event, after, until, n);
        }
        let (mut left, mut found) = (n, None);
        self.visit(env, (after, until), &mut |event| {
            if left == 0 {
                found = Some(event.occurred_at());
                return false;
            }
            left -= 1;
            true
        });
        found
    }
}

impl Quantified {
    fn holds<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>) -> bool {
        let mut holds = !self.some;
        self.each(env, &mut |env| {
            holds = self.test.holds(env);
            holds != self.some
        });
        holds
    }

    /// Calls `visit` with each item as the variable, until it says `false`.
    pub(crate) fn each<'e, F: Facts + ?Sized>(
        &'e self,
        env: Env<'e, F>,
        visit: &mut dyn for<'i> FnMut(Env<'i, F>) -> bool,
    ) {
        let mut with = |item: Datum<'_>| visit(Env { item: Some(&item), ..env });
        match &self.over {
            Over::Terms(terms) => {
                let _ = terms.iter().all(|term| with(term.value(env)));
            }
            Over::Term(term) => match term.value(env) {
                Datum::List(items) => {
                    let _ = items.iter().all(|item| with(item.into()));
                }
                Datum::Map(entries) => {
                    let _ = entries.keys().all(|key| with(Datum::str(key)));
                }
                _ => {}
            },
        }
    }
}

impl Unanswered {
    fn holds<F: Facts + ?Sized>(&self, env: Env<'_, F>) -> bool {
        if self.last_only {
            return self.asked.last(env).is_some_and(|at| self.elapsed(env, at) && self.is_unanswered(env, at));
        }
        let mut found = false;
        self.asked.visit(env, self.asked.span.at(env.now), &mut |event| {
            let at = event.occurred_at();
            found = self.elapsed(env, at) && self.is_unanswered(env, at);
            // Later ones have elapsed even less.
            !found && self.elapsed(env, at)
        });
        found
    }

    fn elapsed<F: ?Sized>(&self, env: Env<'_, F>, at: Timestamp) -> bool {
        at.0.saturating_add(self.within) <= env.now.0
    }

    /// Whether no answer came within the time after `at`.
    pub(crate) fn is_unanswered<F: Facts + ?Sized>(&self, env: Env<'_, F>, at: Timestamp) -> bool {
        let end = Timestamp(at.0.saturating_add(self.within));
        env.facts.nth_event(&self.answer, at, end, 0).is_none()
    }
}
