//! What is known of a customer: the sections of the hot profile, decoded once and shared by every decision.

use std::{collections::BTreeMap, sync::Arc};

use customization_domain::{
    ports::Inputs,
    profile::{
        Basis, Boundary, Budget, Consent, ConsentState, Identity, Interaction, Need, Profile, Promise, Scope,
        Segmentation, Statement, StatementKind,
    },
};
use profile::{FromSections, Section, SectionSet};
use prost::Message;
use rapport_proto::{
    customization::v1::DecisionInputs,
    profile::v1::{
        IdentitySection, InteractionSection, ProfileBoundary, ProfileConsent, ProfileConsentState,
        ProfileContactBudget, ProfileNeed, ProfilePromise, ProfileStatement, ProfileValue, SegmentationSection,
    },
    r#type::v1 as wire,
};
use rules::Value;
use sha2::{Digest, Sha256};
use terms::{CustomerId, Fault, Position, Reason, Tenant, Timestamp, partition};

use crate::values;

/// A customer as decisions read them.
#[derive(Debug)]
pub(crate) struct Known {
    /// For deciding.
    pub(crate) profile: Profile,
    /// For the log.
    pub(crate) inputs: Option<Arc<Inputs>>,
    /// What the sections show, as the log keeps it.
    pub(crate) revision: Vec<u8>,
    /// What the identity section shows of identity's feed: another one after any change of identifiers.
    pub(crate) identity_at: Position,
}

impl Known {
    /// Someone of whom nothing is known.
    pub(crate) fn nobody() -> Self {
        Self { profile: Profile::default(), inputs: None, revision: Vec::new(), identity_at: Position::START }
    }
}

impl FromSections for Known {
    fn customer(identity: &[u8]) -> Result<CustomerId, Fault> {
        let section = IdentitySection::decode(identity).map_err(Fault::internal)?;
        let customer = if section.merged_into.is_empty() { &section.customer_id } else { &section.merged_into };
        let customer: CustomerId = customer.parse().map_err(Fault::internal)?;
        if section.erased {
            return Err(Fault::new(Reason::CustomerErased, format!("customer {customer} was erased")));
        }
        Ok(customer)
    }

    fn from_sections(tenant: &Tenant, customer: CustomerId, sections: &SectionSet) -> Result<Self, Fault> {
        let inputs = DecisionInputs {
            identity_section: sections.bytes(Section::Identity),
            interaction_section: sections.bytes(Section::Interaction),
            segmentation_section: sections.bytes(Section::Segmentation),
            ..DecisionInputs::default()
        };
        let mut profile = decode(Some(customer), &inputs)?;
        profile.degraded.identity = sections.is_missing(Section::Identity);
        profile.degraded.interaction = sections.is_missing(Section::Interaction);
        profile.degraded.segmentation = sections.is_missing(Section::Segmentation);
        let content = inputs.encode_to_vec();
        let revision = sections.revision();
        let identity_at = revision.position(Section::Identity.service(), partition(tenant, customer));
        Ok(Self {
            profile,
            inputs: Some(Arc::new(Inputs::new(digest(&content), content))),
            revision: if revision.is_empty() { Vec::new() } else { revision.to_bytes() },
            identity_at: identity_at.unwrap_or_default(),
        })
    }
}

fn digest(content: &[u8]) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(content).into();
    full.first_chunk().copied().unwrap_or_default()
}

/// Makes a profile of logged or loaded sections. An empty section is one of which nothing is known.
pub(crate) fn decode(customer: Option<CustomerId>, inputs: &DecisionInputs) -> Result<Profile, Fault> {
    let identity = IdentitySection::decode(&*inputs.identity_section).map_err(Fault::internal)?;
    let interaction = InteractionSection::decode(&*inputs.interaction_section).map_err(Fault::internal)?;
    let segmentation = SegmentationSection::decode(&*inputs.segmentation_section).map_err(Fault::internal)?;
    Ok(Profile {
        customer,
        identity: decode_identity(identity),
        interaction: decode_interaction(interaction),
        segmentation: decode_segmentation(segmentation),
        ..Profile::default()
    })
}

