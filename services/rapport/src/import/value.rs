//! Values of JSON and times, as protobuf has them.

use std::collections::BTreeMap;

use prost_types::{ListValue, Struct, Value, value::Kind};
use terms::Timestamp;

use super::template::{Row, Typed, Unfit};

/// A JSON value as `google.protobuf.Value`.
pub fn prost_value(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => Kind::NullValue(0),
        Json::Bool(value) => Kind::BoolValue(value),
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => Kind::StringValue(value),
        Json::Array(items) => Kind::ListValue(ListValue { values: items.into_iter().map(prost_value).collect() }),
        Json::Object(fields) => Kind::StructValue(prost_struct(fields)),
    };
    Value { kind: Some(kind) }
}

/// A JSON object as `google.protobuf.Struct`.
pub fn prost_struct(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, value)| (name, prost_value(value))).collect() }
}

/// An instant as `google.protobuf.Timestamp`.
pub fn prost_time(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.parts();
    prost_types::Timestamp { seconds, nanos }
}

/// The fields of a mapping for `row`, without those that are empty; `None` where all are.
///
/// # Errors
/// When a text is not of its type.
pub fn object(field: &str, mapping: &BTreeMap<String, Typed>, row: &Row) -> Result<Option<Struct>, Unfit> {
    let mut fields = serde_json::Map::new();
    for (name, typed) in mapping {
        if let Some(value) = typed.value(&format!("{field}.{name}"), row)? {
            fields.insert(name.clone(), value);
        }
    }
    Ok((!fields.is_empty()).then(|| prost_struct(fields)))
}
