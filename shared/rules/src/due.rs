//! Until when a result stands while only the clock moves.
//!
//! Every part of a rule is valued for a stretch of time that begins now: a test is constant over it, an instant or a
//! duration may also move with the clock at a whole rate (`now` at 1, `signup - now` at -1). The stretch of a whole
//! follows from those of its parts; a part that cannot decide the whole does not shorten it. Every stretch given is
//! a lower bound of the true one: nothing changes earlier, though nothing need change at its end.

use terms::Timestamp;

use crate::{
    eval::Env,
    facts::{Facts, Name},
    program::{Arithmetic, Comparison, Part, Span, Tally, Term, Test, Unanswered},
    text,
    value::Datum,
};

/// Never, as an end.
const NEVER: i64 = i64::MAX;

/// A value with its rate of change, good for `now <= t < until` (microseconds).
struct Timed<'e> {
    value: Datum<'e>,
    rate: i64,
    until: i64,
}

impl<'e> Timed<'e> {
    const fn still(value: Datum<'e>, until: i64) -> Self {
        Self { value, rate: 0, until }
    }
}

impl Test {
    /// Whether it holds, and until when that stands; `None`: for good.
    pub(crate) fn holds_until<F: Facts + ?Sized>(&self, env: Env<'_, F>) -> (bool, Option<Timestamp>) {
        let (holds, until) = self.timed(env);
        (holds, (until != NEVER).then_some(Timestamp(until)))
    }

    fn timed<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>) -> (bool, i64) {
        match self {
            Self::All(tests) => joined(tests.iter().map(|test| test.timed(env)), false),
            Self::Any(tests) => joined(tests.iter().map(|test| test.timed(env)), true),
            Self::Not(test) => {
                let (holds, until) = test.timed(env);
                (!holds, until)
            }
            Self::Choose(tests) => {
                let [test, yes, no] = &**tests;
                let (chosen, until) = test.timed(env);
                let (holds, branch) = if chosen { yes } else { no }.timed(env);
                (holds, until.min(branch))
            }
            Self::Compare(comparison, sides) => {
                let [left, right] = &**sides;
                compared(*comparison, left.timed(env), right.timed(env), env.now.0)
            }
            Self::CountIs(comparison, tally, limit) => tally.compared_until(env, *comparison, *limit),
            Self::Told(topic) => (self.holds(env), expiry(env, topic)),
            Self::Quantified(quantified) => {
                let over = match &quantified.over {
                    crate::program::Over::Term(term) => steady(env, [term]),
                    crate::program::Over::Terms(terms) => steady(env, terms.iter()),
                };
                let mut parts = Vec::new();
                quantified.each(env, &mut |env| {
                    parts.push(quantified.test.timed(env));
                    true
                });
                let (holds, until) = joined(parts.into_iter(), quantified.some);
                (holds, until.min(over))
            }
            Self::Unanswered(unanswered) => (self.holds(env), unanswered.until(env)),
            Self::Const(_) | Self::InSegment(_) | Self::Against(_) => (self.holds(env), NEVER),
            Self::Truth(term) | Self::Present(term) | Self::OneOf(term, _) | Self::Matches(term, _) => {
                (self.holds(env), steady(env, [&**term]))
            }
            Self::Among(term, others) => (self.holds(env), steady(env, [&**term]).min(steady(env, others.iter()))),
            Self::Within(sides) | Self::Text(_, sides) => (self.holds(env), steady(env, sides.iter())),
        }
    }
}

/// Tests joined by `||` (`decisive` is true) or `&&` (false): one decisive test is enough, so the longest stands.
fn joined(tests: impl Iterator<Item = (bool, i64)>, decisive: bool) -> (bool, i64) {
    let (mut decided, mut all) = (None, NEVER);
    for (holds, until) in tests {
        if holds == decisive {
            decided = Some(decided.unwrap_or(until).max(until));
        } else {
            all = all.min(until);
        }
    }
    match decided {
        Some(until) => (decisive, until),
        None => (!decisive, all),
    }
}

/// Until when terms keep their values; one that moves keeps it for a microsecond.
fn steady<'e, F: Facts + ?Sized>(env: Env<'e, F>, terms: impl IntoIterator<Item = &'e Term>) -> i64 {
    terms.into_iter().fold(NEVER, |until, term| {
        let timed = term.timed(env);
        until.min(if timed.rate == 0 { timed.until } else { env.now.0.saturating_add(1) })
    })
}

/// The end of the statement on a topic, if that is still to come.
fn expiry<F: Facts + ?Sized>(env: Env<'_, F>, topic: &Name) -> i64 {
    let end = env.facts.statement(topic).and_then(|told| told.valid_until);
    end.filter(|end| *end > env.now).map_or(NEVER, |end| end.0)
}

