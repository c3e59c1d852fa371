//! Every RPC, and what the contract's comments demand, read from the descriptors.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use rapport_proto::FILE_DESCRIPTOR_SET;
use terms::Service;
use tonic::Code;

/// Everything that is described.
pub static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("a set of descriptors"));

/// One RPC.
#[derive(Debug, Clone)]
pub struct Rpc {
    /// As in `rapport.identity.v1.IdentityService/Identify`.
    pub name: String,
    /// Where it is served; the feed and the profile are served everywhere, and called at identity, but for what another
    /// service alone can answer.
    pub home: Service,
    /// Its descriptor.
    pub method: MethodDescriptor,
}

impl Rpc {
    /// The RPC of that name.
    ///
    /// # Panics
    /// When there is none.
    pub fn named(name: &str) -> &'static Self {
        rpcs().iter().find(|rpc| rpc.name == name).unwrap_or_else(|| panic!("no RPC {name}"))
    }

    /// The request.
    pub fn input(&self) -> MessageDescriptor {
        self.method.input()
    }

    /// Whether the request has this field.
    pub fn takes(&self, field: &str) -> bool {
        self.input().get_field_by_name(field).is_some()
    }

    /// Whether it is one of the four public services'.
    pub fn is_public(&self) -> bool {
        let package = self.method.parent_service().package_name().to_owned();
        Service::ALL.iter().any(|service| package == format!("rapport.{service}.v1"))
    }
}

/// Every RPC of Rapport.
pub fn rpcs() -> &'static [Rpc] {
    static ALL: LazyLock<Vec<Rpc>> = LazyLock::new(|| {
        let ours = POOL.services().filter(|service| service.full_name().starts_with("rapport."));
        ours.flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| {
                let service = method.parent_service().full_name().to_owned();
                let area = service.split('.').nth(1).unwrap_or_default();
                let home = match method.name() {
                    "GetDialogue" => Service::Interaction,
                    _ => area.parse().unwrap_or(Service::Identity),
                };
                Rpc { name: format!("{service}/{}", method.name()), home, method }
            })
            .collect()
    });
    &ALL
}

/// Comments, by file and path in its descriptor.
static COMMENTS: LazyLock<HashMap<(String, Vec<i32>), String>> = LazyLock::new(|| {
    let mut comments = HashMap::new();
    for file in POOL.files() {
        let Some(info) = file.file_descriptor_proto().source_code_info.clone() else { continue };
        for location in info.location {
            if let Some(text) = location.leading_comments {
                let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
                comments.insert((file.name().to_owned(), location.path), text);
            }
        }
    }
    comments
});

/// What the contract says of a field, on one line.
pub fn comment(field: &FieldDescriptor) -> &'static str {
    let key = (field.parent_message().parent_file().name().to_owned(), field.path().to_vec());
    COMMENTS.get(&key).map_or("", String::as_str)
}

/// Whether a request without the field is wrong.
pub fn is_required(field: &FieldDescriptor) -> bool {
    let comment = comment(field);
    comment.contains("Required.") || comment.contains("Required;")
}

/// Whether the field is ignored on input.
pub fn is_output_only(field: &FieldDescriptor) -> bool {
    comment(field).contains("Output only")
}

/// Whether a message is one of Google's, with a meaning of its own.
pub fn is_well_known(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.")
}

/// The paths that an empty message must be told are missing, as in `interaction.customer`; only what is required in
/// messages that are themselves required.
pub fn missing_from_empty(message: &MessageDescriptor) -> Vec<String> {
    let mut paths = Vec::new();
    for field in message.fields().filter(|f| is_required(f) && !is_output_only(f)) {
        paths.push(field.name().to_owned());
    }
    paths
}

/// The paths that a message must be told are missing, when each of its required messages is there and empty.
pub fn missing_from_hollow(message: &MessageDescriptor) -> Vec<String> {
    let mut paths = Vec::new();
    for field in message.fields().filter(|f| is_required(f) && !is_output_only(f)) {
        match field.kind() {
            Kind::Message(inner) if !is_well_known(&inner) && field.cardinality() != Cardinality::Repeated => {
                let below = missing_from_hollow(&inner);
                if below.is_empty() {
                    paths.push(field.name().to_owned());
                }
                paths.extend(below.into_iter().map(|path| format!("{}.{path}", field.name())));
            }
            _ => paths.push(field.name().to_owned()),
        }
    }
    paths
}

/// The published reasons with the canonical code that the contract gives each.
pub fn reasons() -> &'static HashMap<String, Code> {
    static ALL: LazyLock<HashMap<String, Code>> = LazyLock::new(|| {
        let reasons = POOL.get_enum_by_name("rapport.type.v1.ErrorReason").expect("the published reasons");
        let file = reasons.parent_file().name().to_owned();
        reasons
            .values()
            .filter_map(|value| {
                let comment = COMMENTS.get(&(file.clone(), value.path().to_vec()))?;
                let name = comment.split([':', ',', ' ']).next()?;
                Some((value.name().trim_start_matches("ERROR_REASON_").to_owned(), code(name)?))
            })
            .collect()
    });
    &ALL
}

fn code(name: &str) -> Option<Code> {
    Some(match name {
        "CANCELLED" => Code::Cancelled,
        "INVALID_ARGUMENT" => Code::InvalidArgument,
        "DEADLINE_EXCEEDED" => Code::DeadlineExceeded,
        "NOT_FOUND" => Code::NotFound,
        "ALREADY_EXISTS" => Code::AlreadyExists,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        "ABORTED" => Code::Aborted,
        "OUT_OF_RANGE" => Code::OutOfRange,
        "UNIMPLEMENTED" => Code::Unimplemented,
        "INTERNAL" => Code::Internal,
        "UNAVAILABLE" => Code::Unavailable,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        _ => return None,
    })
}
