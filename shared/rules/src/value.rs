//! Values: [`Value`] is owned, [`Datum`] is what evaluation reads.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, sync::Arc};

use terms::Timestamp;

use crate::text;

/// A value of an attribute, statement or property. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// No value: the same as a missing attribute.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; JSON's and protobuf's numbers are of this kind.
    Double(f64),
    /// Text.
    String(Arc<str>),
    /// An instant.
    Timestamp(Timestamp),
    /// Several values in order.
    List(Arc<[Value]>),
    /// Values by name.
    Map(Arc<BTreeMap<Arc<str>, Value>>),
}

/// A value as evaluation sees it: borrowed wherever it can be.
#[derive(Debug, Clone, Default)]
pub enum Datum<'a> {
    /// Missing. A number that is not finite counts as missing too.
    #[default]
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// Text.
    String(Cow<'a, str>),
    /// An instant.
    Timestamp(Timestamp),
    /// A length of time in microseconds; negative ones go back.
    Duration(i64),
    /// Several values in order.
    List(&'a [Value]),
    /// Values by name.
    Map(&'a BTreeMap<Arc<str>, Value>),
}

impl<'a> Datum<'a> {
    /// Text.
    pub const fn str(text: &'a str) -> Self {
        Self::String(Cow::Borrowed(text))
    }

    /// Whether there is no value.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// A number, if it is finite.
    pub(crate) fn finite(number: f64) -> Self {
        if number.is_finite() { Self::Double(number) } else { Self::Null }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) if number.is_finite() => Some(*number),
            _ => None,
        }
    }

    /// An owned copy; a duration becomes its text.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Double(value) => Value::Double(*value),
            Self::String(value) => Value::String(value.as_ref().into()),
            Self::Timestamp(value) => Value::Timestamp(*value),
            Self::Duration(value) => Value::String(text::format_duration(*value).into()),
            Self::List(value) => Value::List((*value).into()),
            Self::Map(value) => Value::Map(Arc::new((*value).clone())),
        }
    }

    /// Whether both are there and equal. Numbers are equal by value, whatever their kind.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::List(a), Self::List(b)) => lists_equal(a, b),
            (Self::Map(a), Self::Map(b)) => maps_equal(a, b),
            _ => self.compare(other) == Some(Ordering::Equal),
        }
    }

    /// The order of two numbers, texts (by code point), instants or durations; none for anything else.
    #[inline]
    pub(crate) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Int(a), Self::Double(b)) => compare_mixed(*a, *b),
            (Self::Double(a), Self::Int(b)) => compare_mixed(*b, *a).map(Ordering::reverse),
            (Self::String(a), Self::String(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// Compares exactly: no rounding of large whole numbers.
fn compare_mixed(int: i64, double: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if double.is_nan() {
        return None;
    }
    if double >= LIMIT {
        return Some(Ordering::Less);
    }
    if double < -LIMIT {
        return Some(Ordering::Greater);
    }
    let whole = double.trunc();
    let by_whole = int.cmp(&(whole as i64));
    Some(by_whole.then_with(|| 0.0f64.partial_cmp(&(double - whole)).unwrap_or(Ordering::Equal)))
}

fn lists_equal(a: &[Value], b: &[Value]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
}

fn maps_equal(a: &BTreeMap<Arc<str>, Value>, b: &BTreeMap<Arc<str>, Value>) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && same(a, b))
}

/// Within lists and maps, nothing equals nothing.
fn same(a: &Value, b: &Value) -> bool {
    (*a == Value::Null && *b == Value::Null) || Datum::from(a).equals(&Datum::from(b))
}

impl<'a> From<&'a Value> for Datum<'a> {
    #[inline]
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Double(value) => Self::finite(*value),
            Value::String(value) => Self::str(value),
            Value::Timestamp(value) => Self::Timestamp(*value),
            Value::List(value) => Self::List(value),
            Value::Map(value) => Self::Map(value),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value.into())
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Timestamp(value)
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<K: Into<Arc<str>>, V: Into<Value>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        Self::Map(Arc::new(entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect()))
    }
}

/// Every number becomes a [`Value::Double`], as in protobuf: so a value reads the same whichever way it came.
impl From<serde_json::Value> for Value {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(value),
            serde_json::Value::Number(value) => value.as_f64().map_or(Self::Null, Self::Double),
            serde_json::Value::String(value) => Self::String(value.into()),
            serde_json::Value::Array(values) => values.into_iter().collect::<Vec<_>>().into(),
            serde_json::Value::Object(entries) => entries.into_iter().collect(),
        }
    }
}

/// Instants become RFC 3339 text; numbers that JSON cannot say become null.
impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => (*value).into(),
            Value::Double(value) => (*value).into(),
            Value::String(value) => Self::String(value.to_string()),
            Value::Timestamp(value) => Self::String(text::format_timestamp(*value)),
            Value::List(values) => values.iter().map(Self::from).collect(),
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.to_string(), Self::from(value))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let big = i64::MAX;
        assert_eq!(Datum::Int(big).compare(&Datum::Double(big as f64)), Some(Ordering::Less));
        assert!(Datum::Int(2).equals(&Datum::Double(2.0)));
        assert_eq!(Datum::Int(2).compare(&Datum::Double(2.5)), Some(Ordering::Less));
        assert_eq!(Datum::Int(-2).compare(&Datum::Double(-2.5)), Some(Ordering::Greater));
        assert_eq!(Datum::Int(2).compare(&Datum::Double(f64::NAN)), None);
        assert_eq!(Datum::Double(1e300).compare(&Datum::Int(i64::MAX)), Some(Ordering::Greater));
        assert_eq!(Datum::Double(-1e300).compare(&Datum::Int(i64::MIN)), Some(Ordering::Less));
    }

    #[test]
    fn nothing_equals_nothing_only_inside() {
        assert!(!Datum::Null.equals(&Datum::Null));
        let list = Value::from(vec![Value::Null, Value::Int(1)]);
        let other = Value::from(vec![Value::Null, Value::Double(1.0)]);
        assert!(Datum::from(&list).equals(&Datum::from(&other)));
        assert!(!Datum::str("1").equals(&Datum::Int(1)));
    }

    proptest! {
        #[test]
        fn mixed_comparison_agrees_with_exact_arithmetic(int in any::<i64>(), double in -1e19f64..1e19) {
            let exact = i128::from(int).cmp(&(double.trunc() as i128))
                .then_with(|| 0.0f64.partial_cmp(&double.fract()).unwrap());
            prop_assert_eq!(compare_mixed(int, double), Some(exact));
        }
    }
}
