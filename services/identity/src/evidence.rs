//! Evidence and the review queue as they go onto the wire.

use host::encode::{identifier, timestamp};
use identity_domain::{
    Claim,
    explain_identity::{Edge, Ground, Owned},
    match_records::ScoredPair,
    matching::{Candidate, CandidateState, Matcher, Trained},
};
use identity_matching::{
    block::Rule,
    explain::{Explanation, Step},
    level::Comparison,
    weight::Weight,
};
use rapport_proto::identity::v1 as wire;
use terms::{Id, IdKind};

use crate::encode;

/// Probabilistic evidence between two records, with its waterfall.
pub(crate) fn resemblance<K: IdKind>(
    left: Id<K>,
    right: Id<K>,
    explanation: &Explanation,
    matcher: &Matcher,
) -> wire::EvidenceEdge {
    let prior = explanation.steps.iter().find_map(|step| match step {
        Step::Prior { weight } => Some(*weight),
        _ => None,
    });
    wire::EvidenceEdge {
        edge_id: format!("{left}:{right}"),
        left_record_id: left.to_string(),
        right_record_id: right.to_string(),
        kind: wire::EvidenceKind::Probabilistic.into(),
        weight: explanation.score.as_bits(),
        prior_weight: prior.unwrap_or(Weight::ZERO).as_bits(),
        probability: explanation.score.probability(),
        comparisons: explanation.steps.iter().filter_map(|step| comparison(step, matcher)).collect(),
        actor: "identity".to_owned(),
        matcher_version: explanation.model.clone(),
        ..wire::EvidenceEdge::default()
    }
}

/// A step of the waterfall; the prior stands beside them.
fn comparison(step: &Step, matcher: &Matcher) -> Option<wire::ComparisonWeight> {
    match step {
        Step::Prior { .. } => None,
        Step::Level { comparison, level, weight, adjustment } => {
            let probabilities = matcher.model().probabilities(*comparison);
            let at = |values: &[f64]| values.get(usize::from(*level)).copied().unwrap_or_default();
            Some(wire::ComparisonWeight {
                comparison: comparison.label().to_owned(),
                level: comparison.levels().get(usize::from(*level)).copied().unwrap_or_default().to_owned(),
                weight: weight.as_bits(),
                term_frequency_weight: adjustment.as_bits(),
                m: at(&probabilities.m),
                u: at(&probabilities.u),
            })
        }
        Step::Relatives { weight } => Some(wire::ComparisonWeight {
            comparison: "household".to_owned(),
            level: "people of one household would agree on this as well".to_owned(),
            weight: weight.as_bits(),
            ..wire::ComparisonWeight::default()
        }),
    }
}

/// A pair of a data set, with its waterfall: the prior is its first step.
pub(crate) fn scored(pair: &ScoredPair, explanation: &Explanation, matcher: &Matcher) -> wire::ScoredPair {
    let prior = explanation.steps.iter().find_map(|step| match step {
        Step::Prior { weight } => Some(wire::ComparisonWeight {
            comparison: "prior".to_owned(),
            level: "before anything is compared".to_owned(),
            weight: weight.as_bits(),
            ..wire::ComparisonWeight::default()
        }),
        _ => None,
    });
    let compared = explanation.steps.iter().filter_map(|step| comparison(step, matcher));
    wire::ScoredPair {
        left_key: pair.left.clone(),
        right_key: pair.right.clone(),
        weight: pair.score.as_bits(),
        probability: pair.score.probability(),
        comparisons: prior.into_iter().chain(compared).collect(),
    }
}

/// A pair of the review queue.
pub(crate) fn candidate(candidate: &Candidate, edges: Vec<wire::EvidenceEdge>) -> wire::MatchCandidate {
    let proposal = &candidate.proposal;
    wire::MatchCandidate {
        candidate_id: candidate.id.to_string(),
        left_customer_id: proposal.left.to_string(),
        right_customer_id: proposal.right.to_string(),
        weight: proposal.score.as_bits(),
        probability: proposal.score.probability(),
        edges,
        guards: proposal.guards.iter().map(|guard| encode::refusal(guard, &[])).collect(),
        state: state(candidate.state).into(),
        decided_by: candidate.decided_by.clone().unwrap_or_default(),
        reason: candidate.reason.clone().unwrap_or_default(),
        create_time: Some(timestamp(candidate.created_at)),
        update_time: Some(timestamp(candidate.updated_at)),
        etag: candidate.etag(),
    }
}

/// Where a pair stands.
fn state(state: CandidateState) -> wire::MatchCandidateState {
    match state {
        CandidateState::Open => wire::MatchCandidateState::Open,
        CandidateState::Accepted => wire::MatchCandidateState::Accepted,
        CandidateState::Rejected => wire::MatchCandidateState::Rejected,
        CandidateState::Obsolete => wire::MatchCandidateState::Obsolete,
    }
}

