//! Interactions and statements as callers describe them: checks, defaults, and the rows that they become.

use serde_json::{Map, Value};
use std::time::Duration;
use terms::{CustomerRef, Id, Ids, Timestamp, Violations, id};

use crate::{
    arrival::{Arrival, Resolved},
    boundary::{Boundary, Scope},
    fingerprint::Fingerprint,
    interaction::{Direction, Directness, Interaction, InteractionId, Money, Motivation, Reservation},
    key::{KEY_MAX, TOPIC_MAX, check_key, check_length, check_optional_key},
    statement::{Statement, StatementId, StatementKind},
};

/// How far an event time may lie in the future: clocks differ.
pub const FUTURE_MAX: Duration = Duration::from_secs(5 * 60);
/// The most statements in one interaction.
pub const STATEMENTS_MAX: usize = 64;
/// The longest inducement and source, in bytes.
pub const LABEL_MAX: usize = 128;
/// The longest utterance, in bytes.
pub const UTTERANCE_MAX: usize = 8 * 1024;
/// The longest reason, in bytes.
pub const REASON_MAX: usize = 1024;

/// An interaction to record. Money and the sizes of JSON are checked where they are decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionDraft {
    /// The caller's own id.
    pub id: Option<InteractionId>,
    /// Whose.
    pub customer: CustomerRef,
    /// What happened.
    pub kind: String,
    /// Where it was carried.
    pub channel: String,
    /// The touchpoint's name.
    pub touchpoint: String,
    /// Who spoke.
    pub direction: Direction,
    /// At a touchpoint of the enterprise or not.
    pub directness: Directness,
    /// Organic or incentivised; otherwise as the inducement says.
    pub motivation: Option<Motivation>,
    /// What brought it about.
    pub inducement: String,
    /// Event time; otherwise now.
    pub occurred_at: Option<Timestamp>,
    /// Whatever else is known.
    pub properties: Option<Map<String, Value>>,
    /// What it was worth.
    pub value: Option<Money>,
    /// What the customer said in it.
    pub statements: Vec<StatementDraft>,
    /// Its conversation.
    pub conversation: Option<Id<id::Conversation>>,
    /// The reporting system.
    pub source: String,
    /// Identity's source record.
    pub record: Option<Id<id::Record>>,
    /// The decision that it carried out or answered.
    pub decision: Option<Id<id::Decision>>,
    /// The contact reservation under which it was sent.
    pub reservation: Option<Id<Reservation>>,
}

/// A statement to record.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementDraft {
    /// The caller's own id.
    pub id: Option<StatementId>,
    /// What it is about.
    pub topic: String,
    /// What they said about it.
    pub value: Value,
    /// What sort of statement.
    pub kind: StatementKind,
    /// How sure it is, above 0 and up to 1.
    pub confidence: f64,
    /// When it stops holding.
    pub valid_until: Option<Timestamp>,
    /// Their own words.
    pub utterance: String,
    /// Event time; otherwise that of the interaction, or now.
    pub occurred_at: Option<Timestamp>,
    /// For a boundary: what it forbids; otherwise its topic.
    pub scope: Option<Scope>,
}

/// What a draft becomes once its customer is resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// How the reference was resolved.
    pub resolved: Resolved,
    /// The row.
    pub interaction: Interaction,
    /// Its statements.
    pub statements: Vec<Statement>,
    /// The boundaries that they set.
    pub boundaries: Vec<Boundary>,
}

