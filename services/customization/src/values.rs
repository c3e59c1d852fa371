//! Free-form values as rules read them, and back.

use std::{collections::BTreeMap, sync::Arc};

use prost_types::{ListValue, Struct, Value as Wire, value::Kind};
use rules::Value;

/// A value; what is not there is null.
pub(crate) fn value(wire: Option<&Wire>) -> Value {
    match wire.and_then(|wire| wire.kind.as_ref()) {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(*value),
        Some(Kind::NumberValue(value)) => Value::Double(*value),
        Some(Kind::StringValue(value)) => Value::String(value.as_str().into()),
        Some(Kind::ListValue(list)) => Value::List(list.values.iter().map(|item| value(Some(item))).collect()),
        Some(Kind::StructValue(object)) => map(Some(object)),
    }
}

/// An object; null if there is none.
pub(crate) fn map(wire: Option<&Struct>) -> Value {
    let Some(wire) = wire else { return Value::Null };
    let entries = wire.fields.iter().map(|(key, item)| (Arc::from(key.as_str()), value(Some(item))));
    Value::Map(Arc::new(entries.collect::<BTreeMap<Arc<str>, Value>>()))
}

/// A value for a reply; instants are RFC 3339 text.
pub(crate) fn wire(value: &Value) -> Wire {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Int(value) => Kind::NumberValue(*value as f64),
        Value::Double(value) => Kind::NumberValue(*value),
        Value::String(value) => Kind::StringValue(value.to_string()),
        Value::Timestamp(_) => match serde_json::Value::from(value) {
            serde_json::Value::String(text) => Kind::StringValue(text),
            _ => Kind::NullValue(0),
        },
        Value::List(values) => Kind::ListValue(ListValue { values: values.iter().map(wire).collect() }),
        Value::Map(entries) => {
            let fields = entries.iter().map(|(key, item)| (key.to_string(), wire(item))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    Wire { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let inner: Value = [("city", "Oslo")].into_iter().collect();
        let entries = [("a", Value::Bool(true)), ("b", Value::Double(1.5)), ("c", inner), ("d", Value::Null)];
        let object: Value = entries.into_iter().chain([("e", Value::from(vec!["x", "y"]))]).collect();
        assert_eq!(value(Some(&wire(&object))), object);
        assert_eq!(value(None), Value::Null);
    }
}
