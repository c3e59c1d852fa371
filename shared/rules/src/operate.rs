//! Operations on values. What overflows, divides by zero or does not fit together is missing.

use std::borrow::Cow;

use terms::Timestamp;
use time::OffsetDateTime;

use crate::{
    program::{Arithmetic, Convert, Letters, Part, Reading, TextTest},
    text,
    value::{Datum, Value},
};

impl Reading {
    #[inline]
    pub(crate) fn of(self, datum: Datum<'_>) -> Datum<'_> {
        match (self, datum) {
            (Self::Any, Datum::Double(number)) => Datum::finite(number),
            (Self::Any, datum) => datum,
            (Self::Double, Datum::Double(number)) => Datum::finite(number),
            (Self::Double, Datum::Int(number)) => Datum::Double(number as f64),
            (Self::Int, Datum::Double(number)) => whole(number),
            (Self::Timestamp, Datum::String(text)) => {
                text::parse_timestamp(&text).map_or(Datum::Null, Datum::Timestamp)
            }
            (Self::Bool, datum @ Datum::Bool(_))
            | (Self::Int, datum @ Datum::Int(_))
            | (Self::String, datum @ Datum::String(_))
            | (Self::Timestamp, datum @ Datum::Timestamp(_))
            | (Self::List, datum @ Datum::List(_))
            | (Self::Map, datum @ Datum::Map(_)) => datum,
            _ => Datum::Null,
        }
    }
}

/// The number as a whole one, if it is whole.
fn whole<'a>(number: f64) -> Datum<'a> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) { Datum::Int(number as i64) } else { Datum::Null }
}

/// `item in all`
pub(crate) fn within(item: &Datum<'_>, all: &Datum<'_>) -> bool {
    match (item, all) {
        (Datum::Null, _) => false,
        (item, Datum::List(items)) => items.iter().any(|other| item.equals(&other.into())),
        (Datum::String(key), Datum::Map(entries)) => entries.get(key.as_ref()).is_some_and(|v| *v != Value::Null),
        _ => false,
    }
}

/// `of.name`
pub(crate) fn member<'e>(of: Datum<'e>, name: &str) -> Datum<'e> {
    match of {
        Datum::Map(entries) => entries.get(name).map_or(Datum::Null, Datum::from),
        _ => Datum::Null,
    }
}

/// `of[at]`
pub(crate) fn index<'e>(of: Datum<'e>, at: &Datum<'_>) -> Datum<'e> {
    match (of, at) {
        (Datum::Map(entries), Datum::String(key)) => entries.get(key.as_ref()).map_or(Datum::Null, Datum::from),
        (Datum::List(items), Datum::Int(at)) => {
            usize::try_from(*at).ok().and_then(|at| items.get(at)).map_or(Datum::Null, Datum::from)
        }
        (of @ Datum::List(_), Datum::Double(at)) => match whole(*at) {
            Datum::Int(at) => index(of, &Datum::Int(at)),
            _ => Datum::Null,
        },
        _ => Datum::Null,
    }
}

/// An instant, if it lies in the years 1 to 9999.
fn instant<'a>(micros: Option<i64>) -> Datum<'a> {
    let fits = |micros: &i64| (Timestamp::MIN.0..=Timestamp::MAX.0).contains(micros);
    micros.filter(fits).map_or(Datum::Null, |micros| Datum::Timestamp(Timestamp(micros)))
}

fn length<'a>(micros: Option<i64>) -> Datum<'a> {
    let fits = |micros: &i64| (-text::MAX_DURATION..=text::MAX_DURATION).contains(micros);
    micros.filter(fits).map_or(Datum::Null, Datum::Duration)
}

/// `-datum`
pub(crate) fn negate(datum: Datum<'_>) -> Datum<'_> {
    match datum {
        Datum::Int(number) => number.checked_neg().map_or(Datum::Null, Datum::Int),
        Datum::Double(number) => Datum::Double(-number),
        Datum::Duration(micros) => length(micros.checked_neg()),
        _ => Datum::Null,
    }
}

/// How many characters, items or entries.
pub(crate) fn size<'a>(of: &Datum<'_>) -> Datum<'a> {
    let size = match of {
        Datum::String(text) => text.chars().count(),
        Datum::List(items) => items.len(),
        Datum::Map(entries) => entries.len(),
        _ => return Datum::Null,
    };
    Datum::Int(size as i64)
}

