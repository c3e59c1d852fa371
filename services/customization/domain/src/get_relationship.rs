//! The three-part test of a relationship, for one customer: we know who they are, we have spoken with each other, and
//! we changed our behaviour because of what they said.

use std::collections::HashMap;

use terms::Timestamp;

use crate::{
    profile::{Boundary, BoundaryId, Profile, Promise, Statement, StatementId},
    report_outcome::DecisionId,
};

/// How sure one must be to say that one knows who the customer is.
pub const IDENTIFIED_CONFIDENCE: f64 = 0.5;
/// The most decisions that are named for one statement.
pub const DECISIONS_MAX: usize = 20;

/// What the decision log tells of one customer in a period.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Decisions for the customer.
    pub decision_count: i64,
    /// Of these, decisions that a statement or boundary changed.
    pub changed_decision_count: i64,
    /// By statement.
    pub statements: HashMap<StatementId, Changed>,
    /// By boundary: how many treatments it ruled out.
    pub boundaries: HashMap<BoundaryId, i64>,
}

/// The decisions that a statement changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changed {
    /// The latest of them, latest first.
    pub latest: Vec<DecisionId>,
    /// How many in all.
    pub count: i64,
    /// When the first was made.
    pub first_at: Option<Timestamp>,
}

/// One part of the test.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Part {
    /// Whether it holds.
    pub holds: bool,
    /// Why, in one sentence.
    pub evidence: String,
    /// Ids of what proves it.
    pub evidence_ids: Vec<String>,
    /// How sure, 0 to 1.
    pub confidence: f64,
}

/// The test with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship<'p> {
    /// Part one.
    pub identified: Part,
    /// Part two.
    pub in_dialogue: Part,
    /// Part three.
    pub customised: Part,
    /// Each current statement with what it changed.
    pub statements: Vec<(&'p Statement, Changed)>,
    /// Each boundary with how many treatments it ruled out.
    pub boundaries: Vec<(&'p Boundary, i64)>,
    /// Each promise, and whether it is broken.
    pub promises: Vec<(&'p Promise, bool)>,
}

impl Relationship<'_> {
    /// Whether all three parts hold.
    pub fn holds(&self) -> bool {
        self.identified.holds && self.in_dialogue.holds && self.customised.holds
    }

    /// Statements that changed nothing.
    pub fn unheard(&self) -> impl Iterator<Item = StatementId> {
        self.statements.iter().filter(|(_, changed)| changed.count == 0).map(|(statement, _)| statement.id)
    }
}

/// Works it out.
pub fn get_relationship<'p>(profile: &'p Profile, effects: &Effects, now: Timestamp) -> Relationship<'p> {
    let interaction = &profile.interaction;
    let held = interaction.statements.iter().filter(|statement| statement.holds(now));
    let changed = |id| effects.statements.get(id).cloned().unwrap_or_default();
    let standing = |b: &&Boundary| b.valid_until.is_none_or(|until| now < until);
    Relationship {
        identified: identified(profile),
        in_dialogue: in_dialogue(profile, effects),
        customised: customised(effects),
        statements: held.map(|statement| (statement, changed(&statement.id))).collect(),
        boundaries: interaction
            .boundaries
            .iter()
            .filter(standing)
            .map(|b| (b, effects.boundaries.get(&b.id).copied().unwrap_or_default()))
            .collect(),
        promises: interaction.promises.iter().map(|promise| (promise, promise.is_broken(now))).collect(),
    }
}

fn identified(profile: &Profile) -> Part {
    let identity = &profile.identity;
    let confidence = identity.confidence();
    let holds = !identity.namespaces.is_empty() && confidence >= IDENTIFIED_CONFIDENCE;
    let evidence = if identity.namespaces.is_empty() {
        "No identifier is known.".to_owned()
    } else {
        let contested = if identity.contested { "; a match waits for review" } else { "" };
        let verified = identity.verified_namespaces.len();
        let names = identity.namespaces.join(", ");
        format!("Known by {names} ({verified} verified), with a confidence of {confidence:.2}{contested}.")
    };
    Part { holds, evidence, evidence_ids: identity.namespaces.clone(), confidence }
}

