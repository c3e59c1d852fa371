//! The services that every server has: health and reflection.

use prost::Message;
use prost_types::FileDescriptorSet;
use terms::Fault;
use tonic_health::server::{HealthReporter, health_reporter};
use tonic_reflection::server::Builder;

use crate::{Catalog, Routes, Rule, edge::Table};

const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const REFLECTION_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";

/// Adds them to the table; gives what reports health.
///
/// # Errors
/// When the descriptors cannot be read.
pub(super) fn add(table: &mut Table, reflection: bool) -> Result<HealthReporter, Fault> {
    let (reporter, health) = health_reporter();
    table.add(&Routes::new().add(health), &rules(HEALTH, &Rule::Open))?;
    if reflection {
        let mut names: Vec<&str> = table.services.iter().copied().collect();
        names.extend([REFLECTION, REFLECTION_ALPHA]);
        let v1 = builder(&names).build_v1().map_err(Fault::internal)?;
        let v1alpha = builder(&names).build_v1alpha().map_err(Fault::internal)?;
        let mut rules_of_both = rules(REFLECTION, &Rule::Open);
        rules_of_both.extend(rules(REFLECTION_ALPHA, &Rule::Open));
        table.add(&Routes::new().add(v1).add(v1alpha), &rules_of_both)?;
    }
    Ok(reporter)
}

/// One rule for every RPC of a service.
fn rules(service: &str, rule: &Rule) -> Vec<(&'static str, Rule)> {
    Catalog::get().of(service).into_iter().map(|rpc| (rpc.name, rule.clone())).collect()
}

fn builder<'a>(names: &[&str]) -> Builder<'a> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(rapport_proto::FILE_DESCRIPTOR_SET)
        .register_file_descriptor_set(error_details())
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
    names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
}

/// What travels in `google.rpc.Status.details`: a client that looks it up can show why it was refused.
fn error_details() -> FileDescriptorSet {
    let mut set = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    // `google.rpc.Status` is in the contract already, under its own file's name.
    set.file.retain(|file| file.name() == "error_details.proto");
    set
}
