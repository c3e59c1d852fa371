//! The three-part test of a relationship, for one customer: we know who they are, we have spoken with each other, and
//! we changed our behaviour because of what they said.

use std::{collections::HashMap, sync::Arc};

use terms::Timestamp;

use crate::{
    catalog::Candidate,
    profile::{About, Boundary, BoundaryId, Profile, Promise, Scope, Statement, StatementId},
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

/// What interaction counted in the same period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dialogue {
    /// How often the customer spoke.
    pub inbound: i64,
    /// How often the enterprise spoke.
    pub outbound: i64,
    /// Of both, organic ones.
    pub organic: i64,
    /// What was said to the customer after a boundary was set, on its channels.
    pub contacts: HashMap<BoundaryId, Contacts>,
}

/// Outbound interactions within reach of a boundary.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contacts {
    /// How many in all.
    pub count: i64,
    /// Of these, how many carried out a decision.
    pub decisions: Vec<(DecisionId, i64)>,
}

/// The treatments that decisions chose: what interactions that carried them out were about. A decision that the log
/// does not know (any more) is missing.
pub type Chosen = HashMap<DecisionId, Vec<Arc<Candidate>>>;

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
    /// Each boundary that holds, and whether it was honoured.
    pub boundaries: Vec<Honoured<'p>>,
    /// Each promise, and whether it is broken.
    pub promises: Vec<(&'p Promise, bool)>,
}

/// Whether a boundary was honoured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Honoured<'p> {
    /// The boundary.
    pub boundary: &'p Boundary,
    /// How many treatments it ruled out.
    pub exclusions: i64,
    /// Outbound interactions in spite of it; `None`: none is known, and not all could be judged.
    pub violations: Option<i64>,
    /// Those that could not be judged.
    pub unjudged: i64,
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
pub fn get_relationship<'p>(
    profile: &'p Profile,
    effects: &Effects,
    dialogue: &Dialogue,
    chosen: &Chosen,
    now: Timestamp,
) -> Relationship<'p> {
    let interaction = &profile.interaction;
    let held = interaction.statements.iter().filter(|statement| statement.holds(now));
    let changed = |id| effects.statements.get(id).cloned().unwrap_or_default();
    let standing = |b: &&Boundary| b.valid_until.is_none_or(|until| now < until);
    Relationship {
        identified: identified(profile),
        in_dialogue: in_dialogue(profile, effects, dialogue),
        customised: customised(effects),
        statements: held.map(|statement| (statement, changed(&statement.id))).collect(),
        boundaries: interaction
            .boundaries
            .iter()
            .filter(standing)
            .map(|b| honoured(b, effects.boundaries.get(&b.id).copied().unwrap_or_default(), dialogue, chosen))
            .collect(),
        promises: interaction.promises.iter().map(|promise| (promise, promise.is_broken(now))).collect(),
    }
}

fn honoured<'p>(boundary: &'p Boundary, exclusions: i64, dialogue: &Dialogue, chosen: &Chosen) -> Honoured<'p> {
    let none = Contacts::default();
    let contacts = dialogue.contacts.get(&boundary.id).unwrap_or(&none);
    // They were on its channels: what is left to compare is what they were about.
    let scope = Scope { channels: Vec::new(), ..boundary.scope.clone() };
    if scope.topics.is_empty() && scope.purposes.is_empty() && scope.treatment_tags.is_empty() {
        return Honoured { boundary, exclusions, violations: Some(contacts.count), unjudged: 0 };
    }
    let (mut judged, mut violations) = (0, 0);
    for (decision, count) in &contacts.decisions {
        let Some(treatments) = chosen.get(decision) else { continue };
        judged += count;
        if treatments.iter().any(|candidate| is_about(&scope, candidate)) {
            violations += count;
        }
    }
    let unjudged = contacts.count - judged;
    Honoured { boundary, exclusions, violations: (violations > 0 || unjudged == 0).then_some(violations), unjudged }
}