fn decode_identity(section: IdentitySection) -> Identity {
    Identity {
        traits: values::map(section.traits.as_ref()),
        namespaces: section.namespaces,
        verified_namespaces: section.verified_namespaces,
        confidence: section.confidence,
        contested: section.contested,
        aliases: section.aliases.iter().filter_map(|id| id.parse().ok()).collect(),
    }
}

fn decode_interaction(section: InteractionSection) -> Interaction {
    let mut statements: Vec<Statement> = section.statements.into_iter().filter_map(statement).collect();
    // Of several on one topic the latest holds.
    statements.sort_by(|a, b| a.topic.cmp(&b.topic).then(b.occurred_at.cmp(&a.occurred_at)).then(b.id.cmp(&a.id)));
    statements.dedup_by(|later, first| later.topic == first.topic);
    let mut consents: Vec<(i64, Consent)> = section.consents.into_iter().filter_map(consent).collect();
    consents.sort_by_key(|(occurred_at, consent)| (*occurred_at, consent.id));
    Interaction {
        statements,
        boundaries: section.boundaries.into_iter().filter_map(boundary).collect(),
        consents: consents.into_iter().map(|(_, consent)| consent).collect(),
        promises: section.promises.into_iter().filter_map(promise).collect(),
        budgets: section.contact_budgets.into_iter().map(budget).collect(),
        count: section.interaction_count,
        organic_count: section.organic_count,
        inbound_count: section.inbound_count,
        outbound_count: section.outbound_count,
        last_inbound_at: instant(section.last_inbound_at_micros),
    }
}

/// 0 means none.
fn instant(micros: i64) -> Option<Timestamp> {
    (micros != 0).then_some(Timestamp(micros))
}

fn statement(wire: ProfileStatement) -> Option<Statement> {
    Some(Statement {
        id: wire.statement_id.parse().ok()?,
        kind: statement_kind(wire.kind()),
        value: values::value(wire.value.as_ref()),
        topic: wire.topic.into(),
        confidence: wire.confidence,
        valid_until: instant(wire.valid_until_micros),
        occurred_at: Timestamp(wire.occurred_at_micros),
        source_interaction: wire.source_interaction,
    })
}

fn statement_kind(kind: wire::StatementKind) -> StatementKind {
    match kind {
        wire::StatementKind::Unspecified | wire::StatementKind::Fact => StatementKind::Fact,
        wire::StatementKind::Preference => StatementKind::Preference,
        wire::StatementKind::Need => StatementKind::Need,
        wire::StatementKind::Complaint => StatementKind::Complaint,
        wire::StatementKind::Praise => StatementKind::Praise,
        wire::StatementKind::Intent => StatementKind::Intent,
        wire::StatementKind::Boundary => StatementKind::Boundary,
    }
}

fn boundary(wire: ProfileBoundary) -> Option<Boundary> {
    let scope = wire.scope.unwrap_or_default();
    Some(Boundary {
        id: wire.boundary_id.parse().ok()?,
        scope: Scope {
            topics: scope.topics,
            channels: scope.channels,
            purposes: scope.purposes,
            treatment_tags: scope.treatment_tags,
            everything: scope.everything,
        },
        valid_until: instant(wire.valid_until_micros),
        words: wire.statement,
        statement: wire.statement_id.parse().ok(),
        occurred_at: Timestamp(wire.occurred_at_micros),
    })
}

