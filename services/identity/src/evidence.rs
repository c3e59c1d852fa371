//! Evidence and the review queue as they go onto the wire.

use host::encode::timestamp;
use identity_domain::matching::{Candidate, CandidateState, Matcher};
use identity_matching::{
    explain::{Explanation, Step},
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
