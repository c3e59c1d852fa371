//! The compiled form: a tree of tests (true or false, never missing) over terms (values, perhaps missing).

use std::{cmp::Ordering, sync::Arc};

use regex::Regex;
use terms::Timestamp;

use crate::{
    facts::{Name, Path},
    value::{Datum, Value},
};

/// What is true or false.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    Const(bool),
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Not(Box<Test>),
    Choose(Box<[Test; 3]>),
    /// A value that is true.
    Truth(Box<Term>),
    Present(Box<Term>),
    Compare(Comparison, Box<[Term; 2]>),
    /// An attribute against a constant: what most clauses are.
    Against(Box<Against>),
    /// A number of events against a constant.
    CountIs(Comparison, Box<Tally>, i64),
    /// `x in [constants]`.
    OneOf(Box<Term>, Box<Constants>),
    /// `x in [terms]`.
    Among(Box<Term>, Box<[Term]>),
    /// `x in list`, `key in map`.
    Within(Box<[Term; 2]>),
    Text(TextTest, Box<[Term; 2]>),
    Matches(Box<Term>, Regex),
    Told(Name),
    InSegment(Name),
    Quantified(Box<Quantified>),
    Unanswered(Box<Unanswered>),
}

/// What has a value, or is missing.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    Const(Value),
    Duration(i64),
    Now,
    Attribute(Path, Reading),
    Field(Path, Reading),
    OccurredAt,
    /// The variable of `exists` and `all`.
    Item,
    Statement(Name, Reading),
    Member(Box<Term>, Arc<str>),
    Index(Box<[Term; 2]>),
    Test(Box<Test>),
    Choose(Box<(Test, Term, Term)>),
    Arithmetic(Arithmetic, Box<[Term; 2]>),
    Negate(Box<Term>),
    Size(Box<Term>),
    Letters(Letters, Box<Term>),
    Convert(Convert, Box<Term>),
    Part(Part, Box<Term>),
    Count(Box<Tally>),
    Sum(Box<Tally>, Path),
    Last(Box<Tally>),
    First(Box<Tally>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// With the sides swapped.
    pub(crate) const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    pub(crate) const fn accepts(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// A missing value equals nothing: `!=` is true of it, everything else false.
    #[inline]
    pub(crate) fn holds(self, left: &Datum<'_>, right: &Datum<'_>) -> bool {
        match self {
            Self::Equal => left.equals(right),
            Self::Unequal => !left.equals(right),
            _ => left.compare(right).is_some_and(|order| self.accepts(order)),
        }
    }
}

/// An attribute, compared with a constant.
#[derive(Debug, Clone)]
pub(crate) struct Against {
    pub(crate) path: Path,
    pub(crate) reading: Reading,
    pub(crate) comparison: Comparison,
    pub(crate) constant: Value,
}

impl Against {
    /// The common cases at once, without building values; the others as every comparison.
    #[inline]
    pub(crate) fn holds(&self, datum: Datum<'_>) -> bool {
        match (&datum, &self.constant, self.reading) {
            (Datum::String(text), Value::String(constant), Reading::String | Reading::Any) => match self.comparison {
                Comparison::Equal => **text == **constant,
                Comparison::Unequal => **text != **constant,
                _ => self.comparison.accepts((**text).cmp(constant)),
            },
            (Datum::Int(number), Value::Int(constant), Reading::Int | Reading::Any) => {
                self.comparison.accepts(number.cmp(constant))
            }
            (Datum::Double(number), Value::Double(constant), Reading::Double | Reading::Any) if number.is_finite() => {
                number.partial_cmp(constant).is_some_and(|order| self.comparison.accepts(order))
            }
            _ => self.comparison.holds(&self.reading.of(datum), &Datum::from(&self.constant)),
        }
    }
}

/// As what an attribute is read: a value that is of another type counts as missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Any,
    Bool,
    Int,
    Double,
    String,
    Timestamp,
    List,
    Map,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Letters {
    LowerAscii,
    UpperAscii,
    Lower,
    Upper,
    Trim,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Convert {
    Int,
    Double,
    String,
    Timestamp,
    Duration,
}

/// A part of an instant, in UTC, numbered as CEL numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    FullYear,
    /// From 0.
    Month,
    /// Day of the month, from 1.
    Date,
    /// Day of the month, from 0.
    DayOfMonth,
    /// From 0, Sunday.
    DayOfWeek,
    /// From 0.
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

impl Part {
    /// A length of time (in microseconds, a divisor of every change) in which it changes at most once.
    pub(crate) const fn grain(self) -> i64 {
        match self {
            Self::Milliseconds => 1_000,
            Self::Seconds => 1_000_000,
            Self::Minutes => 60_000_000,
            Self::Hours => 3_600_000_000,
            _ => 86_400_000_000,
        }
    }
}

/// Some events: of a type, in a span of time, that pass a filter.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) event: Name,
    pub(crate) span: Span,
    pub(crate) filter: Option<Test>,
}

/// Which events count, by their time; never those after the present instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    Always,
    /// `now - d < t`: an event leaves exactly at `t + d`. In microseconds, above 0.
    Within(i64),
    /// Both ends included.
    Between(Timestamp, Timestamp),
}

