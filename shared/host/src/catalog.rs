//! Every RPC that the contract declares, from its descriptors.

use std::{collections::HashMap, sync::OnceLock};

use prost::Message as _;
use prost_types::{FileDescriptorSet, method_options::IdempotencyLevel};

/// One declared RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rpc {
    /// As in `rapport.identity.v1.IdentityService/Identify`.
    pub name: &'static str,
    /// As in `rapport.identity.v1.IdentityService`.
    pub service: &'static str,
    /// Whether the caller sends many messages.
    pub client_streaming: bool,
    /// Whether the server sends many messages.
    pub server_streaming: bool,
    /// Whether calling it again changes nothing: it may be tried again when it is not known what became of it.
    pub repeatable: bool,
}

impl Rpc {
    /// Whether one message answers one message.
    pub fn unary(&self) -> bool {
        !self.client_streaming && !self.server_streaming
    }

    /// As in an HTTP request.
    pub fn path(&self) -> String {
        format!("/{}", self.name)
    }
}

/// Every declared RPC by its name.
#[derive(Debug)]
pub struct Catalog {
    rpcs: HashMap<&'static str, Rpc>,
}

/// Methods of these beginnings look and do not change (AIP-131, 132, 136).
const READS: [&str; 12] = [
    "Get", "List", "BatchGet", "Lookup", "Check", "Explain", "Preview", "Compare", "Resolve", "Replay", "Watch",
    "Export",
];

impl Catalog {
    /// Of the contract and of the services that every server has.
    pub fn get() -> &'static Self {
        static CATALOG: OnceLock<Catalog> = OnceLock::new();
        CATALOG.get_or_init(|| {
            let mut rpcs = HashMap::new();
            for set in [
                rapport_proto::FILE_DESCRIPTOR_SET,
                tonic_health::pb::FILE_DESCRIPTOR_SET,
                tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
                tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            ] {
                // The descriptors are part of the program: they can be read.
                if let Ok(set) = FileDescriptorSet::decode(set) {
                    add(&set, &mut rpcs);
                }
            }
            Self { rpcs }
        })
    }

    /// The RPC of a name such as `rapport.identity.v1.IdentityService/Identify`.
    pub fn rpc(&self, name: &str) -> Option<&Rpc> {
        self.rpcs.get(name)
    }

    /// The RPCs of a service, by name.
    pub fn of(&self, service: &str) -> Vec<&Rpc> {
        let mut rpcs: Vec<_> = self.rpcs.values().filter(|rpc| rpc.service == service).collect();
        rpcs.sort_by_key(|rpc| rpc.name);
        rpcs
    }
}

/// Names live as long as the program, of which the descriptors are a part.
fn add(set: &FileDescriptorSet, rpcs: &mut HashMap<&'static str, Rpc>) {
    for file in &set.file {
        for service in &file.service {
            let full = match file.package() {
                "" => service.name().to_owned(),
                package => format!("{package}.{}", service.name()),
            };
            let full: &'static str = Box::leak(full.into_boxed_str());
            for method in &service.method {
                let name: &'static str = Box::leak(format!("{full}/{}", method.name()).into_boxed_str());
                let declared = method.options.as_ref().map(|options| options.idempotency_level());
                let repeatable =
                    matches!(declared, Some(IdempotencyLevel::NoSideEffects | IdempotencyLevel::Idempotent))
                        || READS.iter().any(|read| method.name().starts_with(read));
                rpcs.insert(
                    name,
                    Rpc {
                        name,
                        service: full,
                        client_streaming: method.client_streaming(),
                        server_streaming: method.server_streaming(),
                        repeatable,
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_known() {
        let catalog = Catalog::get();
        let identify = catalog.rpc("rapport.identity.v1.IdentityService/Identify").unwrap();
        assert!(identify.unary() && !identify.repeatable);
        assert!(catalog.rpc("rapport.identity.v1.IdentityService/GetCustomer").unwrap().repeatable);
        assert!(catalog.rpc("rapport.feed.v1.FeedService/Watch").unwrap().server_streaming);
        assert!(!catalog.of("grpc.health.v1.Health").is_empty());
    }
}
