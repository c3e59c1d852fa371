//! Everything that the four services say of a customer, in lines that depend on no time and no id: to hold one customer
//! against another who lived through the same.
//!
//! What is read follows from the contract: a read that is added there is in every portrait.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use it::{
    app::App,
    contract::{Rpc, rpcs},
    raw::call,
};
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};
use rapport_proto::r#type::v1::{CustomerRef, customer_ref::Ref};
use serde_json::{Map, Value as Json, json};

use crate::not_yet_served::NOT_YET_SERVED;

/// Reads that tell how somebody became who they are, which no split undoes.
const OF_THE_WAY: [&str; 2] = ["ListIdentityHistory", "ExplainIdentity"];

/// Fields that differ with the time of writing and reading. Somebody who is in a segment again since a split is there
/// for another reason, too.
const OF_THE_TIME: [&str; 6] = ["revision", "etag", "recency_days", "age_days", "days_since_last", "reason"];

/// Who looks, at what.
pub(crate) struct Portrait<'a> {
    pub(crate) app: &'a App,
    /// Ids that are told by name; of others the kind is.
    pub(crate) names: &'a BTreeMap<String, String>,
    pub(crate) segments: &'a [&'a str],
    pub(crate) touchpoint: &'a str,
    pub(crate) at_least: &'a str,
}

impl Portrait<'_> {
    /// A line for each value of each read of `customer`.
    pub(crate) async fn of(&self, customer: &CustomerRef) -> Result<Vec<String>> {
        let customer = match &customer.r#ref {
            Some(Ref::CustomerId(id)) => json!({ "customer_id": id }),
            Some(Ref::Identifier(i)) => json!({ "identifier": { "namespace": i.namespace, "value": i.value } }),
            None => Json::Null,
        };
        let mut lines = Vec::new();
        for rpc in reads() {
            let mut body = json!({ "customer": customer, "at_least": self.at_least });
            for (field, value) in self.besides(rpc.method.name()) {
                body[field] = value;
            }
            self.read(rpc, body, &mut lines).await.with_context(|| rpc.name.clone())?;
        }
        lines.sort();
        Ok(lines)
    }

    /// What a read is asked besides.
    fn besides(&self, read: &str) -> Vec<(&'static str, Json)> {
        match read {
            "CheckMembership" => vec![("segments", json!(self.segments))],
            "CheckContact" => vec![("channel", json!("email")), ("purpose", json!("transactional"))],
            "NextQuestion" => vec![("peek", json!(true))],
            "Decide" => vec![
                ("touchpoint", json!(self.touchpoint)),
                ("explain", json!(true)),
                ("dry_run", json!(true)),
                ("limit", json!(100)),
            ],
            "ListStatements" => vec![("include_history", json!(true)), ("page_size", json!(100))],
            _ if read.starts_with("List") => vec![("page_size", json!(100))],
            _ => Vec::new(),
        }
    }

    async fn read(&self, rpc: &Rpc, body: Json, lines: &mut Vec<String>) -> Result<()> {
        let request = DynamicMessage::deserialize(rpc.input(), body)?;
        for reply in call(self.app, rpc, &request).await? {
            flatten(rpc.method.name(), &self.message(&reply), lines);
        }
        Ok(())
    }

    fn message(&self, message: &DynamicMessage) -> Json {
        let mut fields = Map::new();
        for (field, value) in message.fields() {
            let name = field.name();
            if !OF_THE_TIME.contains(&name) {
                fields.insert(name.to_owned(), self.value(value));
            }
        }
        Json::Object(fields)
    }

    fn value(&self, value: &Value) -> Json {
        match value {
            Value::Message(message) if message.descriptor().full_name() == "google.protobuf.Timestamp" => json!("then"),
            Value::Message(message) => self.message(message),
            Value::List(items) => {
                let mut items: Vec<Json> = items.iter().map(|item| self.value(item)).collect();
                items.sort_by_cached_key(Json::to_string);
                Json::Array(items)
            }
            Value::Map(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key_text(key), self.value(value))).collect())
            }
            Value::String(text) => json!(self.without_ids(text)),
            Value::Bool(value) => json!(value),
            Value::I32(value) | Value::EnumNumber(value) => json!(value),
            Value::I64(value) => json!(value),
            Value::U32(value) => json!(value),
            Value::U64(value) => json!(value),
            Value::F32(value) => json!(value),
            Value::F64(value) => json!(value),
            Value::Bytes(bytes) => json!(bytes.len()),
        }
    }

    /// An id is a kind, an underscore and 26 characters.
    fn without_ids(&self, text: &str) -> String {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let mut plain = String::new();
        for word in text.split_inclusive(|c| !in_word(c)) {
            let id = word.trim_end_matches(|c| !in_word(c));
            let (name, known) = match (self.names.get(id), id.split_once('_')) {
                (Some(name), _) => (name.as_str(), true),
                (None, Some((kind, rest))) => (kind, rest.len() == 26),
                (None, None) => (id, true),
            };
            plain.push_str(if known { name } else { id });
            plain.push_str(&word[id.len()..]);
        }
        plain
    }
}

/// Every RPC that reads of one customer, and deciding without effect.
fn reads() -> impl Iterator<Item = &'static Rpc> {
    let of_one = |rpc: &&Rpc| rpc.is_public() && rpc.takes("customer") && rpc.takes("at_least");
    let is_read = |rpc: &&Rpc| !rpc.takes("request_id") || rpc.takes("dry_run") || rpc.takes("peek");
    let shown = |rpc: &&Rpc| !OF_THE_WAY.contains(&rpc.method.name()) && !NOT_YET_SERVED.contains(rpc.name.as_str());
    rpcs().iter().filter(of_one).filter(is_read).filter(shown)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

/// A line for each value, after its path.
fn flatten(path: &str, value: &Json, lines: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                flatten(&format!("{path}.{name}"), value, lines);
            }
        }
        Json::Array(items) => lines.extend(items.iter().map(|item| format!("{path}: {item}"))),
        _ => lines.push(format!("{path} = {value}")),
    }
}