/// Compares two values that may move, and finds the first instant at which the outcome is another.
fn compared(comparison: Comparison, left: Timed<'_>, right: Timed<'_>, now: i64) -> (bool, i64) {
    let holds = comparison.holds(&left.value, &right.value);
    let until = left.until.min(right.until);
    let distance = match (&left.value, &right.value) {
        (Datum::Timestamp(left), Datum::Timestamp(right)) => i128::from(left.0) - i128::from(right.0),
        (Datum::Duration(left), Datum::Duration(right)) => i128::from(*left) - i128::from(*right),
        // Values of two kinds: no movement makes them comparable.
        _ => return (holds, until),
    };
    let rate = i128::from(left.rate) - i128::from(right.rate);
    if rate == 0 {
        return (holds, until);
    }
    // The distance changes its sign at most twice: on reaching zero, and on leaving it.
    let reach = if distance.signum() == -rate.signum() { (distance.abs() + rate.abs() - 1) / rate.abs() } else { 0 };
    let changed = [reach, reach + 1]
        .into_iter()
        .find(|after| *after > 0 && comparison.accepts((distance + rate * after).cmp(&0)) != holds);
    let turn = changed.and_then(|after| i64::try_from(i128::from(now) + after).ok()).unwrap_or(NEVER);
    (holds, until.min(turn))
}

impl Term {
    fn timed<'e, F: Facts + ?Sized>(&'e self, env: Env<'e, F>) -> Timed<'e> {
        match self {
            Self::Now => Timed { value: Datum::Timestamp(env.now), rate: 1, until: NEVER },
            Self::Choose(parts) => {
                let (test, yes, no) = &**parts;
                let (chosen, until) = test.timed(env);
                let branch = if chosen { yes } else { no }.timed(env);
                Timed { until: until.min(branch.until), ..branch }
            }
            Self::Arithmetic(operation, sides) => {
                let [left, right] = &**sides;
                calculated(*operation, left.timed(env), right.timed(env), env.now.0)
            }
            Self::Negate(term) => {
                let timed = term.timed(env);
                let moved = Timed { value: self.value(env), rate: timed.rate.saturating_neg(), until: timed.until };
                moved.in_range(env.now.0)
            }
            Self::Part(part, term) => part.timed(term.timed(env), env.now.0),
            Self::Test(test) => {
                let (holds, until) = test.timed(env);
                Timed::still(Datum::Bool(holds), until)
            }
            Self::Statement(topic, _) => Timed::still(self.value(env), expiry(env, topic)),
            Self::Count(tally) | Self::Sum(tally, _) => {
                Timed::still(self.value(env), tally.entry(env, 0).min(tally.exit(env, 0)))
            }
            Self::Last(tally) => {
                let last = tally.last(env);
                let exit = match (tally.span, last) {
                    (Span::Within(length), Some(at)) => at.0.saturating_add(length),
                    _ => NEVER,
                };
                Timed::still(last.map_or(Datum::Null, Datum::Timestamp), tally.entry(env, 0).min(exit))
            }
            Self::First(tally) => {
                let first = self.value(env);
                let until = if first.is_null() { tally.entry(env, 0) } else { tally.exit(env, 0) };
                Timed::still(first, until)
            }
            Self::Member(term, _) | Self::Size(term) | Self::Letters(_, term) | Self::Convert(_, term) => {
                Timed::still(self.value(env), steady(env, [&**term]))
            }
            Self::Index(sides) => Timed::still(self.value(env), steady(env, sides.iter())),
            Self::Const(_)
            | Self::Duration(_)
            | Self::Attribute(..)
            | Self::Field(..)
            | Self::OccurredAt
            | Self::Item => Timed::still(self.value(env), NEVER),
        }
    }
}

fn calculated<'e>(operation: Arithmetic, left: Timed<'e>, right: Timed<'e>, now: i64) -> Timed<'e> {
    let until = left.until.min(right.until);
    if left.rate == 0 && right.rate == 0 {
        return Timed::still(operation.of(left.value, right.value), until);
    }
    let side = if operation == Arithmetic::Subtract { -1 } else { 1 };
    let rate = right.rate.checked_mul(side).and_then(|right| left.rate.checked_add(right));
    let (Some((exact, low, high)), Some(rate)) = (unbounded(operation, &left.value, &right.value), rate) else {
        // Values that do not fit together: missing, as long as they are what they are.
        return Timed::still(operation.of(left.value, right.value), until);
    };
    let value = operation.of(left.value, right.value);
    if !value.is_null() {
        return Timed { value, rate, until }.in_range(now);
    }
    // Missing for being out of range: it may come into it.
    let way = if exact < low { low - exact } else { exact - high };
    let nearing = if exact < low { rate > 0 } else { rate < 0 };
    let steps = i128::from(rate.unsigned_abs()).max(1);
    let turn = if nearing { i128::from(now) + (way + steps - 1) / steps } else { i128::from(NEVER) };
    Timed::still(value, until.min(i64::try_from(turn).unwrap_or(NEVER)))
}

