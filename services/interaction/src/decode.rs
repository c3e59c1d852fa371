//! Messages to the domain's nouns. Every wrong field is noted, those of the domain's own checks too.

use host::decode::{self, JsonLimits};
use interaction_domain::{
    boundary::Scope,
    draft::{InteractionDraft, LABEL_MAX, REASON_MAX, StatementDraft, UTTERANCE_MAX},
    interaction::{Direction, Directness, InteractionId, Money, Motivation},
    statement::StatementKind,
};
use rapport_proto::{interaction::v1 as wire, r#type::v1 as common};
use serde_json::Value;
use terms::{CustomerId, CustomerRef, Fault, Id, IdKind, Timestamp, Violations};

/// How large a statement's value may be.
const VALUE: JsonLimits = JsonLimits { bytes: 16 << 10, ..JsonLimits::USUAL };

/// An id that may be left out.
pub(crate) fn optional_id<K: IdKind>(wrong: &mut Violations, field: &str, text: &str) -> Option<Id<K>> {
    if text.is_empty() { None } else { wrong.take(Id::parse(field, text)) }
}

/// A text whose length the domain checks; here only that it can be stored.
pub(crate) fn plain(wrong: &mut Violations, field: &str, text: String, most: usize) -> String {
    wrong.take(decode::text(field, text, most)).unwrap_or_default()
}

/// A customer; somebody who is not, when the reference is wrong.
pub(crate) fn customer(wrong: &mut Violations, field: &str, reference: Option<common::CustomerRef>) -> CustomerRef {
    let nobody = || CustomerRef::Id(CustomerId::from_uuid(uuid::Uuid::nil()));
    wrong.take(decode::customer(field, reference)).unwrap_or_else(nobody)
}

/// An instant that may be left out.
pub(crate) fn time(wrong: &mut Violations, field: &str, time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    wrong.take(decode::timestamp(field, time)).flatten()
}

fn choice<W: TryFrom<i32>, T>(
    wrong: &mut Violations,
    field: &str,
    number: i32,
    to: impl FnOnce(i32) -> Option<T>,
) -> Option<T> {
    wrong.take(decode::enumeration::<W>(field, number))?;
    to(number)
}

/// A code of the domain with the number of the API.
pub(crate) fn code<T>(from: impl Fn(i16) -> Option<T>) -> impl Fn(i32) -> Option<T> {
    move |number| i16::try_from(number).ok().and_then(&from)
}

/// The interaction of the request field `field`.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] with every field that is wrong.
pub(crate) fn interaction(
    wrong: &mut Violations,
    field: &str,
    input: Option<wire::InteractionInput>,
    now: Timestamp,
) -> Option<InteractionDraft> {
    let input = wrong.take(decode::required(field, input))?;
    let prefix = format!("{field}.");
    let at = |name: &str| format!("{prefix}{name}");
    let properties =
        input.properties.is_some().then(|| wrong.take(decode::object(&at("properties"), input.properties)));
    let value = wrong.take(decode::money(&at("value"), input.value)).flatten();
    let statements = input.statements.into_iter().enumerate();
    let draft = InteractionDraft {
        id: optional_id(wrong, &at("interaction_id"), &input.interaction_id),
        customer: customer(wrong, &at("customer"), input.customer),
        kind: input.r#type,
        channel: input.channel,
        touchpoint: input.touchpoint,
        direction: choice::<common::InteractionDirection, _>(
            wrong,
            &at("direction"),
            input.direction,
            code(Direction::from_code),
        )
        .unwrap_or(Direction::Inbound),
        directness: choice::<common::InteractionDirectness, _>(
            wrong,
            &at("directness"),
            input.directness,
            code(Directness::from_code),
        )
        .unwrap_or(Directness::Direct),
        motivation: choice::<common::Motivation, _>(
            wrong,
            &at("motivation"),
            input.motivation,
            code(Motivation::from_code),
        ),
        inducement: plain(wrong, &at("inducement"), input.inducement, LABEL_MAX),
        occurred_at: time(wrong, &at("occurred_at"), input.occurred_at),
        properties: properties.flatten(),
        value: value.map(|amount| Money { currency: amount.currency, micros: amount.micros }),
        statements: statements.map(|(i, s)| statement_fields(wrong, &at(&format!("statements[{i}].")), s)).collect(),
        conversation: optional_id(wrong, &at("conversation_id"), &input.conversation_id),
        source: plain(wrong, &at("source"), input.source, LABEL_MAX),
        record: optional_id(wrong, &at("source_record_id"), &input.source_record_id),
        decision: optional_id(wrong, &at("decision_id"), &input.decision_id),
        reservation: optional_id(wrong, &at("reservation_id"), &input.reservation_id),
    };
    draft.check(wrong, &prefix, now);
    Some(draft)
}

/// The statement of the request field `field`.
pub(crate) fn statement(
    wrong: &mut Violations,
    field: &str,
    input: Option<wire::StatementInput>,
    now: Timestamp,
) -> Option<StatementDraft> {
    let input = wrong.take(decode::required(field, input))?;
    let prefix = format!("{field}.");
    let draft = statement_fields(wrong, &prefix, input);
    draft.check(wrong, &prefix, None, now);
    Some(draft)
}

fn statement_fields(wrong: &mut Violations, prefix: &str, input: wire::StatementInput) -> StatementDraft {
    let at = |name: &str| format!("{prefix}{name}");
    let value =
        decode::json_within(&at("value"), input.value, VALUE).and_then(|value| decode::required(&at("value"), value));
    StatementDraft {
        id: optional_id(wrong, &at("statement_id"), &input.statement_id),
        topic: input.topic,
        value: wrong.take(value).unwrap_or(Value::Null),
        kind: choice::<common::StatementKind, _>(wrong, &at("kind"), input.kind, code(StatementKind::from_code))
            .unwrap_or(StatementKind::Fact),
        confidence: if input.confidence == 0.0 { 1.0 } else { input.confidence },
        valid_until: time(wrong, &at("valid_until"), input.valid_until),
        utterance: plain(wrong, &at("utterance"), input.utterance, UTTERANCE_MAX),
        occurred_at: time(wrong, &at("occurred_at"), input.occurred_at),
        scope: input.boundary_scope.map(scope),
    }
}

pub(crate) fn scope(scope: common::BoundaryScope) -> Scope {
    Scope {
        topics: scope.topics,
        channels: scope.channels,
        purposes: scope.purposes,
        treatment_tags: scope.treatment_tags,
        everything: scope.everything,
    }
}

/// The reason of an ending.
pub(crate) fn reason(wrong: &mut Violations, text: String) -> String {
    plain(wrong, "reason", text, REASON_MAX)
}

/// The interaction in which something was said.
pub(crate) fn source_interaction(wrong: &mut Violations, text: &str) -> Option<InteractionId> {
    optional_id(wrong, "source_interaction", text)
}

/// Ends the checks of a request of which something is missing without a violation.
pub(crate) fn incomplete() -> Fault {
    Fault::internal("a checked request is incomplete")
}
