//! The interaction section of the hot profile.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use interaction_domain::{
    Ports, Store as _,
    consent::{ConsentState, LawfulBasis, standing},
    get_dialogue::{Dialogue, GetDialogue, get_dialogue},
    store::{Demand, Portrait},
};
use profile::{Section, Sections, Versioned};
use prost::Message;
use rapport_proto::profile::v1::{
    InteractionSection, ProfileBoundary, ProfileConsent, ProfileCounter, ProfileStatement,
};
use terms::{Caller, CustomerId, CustomerRef, Fault, Revision, Service, Tenant, Timestamp, partition};

use crate::{encode, store::SqlInteractions};

/// What interaction answers to `rapport.profile.v1.ProfileService`. Reads the store: every acknowledged write shows.
#[derive(Debug)]
pub struct InteractionReader {
    ports: Arc<Ports<SqlInteractions>>,
    patience: Duration,
}

/// The customer's own words are cut to this in the section, in bytes.
const WORDS_MAX: usize = 256;

impl InteractionReader {
    /// Over the service's ports; a demand waits no longer than `patience`.
    pub fn new(ports: Arc<Ports<SqlInteractions>>, patience: Duration) -> Self {
        Self { ports, patience }
    }

    /// What one customer and the enterprise said to each other at or after `since`, in figures; and the state that
    /// was read.
    ///
    /// # Errors
    /// [`terms::Reason::CustomerNotFound`], [`terms::Reason::RevisionNotReached`]; what the store says.
    pub async fn dialogue(
        &self,
        caller: &Caller,
        customer: CustomerId,
        since: Timestamp,
        at_least: Revision,
    ) -> Result<(Dialogue, Revision), Fault> {
        let at_least = Demand { revision: at_least, patience: self.patience };
        get_dialogue(&self.ports, caller, &GetDialogue { customer: CustomerRef::Id(customer), since, at_least }).await
    }
}

#[async_trait]
impl Sections for InteractionReader {
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        at_least: &Revision,
    ) -> Result<Versioned, Fault> {
        if section != Section::Interaction {
            return Err(Fault::internal(format!("interaction does not own the section {section}")));
        }
        let store = &self.ports.store;
        store.reach(&Demand { revision: at_least.clone(), patience: self.patience }).await?;
        // Before the rows are read: what is committed in between may show, and is not promised.
        let partition = partition(tenant, customer);
        let partitions = [partition];
        let (stamp, newest) = tokio::try_join!(store.inner().horizon(), store.inner().newest(&partitions))?;
        let now = store.inner().clock().now();
        let portrait = store.portrait(tenant, customer).await?;
        let bytes = Bytes::from(encode_section(&portrait, customer, now).encode_to_vec());
        let revision = Revision::at(Service::Interaction, partition, stamp);
        Ok(Versioned { revision, version: newest.position(Service::Interaction, partition), bytes })
    }
}

fn micros(time: Option<Timestamp>) -> i64 {
    time.map_or(0, Timestamp::micros)
}

fn encode_section(portrait: &Portrait, asked: CustomerId, now: Timestamp) -> InteractionSection {
    let mut section = InteractionSection { customer_id: asked.to_string(), ..InteractionSection::default() };
    if portrait.erased {
        section.erased = true;
        return section;
    }
    let current = portrait.statements.iter().filter(|s| !s.expired(now));
    section.statements = current
        .map(|s| ProfileStatement {
            statement_id: s.id.to_string(),
            topic: s.topic.clone(),
            value: Some(host::encode::json(&s.value)),
            kind: s.kind.code().into(),
            confidence: s.confidence,
            valid_until_micros: micros(s.valid_until),
            occurred_at_micros: s.occurred_at.micros(),
            source_interaction: encode::optional_id(s.source_interaction),
        })
        .collect();
    section.statements.sort_by(|a, b| a.topic.cmp(&b.topic));
    section.boundaries = portrait
        .limits
        .boundaries
        .iter()
        .filter(|b| b.holds(now))
        .map(|b| ProfileBoundary {
            boundary_id: b.id.to_string(),
            scope: Some(encode::scope(&b.scope)),
            valid_until_micros: micros(b.valid_until),
            statement: b.words.get(..b.words.floor_char_boundary(WORDS_MAX)).unwrap_or_default().to_owned(),
            statement_id: encode::optional_id(b.statement),
            occurred_at_micros: b.occurred_at.micros(),
        })
        .collect();
    section.consents = standing(&portrait.limits.consents, now)
        .into_iter()
        .map(|c| ProfileConsent {
            consent_id: c.id.to_string(),
            purpose: c.purpose.clone(),
            channel: c.channel.clone(),
            topic: c.topic.clone(),
            // The numbers of the two enums agree.
            state: match c.state {
                ConsentState::Granted => 1,
                ConsentState::Withdrawn => 2,
                ConsentState::Denied => 3,
            },
            legitimate_interest: c.basis == LawfulBasis::LegitimateInterest,
            valid_from_micros: c.valid_from.micros(),
            valid_until_micros: micros(c.valid_until),
            other_basis: !matches!(c.basis, LawfulBasis::Consent | LawfulBasis::LegitimateInterest),
            occurred_at_micros: c.occurred_at.micros(),
        })
        .collect();
    let counters = &portrait.counters;
    section.counters = counters
        .types
        .iter()
        .map(|(kind, counter)| ProfileCounter {
            r#type: kind.clone(),
            count: counter.count(),
            organic_count: counter.organic,
            last_at_micros: counter.last_at.micros(),
        })
        .collect();
    section.interaction_count = counters.inbound + counters.outbound;
    section.organic_count = counters.organic();
    section.inbound_count = counters.inbound;
    section.outbound_count = counters.outbound;
    section.last_interaction_at_micros = micros(counters.last_at);
    section.last_inbound_at_micros = micros(counters.last_inbound_at);
    section.first_interaction_at_micros = micros(counters.first_at);
    section
}