fn in_dialogue(profile: &Profile, effects: &Effects) -> Part {
    let interaction = &profile.interaction;
    let spoke = interaction.inbound_count > 0;
    let answered = interaction.outbound_count > 0 || effects.decision_count > 0;
    let evidence = format!(
        "The customer spoke {} times; the enterprise spoke {} times and decided {} times.",
        interaction.inbound_count, interaction.outbound_count, effects.decision_count
    );
    let mut said: Vec<&Statement> =
        interaction.statements.iter().filter(|s| !s.source_interaction.is_empty()).collect();
    said.sort_by_key(|statement| std::cmp::Reverse(statement.occurred_at));
    let mut evidence_ids: Vec<String> = said.into_iter().map(|s| s.source_interaction.clone()).collect();
    evidence_ids.dedup();
    evidence_ids.truncate(DECISIONS_MAX);
    part(spoke && answered, evidence, evidence_ids)
}

fn customised(effects: &Effects) -> Part {
    let evidence = format!(
        "{} of {} decisions came out differently because of what the customer said.",
        effects.changed_decision_count, effects.decision_count
    );
    let mut decisions: Vec<DecisionId> = effects.statements.values().flat_map(|c| c.latest.iter().copied()).collect();
    decisions.sort_unstable_by(|a, b| b.cmp(a));
    decisions.dedup();
    decisions.truncate(DECISIONS_MAX);
    part(effects.changed_decision_count > 0, evidence, decisions.iter().map(ToString::to_string).collect())
}

fn part(holds: bool, evidence: String, evidence_ids: Vec<String>) -> Part {
    Part { holds, evidence, evidence_ids, confidence: f64::from(u8::from(holds)) }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::profile::StatementKind;

    fn heard(count: i64) -> Effects {
        let changed = Changed { latest: vec![DecisionId::from_uuid(Uuid::from_u128(9))], count, first_at: None };
        Effects {
            decision_count: 3,
            changed_decision_count: count,
            statements: HashMap::from([(StatementId::from_uuid(Uuid::from_u128(1)), changed)]),
            boundaries: HashMap::new(),
        }
    }

    fn known() -> Profile {
        let mut profile = Profile::default();
        profile.identity.namespaces = vec!["email".into()];
        profile.identity.confidence = 0.9;
        profile.interaction.inbound_count = 2;
        for n in [1, 2] {
            profile.interaction.statements.push(Statement {
                id: StatementId::from_uuid(Uuid::from_u128(n)),
                topic: format!("t{n}").into(),
                value: true.into(),
                kind: StatementKind::Fact,
                confidence: 1.0,
                valid_until: (n == 2).then_some(Timestamp(10)),
                occurred_at: Timestamp(1),
                source_interaction: "int_1".into(),
            });
        }
        profile
    }

    #[test]
    fn all_three_parts_must_hold() {
        let profile = known();
        assert!(get_relationship(&profile, &heard(1), Timestamp(5)).holds());
        assert!(!get_relationship(&profile, &heard(0), Timestamp(5)).holds());
        let mut silent = known();
        silent.interaction.inbound_count = 0;
        assert!(!get_relationship(&silent, &heard(1), Timestamp(5)).in_dialogue.holds);
        let mut contested = known();
        contested.identity.namespaces.clear();
        assert!(!get_relationship(&contested, &heard(1), Timestamp(5)).identified.holds);
    }

    #[test]
    fn what_changed_nothing_is_unheard_and_what_expired_is_gone() {
        let profile = known();
        let second = StatementId::from_uuid(Uuid::from_u128(2));
        let unheard = |now| get_relationship(&profile, &heard(1), now).unheard().collect::<Vec<_>>();
        assert_eq!(unheard(Timestamp(5)), [second]);
        assert_eq!(unheard(Timestamp(10)), []);
    }
}
