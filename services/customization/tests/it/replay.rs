//! Replay: the same bytes, whatever happened since.

use profile::Section;
use rapport_proto::{
    customization::v1::*,
    profile::v1::{ProfileMembership, ProfileNeed, ProfileValue},
};
use serde_json::json;
use terms::Reason;

use crate::world::{World, ask, chosen, reason};

fn replay(decision_id: &str, current_policy: bool) -> ReplayDecisionRequest {
    ReplayDecisionRequest { decision_id: decision_id.to_owned(), current_policy, ..ReplayDecisionRequest::default() }
}

#[tokio::test]
async fn a_replay_gives_the_same_bytes_after_everything_changed() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        world.say(customer, "diet", "vegan");
        let context = host::encode::object(json!({"page": "home", "items": [1, 2.5, null]}).as_object().unwrap());
        let request = DecideRequest { context: Some(context), explain: true, ..ask(customer) };
        let made = world.decide_with(request).await;
        assert_eq!(chosen(&made), ["vegan"]);
        // Everything moves on: the statement, the treatments, the touchpoint, the clock.
        let (token, _) = world.say(customer, "diet", "omnivore");
        world.mark(customer, Section::Interaction, &token).await;
        let mut client = world.client();
        let update = UpdateTreatmentRequest {
            treatment: Some(Treatment { name: "usual".into(), value: 50.0, ..Treatment::default() }),
            ..UpdateTreatmentRequest::default()
        };
        client.update_treatment(update).await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(86_400 * 400));
        let same = client.replay_decision(replay(&made.decision_id, false)).await.unwrap().into_inner();
        assert!(same.identical && same.differences.is_empty() && same.record == same.logged_record);
        let record = same.decision.unwrap();
        assert_eq!(record.treatments[0].treatment, "vegan");
        assert_eq!((record.because.len(), record.actor.as_str()), (1, "tester"));
        let get = GetDecisionRequest { decision_id: made.decision_id.clone(), ..GetDecisionRequest::default() };
        assert_eq!(client.get_decision(get).await.unwrap().into_inner().decision, Some(record));
        // By the definitions of now, what was known then leads elsewhere.
        let other = client.replay_decision(replay(&made.decision_id, true)).await.unwrap().into_inner();
        assert!(!other.identical && other.differences.contains(&"treatments[0]".to_owned()));
        assert_eq!(other.decision.unwrap().treatments[0].treatment, "usual");
        let mut elsewhere = world.client_of(&"other".parse().unwrap());
        let status = elsewhere.replay_decision(replay(&made.decision_id, false)).await.unwrap_err();
        assert_eq!(reason(status), Reason::DecisionNotFound);
    }
}

/// Customers of every sort, touchpoints of both policies: each decision replays to its bytes.
#[tokio::test]
async fn every_sort_of_decision_replays() {
    for world in World::each().await {
        let rules = [
            "",
            "\"fans\" in segments",
            "value.tier == \"rest\"",
            "has(statements.diet) && customer.country == \"NO\"",
            "context.page == \"home\"",
            "needs.commute.opportunity > 5.0",
        ];
        for (n, rule) in rules.iter().enumerate() {
            world
                .treatment(Treatment {
                    name: format!("t{n}"),
                    value: n as f64,
                    eligibility: (*rule).to_owned(),
                    needs_served: vec!["commute".into()],
                    topics: if n == 2 { vec!["sport".into()] } else { Vec::new() },
                    ..Treatment::default()
                })
                .await;
        }
        let treatments: Vec<String> = (0..rules.len()).map(|n| format!("t{n}")).collect();
        for (name, kind) in [("home", DecisionPolicyKind::Deterministic), ("lottery", DecisionPolicyKind::Uniform)] {
            let policy = DecisionPolicy { kind: kind.into(), max_results: 3, ..DecisionPolicy::default() };
            let touchpoint = Touchpoint {
                name: name.into(),
                treatments: treatments.clone(),
                policy: Some(policy),
                ..Touchpoint::default()
            };
            let request =
                CreateTouchpointRequest { touchpoint: Some(touchpoint), ..CreateTouchpointRequest::default() };
            world.client().create_touchpoint(request).await.unwrap();
        }
        let mut decisions = Vec::new();
        for n in 0..24u32 {
            let customer = world.customer();
            if n % 2 == 0 {
                world.say(customer, "diet", "vegan");
            }
            world.owners.change(&world.tenant, customer, Section::Segmentation, |identity, _, segmentation| {
                let country = if n % 3 == 0 { "NO" } else { "SE" };
                identity.traits = Some(host::encode::object(json!({ "country": country }).as_object().unwrap()));
                if n % 4 < 2 {
                    segmentation
                        .memberships
                        .push(ProfileMembership { segment: "fans".into(), ..ProfileMembership::default() });
                }
                segmentation.value = Some(ProfileValue { tier: "rest".into(), ..ProfileValue::default() });
                segmentation.needs.push(ProfileNeed {
                    job: "commute".into(),
                    opportunity: f64::from(n),
                    ..ProfileNeed::default()
                });
            });
            let context =
                host::encode::object(json!({"page": if n % 5 == 0 { "home" } else { "shop" }}).as_object().unwrap());
            let touchpoint = if n % 2 == 0 { "home" } else { "lottery" };
            let request = DecideRequest { context: Some(context), touchpoint: touchpoint.into(), ..ask(customer) };
            decisions.push(world.decide_with(request).await.decision_id);
        }
        let nobody = DecideRequest { customer: crate::world::by_email("no@example.org"), ..ask(world.customer()) };
        decisions.push(world.decide_with(nobody).await.decision_id);
        for decision in decisions {
            let same = world.client().replay_decision(replay(&decision, false)).await.unwrap().into_inner();
            assert!(same.identical, "{:?}", same.differences);
        }
    }
}
