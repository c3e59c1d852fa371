//! The domain's nouns as messages.

use interaction_domain::{
    arrival::Arrival,
    boundary::{Boundary, Scope},
    consent::Consent,
    interaction::{Interaction, Money},
    permission::Permission,
    statement::{Ending, Standing},
    store::Recorded,
};
use rapport_proto::{google::r#type::Money as WireMoney, interaction::v1 as wire, r#type::v1 as common};
use terms::{Id, IdKind, Timestamp};

pub(crate) fn optional_id<K: IdKind>(id: Option<Id<K>>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn time(time: Timestamp) -> Option<prost_types::Timestamp> {
    Some(host::encode::timestamp(time))
}

fn optional_time(time: Option<Timestamp>) -> Option<prost_types::Timestamp> {
    time.map(host::encode::timestamp)
}

fn arrived_as(arrival: &Arrival) -> Option<common::CustomerRef> {
    Some(host::encode::customer(&arrival.reference()))
}

fn ending(ending: Option<&Ending>) -> (Option<prost_types::Timestamp>, String) {
    ending.map_or((None, String::new()), |ending| (time(ending.at), ending.reason.clone()))
}

pub(crate) fn money(money: &Money) -> WireMoney {
    host::encode::money(&host::decode::Amount { currency: money.currency.clone(), micros: money.micros })
}

pub(crate) fn interaction(i: &Interaction) -> wire::Interaction {
    wire::Interaction {
        interaction_id: i.id.to_string(),
        customer_id: i.customer.to_string(),
        arrived_as: arrived_as(&i.arrival),
        r#type: i.kind.clone(),
        channel: i.channel.clone(),
        touchpoint: i.touchpoint.clone(),
        direction: i.direction.code().into(),
        directness: i.directness.code().into(),
        motivation: i.motivation.code().into(),
        inducement: i.inducement.clone(),
        occurred_at: time(i.occurred_at),
        record_time: time(i.recorded_at),
        properties: i.properties.as_ref().map(host::encode::object),
        value: i.value.as_ref().map(money),
        statement_ids: i.statements.iter().map(ToString::to_string).collect(),
        conversation_id: optional_id(i.conversation),
        source: i.source.clone(),
        source_record_id: optional_id(i.arrival.record),
        decision_id: optional_id(i.decision),
        reservation_id: optional_id(i.reservation),
    }
}

pub(crate) fn statement(standing: &Standing) -> wire::Statement {
    let s = &standing.statement;
    let (retract_time, retract_reason) = ending(s.retraction.as_ref());
    wire::Statement {
        statement_id: s.id.to_string(),
        customer_id: s.customer.to_string(),
        topic: s.topic.clone(),
        value: Some(host::encode::json(&s.value)),
        kind: s.kind.code().into(),
        source_interaction: optional_id(s.source_interaction),
        confidence: s.confidence,
        valid_until: optional_time(s.valid_until),
        utterance: s.utterance.clone(),
        occurred_at: time(s.occurred_at),
        record_time: time(s.recorded_at),
        // The numbers of the two enums agree.
        state: standing.state as i32,
        superseded_by: optional_id(standing.superseded_by),
        retract_time,
        retract_reason,
        source: s.source.clone(),
        question: String::new(),
        arrived_as: arrived_as(&s.arrival),
        boundary_id: optional_id(s.boundary),
        etag: s.etag(),
    }
}

pub(crate) fn statements(all: &[Standing]) -> Vec<wire::Statement> {
    all.iter().map(statement).collect()
}

pub(crate) fn scope(scope: &Scope) -> common::BoundaryScope {
    common::BoundaryScope {
        topics: scope.topics.clone(),
        channels: scope.channels.clone(),
        purposes: scope.purposes.clone(),
        treatment_tags: scope.treatment_tags.clone(),
        everything: scope.everything,
    }
}

pub(crate) fn boundary(b: &Boundary) -> wire::Boundary {
    let (lift_time, lift_reason) = ending(b.lifted.as_ref());
    wire::Boundary {
        boundary_id: b.id.to_string(),
        customer_id: b.customer.to_string(),
        statement: b.words.clone(),
        scope: Some(scope(&b.scope)),
        statement_id: optional_id(b.statement),
        source_interaction: optional_id(b.source_interaction),
        occurred_at: time(b.occurred_at),
        record_time: time(b.recorded_at),
        valid_until: optional_time(b.valid_until),
        lift_time,
        lift_reason,
        arrived_as: arrived_as(&b.arrival),
        etag: b.etag(),
    }
}

pub(crate) fn consent(c: &Consent) -> wire::Consent {
    wire::Consent {
        consent_id: c.id.to_string(),
        customer_id: c.customer.to_string(),
        purpose: c.purpose.clone(),
        channel: c.channel.clone(),
        topic: c.topic.clone(),
        state: c.state.code().into(),
        lawful_basis: c.basis.code().into(),
        source: c.source.clone(),
        evidence: c.evidence.clone(),
        valid_from: time(c.valid_from),
        valid_until: optional_time(c.valid_until),
        occurred_at: time(c.occurred_at),
        record_time: time(c.recorded_at),
        arrived_as: arrived_as(&c.arrival),
    }
}

pub(crate) fn permission(p: &Permission) -> wire::Permission {
    wire::Permission {
        purpose: p.purpose.clone(),
        channel: p.channel.clone(),
        topic: p.topic.clone(),
        allowed: p.rule.allows(),
        decided_by: p.rule.code().into(),
        consent_id: optional_id(p.consent),
        boundary_id: optional_id(p.boundary),
        valid_until: optional_time(p.valid_until),
        explanation: p.explanation(),
    }
}

pub(crate) fn recorded(recorded: &Recorded, revision: String) -> wire::RecordInteractionResponse {
    wire::RecordInteractionResponse {
        interaction: Some(interaction(&recorded.interaction)),
        statements: statements(&recorded.statements),
        duplicate: recorded.duplicate,
        boundaries: recorded.boundaries.iter().map(boundary).collect(),
        revision,
    }
}