/// A sum or difference of instants and durations, exactly, and the range of its type.
fn unbounded(operation: Arithmetic, left: &Datum<'_>, right: &Datum<'_>) -> Option<(i128, i128, i128)> {
    let instants = (i128::from(Timestamp::MIN.0), i128::from(Timestamp::MAX.0));
    let lengths = (i128::from(-text::MAX_DURATION), i128::from(text::MAX_DURATION));
    let (left, right, (low, high)) = match (operation, left, right) {
        (Arithmetic::Add | Arithmetic::Subtract, Datum::Timestamp(at), Datum::Duration(by)) => (at.0, *by, instants),
        (Arithmetic::Add, Datum::Duration(by), Datum::Timestamp(at)) => (*by, at.0, instants),
        (Arithmetic::Subtract, Datum::Timestamp(left), Datum::Timestamp(right)) => (left.0, right.0, lengths),
        (Arithmetic::Add | Arithmetic::Subtract, Datum::Duration(left), Datum::Duration(right)) => {
            (*left, *right, lengths)
        }
        _ => return None,
    };
    let (left, right) = (i128::from(left), i128::from(right));
    Some((if operation == Arithmetic::Add { left + right } else { left - right }, low, high))
}

impl Timed<'_> {
    /// Ends the stretch where the value moves out of the range of its type.
    fn in_range(mut self, now: i64) -> Self {
        let (value, low, high) = match &self.value {
            Datum::Timestamp(at) => (at.0, Timestamp::MIN.0, Timestamp::MAX.0),
            Datum::Duration(length) => (*length, -text::MAX_DURATION, text::MAX_DURATION),
            _ => return self,
        };
        let room = match self.rate.signum() {
            1 => i128::from(high) - i128::from(value),
            -1 => i128::from(value) - i128::from(low),
            _ => return self,
        };
        let turn = i128::from(now) + room / i128::from(self.rate).abs() + 1;
        self.until = self.until.min(i64::try_from(turn).unwrap_or(NEVER));
        self
    }
}

impl Part {
    fn timed<'e>(self, of: Timed<'_>, now: i64) -> Timed<'e> {
        let value = self.of(&of.value);
        let until = match (&of.value, of.rate) {
            (_, 0) => of.until,
            (Datum::Timestamp(at), rate) => {
                let past = at.0.rem_euclid(self.grain());
                // To the next boundary when going forward, across the last one when going back.
                let way = if rate > 0 { self.grain() - past } else { past + 1 };
                let steps = (way + rate.abs() - 1) / rate.abs();
                of.until.min(now.saturating_add(steps))
            }
            _ => of.until.min(now.saturating_add(1)),
        };
        Timed::still(value, until)
    }
}

impl Tally {
    /// When the `n`th event (from 0) that is still to come will count.
    fn entry<F: Facts + ?Sized>(&self, env: Env<'_, F>, n: u64) -> i64 {
        let (after, until) = self.span.ever(env.now);
        self.nth_between(env, (after.max(env.now), until), n).map_or(NEVER, |at| at.0)
    }

    /// When the `n`th event (from 0) of those that count now will not count any more.
    fn exit<F: Facts + ?Sized>(&self, env: Env<'_, F>, n: u64) -> i64 {
        match self.span {
            Span::Within(length) => self.nth(env, env.now, n).map_or(NEVER, |at| at.0.saturating_add(length)),
            _ => NEVER,
        }
    }

    /// Compares the count with a constant: the outcome stands until enough events have come or gone to change it.
    fn compared_until<F: Facts + ?Sized>(&self, env: Env<'_, F>, by: Comparison, limit: i64) -> (bool, i64) {
        let count = i64::try_from(self.count(env)).unwrap_or(i64::MAX);
        let holds = by.accepts(count.cmp(&limit));
        // The outcome is constant below the limit, at it, and above it; so look at the nearest counts of each.
        let differs = |other: &i64| *other >= 0 && by.accepts(other.cmp(&limit)) != holds;
        let near = [limit.saturating_sub(1), limit, limit.saturating_add(1)];
        let up = near.iter().filter(|other| **other > count && differs(other)).min();
        let down = near.iter().filter(|other| **other < count && differs(other)).max();
        let steps = |other: &i64| count.abs_diff(*other) - 1;
        let entry = up.map_or(NEVER, |other| self.entry(env, steps(other)));
        let exit = down.map_or(NEVER, |other| self.exit(env, steps(other)));
        (holds, entry.min(exit))
    }
}

impl Unanswered {
    /// When an event asked for comes, elapses unanswered, or leaves its span: whichever may matter first.
    fn until<F: Facts + ?Sized>(&self, env: Env<'_, F>) -> i64 {
        let mut until = NEVER;
        let mut consider = |at: i64| {
            if at > env.now.0 {
                until = until.min(at);
            }
        };
        self.asked.visit(env, self.asked.span.ever(env.now), &mut |event| {
            let at = event.occurred_at();
            if self.last_only {
                consider(at.0);
            }
            if self.last_only || self.is_unanswered(env, at) {
                consider(at.0.saturating_add(self.within));
                if let Span::Within(length) = self.asked.span {
                    consider(at.0.saturating_add(length));
                }
            }
            // What comes after the first of those still to come can wait for it.
            at <= env.now || !(self.last_only || self.is_unanswered(env, at))
        });
        until
    }
}
