//! Properties of a decision: deterministic, guarded in order, and `because` is exactly what changes it.

mod world;

use customization_domain::{
    Ask, Decision,
    decide::{Because, Cause, Pick},
    guard::Guard,
    profile::Profile,
    touchpoint::PolicyKind,
};
use proptest::prelude::*;
use rules::Value;
use terms::Timestamp;
use world::{NOW, Part, Sketch, place, profile, sketch, without};

fn ask(sketch: &Sketch, profile: &Profile) -> Decision {
    let place = place(sketch);
    let context: Value = [("page", sketch.page)].into_iter().collect();
    decide(&place, profile, &context)
}

fn decide(place: &customization_domain::catalog::Place, profile: &Profile, context: &Value) -> Decision {
    customization_domain::decide(&Ask { place, profile, context, now: NOW, seed: 7, limit: None })
}

fn picks(decision: &Decision) -> Vec<Pick> {
    decision.ranked.iter().map(|ranked| ranked.pick).collect()
}

/// The part of the profile that a cause names.
fn part(because: &Because) -> Part {
    match &because.cause {
        Cause::Statement { id, .. } => Part::Statement(*id),
        Cause::Boundary(id, _) => Part::Boundary(*id),
        Cause::Consent(id) => Part::Consent(*id),
        Cause::Promise(id) => Part::Promise(*id),
        Cause::Attribute { path, .. } => Part::Attribute(path.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn because_names_exactly_what_changes_the_result(sketch in sketch()) {
        let full = profile(&sketch);
        let decision = ask(&sketch, &full);
        let named: Vec<Part> = decision.because.iter().map(part).collect();
        for because in &decision.because {
            let less = without(&full, &part(because));
            prop_assert_eq!(&picks(&ask(&sketch, &less)), &because.without, "without {:?}", because.cause);
            prop_assert_ne!(&because.without, &picks(&decision));
        }
        for part in world::parts(&full) {
            let changes = picks(&ask(&sketch, &without(&full, &part))) != picks(&decision);
            prop_assert_eq!(named.contains(&part), changes, "{:?}", part);
        }
    }

    #[test]
    fn the_same_arguments_give_the_same_decision(sketch in sketch(), seed: u64) {
        let (place, profile) = (place(&sketch), profile(&sketch));
        let context = Value::Null;
        let ask = Ask { place: &place, profile: &profile, context: &context, now: NOW, seed, limit: None };
        prop_assert_eq!(customization_domain::decide(&ask), customization_domain::decide(&ask));
    }

    #[test]
    fn every_candidate_is_either_chosen_or_excluded_by_a_guard(sketch in sketch()) {
        let place = place(&sketch);
        let decision = ask(&sketch, &profile(&sketch));
        let chosen = picks(&decision);
        for n in 0..place.candidates.len() {
            let excluded = decision.excluded.iter().filter(|e| e.candidate == n).count();
            let ranked = chosen.iter().filter(|pick| **pick == Pick::Candidate(n)).count();
            prop_assert_eq!(excluded + ranked, 1);
        }
        prop_assert!(decision.ranked.len() <= place.touchpoint.spec.max_results());
        prop_assert_eq!(decision.defaulted, chosen == [Pick::Default]);
    }

    #[test]
    fn nothing_under_a_boundary_is_ever_chosen(sketch in sketch()) {
        let profile = profile(&sketch);
        let place = place(&sketch);
        for pick in picks(&ask(&sketch, &profile)) {
            let spec = &pick.of(&place).unwrap().treatment.spec;
            for boundary in &profile.interaction.boundaries {
                let touched = boundary.scope.everything || spec.topics.iter().any(|t| boundary.scope.topics.contains(t));
                prop_assert!(!touched);
            }
        }
    }
}

fn plain() -> Sketch {
    Sketch::default()
}

/// One candidate that fails every guard; lifting what the first one minds shows the next.
#[test]
fn guards_are_checked_in_order() {
    let mut sketch = plain();
    let hard = &mut sketch.treatments[0];
    hard.paused = true;
    hard.min_confidence = 0.9;
    hard.topic = Some("alcohol");
    hard.purpose = "marketing";
    hard.channel = "email";
    hard.uses_budget = true;
    hard.rule = "customer.country == \"NO\"";
    hard.selling = true;
    sketch.treatments.truncate(1);
    sketch.confidence = 0.5;
    sketch.boundary_topics = vec!["alcohol"];
    sketch.budget_spent = true;
    sketch.broken_promise = true;
    let first = |sketch: &Sketch| ask(sketch, &profile(sketch)).excluded.first().map(|e| e.guard);
    assert_eq!(first(&sketch), Some(Guard::Inactive));
    sketch.treatments[0].paused = false;
    assert_eq!(first(&sketch), Some(Guard::IdentityConfidence));
    sketch.confidence = 1.0;
    assert_eq!(first(&sketch), Some(Guard::Boundary));
    sketch.boundary_topics.clear();
    assert_eq!(first(&sketch), Some(Guard::Permission));
    sketch.consents = vec![("marketing", true)];
    assert_eq!(first(&sketch), Some(Guard::ContactBudget));
    sketch.budget_spent = false;
    assert_eq!(first(&sketch), Some(Guard::Eligibility));
    sketch.country = Some("NO");
    assert_eq!(first(&sketch), Some(Guard::PromiseBroken));
    sketch.broken_promise = false;
    assert_eq!(first(&sketch), None);
}

#[test]
fn a_statement_that_turns_the_choice_is_named_with_what_would_have_been() {
    let mut sketch = plain();
    sketch.treatments[0].value = 5.0;
    sketch.treatments[1].rule = "statements.diet == \"vegan\"";
    sketch.treatments[1].value = 9.0;
    sketch.treatments.truncate(2);
    sketch.statements = vec![("diet", "vegan", false)];
    let decision = ask(&sketch, &profile(&sketch));
    assert_eq!(picks(&decision), [Pick::Candidate(1)]);
    let [because] = decision.because.as_slice() else { panic!("{:?}", decision.because) };
    assert!(matches!(&because.cause, Cause::Statement { topic, .. } if &**topic == "diet"));
    assert_eq!(because.without, [Pick::Candidate(0)]);
    // Retracted, it is simply not there: the choice falls back and nothing is named.
    sketch.statements.clear();
    let decision = ask(&sketch, &profile(&sketch));
    assert_eq!((picks(&decision), decision.because.len()), (vec![Pick::Candidate(0)], 0));
}

#[test]
fn a_need_that_was_told_raises_what_serves_it() {
    let mut sketch = plain();
    sketch.treatments.truncate(2);
    sketch.treatments[0].value = 1.5;
    sketch.treatments[1].value = 1.0;
    sketch.treatments[1].serves = Some("stay-dry");
    assert_eq!(picks(&ask(&sketch, &profile(&sketch))), [Pick::Candidate(0)]);
    sketch.statements = vec![("jobs", "stay-dry", true)];
    let decision = ask(&sketch, &profile(&sketch));
    assert_eq!(picks(&decision), [Pick::Candidate(1)]);
    assert!((decision.ranked[0].parts.need_fit - 2.0).abs() < 1e-12);
    assert_eq!(decision.because.len(), 1);
}

#[test]
fn when_nothing_remains_the_default_does_unless_a_boundary_forbids_it_too() {
    let mut sketch = plain();
    sketch.treatments.iter_mut().for_each(|t| t.rule = "false");
    sketch.default = true;
    let decision = ask(&sketch, &profile(&sketch));
    assert!(decision.defaulted && picks(&decision) == [Pick::Default]);
    sketch.everything_forbidden = true;
    let decision = ask(&sketch, &profile(&sketch));
    assert!(!decision.defaulted && decision.ranked.is_empty());
    assert!(matches!(decision.because[0].cause, Cause::Boundary(..)));
}

#[test]
fn a_contested_identity_gets_the_safe_one() {
    let mut sketch = plain();
    sketch.treatments.truncate(2);
    sketch.treatments[0].min_confidence = 0.9;
    sketch.treatments[0].value = 9.0;
    sketch.confidence = 0.99;
    assert_eq!(picks(&ask(&sketch, &profile(&sketch))), [Pick::Candidate(0)]);
    sketch.contested = true;
    assert_eq!(picks(&ask(&sketch, &profile(&sketch))), [Pick::Candidate(1)]);
}

#[test]
fn without_interaction_only_what_needs_no_permission_is_chosen() {
    let mut sketch = plain();
    sketch.treatments.truncate(3);
    sketch.treatments[0].purpose = "marketing";
    sketch.treatments[0].channel = "email";
    sketch.treatments[0].value = 9.0;
    sketch.treatments[1].rule = "!has(statements.diet)";
    sketch.treatments[1].value = 8.0;
    let mut profile = profile(&sketch);
    profile.degraded.interaction = true;
    let decision = ask(&sketch, &profile);
    assert_eq!(picks(&decision), [Pick::Candidate(2)]);
    assert!(decision.excluded.iter().all(|e| e.guard == Guard::ProfileUnavailable));
}

#[test]
fn ties_go_by_name() {
    let sketch = plain();
    assert_eq!(picks(&ask(&sketch, &profile(&sketch))), [Pick::Candidate(0)]);
}

/// The uniform policy chooses each candidate about as often as every other, and says with which probability.
#[test]
fn uniform_is_even() {
    let mut sketch = plain();
    sketch.policy = PolicyKind::Uniform;
    let (place, profile) = (place(&sketch), profile(&sketch));
    let mut counts = vec![0u32; place.candidates.len()];
    let (rounds, context) = (4_000u32, Value::Null);
    for seed in 0..u64::from(rounds) {
        let ask = Ask { place: &place, profile: &profile, context: &context, now: NOW, seed, limit: None };
        let decision = customization_domain::decide(&ask);
        let Pick::Candidate(n) = decision.ranked[0].pick else { panic!("a default") };
        assert!((decision.ranked[0].propensity - 1.0 / counts.len() as f64).abs() < 1e-12);
        counts[n] += 1;
    }
    let expected = rounds / counts.len() as u32;
    assert!(counts.iter().all(|n| n.abs_diff(expected) < expected / 5), "{counts:?}");
}

#[test]
fn validity_counts() {
    let mut sketch = plain();
    sketch.treatments.truncate(1);
    sketch.treatments[0].valid_until = Some(Timestamp(NOW.0));
    assert_eq!(ask(&sketch, &profile(&sketch)).excluded[0].guard, Guard::Inactive);
    sketch.treatments[0].valid_until = Some(Timestamp(NOW.0 + 1));
    assert!(ask(&sketch, &profile(&sketch)).excluded.is_empty());
}
