//! Domain values as they go onto the wire.

use std::collections::BTreeMap;

use host::encode::{identifier, json, timestamp};
use identity_domain::{
    Customer, CustomerIdentifier, Evidence, Guard, HistoryEntry, HistoryKind, Identified, Kind, MatchReason, Refusal,
    Relation, RelationType, TraitValue, lookup_customer::Match,
};
use prost_types::Struct;
use rapport_proto::{identity::v1 as wire, r#type::v1::CustomerKind};
use terms::{Identifier, Revision};

/// A sort of party.
pub(crate) fn kind(kind: Kind) -> CustomerKind {
    match kind {
        Kind::Person => CustomerKind::Person,
        Kind::Household => CustomerKind::Household,
        Kind::Organization => CustomerKind::Organization,
    }
}

/// A sort of party; `None` where the request does not say.
pub(crate) fn kind_of(kind: CustomerKind) -> Option<Kind> {
    match kind {
        CustomerKind::Unspecified => None,
        CustomerKind::Person => Some(Kind::Person),
        CustomerKind::Household => Some(Kind::Household),
        CustomerKind::Organization => Some(Kind::Organization),
    }
}

/// Golden traits.
pub(crate) fn traits<'a>(traits: impl IntoIterator<Item = (&'a String, &'a serde_json::Value)>) -> Struct {
    let fields: BTreeMap<String, prost_types::Value> =
        traits.into_iter().map(|(name, value)| (name.clone(), json(value))).collect();
    Struct { fields }
}

/// A customer.
pub(crate) fn customer(customer: &Customer) -> wire::Customer {
    wire::Customer {
        customer_id: customer.id.to_string(),
        kind: kind(customer.kind).into(),
        traits: Some(traits(customer.traits.iter().map(|t| (&t.name, &t.value)))),
        trait_provenance: customer.traits.iter().map(provenance).collect(),
        identifiers: customer.identifiers.iter().map(customer_identifier).collect(),
        aliases: customer.aliases.iter().map(ToString::to_string).collect(),
        confidence: customer.confidence,
        record_count: i64::from(customer.record_count),
        contested: false,
        create_time: Some(timestamp(customer.created_at)),
        update_time: Some(timestamp(customer.updated_at)),
        etag: customer.etag(),
    }
}

fn provenance(value: &TraitValue) -> wire::TraitProvenance {
    wire::TraitProvenance {
        r#trait: value.name.clone(),
        value: Some(json(&value.value)),
        source: value.source.clone(),
        observed_at: Some(timestamp(value.observed_at)),
        record_id: value.record.to_string(),
        why_it_won: value.why_it_won.clone(),
    }
}

fn customer_identifier(known: &CustomerIdentifier) -> wire::CustomerIdentifier {
    wire::CustomerIdentifier {
        namespace: known.identifier.namespace.clone(),
        value: known.identifier.value.clone(),
        verified: known.verified,
        first_seen: Some(timestamp(known.first_seen)),
        last_seen: Some(timestamp(known.last_seen)),
        source: known.source.clone(),
        raw_value: known.raw_value.clone(),
        shared: known.shared,
        demoted: known.demoted,
    }
}

/// The answer to an `Identify`. `claims` are the identifiers of the command, in order.
pub(crate) fn identified(reply: &Identified, claims: &[Identifier], revision: &Revision) -> wire::IdentifyResponse {
    wire::IdentifyResponse {
        customer_id: reply.customer.map(|id| id.to_string()).unwrap_or_default(),
        created: reply.created,
        confidence: reply.confidence,
        matched_by: reply.matched_by.iter().map(|reason| match_reason(reason, claims)).collect(),
        merged: reply.merged.iter().map(ToString::to_string).collect(),
        refused: reply.refused.iter().map(|refused| refusal(refused, claims)).collect(),
        record_id: reply.record.map(|id| id.to_string()).unwrap_or_default(),
        candidate_ids: reply.candidates.iter().map(ToString::to_string).collect(),
        revision: revision.to_string(),
    }
}

fn match_reason(reason: &MatchReason, claims: &[Identifier]) -> wire::MatchReason {
    let (kind, shared) = match reason.evidence {
        Evidence::SourceKey => (wire::EvidenceKind::SourceKey, None),
        Evidence::Identifier(place) => (wire::EvidenceKind::Identifier, claims.get(place)),
        Evidence::Resemblance(_) => (wire::EvidenceKind::Probabilistic, None),
    };
    let weight = match reason.evidence {
        Evidence::Resemblance(thousandths) => f64::from(thousandths) / 1_000.0,
        _ => 0.0,
    };
    wire::MatchReason {
        kind: kind.into(),
        identifier: shared.map(identifier),
        record_id: reason.record.to_string(),
        weight,
        probability: reason.probability,
    }
}