fn consent(wire: ProfileConsent) -> Option<(i64, Consent)> {
    let state = match wire.state() {
        ProfileConsentState::Unspecified => return None,
        ProfileConsentState::Granted => ConsentState::Granted,
        ProfileConsentState::Withdrawn => ConsentState::Withdrawn,
        ProfileConsentState::Denied => ConsentState::Denied,
    };
    let basis = match (wire.legitimate_interest, wire.other_basis) {
        (true, _) => Basis::LegitimateInterest,
        (false, true) => Basis::Other,
        (false, false) => Basis::Consent,
    };
    let consent = Consent {
        id: wire.consent_id.parse().ok()?,
        purpose: wire.purpose,
        channel: wire.channel,
        topic: wire.topic,
        state,
        basis,
        valid_from: instant(wire.valid_from_micros),
        valid_until: instant(wire.valid_until_micros),
    };
    Some((wire.occurred_at_micros, consent))
}

fn promise(wire: ProfilePromise) -> Option<Promise> {
    Some(Promise {
        id: wire.promise_id.parse().ok()?,
        due_at: instant(wire.due_at_micros),
        broken: wire.broken,
        topic: wire.topic,
        text: wire.text,
    })
}

fn budget(wire: ProfileContactBudget) -> Budget {
    Budget {
        channel: wire.channel,
        purpose: wire.purpose,
        max_contacts: wire.max_contacts,
        window_micros: wire.window_micros,
        used_at: wire.used_at_micros.into_iter().map(Timestamp).collect(),
    }
}

fn decode_segmentation(section: SegmentationSection) -> Segmentation {
    let mut segments: Vec<String> = section.memberships.into_iter().map(|membership| membership.segment).collect();
    segments.sort_unstable();
    segments.dedup();
    let needs = section.needs.iter().map(|need| Need {
        job: need.job.clone(),
        outcome: need.outcome.clone(),
        opportunity: need.opportunity,
    });
    Segmentation {
        segments,
        traits: values::map(section.traits.as_ref()),
        value: section.value.as_ref().map_or(Value::Null, value_attributes),
        needs_attributes: needs_attributes(&section.needs, &section.needs_group),
        needs: needs.collect(),
    }
}

/// `value.…` as rules read it.
fn value_attributes(value: &ProfileValue) -> Value {
    let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let score = |score: i32| if score == 0 { Value::Null } else { f64::from(score).into() };
    [
        ("frequency", Value::Double(value.frequency as f64)),
        ("recency_days", value.recency_days.into()),
        ("age_days", value.age_days.into()),
        ("monetary", value.monetary.into()),
        ("total", value.total.into()),
        ("recency_score", score(value.recency_score)),
        ("frequency_score", score(value.frequency_score)),
        ("monetary_score", score(value.monetary_score)),
        ("tier", text(&value.tier)),
        ("currency", text(&value.currency)),
        ("probability_alive", value.probability_alive.into()),
        ("expected_purchases", value.expected_purchases.into()),
        ("lifetime_value", value.lifetime_value.into()),
        ("actual_value", value.actual_value.into()),
        ("strategic_value", value.strategic_value.into()),
    ]
    .into_iter()
    .collect()
}

/// `needs.<job>.opportunity`, `needs.<job>.<outcome>.opportunity`, `needs.group` as rules read them.
fn needs_attributes(needs: &[ProfileNeed], group: &str) -> Value {
    let mut jobs: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Value>> = BTreeMap::new();
    for need in needs {
        let figures =
            [("importance", need.importance), ("satisfaction", need.satisfaction), ("opportunity", need.opportunity)];
        let job = jobs.entry(need.job.as_str().into()).or_default();
        if need.outcome.is_empty() {
            job.extend(figures.map(|(name, figure)| (Arc::from(name), figure.into())));
        } else {
            job.insert(need.outcome.as_str().into(), figures.into_iter().collect());
        }
    }
    let mut all: BTreeMap<Arc<str>, Value> =
        jobs.into_iter().map(|(job, figures)| (job, Value::Map(Arc::new(figures)))).collect();
    if !group.is_empty() {
        all.insert("group".into(), group.into());
    }
    Value::Map(Arc::new(all))
}