impl InteractionDraft {
    /// Notes everything that is wrong with it, under `prefix` (empty, or ending in a dot).
    pub fn check(&self, wrong: &mut Violations, prefix: &str, now: Timestamp) {
        let at = |field: &str| format!("{prefix}{field}");
        check_key(wrong, &at("type"), &self.kind, KEY_MAX);
        check_optional_key(wrong, &at("channel"), &self.channel, KEY_MAX);
        check_optional_key(wrong, &at("touchpoint"), &self.touchpoint, KEY_MAX);
        check_length(wrong, &at("source"), &self.source, LABEL_MAX);
        check_length(wrong, &at("inducement"), &self.inducement, LABEL_MAX);
        match self.motivation {
            Some(Motivation::Incentivised) if self.inducement.is_empty() => {
                wrong.add(at("inducement"), "is required for an incentivised interaction: name the deal or the reward");
            }
            Some(Motivation::Organic) if !self.inducement.is_empty() => {
                wrong.add(at("inducement"), "contradicts the organic motivation; leave it out, or say incentivised");
            }
            _ => {}
        }
        check_event_time(wrong, &at("occurred_at"), self.occurred_at, now);
        if self.statements.len() > STATEMENTS_MAX {
            wrong.add(
                at("statements"),
                format!("has {} entries; at most {STATEMENTS_MAX} are taken", self.statements.len()),
            );
        }
        for (i, statement) in self.statements.iter().enumerate().take(STATEMENTS_MAX) {
            statement.check(wrong, &at(&format!("statements[{i}].")), self.occurred_at, now);
        }
    }

    fn motivation(&self) -> Motivation {
        self.motivation.unwrap_or(if self.inducement.is_empty() {
            Motivation::Organic
        } else {
            Motivation::Incentivised
        })
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut all = Fingerprint::of("interaction");
        all.customer(&self.customer).text(&self.kind).text(&self.channel).text(&self.touchpoint);
        all.number(self.direction.code().into()).number(self.directness.code().into());
        all.number(self.motivation().code().into()).text(&self.inducement).time(self.occurred_at);
        match &self.properties {
            Some(properties) => all.json(&Value::Object(properties.clone())),
            None => all.bytes(&[]),
        };
        match &self.value {
            Some(value) => all.text(&value.currency).number(value.micros),
            None => all.bytes(&[]),
        };
        let ids = [
            self.conversation.map(|id| id.uuid()),
            self.record.map(|id| id.uuid()),
            self.decision.map(|id| id.uuid()),
            self.reservation.map(|id| id.uuid()),
        ];
        for id in ids {
            all.bytes(id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
        }
        all.text(&self.source).number(self.statements.len() as i64);
        for statement in &self.statements {
            statement.digest(&mut all);
        }
        all.done()
    }

    /// The rows, with ids and times.
    pub fn prepare(&self, resolved: Resolved, now: Timestamp, ids: &Ids) -> Prepared {
        let arrival = Arrival { record: self.record, ..Arrival::of(&self.customer, resolved.customer) };
        let id = self.id.unwrap_or_else(|| ids.next());
        let occurred_at = self.occurred_at.unwrap_or(now);
        let told = Telling {
            customer: &self.customer,
            arrival: &arrival,
            resolved,
            interaction: Some(id),
            source: &self.source,
            occurred_at,
            now,
        };
        let (statements, boundaries): (Vec<_>, Vec<_>) =
            self.statements.iter().map(|statement| statement.prepare(&told, ids)).unzip();
        let interaction = Interaction {
            id,
            customer: resolved.customer,
            kind: self.kind.clone(),
            channel: self.channel.clone(),
            touchpoint: self.touchpoint.clone(),
            direction: self.direction,
            directness: self.directness,
            motivation: self.motivation(),
            inducement: self.inducement.clone(),
            occurred_at,
            recorded_at: now,
            properties: self.properties.clone(),
            value: self.value.clone(),
            conversation: self.conversation,
            source: self.source.clone(),
            decision: self.decision,
            reservation: self.reservation,
            statements: statements.iter().map(|s: &Statement| s.id).collect(),
            fingerprint: self.id.map(|_| self.fingerprint()),
            arrival,
        };
        Prepared { resolved, interaction, statements, boundaries: boundaries.into_iter().flatten().collect() }
    }
}

/// What the statements of one telling share.
pub(crate) struct Telling<'a> {
    pub(crate) customer: &'a CustomerRef,
    pub(crate) arrival: &'a Arrival,
    pub(crate) resolved: Resolved,
    pub(crate) interaction: Option<InteractionId>,
    pub(crate) source: &'a str,
    pub(crate) occurred_at: Timestamp,
    pub(crate) now: Timestamp,
}

