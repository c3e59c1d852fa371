//! What is sealed in columns, and the keys by which nodes are found.

use std::borrow::Cow;

use data::Sealer;
use identity_domain::{Anchors, Detail, Facts, Golden, Node, RecordKey, SourceKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use terms::{CustomerId, Fault, Identifier, Tenant};

/// The key of a row of `lookup`.
pub(super) type Key = [u8; 32];

/// The key under which a node is found. Names of namespaces hold no colon, so the sorts do not meet.
pub(super) fn key(sealer: &Sealer, tenant: &Tenant, node: &Node) -> Key {
    match node {
        Node::Identifier(identifier) => identifier_key(sealer, tenant, identifier),
        Node::Record(RecordKey { source, key: SourceKey::Given(given) }) => {
            sealer.lookup_key(tenant, &format!("source:{source}"), given)
        }
        Node::Record(RecordKey { source, key: SourceKey::Identifiers(identifiers) }) => {
            sealer.lookup_key(tenant, &format!("keyless:{source}"), &joined(identifiers))
        }
        Node::Record(RecordKey { source, key: SourceKey::Later(identifiers, epoch) }) => {
            sealer.lookup_key(tenant, &format!("keyless:{source}:{epoch}"), &joined(identifiers))
        }
        Node::Shared(Identifier { namespace, value }) => {
            sealer.lookup_key(tenant, &format!("shared:{namespace}"), value)
        }
    }
}

/// Neither namespaces nor values hold a NUL.
fn joined(identifiers: &[Identifier]) -> String {
    let parts: Vec<&str> = identifiers.iter().flat_map(|i| [i.namespace.as_str(), i.value.as_str()]).collect();
    parts.join("\0")
}

/// The key of an identifier that is normalised.
pub(super) fn identifier_key(sealer: &Sealer, tenant: &Tenant, identifier: &Identifier) -> Key {
    sealer.lookup_key(tenant, &identifier.namespace, &identifier.value)
}

/// `evidence.value`.
#[derive(Serialize, Deserialize)]
struct ClaimValue<'a> {
    /// Normalised.
    #[serde(rename = "v")]
    value: Cow<'a, str>,
    /// As given, where that differs.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    raw: Option<Cow<'a, str>>,
}

/// Seals and opens for one tenant. `holder` is the customer under whose key the bytes are: the customer itself for
/// its golden record, the home of the record for everything that the record says.
#[derive(Clone, Copy)]
pub(super) struct Sealing<'a> {
    pub(super) sealer: &'a Sealer,
    pub(super) tenant: &'a Tenant,
}

impl Sealing<'_> {
    pub(super) fn key(&self, node: &Node) -> Key {
        key(self.sealer, self.tenant, node)
    }

    pub(super) fn golden(&self, holder: CustomerId, golden: &Golden) -> Result<Vec<u8>, Fault> {
        self.seal(holder, golden)
    }

    pub(super) fn open_golden(&self, holder: CustomerId, sealed: &[u8]) -> Result<Golden, Fault> {
        self.open(holder, sealed)
    }

    pub(super) fn anchors(&self, holder: CustomerId, anchors: &Anchors) -> Result<Vec<u8>, Fault> {
        self.seal(holder, anchors)
    }

    pub(super) fn open_anchors(&self, holder: CustomerId, sealed: &[u8]) -> Result<Anchors, Fault> {
        self.open(holder, sealed)
    }

    pub(super) fn facts(&self, holder: CustomerId, facts: &Facts) -> Result<Vec<u8>, Fault> {
        self.seal(holder, facts)
    }

    pub(super) fn open_facts(&self, holder: CustomerId, sealed: &[u8]) -> Result<Facts, Fault> {
        self.open(holder, sealed)
    }

    pub(super) fn detail(&self, holder: CustomerId, detail: &Detail) -> Result<Vec<u8>, Fault> {
        self.seal(holder, detail)
    }

    pub(super) fn open_detail(&self, holder: CustomerId, sealed: &[u8]) -> Result<Detail, Fault> {
        self.open(holder, sealed)
    }

    pub(super) fn text(&self, holder: CustomerId, text: &str) -> Vec<u8> {
        self.sealer.seal(self.tenant, holder, text.as_bytes())
    }

    pub(super) fn open_text(&self, holder: CustomerId, sealed: &[u8]) -> Result<String, Fault> {
        String::from_utf8(self.sealer.open(self.tenant, holder, sealed)?).map_err(Fault::internal)
    }

    pub(super) fn claim_value(&self, holder: CustomerId, value: &str, raw: &str) -> Result<Vec<u8>, Fault> {
        let raw = (raw != value).then_some(Cow::Borrowed(raw));
        self.seal(holder, &ClaimValue { value: value.into(), raw })
    }

    /// The value as normalised and as given.
    pub(super) fn open_claim_value(&self, holder: CustomerId, sealed: &[u8]) -> Result<(String, String), Fault> {
        let ClaimValue { value, raw } = self.open(holder, sealed)?;
        let raw = raw.unwrap_or_else(|| value.clone()).into_owned();
        Ok((value.into_owned(), raw))
    }

    pub(super) fn seal<T: Serialize>(&self, holder: CustomerId, value: &T) -> Result<Vec<u8>, Fault> {
        let plain = serde_json::to_vec(value).map_err(Fault::internal)?;
        Ok(self.sealer.seal(self.tenant, holder, &plain))
    }

    pub(super) fn open<T: DeserializeOwned>(&self, holder: CustomerId, sealed: &[u8]) -> Result<T, Fault> {
        let plain = self.sealer.open(self.tenant, holder, sealed)?;
        serde_json::from_slice(&plain).map_err(Fault::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_of_different_sorts_have_different_keys() {
        let (sealer, tenant) = (Sealer::development(), "t".parse().unwrap());
        let identifier = Identifier { namespace: "crm".to_owned(), value: "7".to_owned() };
        let record = |key| Node::Record(RecordKey { source: "crm".to_owned(), key });
        let keys = [
            key(&sealer, &tenant, &Node::Identifier(identifier.clone())),
            key(&sealer, &tenant, &record(SourceKey::Given("7".to_owned()))),
            key(&sealer, &tenant, &record(SourceKey::Identifiers(vec![identifier.clone()]))),
            key(&sealer, &tenant, &record(SourceKey::Later(vec![identifier.clone()], 1))),
            key(&sealer, &tenant, &Node::Shared(identifier)),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{i}");
        }
    }
}
