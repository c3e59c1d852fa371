//! Records that consents were granted, withdrawn or denied, or that another lawful basis applies.

use std::sync::Arc;

use terms::{Caller, CustomerRef, Fault, Ids, Timestamp, Violations, Written};

use crate::{
    arrival::{Arrival, Resolved},
    consent::{Consent, ConsentState, LawfulBasis},
    draft::{LABEL_MAX, check_event_time},
    interaction::InteractionId,
    key::{KEY_MAX, TOPIC_MAX, check_key, check_length, check_optional_key},
    ports::{How, Ports},
    record::owner,
    record_statement::check_source,
    store::{Change, Keys, Store, View},
    subject::origins,
};

/// The most consents in one request.
pub const CONSENTS_MAX: usize = 64;
/// The longest proof, in bytes.
pub const EVIDENCE_MAX: usize = 4 * 1024;

/// A consent to record.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsentDraft {
    /// The purpose.
    pub purpose: String,
    /// The channel; empty: every channel.
    pub channel: String,
    /// The topic; empty: every topic.
    pub topic: String,
    /// What was said; `None` when the request does not say.
    pub state: Option<ConsentState>,
    /// On what basis.
    pub basis: LawfulBasis,
    /// Where it was given.
    pub source: String,
    /// Proof.
    pub evidence: String,
    /// From when it holds; otherwise from when it was said.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
    /// Event time; otherwise now.
    pub occurred_at: Option<Timestamp>,
}

/// Consents to record, together or not at all.
#[derive(Debug, Clone)]
pub struct RecordConsent {
    /// Whose.
    pub customer: CustomerRef,
    /// The consents.
    pub consents: Vec<ConsentDraft>,
    /// The interaction in which they were given.
    pub source_interaction: Option<InteractionId>,
}

/// Records them.
///
/// # Errors
/// [`terms::Reason::InvalidFields`], [`terms::Reason::CustomerNotFound`], [`terms::Reason::InteractionNotFound`],
/// [`terms::Reason::RequestIdReused`], [`terms::Reason::CustomerErased`].
pub async fn record_consent<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    how: How,
    said: &RecordConsent,
) -> Result<Written<Vec<Consent>>, Fault> {
    let now = ports.clock.now();
    let mut wrong = Violations::new();
    said.check(&mut wrong, now);
    wrong.done()?;
    ports
        .write_for(caller, &how, &said.customer, |resolved| {
            let rows: Vec<Consent> =
                said.consents.iter().filter_map(|c| c.prepare(said, resolved, now, &ports.ids)).collect();
            let keys = Keys {
                customers: vec![resolved.customer],
                interactions: said.source_interaction.into_iter().collect(),
                origins: true,
                ..Keys::default()
            };
            let (rows, source) = (Arc::new(rows), said.source_interaction);
            (keys, Box::new(move |view| decide(&rows, source, resolved, view)))
        })
        .await
}

fn decide(
    rows: &[Consent],
    source: Option<InteractionId>,
    resolved: Resolved,
    view: &View,
) -> Result<(Change, Vec<Consent>), Fault> {
    let Some(first) = rows.first() else {
        return Ok((Change::default(), Vec::new()));
    };
    let owner = owner(view, resolved, &first.arrival)?;
    check_source(view, source, owner)?;
    let speaks_for = origins(&view.subjects, owner);
    let consents: Vec<Consent> = rows
        .iter()
        .map(|row| {
            let mut speaks_for = speaks_for.clone();
            if !speaks_for.contains(&row.arrival.addressed) {
                speaks_for.push(row.arrival.addressed);
            }
            Consent { customer: owner, speaks_for, ..row.clone() }
        })
        .collect();
    Ok((Change { consents: consents.clone(), ..Change::default() }, consents))
}

impl RecordConsent {
    /// Notes everything that is wrong with it.
    pub fn check(&self, wrong: &mut Violations, now: Timestamp) {
        if self.consents.is_empty() || self.consents.len() > CONSENTS_MAX {
            wrong.add("consents", format!("has {} entries; give 1 to {CONSENTS_MAX}", self.consents.len()));
        }
        for (i, consent) in self.consents.iter().enumerate().take(CONSENTS_MAX) {
            consent.check(wrong, &format!("consents[{i}]."), now);
        }
    }
}

impl ConsentDraft {
    fn check(&self, wrong: &mut Violations, prefix: &str, now: Timestamp) {
        let at = |field: &str| format!("{prefix}{field}");
        check_key(wrong, &at("purpose"), &self.purpose, KEY_MAX);
        check_optional_key(wrong, &at("channel"), &self.channel, KEY_MAX);
        check_optional_key(wrong, &at("topic"), &self.topic, TOPIC_MAX);
        if self.state.is_none() {
            wrong.add(at("state"), "is required: granted, withdrawn or denied");
        }
        if self.source.is_empty() {
            wrong.add(at("source"), "is required: where it was given, such as `signup-form-3`");
        }
        check_length(wrong, &at("source"), &self.source, LABEL_MAX);
        check_length(wrong, &at("evidence"), &self.evidence, EVIDENCE_MAX);
        check_event_time(wrong, &at("occurred_at"), self.occurred_at, now);
        let from = self.valid_from.or(self.occurred_at).unwrap_or(now);
        if self.valid_until.is_some_and(|until| until <= from) {
            wrong.add(at("valid_until"), "is not after the time from which it holds");
        }
    }

    fn prepare(&self, said: &RecordConsent, resolved: Resolved, now: Timestamp, ids: &Ids) -> Option<Consent> {
        // A clock that is ahead must not put a withdrawal off.
        let occurred_at = self.occurred_at.unwrap_or(now).min(now);
        Some(Consent {
            id: ids.next(),
            customer: resolved.customer,
            arrival: Arrival::of(&said.customer, resolved.customer),
            purpose: self.purpose.clone(),
            channel: self.channel.clone(),
            topic: self.topic.clone(),
            state: self.state?,
            basis: self.basis,
            source: self.source.clone(),
            evidence: self.evidence.clone(),
            source_interaction: said.source_interaction,
            valid_from: self.valid_from.unwrap_or(occurred_at),
            valid_until: self.valid_until,
            occurred_at,
            recorded_at: now,
            speaks_for: Vec::new(),
        })
    }
}