impl StatementDraft {
    /// Notes everything that is wrong with it, under `prefix` (empty, or ending in a dot).
    pub fn check(&self, wrong: &mut Violations, prefix: &str, told_at: Option<Timestamp>, now: Timestamp) {
        let at = |field: &str| format!("{prefix}{field}");
        check_key(wrong, &at("topic"), &self.topic, TOPIC_MAX);
        check_length(wrong, &at("utterance"), &self.utterance, UTTERANCE_MAX);
        if !(self.confidence > 0.0 && self.confidence <= 1.0) {
            wrong.add(
                at("confidence"),
                format!("is {}; give a number above 0 and up to 1, or 0 for certain", self.confidence),
            );
        }
        check_event_time(wrong, &at("occurred_at"), self.occurred_at, now);
        let said_at = self.occurred_at.or(told_at).unwrap_or(now);
        if self.valid_until.is_some_and(|until| until <= said_at) {
            wrong.add(at("valid_until"), "is not after the time at which it was said");
        }
        match &self.scope {
            Some(scope) if self.kind == StatementKind::Boundary => scope.check(wrong, &at("boundary_scope")),
            Some(_) => wrong.add(at("boundary_scope"), "belongs to statements of the kind boundary"),
            None => {}
        }
    }

    pub(crate) fn digest(&self, all: &mut Fingerprint) {
        all.bytes(self.id.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
        all.text(&self.topic).json(&self.value).number(self.kind.code().into());
        all.number(self.confidence.to_bits().cast_signed()).time(self.valid_until).text(&self.utterance);
        all.time(self.occurred_at);
        if let Some(scope) = &self.scope {
            for list in [&scope.topics, &scope.channels, &scope.purposes, &scope.treatment_tags] {
                all.number(list.len() as i64);
                for key in list {
                    all.text(key);
                }
            }
            all.number(scope.everything.into());
        }
    }

    fn fingerprint(&self, told: &Telling<'_>) -> [u8; 32] {
        let mut all = Fingerprint::of("statement");
        all.customer(told.customer).bytes(told.interaction.as_ref().map_or(&[], |id| id.as_bytes().as_slice()));
        all.text(told.source);
        self.digest(&mut all);
        all.done()
    }

    /// The row, and that of the boundary that it sets.
    pub(crate) fn prepare(&self, told: &Telling<'_>, ids: &Ids) -> (Statement, Option<Boundary>) {
        let id = self.id.unwrap_or_else(|| ids.next());
        // A clock that is ahead must not make what is said later look older.
        let occurred_at = self.occurred_at.unwrap_or(told.occurred_at).min(told.now);
        let boundary = (self.kind == StatementKind::Boundary).then(|| Boundary {
            id: ids.next(),
            customer: told.resolved.customer,
            arrival: told.arrival.clone(),
            words: self.words(),
            scope: self.scope.clone().unwrap_or_else(|| Scope::topic(&self.topic)),
            statement: Some(id),
            source_interaction: told.interaction,
            source: told.source.to_owned(),
            occurred_at,
            recorded_at: told.now,
            valid_until: self.valid_until,
            lifted: None,
        });
        let statement = Statement {
            id,
            customer: told.resolved.customer,
            arrival: told.arrival.clone(),
            topic: self.topic.clone(),
            value: self.value.clone(),
            kind: self.kind,
            source_interaction: told.interaction,
            confidence: self.confidence,
            valid_until: self.valid_until,
            utterance: self.utterance.clone(),
            occurred_at,
            recorded_at: told.now,
            retraction: None,
            source: told.source.to_owned(),
            boundary: boundary.as_ref().map(|b| b.id),
            fingerprint: self.id.map(|_| self.fingerprint(told)),
        };
        (statement, boundary)
    }

    /// The customer's own words, as well as they are known.
    fn words(&self) -> String {
        match (&self.value, self.utterance.as_str()) {
            (Value::String(text), "") if !text.is_empty() => text.clone(),
            (_, "") => self.topic.clone(),
            (_, utterance) => utterance.to_owned(),
        }
    }
}

/// Notes an event time that lies too far in the future.
pub(crate) fn check_event_time(wrong: &mut Violations, field: &str, time: Option<Timestamp>, now: Timestamp) {
    if time.is_some_and(|time| time > now + FUTURE_MAX) {
        wrong.add(field, format!("lies more than {} minutes in the future", FUTURE_MAX.as_secs() / 60));
    }
}
