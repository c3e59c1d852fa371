//! Touchpoints, decoded and encoded.

use customization_domain::{
    catalog::Catalog,
    touchpoint::{Policy, PolicyKind, Touchpoint, TouchpointSpec},
    treatment::{TreatmentId, etag},
};
use host::{decode, encode};
use rapport_proto::customization::v1 as wire;
use terms::{Fault, Violations};

use super::treatments::version;

/// What the caller writes of a touchpoint. The domain checks what the fields may hold.
pub(super) fn decode(wrong: &mut Violations, touchpoint: wire::Touchpoint) -> TouchpointSpec {
    let field = |name: &str| format!("touchpoint.{name}");
    let mut text = |name: &str, value: String, most: usize| {
        wrong.take(decode::text(&field(name), value, most)).unwrap_or_default()
    };
    let display_name = text("display_name", touchpoint.display_name, 256);
    let description = text("description", touchpoint.description, 4_096);
    TouchpointSpec {
        name: touchpoint.name,
        display_name,
        description,
        treatments: touchpoint.treatments,
        default_treatment: touchpoint.default_treatment,
        policy: policy(wrong, touchpoint.policy.unwrap_or_default()),
        channel: touchpoint.channel,
    }
}

fn policy(wrong: &mut Violations, policy: wire::DecisionPolicy) -> Policy {
    let field = "touchpoint.policy";
    if wire::DecisionPolicyKind::try_from(policy.kind).is_err() {
        wrong.add(format!("{field}.kind"), format!("is {}, which names no value of the enum", policy.kind));
    }
    let kind = match policy.kind() {
        wire::DecisionPolicyKind::Unspecified | wire::DecisionPolicyKind::Deterministic => PolicyKind::Deterministic,
        wire::DecisionPolicyKind::Thompson => PolicyKind::Thompson,
        wire::DecisionPolicyKind::LinearBandit => PolicyKind::LinearBandit,
        wire::DecisionPolicyKind::Uniform => PolicyKind::Uniform,
    };
    let max_results = u32::try_from(policy.max_results).unwrap_or_else(|_| {
        wrong.add(format!("{field}.max_results"), format!("is {}; it must not be negative", policy.max_results));
        0
    });
    Policy { kind, max_results, exploration_floor: policy.exploration_floor }
}

/// A touchpoint for a reply; `name` knows the treatments.
pub(super) fn encode(touchpoint: &Touchpoint, name: impl Fn(TreatmentId) -> Option<String>) -> wire::Touchpoint {
    let spec = touchpoint.spec.clone();
    let kind = match spec.policy.kind {
        PolicyKind::Deterministic => wire::DecisionPolicyKind::Deterministic,
        PolicyKind::Thompson => wire::DecisionPolicyKind::Thompson,
        PolicyKind::LinearBandit => wire::DecisionPolicyKind::LinearBandit,
        PolicyKind::Uniform => wire::DecisionPolicyKind::Uniform,
    };
    let name = |id: &TreatmentId| name(*id).unwrap_or_else(|| id.to_string());
    wire::Touchpoint {
        touchpoint_id: touchpoint.id.to_string(),
        name: spec.name,
        display_name: spec.display_name,
        description: spec.description,
        treatments: touchpoint.candidates.iter().map(name).collect(),
        default_treatment: touchpoint.default.as_ref().map(name).unwrap_or_default(),
        policy: Some(wire::DecisionPolicy {
            kind: kind.into(),
            max_results: i32::try_from(spec.policy.max_results).unwrap_or(i32::MAX),
            exploration_floor: spec.policy.exploration_floor,
        }),
        channel: spec.channel,
        version: version(touchpoint.version),
        create_time: Some(encode::timestamp(touchpoint.created_at)),
        update_time: Some(encode::timestamp(touchpoint.updated_at)),
        etag: etag(touchpoint.version),
    }
}

/// Names of treatments by a catalog.
pub(super) fn names(catalog: &Catalog) -> impl Fn(TreatmentId) -> Option<String> + '_ {
    |id| catalog.treatment_by_id(id).map(|candidate| candidate.name().to_owned())
}

/// The definition that a method answers with, which is always of the kind that it stores.
pub(super) fn of(definition: customization_domain::ports::Definition) -> Result<Touchpoint, Fault> {
    match definition {
        customization_domain::ports::Definition::Touchpoint(touchpoint) => Ok(touchpoint),
        customization_domain::ports::Definition::Treatment(_) => {
            Err(Fault::internal("a touchpoint was stored and a treatment came back"))
        }
    }
}
