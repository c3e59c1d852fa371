//! The fingerprint of what a caller gave under an id of its own: the same content gives the same one, whatever the
//! order of keys in it.

use serde_json::Value;
use sha2::{Digest, Sha256};
use terms::{CustomerRef, Timestamp};

/// Hashes fields one after the other; each carries its length, so that no two lists of fields run together.
pub(crate) struct Fingerprint(Sha256);

impl Fingerprint {
    pub(crate) fn of(what: &str) -> Self {
        let mut fingerprint = Self(Sha256::new());
        fingerprint.text(what);
        fingerprint
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn number(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(crate) fn time(&mut self, time: Option<Timestamp>) -> &mut Self {
        match time {
            Some(time) => self.number(time.micros()),
            None => self.bytes(&[]),
        }
    }

    pub(crate) fn customer(&mut self, customer: &CustomerRef) -> &mut Self {
        match customer {
            CustomerRef::Id(id) => self.text("id").bytes(id.as_bytes()),
            CustomerRef::Identifier(identifier) => self.text(&identifier.namespace).text(&identifier.value),
        }
    }

    /// A JSON value with the keys of its objects in order.
    pub(crate) fn json(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.text("null"),
            Value::Bool(b) => self.text(if *b { "true" } else { "false" }),
            Value::Number(n) => self.text("n").bytes(&n.as_f64().unwrap_or(f64::NAN).to_bits().to_be_bytes()),
            Value::String(s) => self.text("s").text(s),
            Value::Array(items) => {
                self.text("a").number(items.len() as i64);
                for item in items {
                    self.json(item);
                }
                self
            }
            Value::Object(fields) => {
                self.text("o").number(fields.len() as i64);
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(key, _)| *key);
                for (key, value) in fields {
                    self.text(key).json(value);
                }
                self
            }
        }
    }

    pub(crate) fn done(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> [u8; 32] {
        let mut fingerprint = Fingerprint::of("test");
        fingerprint.json(value);
        fingerprint.done()
    }

    #[test]
    fn content_counts_and_the_order_of_keys_does_not() {
        assert_eq!(of(&json!({"a": 1, "b": [true, null]})), of(&json!({"b": [true, null], "a": 1.0})));
        assert_ne!(of(&json!(["ab", "c"])), of(&json!(["a", "bc"])));
        assert_ne!(of(&json!("1")), of(&json!(1)));
    }
}
