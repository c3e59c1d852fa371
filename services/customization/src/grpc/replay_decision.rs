//! `ReplayDecision`.

use customization_domain::{ports::Definitions, profile::Profile};
use host::Call;
use prost::Message;
use rapport_proto::customization::v1::{DecisionRecord, ReplayDecisionRequest, ReplayDecisionResponse};
use terms::{Fault, Reason};

use super::{
    Ports,
    decide::not_found,
    get_decision::{Found, named},
};
use crate::{known, record::record};

pub(super) async fn replay_decision(
    ports: &Ports,
    call: Call,
    body: ReplayDecisionRequest,
) -> Result<ReplayDecisionResponse, Fault> {
    let (id, at_least) = named(&body.decision_id, &body.at_least)?;
    let found = Found::read(ports, &call, id).await?;
    let Some((made, place)) = &found.made else {
        let message = "the customer was erased, and with them what the decision was made from";
        return Err(Fault::new(Reason::DecisionNotFound, message).with("decision_id", id.to_string()));
    };
    let mut profile = match &found.inputs {
        Some(inputs) => known::decode(found.logged.arrived_as, inputs)?,
        None if found.logged.arrived_as.is_none() => Profile::default(),
        None => return Err(not_found(&body.decision_id)),
    };
    profile.degraded = made.degraded();
    let place = if body.current_policy {
        let catalog = ports.store.catalog(call.tenant(), &at_least).await?;
        catalog.place_of(&found.logged.touchpoint.to_string())?.clone()
    } else {
        place.clone()
    };
    let again = made.again(&place, &profile, found.logged.at)?;
    let replayed = record(&found.logged, &again, &place, found.inputs.as_ref());
    let logged = found.record();
    let (bytes, logged_bytes) = (replayed.encode_to_vec(), logged.encode_to_vec());
    Ok(ReplayDecisionResponse {
        identical: bytes == logged_bytes,
        differences: differences(&replayed, &logged),
        decision: Some(replayed),
        record: bytes.into(),
        logged_record: logged_bytes.into(),
        revision: at_least.to_string(),
    })
}

/// Paths of the fields that differ.
fn differences(a: &DecisionRecord, b: &DecisionRecord) -> Vec<String> {
    let mut paths = Vec::new();
    let mut note = |differs: bool, path: &str| {
        if differs {
            paths.push(path.to_owned());
        }
    };
    note(a.touchpoint_version != b.touchpoint_version, "touchpoint_version");
    note(a.treatment_versions != b.treatment_versions, "treatment_versions");
    note(a.inputs != b.inputs, "inputs");
    let longest = a.treatments.len().max(b.treatments.len());
    for n in 0..longest {
        note(a.treatments.get(n) != b.treatments.get(n), &format!("treatments[{n}]"));
    }
    note(a.excluded != b.excluded, "excluded");
    note(a.because != b.because, "because");
    note(a.defaulted != b.defaulted, "defaulted");
    note(a.engine_version != b.engine_version, "engine_version");
    paths
}
