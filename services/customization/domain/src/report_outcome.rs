//! Reports how a decision went. Once per decision, treatment and outcome.

use serde::{Deserialize, Serialize};
use terms::{Fault, Id, Reason, Timestamp};

use crate::treatment::TreatmentId;

/// The id of a decision, `dec_…`.
pub type DecisionId = Id<terms::id::Decision>;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// ISO 4217 code.
    pub currency: String,
    /// Millionths of a unit.
    pub micros: i64,
}

/// Why the customer engaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Motivation {
    /// Of their own accord.
    Organic,
    /// In return for something.
    Incentivised,
}

/// How a decision went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The decision.
    pub decision: DecisionId,
    /// The treatment of it; `None` if nothing was chosen.
    pub treatment: Option<TreatmentId>,
    /// What happened.
    pub outcome: String,
    /// What it was worth.
    pub value: Option<Amount>,
    /// Reward for learning, 0 to 1.
    pub reward: f64,
    /// When (event time).
    pub occurred_at: Timestamp,
    /// When it was stored (record time).
    pub recorded_at: Timestamp,
    /// Organic or incentivised.
    pub motivation: Motivation,
    /// Whatever else is known: a JSON object.
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// What is reported.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportOutcome {
    /// The decision.
    pub decision: DecisionId,
    /// What happened.
    pub outcome: String,
    /// Which treatment, by name or id; empty: the first.
    pub treatment: String,
    /// What it was worth.
    pub value: Option<Amount>,
    /// Reward; `None`: by what happened.
    pub reward: Option<f64>,
    /// When; `None`: now.
    pub occurred_at: Option<Timestamp>,
    /// `None`: by whether the treatment has an inducement.
    pub motivation: Option<Motivation>,
    /// Whatever else is known.
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// A treatment that the decision chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Its id.
    pub id: TreatmentId,
    /// Its name.
    pub name: String,
    /// Whether it offered something in return.
    pub has_inducement: bool,
}

/// Outcomes that count as a success where the report gives no reward.
pub const SUCCESSES: [&str; 5] = ["accepted", "converted", "job-done", "purchased", "success"];

/// Decides what to store. `known` finds what was reported before for a treatment of the decision and this outcome.
/// Gives the outcome, and whether it is a duplicate.
///
/// # Errors
/// [`Reason::OutcomeConflict`] if it was reported before with another value; [`Reason::InvalidFields`] for a treatment
/// that the decision did not choose.
pub fn report_outcome(
    command: &ReportOutcome,
    chosen: &[Chosen],
    known: impl FnOnce(Option<TreatmentId>) -> Option<Outcome>,
    now: Timestamp,
) -> Result<(Outcome, bool), Fault> {
    let treatment = which(command, chosen)?;
    let incentivised = treatment.is_some_and(|treatment| treatment.has_inducement);
    let default = if incentivised { Motivation::Incentivised } else { Motivation::Organic };
    let success = SUCCESSES.contains(&command.outcome.as_str());
    let outcome = Outcome {
        decision: command.decision,
        treatment: treatment.map(|treatment| treatment.id),
        outcome: command.outcome.clone(),
        value: command.value.clone(),
        reward: command.reward.unwrap_or(f64::from(u8::from(success))),
        occurred_at: command.occurred_at.unwrap_or(now),
        recorded_at: now,
        motivation: command.motivation.unwrap_or(default),
        properties: command.properties.clone(),
    };
    let Some(known) = known(outcome.treatment) else { return Ok((outcome, false)) };
    let same_time = command.occurred_at.is_none_or(|at| at == known.occurred_at);
    let same = Outcome { occurred_at: known.occurred_at, recorded_at: known.recorded_at, ..outcome } == known;
    if same && same_time {
        return Ok((known, true));
    }
    let message = "this outcome of the decision was reported before with another value; it cannot be changed";
    Err(Fault::new(Reason::OutcomeConflict, message)
        .with("decision_id", command.decision.to_string())
        .with("outcome", command.outcome.clone()))
}

fn which<'c>(command: &ReportOutcome, chosen: &'c [Chosen]) -> Result<Option<&'c Chosen>, Fault> {
    if command.treatment.is_empty() {
        return Ok(chosen.first());
    }
    let named = |c: &&Chosen| c.name == command.treatment || command.treatment.parse() == Ok(c.id);
    chosen.iter().find(named).map(Some).ok_or_else(|| {
        Fault::invalid("treatment", Reason::InvalidFields, "names a treatment that the decision did not choose")
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn command() -> ReportOutcome {
        ReportOutcome {
            decision: DecisionId::from_uuid(Uuid::from_u128(1)),
            outcome: "accepted".into(),
            treatment: String::new(),
            value: None,
            reward: None,
            occurred_at: None,
            motivation: None,
            properties: serde_json::Map::new(),
        }
    }

    fn chosen() -> Vec<Chosen> {
        let id = |n| TreatmentId::from_uuid(Uuid::from_u128(n));
        vec![
            Chosen { id: id(1), name: "a".into(), has_inducement: false },
            Chosen { id: id(2), name: "b".into(), has_inducement: true },
        ]
    }

    #[test]
    fn defaults() {
        let (first, _) = report_outcome(&command(), &chosen(), |_| None, Timestamp(5)).unwrap();
        assert_eq!((first.reward, first.motivation, first.occurred_at), (1.0, Motivation::Organic, Timestamp(5)));
        let second = ReportOutcome { treatment: "b".into(), outcome: "shown".into(), ..command() };
        let (second, _) = report_outcome(&second, &chosen(), |_| None, Timestamp(5)).unwrap();
        assert_eq!((second.reward, second.motivation), (0.0, Motivation::Incentivised));
    }

    #[test]
    fn the_same_report_again_is_a_duplicate_and_another_a_conflict() {
        let (first, _) = report_outcome(&command(), &chosen(), |_| None, Timestamp(5)).unwrap();
        let again = report_outcome(&command(), &chosen(), |_| Some(first.clone()), Timestamp(9)).unwrap();
        assert_eq!(again, (first.clone(), true));
        let other = ReportOutcome { reward: Some(0.5), ..command() };
        let fault = report_outcome(&other, &chosen(), |_| Some(first), Timestamp(9)).unwrap_err();
        assert_eq!(fault.reason(), Reason::OutcomeConflict);
        let unknown = ReportOutcome { treatment: "z".into(), ..command() };
        assert_eq!(
            report_outcome(&unknown, &chosen(), |_| None, Timestamp(9)).unwrap_err().reason(),
            Reason::InvalidFields
        );
    }
}
