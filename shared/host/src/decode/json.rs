//! Free-form values: `google.protobuf.Value` and `Struct` to JSON, within limits.

use prost_types::{Struct, Value, value::Kind};
use serde_json::{Map, Number};
use terms::Fault;

use super::{required, wrong};

/// How large a free-form value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JsonLimits {
    /// Levels of lists and objects.
    pub depth: usize,
    /// Bytes of texts and keys, and 8 for each other value, in all.
    pub bytes: usize,
}

impl JsonLimits {
    /// 8 levels and 64 KiB.
    pub const USUAL: Self = Self { depth: 8, bytes: 64 << 10 };
}

/// A free-form value; `None` when the field is absent.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] for a value beyond the limits, NaN, infinities, and texts with U+0000. The fault
/// names the path, never the value.
pub fn json(field: &str, value: Option<Value>) -> Result<Option<serde_json::Value>, Fault> {
    json_within(field, value, JsonLimits::USUAL)
}

/// The same within limits of its own.
///
/// # Errors
/// As [`json`].
pub fn json_within(field: &str, value: Option<Value>, limits: JsonLimits) -> Result<Option<serde_json::Value>, Fault> {
    let Some(value) = value else { return Ok(None) };
    let mut reader = Reader { limits, left: limits.bytes, path: field.to_owned() };
    reader.value(value, limits.depth).map(Some)
}

/// A free-form value that must be there; `null` is one.
///
/// # Errors
/// As [`json`].
pub fn required_json(field: &str, value: Option<Value>) -> Result<serde_json::Value, Fault> {
    json(field, value).and_then(|value| required(field, value))
}

/// A free-form object; empty when the field is absent.
///
/// # Errors
/// As [`json`].
pub fn object(field: &str, value: Option<Struct>) -> Result<Map<String, serde_json::Value>, Fault> {
    object_within(field, value, JsonLimits::USUAL)
}

/// The same within limits of its own.
///
/// # Errors
/// As [`json`].
pub fn object_within(
    field: &str,
    value: Option<Struct>,
    limits: JsonLimits,
) -> Result<Map<String, serde_json::Value>, Fault> {
    let Some(value) = value else { return Ok(Map::new()) };
    let mut reader = Reader { limits, left: limits.bytes, path: field.to_owned() };
    reader.object(value, limits.depth)
}

struct Reader {
    limits: JsonLimits,
    left: usize,
    path: String,
}

impl Reader {
    fn value(&mut self, value: Value, depth: usize) -> Result<serde_json::Value, Fault> {
        match value.kind {
            None | Some(Kind::NullValue(_)) => self.take(8).map(|()| serde_json::Value::Null),
            Some(Kind::BoolValue(b)) => self.take(8).map(|()| serde_json::Value::Bool(b)),
            Some(Kind::NumberValue(n)) => self.take(8).and_then(|()| self.number(n)),
            Some(Kind::StringValue(text)) => self.text(text).map(serde_json::Value::String),
            Some(Kind::StructValue(object)) => self.object(object, depth).map(serde_json::Value::Object),
            Some(Kind::ListValue(list)) => {
                let depth = self.deeper(depth)?;
                self.take(8)?;
                let outer = self.path.len();
                let mut items = Vec::with_capacity(list.values.len());
                for (i, item) in list.values.into_iter().enumerate() {
                    self.path.push_str(&format!("[{i}]"));
                    items.push(self.value(item, depth)?);
                    self.path.truncate(outer);
                }
                Ok(serde_json::Value::Array(items))
            }
        }
    }

    fn object(&mut self, object: Struct, depth: usize) -> Result<Map<String, serde_json::Value>, Fault> {
        let depth = self.deeper(depth)?;
        self.take(8)?;
        let outer = self.path.len();
        let mut fields = Map::new();
        for (key, value) in object.fields {
            let key = self.text(key)?;
            self.path.push('.');
            // A path with a long key in it helps nobody.
            self.path.extend(key.chars().take(64));
            let value = self.value(value, depth)?;
            self.path.truncate(outer);
            fields.insert(key, value);
        }
        Ok(fields)
    }

    /// Whole numbers become integers, so that 3 stays 3 and not 3.0.
    fn number(&self, n: f64) -> Result<serde_json::Value, Fault> {
        /// Up to here every whole number is a double.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if n.fract() == 0.0 && n.abs() <= EXACT {
            return Ok(serde_json::Value::Number(Number::from(n as i64)));
        }
        match Number::from_f64(n) {
            Some(number) => Ok(serde_json::Value::Number(number)),
            None => Err(wrong(&self.path, "must be a finite number")),
        }
    }

    fn text(&mut self, text: String) -> Result<String, Fault> {
        self.take(text.len())?;
        if text.as_bytes().contains(&0) {
            return Err(wrong(&self.path, "contains the character U+0000"));
        }
        Ok(text)
    }

    fn deeper(&self, depth: usize) -> Result<usize, Fault> {
        let most = self.limits.depth;
        depth.checked_sub(1).ok_or_else(|| wrong(&self.path, format!("is nested deeper than {most} levels")))
    }

    fn take(&mut self, bytes: usize) -> Result<(), Fault> {
        let most = self.limits.bytes;
        self.left =
            self.left.checked_sub(bytes).ok_or_else(|| wrong(&self.path, format!("is larger than {most} bytes")))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json as j;

    use super::*;
    use crate::encode;

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            (-1_000_000_000_000i64..1_000_000_000_000).prop_map(serde_json::Value::from),
            "[a-z\u{e9}\u{1F600} ]{0,8}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
                prop::collection::hash_map("[a-z]{1,6}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_read_back(value in values()) {
            let wire = encode::json(&value);
            prop_assert_eq!(json("f", Some(wire)).unwrap(), Some(value));
        }
    }

    fn number(n: f64) -> Value {
        Value { kind: Some(Kind::NumberValue(n)) }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        assert!(json("f", Some(number(f64::NAN))).is_err());
        assert!(json("f", Some(number(f64::NEG_INFINITY))).is_err());
        assert_eq!(json("f", Some(number(-0.0))).unwrap(), Some(j!(0)));
        assert_eq!(json("f", Some(number(1e300))).unwrap(), Some(j!(1e300)));
    }

    #[test]
    fn the_path_is_named() {
        let nul = encode::object(j!({"a": [1, {"b": "x\u{0}"}]}).as_object().unwrap());
        let fault = object("traits", Some(nul)).unwrap_err();
        assert_eq!(fault.violations()[0].field, "traits.a[1].b");
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let mut deep = j!(1);
        for _ in 0..8 {
            deep = j!([deep]);
        }
        assert!(json("f", Some(encode::json(&deep))).is_ok());
        assert!(json("f", Some(encode::json(&j!([deep])))).is_err());
        assert!(json("f", Some(encode::json(&j!("x".repeat(70_000))))).is_err());
    }
}