impl Span {
    /// `after < t <= until`, at the instant `now`.
    pub(crate) fn at(self, now: Timestamp) -> (Timestamp, Timestamp) {
        match self {
            Self::Always => (Timestamp(i64::MIN), now),
            Self::Within(length) => (Timestamp(now.0.saturating_sub(length)), now),
            Self::Between(from, to) => (Timestamp(from.0.saturating_sub(1)), now.min(to)),
        }
    }

    /// The same with the events that are still to come by the clock.
    pub(crate) fn ever(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let (after, _) = self.at(now);
        match self {
            Self::Between(_, to) => (after, to),
            _ => (after, Timestamp(i64::MAX)),
        }
    }
}

/// `list.exists(x, …)` or `list.all(x, …)`.
#[derive(Debug, Clone)]
pub(crate) struct Quantified {
    /// `exists`, else `all`.
    pub(crate) some: bool,
    pub(crate) over: Over,
    pub(crate) test: Test,
}

#[derive(Debug, Clone)]
pub(crate) enum Over {
    /// Items of a list, keys of a map; nothing else has any.
    Term(Term),
    Terms(Box<[Term]>),
}

/// `did(x).then_not(y, d)`.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    pub(crate) asked: Tally,
    pub(crate) answer: Name,
    /// In microseconds, above 0.
    pub(crate) within: i64,
    /// Only the last `x` counts, else any.
    pub(crate) last_only: bool,
}

/// Constants, made ready for looking up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Constants {
    strings: Box<[Arc<str>]>,
    ints: Box<[i64]>,
    others: Box<[Value]>,
}

impl Constants {
    pub(crate) fn new(values: &[Value]) -> Self {
        let (mut strings, mut ints, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            match value {
                Value::String(text) => strings.push(text.clone()),
                Value::Int(number) => ints.push(*number),
                other => others.push(other.clone()),
            }
        }
        strings.sort_unstable();
        ints.sort_unstable();
        Self { strings: strings.into(), ints: ints.into(), others: others.into() }
    }

    pub(crate) fn contain(&self, datum: &Datum<'_>) -> bool {
        match datum {
            Datum::Null => false,
            Datum::String(text) => self.strings.binary_search_by(|known| known.as_ref().cmp(text.as_ref())).is_ok(),
            Datum::Int(number) => self.ints.binary_search(number).is_ok() || self.other(datum),
            Datum::Double(_) => {
                let known = |known: &i64| Datum::Int(*known).compare(datum).unwrap_or(Ordering::Less);
                self.ints.binary_search_by(known).is_ok() || self.other(datum)
            }
            _ => self.other(datum),
        }
    }

    fn other(&self, datum: &Datum<'_>) -> bool {
        self.others.iter().any(|known| Datum::from(known).equals(datum))
    }
}
