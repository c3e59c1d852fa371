//! Domain values to reply fields.

use std::time::Duration;

use prost_types::{ListValue, Struct, Value, value::Kind};
use rapport_proto::{google::r#type::Money, r#type::v1 as wire};
use serde_json::Map;
use terms::{CustomerRef, Identifier, Timestamp};

use crate::decode::Amount;

/// An instant.
pub fn timestamp(instant: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = instant.parts();
    prost_types::Timestamp { seconds, nanos }
}

/// A length of time; cut to protobuf's bound of about 10,000 years.
pub fn duration(length: Duration) -> prost_types::Duration {
    match i64::try_from(length.as_secs()) {
        Ok(seconds @ ..=315_576_000_000) => {
            prost_types::Duration { seconds, nanos: length.subsec_nanos().cast_signed() }
        }
        _ => prost_types::Duration { seconds: 315_576_000_000, nanos: 0 },
    }
}

/// A free-form value. Whole numbers beyond 2⁵³ lose their last digits: protobuf's values are doubles.
pub fn json(value: &serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(b) => Kind::BoolValue(*b),
        serde_json::Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or_default()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(json).collect() }),
        serde_json::Value::Object(fields) => Kind::StructValue(object(fields)),
    };
    Value { kind: Some(kind) }
}

/// A free-form object.
pub fn object(fields: &Map<String, serde_json::Value>) -> Struct {
    Struct { fields: fields.iter().map(|(key, value)| (key.clone(), json(value))).collect() }
}

/// An amount of money.
pub fn money(amount: &Amount) -> Money {
    Money {
        currency_code: amount.currency.clone(),
        units: amount.micros / 1_000_000,
        nanos: ((amount.micros % 1_000_000) * 1_000) as i32,
    }
}

/// A customer as requests name one.
pub fn customer(customer: &CustomerRef) -> wire::CustomerRef {
    let named = match customer {
        CustomerRef::Id(id) => wire::customer_ref::Ref::CustomerId(id.to_string()),
        CustomerRef::Identifier(value) => wire::customer_ref::Ref::Identifier(identifier(value)),
    };
    wire::CustomerRef { r#ref: Some(named) }
}

/// An identifier.
pub fn identifier(identifier: &Identifier) -> wire::Identifier {
    wire::Identifier { namespace: identifier.namespace.clone(), value: identifier.value.clone() }
}