/// Where a pair is to stand; open where the request does not say.
pub(crate) fn state_of(state: wire::MatchCandidateState) -> CandidateState {
    match state {
        wire::MatchCandidateState::Unspecified | wire::MatchCandidateState::Open => CandidateState::Open,
        wire::MatchCandidateState::Accepted => CandidateState::Accepted,
        wire::MatchCandidateState::Rejected => CandidateState::Rejected,
        wire::MatchCandidateState::Obsolete => CandidateState::Obsolete,
    }
}

/// Evidence of an explanation.
pub(crate) fn edge(edge: &Edge, matcher: &Matcher) -> wire::EvidenceEdge {
    match &edge.ground {
        Ground::Resemblance(explanation) => resemblance(edge.left, edge.right, explanation, matcher),
        Ground::Word { id, same, reason } => wire::EvidenceEdge {
            edge_id: id.clone(),
            left_record_id: edge.left.to_string(),
            right_record_id: edge.right.to_string(),
            kind: if *same { wire::EvidenceKind::Manual } else { wire::EvidenceKind::CannotLink }.into(),
            probability: edge.probability,
            actor: edge.actor.clone().unwrap_or_default(),
            reason: reason.clone(),
            create_time: edge.at.map(timestamp),
            ..wire::EvidenceEdge::default()
        },
        Ground::Shared(shared) => wire::EvidenceEdge {
            edge_id: format!("{}:{}:{}", edge.left, edge.right, shared.namespace),
            left_record_id: edge.left.to_string(),
            right_record_id: edge.right.to_string(),
            kind: wire::EvidenceKind::Identifier.into(),
            probability: edge.probability,
            identifier: Some(identifier(shared)),
            actor: edge.actor.clone().unwrap_or_default(),
            create_time: edge.at.map(timestamp),
            ..wire::EvidenceEdge::default()
        },
    }
}

/// A record as a source gave it.
pub(crate) fn source_record(owned: &Owned) -> wire::SourceRecord {
    let record = &owned.record;
    let said = record.facts.traits.iter().filter_map(|(name, said)| Some((name, said.value.as_ref()?)));
    let claim = |claim: &Claim| wire::IdentifierClaim {
        identifier: Some(identifier(&claim.identifier)),
        verified: claim.verified.map(|verified| verified.value),
    };
    wire::SourceRecord {
        record_id: record.id.to_string(),
        source: record.source.clone(),
        source_record_id: record.source_record_id.clone().unwrap_or_default(),
        identifiers: owned.claims.iter().map(claim).collect(),
        traits: Some(encode::traits(said)),
        observed_at: Some(timestamp(record.observed_at)),
        record_time: Some(timestamp(record.created_at)),
        customer_id: owned.customer.to_string(),
    }
}

/// A model with its tables.
pub(crate) fn matcher(trained: &Trained) -> wire::Matcher {
    let matcher = &trained.matcher;
    let model = matcher.model();
    wire::Matcher {
        matcher_id: if matcher.number() == 0 { "default".to_owned() } else { model.version.clone() },
        active: trained.active,
        prior_probability: model.prior.probability(),
        comparisons: Comparison::ALL.into_iter().map(|compared| comparison_of(matcher, compared)).collect(),
        blocking_rules: Rule::ALL.into_iter().map(|rule| format!("{rule:?}")).collect(),
        trained_on_records: i64::try_from(trained.records).unwrap_or(i64::MAX),
        create_time: trained.created_at.map(timestamp),
    }
}

fn comparison_of(matcher: &Matcher, compared: Comparison) -> wire::Comparison {
    let probabilities = matcher.model().probabilities(compared);
    let at = |values: &[f64], level: usize| values.get(level).copied().unwrap_or_default();
    // Level 0 says that nothing could be compared.
    let levels = compared.levels().iter().enumerate().skip(1).map(|(level, label)| wire::ComparisonLevel {
        label: (*label).to_owned(),
        m: at(&probabilities.m, level),
        u: at(&probabilities.u, level),
        weight: u8::try_from(level).map(|level| probabilities.weight(level).as_bits()).unwrap_or_default(),
    });
    let counted = !matches!(
        compared,
        Comparison::NameOrder | Comparison::MiddleName | Comparison::Generation | Comparison::Gender
    );
    wire::Comparison {
        name: compared.label().to_owned(),
        traits: traits_of(compared),
        levels: levels.collect(),
        term_frequency: counted,
    }
}

/// Traits that a comparison looks at; names that are written otherwise are listed in the manual of `Identify`.
fn traits_of(compared: Comparison) -> Vec<String> {
    let names: &[&str] = match compared {
        Comparison::GivenName => &["name", "first_name"],
        Comparison::Surname => &["name", "last_name"],
        Comparison::NameOrder => &["first_name", "last_name"],
        Comparison::MiddleName => &["middle_name"],
        Comparison::Generation => &["suffix"],
        Comparison::BirthDate => &["birth_date"],
        Comparison::Address => &["address", "street", "house_number", "city", "postcode", "region"],
        Comparison::Email => &["email"],
        Comparison::Phone => &["phone"],
        Comparison::Identifier => &["ssn", "passport_number", "drivers_license", "tax_id", "national_id"],
        Comparison::Gender => &["gender"],
        Comparison::Organisation => &["organization", "company"],
        Comparison::Extra => &["employer", "birth_place"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}
