//! The score of a treatment: propensity × value × need fit × lever − cost, as next-best-action systems arbitrate.

use crate::{
    catalog::Candidate,
    key::covers,
    profile::Statement,
    profile::StatementKind,
    treatment::PROPENSITY_PRIOR,
    view::{Factor, View},
};

/// The parts of a score.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Parts {
    /// Estimated probability of success, above 0 and up to 1.
    pub propensity: f64,
    /// Value of a success.
    pub value: f64,
    /// Fit with the customer's needs; 1 is neutral.
    pub need_fit: f64,
    /// Weight by the business.
    pub lever: f64,
    /// Cost; subtracted.
    pub cost: f64,
}

impl Parts {
    /// The score.
    pub fn score(&self) -> f64 {
        self.propensity * self.value * self.need_fit * self.lever - self.cost
    }
}

/// No estimate of success is lower than this, so that nothing is ruled out for ever by what was learnt early.
pub const PROPENSITY_FLOOR: f64 = 0.000_1;

/// The largest opportunity of a need.
const OPPORTUNITY_MAX: f64 = 20.0;

pub(crate) fn parts(candidate: &Candidate, view: &View<'_>) -> Parts {
    let spec = &candidate.treatment.spec;
    let or = |number: f64, unset: f64| if number == 0.0 { unset } else { number };
    Parts {
        propensity: or(spec.propensity_prior, PROPENSITY_PRIOR).clamp(PROPENSITY_FLOOR, 1.0),
        value: or(spec.value, 1.0),
        need_fit: need_fit(&spec.needs_served, view),
        lever: or(spec.lever, 1.0),
        cost: spec.cost,
    }
}

/// 1, and for each need that the treatment serves and the customer has, as much more as it matters: up to 1.
///
/// What the customer said counts by how sure it is; what segmentation worked out counts by its opportunity. Of both,
/// the larger.
fn need_fit(served: &[String], view: &View<'_>) -> f64 {
    1.0 + served.iter().map(|need| strength(need, view)).sum::<f64>()
}

fn strength(served: &str, view: &View<'_>) -> f64 {
    let mut strength: f64 = 0.0;
    for (place, statement) in view.statements().filter(|(_, s)| tells(s, served)) {
        view.read(Factor::Statement(place));
        strength = strength.max(statement.confidence.clamp(0.0, 1.0));
    }
    // What was worked out from a statement goes with it.
    if view.hidden_statement().is_some_and(|hidden| tells(hidden, served)) {
        return strength;
    }
    for (place, need) in view.needs().filter(|(_, need)| is_need(served, &need.job, &need.outcome)) {
        view.read(Factor::Need(place));
        strength = strength.max((need.opportunity / OPPORTUNITY_MAX).clamp(0.0, 1.0));
    }
    strength
}

/// Whether a treatment that serves `served` serves this job and outcome: a job covers its outcomes.
fn is_need(served: &str, job: &str, outcome: &str) -> bool {
    match served.split_once('/') {
        None => covers(served, job),
        Some((own_job, own_outcome)) => own_job == job && (outcome.is_empty() || own_outcome == outcome),
    }
}

/// Whether a statement tells of a need that `served` names: by its topic, or by its value.
fn tells(statement: &Statement, served: &str) -> bool {
    if statement.kind != StatementKind::Need {
        return false;
    }
    let (job, outcome) = served.split_once('/').unwrap_or((served, ""));
    let named = |text: &str| {
        if outcome.is_empty() {
            covers(job, text)
        } else {
            text == served || text.strip_prefix(job).and_then(|rest| rest.strip_prefix('.')) == Some(outcome)
        }
    };
    named(&statement.topic)
        || match &statement.value {
            rules::Value::String(text) => named(text),
            rules::Value::List(items) => {
                items.iter().any(|item| matches!(item, rules::Value::String(text) if named(text)))
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_cover_their_outcomes() {
        assert!(is_need("commute", "commute", "arrive-dry"));
        assert!(is_need("commute/arrive-dry", "commute", "arrive-dry"));
        assert!(is_need("commute/arrive-dry", "commute", ""));
        assert!(!is_need("commute/arrive-dry", "commute", "arrive-early"));
        assert!(!is_need("commute", "commuter", ""));
    }

    #[test]
    fn the_score_is_the_product_less_cost() {
        let parts = Parts { propensity: 0.5, value: 10.0, need_fit: 2.0, lever: 1.5, cost: 5.0 };
        assert!((parts.score() - 10.0).abs() < 1e-12);
    }
}