/// Something that a guard refused. `claims` are the identifiers of the command, in order.
pub(crate) fn refusal(refusal: &Refusal, claims: &[Identifier]) -> wire::Refusal {
    wire::Refusal {
        guard: guard(refusal.guard).into(),
        identifier: refusal.claim.and_then(|place| claims.get(place)).map(identifier),
        customer_id: refusal.customer.map(|id| id.to_string()).unwrap_or_default(),
        detail: refusal.detail.clone(),
        in_review: refusal.in_review,
    }
}

/// A guard.
pub(crate) fn guard(guard: Guard) -> wire::IdentityGuard {
    match guard {
        Guard::BlockedValue => wire::IdentityGuard::BlockedValue,
        Guard::UniqueConflict => wire::IdentityGuard::UniqueConflict,
        Guard::LimitExceeded => wire::IdentityGuard::LimitExceeded,
        Guard::SharedIdentifier => wire::IdentityGuard::SharedIdentifier,
        Guard::LowerPriority => wire::IdentityGuard::LowerPriority,
        Guard::CannotLink => wire::IdentityGuard::CannotLink,
        Guard::VerifiedConflict => wire::IdentityGuard::VerifiedConflict,
        Guard::KindMismatch => wire::IdentityGuard::KindMismatch,
        Guard::StaleRecord => wire::IdentityGuard::StaleRecord,
        Guard::BirthDate => wire::IdentityGuard::BirthDate,
        Guard::Generation => wire::IdentityGuard::Generation,
    }
}

/// An entry of the history.
pub(crate) fn history_entry(entry: &HistoryEntry) -> wire::IdentityHistoryEntry {
    let detail = &entry.detail;
    let other = entry.other.map(|id| id.to_string()).unwrap_or_default();
    wire::IdentityHistoryEntry {
        entry_id: entry.id.to_string(),
        kind: history_kind(entry.kind).into(),
        customer_id: entry.customer.to_string(),
        other_customer_id: other.clone(),
        record_id: entry.record.map(|id| id.to_string()).unwrap_or_default(),
        identifier: detail.identifier.as_ref().map(identifier),
        refusal: detail.guard.map(|refused| wire::Refusal {
            guard: guard(refused).into(),
            identifier: detail.identifier.as_ref().map(identifier),
            customer_id: other,
            detail: detail.sentence.clone(),
            in_review: detail.in_review,
        }),
        actor: entry.actor.clone(),
        reason: entry.why().to_owned(),
        occurred_at: Some(timestamp(entry.occurred_at())),
        record_time: Some(timestamp(entry.at)),
    }
}

fn history_kind(kind: HistoryKind) -> wire::IdentityHistoryKind {
    match kind {
        HistoryKind::Create => wire::IdentityHistoryKind::Created,
        HistoryKind::Link => wire::IdentityHistoryKind::Linked,
        HistoryKind::Unlink => wire::IdentityHistoryKind::Unlinked,
        HistoryKind::Merge => wire::IdentityHistoryKind::Merged,
        HistoryKind::Split => wire::IdentityHistoryKind::Split,
        HistoryKind::Refuse => wire::IdentityHistoryKind::Refused,
        HistoryKind::Review => wire::IdentityHistoryKind::Reviewed,
        HistoryKind::Relate => wire::IdentityHistoryKind::Related,
    }
}

/// An identifier that led a look-up to its customer.
pub(crate) fn lookup_match(matched: &Match) -> wire::MatchReason {
    wire::MatchReason {
        kind: wire::EvidenceKind::Identifier.into(),
        identifier: Some(identifier(&matched.identifier)),
        record_id: matched.record.to_string(),
        weight: 0.0,
        probability: 1.0,
    }
}

/// What joins two customers.
pub(crate) fn relation_type(kind: RelationType) -> wire::RelationType {
    match kind {
        RelationType::HouseholdMember => wire::RelationType::HouseholdMember,
        RelationType::Employee => wire::RelationType::Employee,
        RelationType::Owner => wire::RelationType::Owner,
        RelationType::Subsidiary => wire::RelationType::Subsidiary,
        RelationType::Guardian => wire::RelationType::Guardian,
        RelationType::Other => wire::RelationType::Other,
    }
}

/// What joins two customers; `None` where the request does not say.
pub(crate) fn relation_type_of(kind: wire::RelationType) -> Option<RelationType> {
    RelationType::ALL.into_iter().find(|known| relation_type(*known) == kind)
}

/// A relation.
pub(crate) fn relation(relation: &Relation) -> wire::Relation {
    wire::Relation {
        relation_id: relation.id.to_string(),
        from_customer_id: relation.from.to_string(),
        to_customer_id: relation.to.to_string(),
        r#type: relation_type(relation.kind).into(),
        role: relation.role.clone(),
        valid_from: relation.valid_from.map(timestamp),
        valid_until: relation.valid_until.map(timestamp),
        create_time: Some(timestamp(relation.created_at)),
        update_time: Some(timestamp(relation.updated_at)),
        etag: relation.etag(),
    }
}
