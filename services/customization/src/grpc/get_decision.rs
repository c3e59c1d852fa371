//! `GetDecision`.

use customization_domain::{
    catalog::Place,
    ports::{DecisionLog, Definitions, Logged},
    report_outcome::DecisionId,
};
use host::Call;
use prost::Message;
use rapport_proto::customization::v1::{DecisionInputs, DecisionRecord, GetDecisionRequest, GetDecisionResponse};
use terms::{Fault, Revision, Violations};

use super::{
    Ports,
    decide::not_found,
    report_outcome::{chosen, reported},
};
use crate::record::{Body, record};

pub(super) async fn get_decision(
    ports: &Ports,
    call: Call,
    body: GetDecisionRequest,
) -> Result<GetDecisionResponse, Fault> {
    let (id, at_least) = named(&body.decision_id, &body.at_least)?;
    // Read from the store: every write that was acknowledged shows.
    let found = Found::read(ports, &call, id).await?;
    let outcomes = ports.store.outcomes(call.tenant(), id).await?;
    let names = chosen(ports, &call, &found.logged).await?;
    Ok(GetDecisionResponse {
        decision: Some(found.record()),
        outcomes: outcomes.iter().map(|outcome| reported(outcome, &names)).collect(),
        revision: at_least.to_string(),
    })
}

/// The decision that a request names, and the revision that it demands.
pub(super) fn named(decision: &str, at_least: &str) -> Result<(DecisionId, Revision), Fault> {
    let mut wrong = Violations::new();
    let id = wrong.take(DecisionId::parse("decision_id", decision));
    let at_least = wrong.take(Revision::parse("at_least", at_least));
    match (id, at_least) {
        (Some(id), Some(at_least)) => Ok((id, at_least)),
        _ => Err(host::decode::refused(wrong)),
    }
}

/// A logged decision with all that it was made from; without it once the customer was erased.
pub(super) struct Found {
    pub(super) logged: Logged,
    pub(super) made: Option<(Body, Place)>,
    pub(super) inputs: Option<DecisionInputs>,
}

impl Found {
    pub(super) async fn read(ports: &Ports, call: &Call, id: DecisionId) -> Result<Self, Fault> {
        let tenant = call.tenant();
        let logged = ports.store.find(tenant, id).await?.ok_or_else(|| not_found(&id.to_string()))?;
        if logged.body.is_empty() {
            return Ok(Self { logged, made: None, inputs: None });
        }
        let body = Body::read(&logged.body)?;
        let place = ports.store.place_at(tenant, logged.touchpoint, logged.catalog_version).await?;
        let place = place.ok_or_else(|| Fault::internal(format!("the definitions behind {id} are gone")))?;
        let inputs = logged.inputs.as_deref().map(DecisionInputs::decode).transpose().map_err(Fault::internal)?;
        Ok(Self { logged, made: Some((body, place)), inputs })
    }

    /// The canonical record.
    pub(super) fn record(&self) -> DecisionRecord {
        match &self.made {
            Some((body, place)) => record(&self.logged, body, place, self.inputs.as_ref()),
            None => DecisionRecord {
                decision_id: self.logged.id.to_string(),
                touchpoint_id: self.logged.touchpoint.to_string(),
                decide_time: Some(host::encode::timestamp(self.logged.at)),
                ..DecisionRecord::default()
            },
        }
    }
}