impl Arithmetic {
    pub(crate) fn of<'e>(self, left: Datum<'e>, right: Datum<'e>) -> Datum<'e> {
        match (left, right) {
            (Datum::Int(left), Datum::Int(right)) => self.of_ints(left, right).map_or(Datum::Null, Datum::Int),
            (Datum::String(left), Datum::String(right)) if self == Self::Add => {
                let mut text = left.into_owned();
                text.push_str(&right);
                Datum::String(Cow::Owned(text))
            }
            (Datum::Timestamp(at), Datum::Duration(by)) => match self {
                Self::Add => instant(at.0.checked_add(by)),
                Self::Subtract => instant(at.0.checked_sub(by)),
                _ => Datum::Null,
            },
            (Datum::Duration(by), Datum::Timestamp(at)) if self == Self::Add => instant(at.0.checked_add(by)),
            (Datum::Timestamp(left), Datum::Timestamp(right)) if self == Self::Subtract => {
                length(left.0.checked_sub(right.0))
            }
            (Datum::Duration(left), Datum::Duration(right)) => match self {
                Self::Add => length(left.checked_add(right)),
                Self::Subtract => length(left.checked_sub(right)),
                _ => Datum::Null,
            },
            (left, right) => match (left.number(), right.number()) {
                (Some(left), Some(right)) => Datum::finite(self.of_doubles(left, right)),
                _ => Datum::Null,
            },
        }
    }

    fn of_ints(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
        }
    }

    fn of_doubles(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
            Self::Remainder => left % right,
        }
    }
}

impl TextTest {
    pub(crate) fn holds(self, text: &str, part: &str) -> bool {
        match self {
            Self::StartsWith => text.starts_with(part),
            Self::EndsWith => text.ends_with(part),
            Self::Contains => text.contains(part),
        }
    }
}

impl Letters {
    pub(crate) fn of(self, datum: Datum<'_>) -> Datum<'_> {
        let Datum::String(text) = datum else {
            return Datum::Null;
        };
        Datum::String(match self {
            Self::LowerAscii if !text.bytes().any(|byte| byte.is_ascii_uppercase()) => text,
            Self::LowerAscii => Cow::Owned(text.to_ascii_lowercase()),
            Self::UpperAscii => Cow::Owned(text.to_ascii_uppercase()),
            Self::Lower => Cow::Owned(text.to_lowercase()),
            Self::Upper => Cow::Owned(text.to_uppercase()),
            Self::Trim => Cow::Owned(text.trim().to_owned()),
        })
    }
}

impl Convert {
    pub(crate) fn of(self, datum: Datum<'_>) -> Datum<'_> {
        match (self, datum) {
            (Self::Int, Datum::Int(number)) => Datum::Int(number),
            (Self::Int, Datum::Double(number)) => whole(number.trunc()),
            (Self::Int, Datum::String(text)) => text.parse().map_or(Datum::Null, Datum::Int),
            (Self::Int, Datum::Timestamp(at)) => Datum::Int(at.0.div_euclid(1_000_000)),
            (Self::Double, Datum::Int(number)) => Datum::Double(number as f64),
            (Self::Double, Datum::Double(number)) => Datum::Double(number),
            (Self::Double, Datum::String(text)) => text.parse().map_or(Datum::Null, Datum::finite),
            (Self::String, datum @ Datum::String(_)) => datum,
            (Self::String, Datum::Bool(value)) => Datum::str(if value { "true" } else { "false" }),
            (Self::String, Datum::Int(number)) => Datum::String(Cow::Owned(number.to_string())),
            (Self::String, Datum::Double(number)) => Datum::String(Cow::Owned(number.to_string())),
            (Self::String, Datum::Timestamp(at)) => Datum::String(Cow::Owned(text::format_timestamp(at))),
            (Self::String, Datum::Duration(micros)) => Datum::String(Cow::Owned(text::format_duration(micros))),
            (Self::Timestamp, datum @ Datum::Timestamp(_)) => datum,
            (Self::Timestamp, Datum::String(text)) => {
                text::parse_timestamp(&text).map_or(Datum::Null, Datum::Timestamp)
            }
            (Self::Timestamp, Datum::Int(seconds)) => instant(seconds.checked_mul(1_000_000)),
            (Self::Duration, datum @ Datum::Duration(_)) => datum,
            (Self::Duration, Datum::String(text)) => text::parse_duration(&text).map_or(Datum::Null, Datum::Duration),
            _ => Datum::Null,
        }
    }
}

impl Part {
    pub(crate) fn of<'a>(self, of: &Datum<'_>) -> Datum<'a> {
        let Datum::Timestamp(at) = of else {
            return Datum::Null;
        };
        let Ok(at) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000) else {
            return Datum::Null;
        };
        Datum::Int(match self {
            Self::FullYear => at.year().into(),
            Self::Month => i64::from(u8::from(at.month())) - 1,
            Self::Date => at.day().into(),
            Self::DayOfMonth => i64::from(at.day()) - 1,
            Self::DayOfWeek => at.weekday().number_days_from_sunday().into(),
            Self::DayOfYear => i64::from(at.ordinal()) - 1,
            Self::Hours => at.hour().into(),
            Self::Minutes => at.minute().into(),
            Self::Seconds => at.second().into(),
            Self::Milliseconds => at.millisecond().into(),
        })
    }
}