fn is_about(scope: &Scope, candidate: &Candidate) -> bool {
    let spec = &candidate.treatment.spec;
    scope.covers(&About { purpose: spec.purpose(), channel: "", topics: &spec.topics, tags: &spec.tags })
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

fn in_dialogue(profile: &Profile, effects: &Effects, dialogue: &Dialogue) -> Part {
    let interaction = &profile.interaction;
    let spoke = dialogue.inbound > 0;
    let answered = dialogue.outbound > 0 || effects.decision_count > 0;
    let evidence = format!(
        "The customer spoke {} times; the enterprise spoke {} times and decided {} times.",
        dialogue.inbound, dialogue.outbound, effects.decision_count
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
    use crate::{
        profile::StatementKind,
        treatment::{Treatment, TreatmentId, TreatmentSpec},
    };

    fn heard(count: i64) -> Effects {
        let changed = Changed { latest: vec![DecisionId::from_uuid(Uuid::from_u128(9))], count, first_at: None };
        Effects {
            decision_count: 3,
            changed_decision_count: count,
            statements: HashMap::from([(StatementId::from_uuid(Uuid::from_u128(1)), changed)]),
            boundaries: HashMap::new(),
        }
    }

    fn spoken() -> Dialogue {
        Dialogue { inbound: 2, ..Dialogue::default() }
    }

    fn test<'p>(profile: &'p Profile, effects: &Effects, now: i64) -> Relationship<'p> {
        get_relationship(profile, effects, &spoken(), &Chosen::new(), Timestamp(now))
    }

    fn known() -> Profile {
        let mut profile = Profile::default();
        profile.identity.namespaces = vec!["email".into()];
        profile.identity.confidence = 0.9;
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
        assert!(test(&profile, &heard(1), 5).holds());
        assert!(!test(&profile, &heard(0), 5).holds());
        let silent = Dialogue { outbound: 3, ..Dialogue::default() };
        let silent = get_relationship(&profile, &heard(1), &silent, &Chosen::new(), Timestamp(5));
        assert!(!silent.in_dialogue.holds);
        let mut contested = known();
        contested.identity.namespaces.clear();
        assert!(!test(&contested, &heard(1), 5).identified.holds);
    }

    #[test]
    fn what_changed_nothing_is_unheard_and_what_expired_is_gone() {
        let profile = known();
        let second = StatementId::from_uuid(Uuid::from_u128(2));
        let unheard = |now| test(&profile, &heard(1), now).unheard().collect::<Vec<_>>();
        assert_eq!(unheard(5), [second]);
        assert_eq!(unheard(10), []);
    }

    #[test]
    fn what_was_said_in_spite_of_a_boundary_counts_and_what_cannot_be_judged_is_not_nothing() {
        let decision = |n| DecisionId::from_uuid(Uuid::from_u128(n));
        let about = |topic: &str| {
            let spec = TreatmentSpec { name: topic.into(), topics: vec![topic.into()], ..TreatmentSpec::default() };
            let (id, at) = (TreatmentId::from_uuid(Uuid::from_u128(1)), Timestamp(0));
            let treatment = Treatment { id, version: 1, created_at: at, updated_at: at, deleted: false, spec };
            Arc::new(Candidate::new(treatment).unwrap())
        };
        let chosen = Chosen::from([
            (decision(1), vec![about("cheese"), about("alcohol.wine")]),
            (decision(2), vec![about("cheese")]),
            (decision(3), Vec::new()),
        ]);
        let honoured = |scope: Scope, count: i64, decisions: &[(u128, i64)]| {
            let id = BoundaryId::from_uuid(Uuid::from_u128(7));
            let words = String::new();
            let occurred_at = Timestamp(1);
            let boundary = Boundary { id, scope, valid_until: None, words, statement: None, occurred_at };
            let decisions = decisions.iter().map(|(n, count)| (decision(*n), *count)).collect();
            let contacts = HashMap::from([(id, Contacts { count, decisions })]);
            let honoured = honoured(&boundary, 0, &Dialogue { contacts, ..Dialogue::default() }, &chosen);
            (honoured.violations, honoured.unjudged)
        };
        let alcohol = || Scope { topics: vec!["alcohol".into()], ..Scope::default() };
        assert_eq!(honoured(alcohol(), 0, &[]), (Some(0), 0));
        assert_eq!(honoured(alcohol(), 6, &[(1, 2), (2, 3), (3, 1)]), (Some(2), 0));
        assert_eq!(honoured(alcohol(), 6, &[(2, 3)]), (None, 3));
        assert_eq!(honoured(alcohol(), 6, &[(1, 1), (9, 5)]), (Some(1), 5), "9 is not in the log");
        let by_sms = Scope { channels: vec!["sms".into()], ..alcohol() };
        assert_eq!(honoured(by_sms, 2, &[(1, 2)]), (Some(2), 0), "the channel was compared where it is known");
        let everything = Scope { everything: true, ..Scope::default() };
        assert_eq!(honoured(everything, 4, &[]), (Some(4), 0));
        let sms = Scope { channels: vec!["sms".into()], ..Scope::default() };
        assert_eq!(honoured(sms, 4, &[(2, 1)]), (Some(4), 0));
    }
}
