//! A decision in the words of the contract.

use customization_domain::{
    catalog::Place,
    decide::{Because, Cause, Excluded, Pick, Ranked},
    profile::Degraded,
    score::Parts,
    treatment::TreatmentId,
};
use rapport_proto::customization::v1::{
    Because as WireBecause, ExcludedTreatment, RankedTreatment, ScoreParts, because::Factor,
};
use terms::{Id, IdKind};

use crate::values;

fn name(place: &Place, pick: Pick) -> String {
    pick.of(place).map_or_else(String::new, |candidate| candidate.name().to_owned())
}

/// What was chosen; with the parts of the scores if `explain`.
pub(crate) fn ranked(
    place: &Place,
    ranked: &[Ranked],
    explain: bool,
    content: impl Fn(TreatmentId) -> Option<prost_types::Value>,
) -> Vec<RankedTreatment> {
    let one = |(n, ranked): (usize, &Ranked)| {
        let treatment = &ranked.pick.of(place)?.treatment;
        let spec = &treatment.spec;
        let Parts { propensity, value, need_fit, lever, cost } = ranked.parts;
        let channel = if spec.channel.is_empty() { &place.touchpoint.spec.channel } else { &spec.channel };
        Some(RankedTreatment {
            treatment: spec.name.clone(),
            treatment_id: treatment.id.to_string(),
            rank: i32::try_from(n + 1).unwrap_or(i32::MAX),
            score: ranked.score,
            parts: explain.then_some(ScoreParts { propensity, value, need_fit, lever, cost }),
            content: content(treatment.id),
            propensity: ranked.propensity,
            version: i64::try_from(treatment.version).unwrap_or(i64::MAX),
            purpose: spec.purpose().to_owned(),
            channel: channel.clone(),
        })
    };
    ranked.iter().enumerate().filter_map(one).collect()
}

/// What was ruled out.
pub(crate) fn excluded(place: &Place, excluded: &[Excluded]) -> Vec<ExcludedTreatment> {
    fn texts<K: IdKind>(ids: &[Id<K>]) -> Vec<String> {
        ids.iter().map(ToString::to_string).collect()
    }
    let one = |excluded: &Excluded| {
        let candidate = place.candidates.get(excluded.candidate)?;
        Some(ExcludedTreatment {
            treatment: candidate.name().to_owned(),
            treatment_id: candidate.treatment.id.to_string(),
            guard: excluded.guard as i32,
            reason: excluded.guard.reason().to_owned(),
            statement_ids: texts(&excluded.evidence.statements),
            boundary_ids: texts(&excluded.evidence.boundaries),
            consent_ids: texts(&excluded.evidence.consents),
            promise_ids: texts(&excluded.evidence.promises),
        })
    };
    excluded.iter().filter_map(one).collect()
}

/// What changed the result.
pub(crate) fn because(place: &Place, because: &[Because]) -> Vec<WireBecause> {
    let one = |because: &Because| {
        let without = because.without.iter().map(|pick| name(place, *pick)).collect();
        let mut behind = String::new();
        let (factor, description, topic, value) = match &because.cause {
            Cause::Statement { id, topic, value } => (
                Factor::StatementId(id.to_string()),
                format!("The customer said something about `{topic}`."),
                topic.to_string(),
                Some(values::wire(value)),
            ),
            Cause::Boundary(id, said) => {
                behind = said.map_or_else(String::new, |id| id.to_string());
                let description = match said {
                    Some(_) => "The customer said what they do not want, and so set a boundary: it is not done.",
                    None => "The customer set a boundary: what they do not want is not done.",
                };
                (Factor::BoundaryId(id.to_string()), description.to_owned(), String::new(), None)
            }
            Cause::Consent(id) => (
                Factor::ConsentId(id.to_string()),
                "The customer gave, denied or withdrew a consent.".to_owned(),
                String::new(),
                None,
            ),
            Cause::Promise(id) => (
                Factor::PromiseId(id.to_string()),
                "A promise to the customer was broken.".to_owned(),
                String::new(),
                None,
            ),
            Cause::Attribute { path, value } => (
                Factor::Attribute(path.to_string()),
                format!("`{path}` is as it is."),
                String::new(),
                Some(values::wire(value)),
            ),
        };
        WireBecause { factor: Some(factor), description, without, topic, value, boundary_statement_id: behind }
    };
    because.iter().map(one).collect()
}

/// The sections that could not be read.
pub(crate) fn degraded(degraded: Degraded) -> Vec<String> {
    [(degraded.identity, "identity"), (degraded.interaction, "interaction"), (degraded.segmentation, "segmentation")]
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| name.to_owned())
        .collect()
}
