//! The protobuf contract of Rapport as Rust types, clients and servers. No logic.
//!
//! The source is `proto/rapport/<area>/v1/<area>.proto`. The code under `gen/` is made from it and checked in, so
//! that a build needs no code generator; `tests/codegen.rs` fails when the two differ, and rewrites `gen/` when run
//! with `UPDATE_GENERATED=1`.

#[rustfmt::skip]
#[allow(clippy::all, clippy::disallowed_methods, missing_docs, unreachable_pub, rustdoc::all)]
#[path = "gen/mod.rs"]
mod generated;

pub use generated::google;
pub use generated::rapport::{customization, feed, identity, interaction, profile, segmentation, r#type};

/// Every file of the contract and what it imports, as a serialized `google.protobuf.FileDescriptorSet` with comments
/// and options: what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/descriptors.bin");
