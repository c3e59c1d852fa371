//! `ReportOutcome`.

use customization_domain::{
    key::{KEY_MAX, is_key},
    ports::{DecisionLog, Definitions, How, Logged},
    report_outcome::{Amount, Chosen, DecisionId, Motivation, Outcome, ReportOutcome, report_outcome as report},
};
use host::{Call, decode, encode};
use rapport_proto::{
    customization::v1::{ReportOutcomeRequest, ReportOutcomeResponse, ReportedOutcome},
    r#type::v1 as wire,
};
use terms::{Fault, Revision, Violations};

use super::{Ports, decide::not_found};
use crate::record::Body;

pub(super) async fn report_outcome(
    ports: &Ports,
    call: Call,
    body: ReportOutcomeRequest,
) -> Result<ReportOutcomeResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "ReportOutcome", &body.request_id, &body);
    let validate_only = body.validate_only;
    let command = command(wrong, body)?;
    let tenant = call.tenant().clone();
    let logged = ports.store.find(&tenant, command.decision).await?;
    let logged = logged.ok_or_else(|| not_found(&command.decision.to_string()))?;
    let chosen = chosen(ports, &call, &logged).await?;
    let id = command.decision;
    let names = chosen.clone();
    let decide = move |known: &[Outcome], now| {
        let before = |treatment| known.iter().find(|o| o.treatment == treatment && o.outcome == command.outcome);
        report(&command, &chosen, |treatment| before(treatment).cloned(), now)
    };
    let (outcome, duplicate, revision) = if validate_only {
        let known = ports.store.outcomes(&tenant, id).await?;
        let (outcome, duplicate) = decide(&known, ports.clock.now())?;
        (outcome, duplicate, Revision::new())
    } else {
        let how = How { tenant, actor: call.caller.subject.clone(), once };
        let written = ports.store.report(how, id, Box::new(decide)).await?;
        (written.value.0, written.value.1, written.revision)
    };
    Ok(ReportOutcomeResponse { outcome: Some(reported(&outcome, &names)), duplicate, revision: revision.to_string() })
}

fn command(mut wrong: Violations, body: ReportOutcomeRequest) -> Result<ReportOutcome, Fault> {
    let decision = wrong.take(DecisionId::parse("decision_id", &body.decision_id));
    wrong.add_if(
        !is_key(&body.outcome, KEY_MAX),
        "outcome",
        "must be 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, such as `accepted`",
    );
    wrong.add_if(body.treatment.len() > 128, "treatment", "is neither an id nor a name");
    let value = wrong.take(decode::money("value", body.value)).flatten();
    let reward = body.reward.and_then(|reward| wrong.take(decode::share("reward", reward)));
    let occurred_at = wrong.take(decode::timestamp("occurred_at", body.occurred_at)).flatten();
    let motivation = match wrong.take(decode::enumeration("motivation", body.motivation)) {
        Some(wire::Motivation::Organic) => Some(Motivation::Organic),
        Some(wire::Motivation::Incentivised) => Some(Motivation::Incentivised),
        Some(wire::Motivation::Unspecified) | None => None,
    };
    let limits = decode::JsonLimits { bytes: 16 << 10, ..decode::JsonLimits::USUAL };
    let properties = wrong.take(decode::object_within("properties", body.properties, limits));
    let (true, Some(decision), Some(properties)) = (wrong.is_empty(), decision, properties) else {
        return Err(decode::refused(wrong));
    };
    let value = value.map(|amount| Amount { currency: amount.currency, micros: amount.micros });
    Ok(ReportOutcome {
        decision,
        outcome: body.outcome,
        treatment: body.treatment,
        value,
        reward,
        occurred_at,
        motivation,
        properties,
    })
}

/// The treatments that a logged decision chose; none once it is erased.
pub(super) async fn chosen(ports: &Ports, call: &Call, logged: &Logged) -> Result<Vec<Chosen>, Fault> {
    if logged.body.is_empty() {
        return Ok(Vec::new());
    }
    let body = Body::read(&logged.body)?;
    let catalog = ports.store.catalog(call.tenant(), &Revision::new()).await?;
    // Most reports come soon after the decision: then the definitions are those in memory.
    let now = catalog.places().find(|place| {
        place.touchpoint.id == logged.touchpoint
            && place.catalog_version == logged.catalog_version
            && place.touchpoint.version == body.touchpoint_version
    });
    if let Some(place) = now {
        return Ok(body.chosen(place));
    }
    let place = ports.store.place_at(call.tenant(), logged.touchpoint, logged.catalog_version).await?;
    Ok(place.map(|place| body.chosen(&place)).unwrap_or_default())
}

/// An outcome for a reply.
pub(super) fn reported(outcome: &Outcome, chosen: &[Chosen]) -> ReportedOutcome {
    let name = |id| chosen.iter().find(|c| c.id == id).map_or_else(|| id.to_string(), |c| c.name.clone());
    let motivation = match outcome.motivation {
        Motivation::Organic => wire::Motivation::Organic,
        Motivation::Incentivised => wire::Motivation::Incentivised,
    };
    let money =
        |amount: &Amount| encode::money(&decode::Amount { currency: amount.currency.clone(), micros: amount.micros });
    ReportedOutcome {
        decision_id: outcome.decision.to_string(),
        outcome: outcome.outcome.clone(),
        treatment: outcome.treatment.map(name).unwrap_or_default(),
        value: outcome.value.as_ref().map(money),
        reward: outcome.reward,
        occurred_at: Some(encode::timestamp(outcome.occurred_at)),
        record_time: Some(encode::timestamp(outcome.recorded_at)),
        motivation: motivation.into(),
        properties: (!outcome.properties.is_empty()).then(|| encode::object(&outcome.properties)),
    }
}
