//! Treatments, decoded and encoded.

use customization_domain::treatment::{Treatment, TreatmentSpec, TreatmentState, etag};
use host::{decode, encode};
use rapport_proto::customization::v1 as wire;
use terms::{Fault, Violations};

/// What the caller writes of a treatment. The domain checks what the fields may hold.
pub(super) fn decode(wrong: &mut Violations, treatment: wire::Treatment) -> TreatmentSpec {
    let field = |name: &str| format!("treatment.{name}");
    let state = match treatment.state() {
        wire::TreatmentState::Unspecified | wire::TreatmentState::Active => TreatmentState::Active,
        wire::TreatmentState::Paused => TreatmentState::Paused,
        wire::TreatmentState::Deleted => {
            wrong.add(field("state"), "cannot be set to deleted; call DeleteTreatment");
            TreatmentState::Active
        }
    };
    if wire::TreatmentState::try_from(treatment.state).is_err() {
        wrong.add(field("state"), format!("is {}, which names no value of the enum", treatment.state));
    }
    let mut text = |name: &str, value: String, most: usize| {
        wrong.take(decode::text(&field(name), value, most)).unwrap_or_default()
    };
    let display_name = text("display_name", treatment.display_name, 256);
    let description = text("description", treatment.description, 4_096);
    let eligibility = text("eligibility", treatment.eligibility, 16 << 10);
    let statement_relevance = text("statement_relevance", treatment.statement_relevance, 16 << 10);
    let inducement = text("inducement", treatment.inducement, 256);
    let content = wrong.take(decode::json(&field("content"), treatment.content)).flatten();
    let mut time = |name: &str, value| wrong.take(decode::timestamp(&field(name), value)).flatten();
    TreatmentSpec {
        name: treatment.name,
        display_name,
        description,
        content: content.unwrap_or_default(),
        eligibility,
        needs_served: treatment.needs_served,
        tags: treatment.tags,
        topics: treatment.topics,
        value: treatment.value,
        cost: treatment.cost,
        purpose: treatment.purpose,
        channel: treatment.channel,
        inducement,
        min_identity_confidence: treatment.min_identity_confidence,
        propensity_prior: treatment.propensity_prior,
        lever: treatment.lever,
        selling: treatment.selling,
        uses_contact_budget: treatment.uses_contact_budget,
        statement_relevance,
        state,
        valid_from: time("valid_from", treatment.valid_from),
        valid_until: time("valid_until", treatment.valid_until),
    }
}

/// A treatment for a reply.
pub(super) fn encode(treatment: &Treatment) -> wire::Treatment {
    let spec = treatment.spec.clone();
    let state = match (treatment.deleted, spec.state) {
        (true, _) => wire::TreatmentState::Deleted,
        (false, TreatmentState::Active) => wire::TreatmentState::Active,
        (false, TreatmentState::Paused) => wire::TreatmentState::Paused,
    };
    wire::Treatment {
        treatment_id: treatment.id.to_string(),
        name: spec.name,
        display_name: spec.display_name,
        description: spec.description,
        content: (!spec.content.is_null()).then(|| encode::json(&spec.content)),
        eligibility: spec.eligibility,
        needs_served: spec.needs_served,
        tags: spec.tags,
        topics: spec.topics,
        value: spec.value,
        cost: spec.cost,
        purpose: spec.purpose,
        channel: spec.channel,
        inducement: spec.inducement,
        min_identity_confidence: spec.min_identity_confidence,
        propensity_prior: spec.propensity_prior,
        lever: spec.lever,
        selling: spec.selling,
        uses_contact_budget: spec.uses_contact_budget,
        statement_relevance: spec.statement_relevance,
        state: state.into(),
        valid_from: spec.valid_from.map(encode::timestamp),
        valid_until: spec.valid_until.map(encode::timestamp),
        version: version(treatment.version),
        create_time: Some(encode::timestamp(treatment.created_at)),
        update_time: Some(encode::timestamp(treatment.updated_at)),
        etag: etag(treatment.version),
    }
}

pub(super) fn version(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// The `version` of a request; `None` for the latest.
pub(super) fn wanted_version(wrong: &mut Violations, version: i64) -> Option<u64> {
    match u64::try_from(version) {
        Ok(0) => None,
        Ok(version) => Some(version),
        Err(_) => {
            wrong.add("version", format!("is {version}; give 0 for the latest, or a positive number"));
            None
        }
    }
}

/// The definition that a method answers with, which is always of the kind that it stores.
pub(super) fn of(definition: customization_domain::ports::Definition) -> Result<Treatment, Fault> {
    match definition {
        customization_domain::ports::Definition::Treatment(treatment) => Ok(treatment),
        customization_domain::ports::Definition::Touchpoint(_) => {
            Err(Fault::internal("a treatment was stored and a touchpoint came back"))
        }
    }
}
