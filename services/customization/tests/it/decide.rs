//! Decisions, and how they went.

use std::sync::atomic::Ordering;

use data::FeedSource;
use futures::StreamExt;
use profile::Section;
use rapport_proto::{
    customization::v1::{because::Factor, *},
    feed::v1::event::Event,
    profile::v1::{ProfileBoundary, SectionKind},
    r#type::v1::{BoundaryScope, Motivation},
};
use terms::{CustomerId, Reason, Revision, Service};

use crate::world::{World, ask, by_email, chosen, reason};

#[tokio::test]
async fn a_statement_changes_the_decision_and_is_named() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        let before = world.decide(customer).await;
        assert_eq!((chosen(&before), before.because.len()), (vec!["usual"], 0));
        assert_eq!(before.excluded[0].guard(), Guard::Eligibility);
        let (token, statement) = world.say(customer, "diet", "vegan");
        // With the token at once, although nobody marked anything.
        let told = DecideRequest { at_least: token.to_string(), explain: true, ..ask(customer) };
        let after = world.decide_with(told).await;
        assert_eq!(chosen(&after), ["vegan"]);
        let [because] = after.because.as_slice() else { panic!("{:?}", after.because) };
        assert_eq!(because.factor, Some(Factor::StatementId(statement)));
        assert_eq!(because.without, ["usual"]);
        assert!(after.treatments[0].content.is_some() && after.treatments[0].parts.is_some());
        assert_eq!(after.customer_id, customer.to_string());
        // Whoever reads on from the decision's token sees what it saw.
        assert!(revision(&after.revision).covers(&token));
        // Retracted and marked: the next decision does not see it.
        let token = world.owners.change(&world.tenant, customer, Section::Interaction, |_, interaction, _| {
            interaction.statements.clear();
        });
        world.mark(customer, Section::Interaction, &token).await;
        assert_eq!(chosen(&world.decide(customer).await), ["usual"]);
    }
}

#[tokio::test]
async fn a_hot_decision_reads_nobody() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        world.owners.identify("email", "jane@example.org", customer);
        let by_identifier = DecideRequest { customer: by_email("jane@example.org"), ..ask(customer) };
        world.decide_with(by_identifier.clone()).await;
        let loads = world.owners.loads.load(Ordering::SeqCst);
        for _ in 0..5 {
            world.decide(customer).await;
            world.decide_with(by_identifier.clone()).await;
        }
        assert_eq!(world.owners.loads.load(Ordering::SeqCst), loads);
        // The identifier moves to another customer: identity says that its section changed.
        let other = world.customer();
        world.owners.identify("email", "jane@example.org", other);
        let token = world.owners.change(&world.tenant, customer, Section::Identity, |identity, _, _| {
            identity.namespaces.clear();
        });
        world.mark(customer, Section::Identity, &token).await;
        assert_eq!(world.decide_with(by_identifier).await.customer_id, other.to_string());
    }
}

#[tokio::test]
async fn who_is_unknown() {
    for world in World::each().await {
        world.menus().await;
        let nobody = DecideRequest { customer: by_email("no@example.org"), ..ask(world.customer()) };
        let decision = world.decide_with(nobody).await;
        assert_eq!((chosen(&decision), decision.customer_id.as_str()), (vec!["usual"], ""));
        assert!(!decision.decision_id.is_empty());
        let unknown: CustomerId = world.context.ids.next();
        let status = world.client().decide(ask(unknown)).await.unwrap_err();
        assert_eq!(reason(status), Reason::CustomerNotFound);
        let nowhere = DecideRequest { touchpoint: "nowhere".into(), ..ask(world.customer()) };
        assert_eq!(reason(world.client().decide(nowhere).await.unwrap_err()), Reason::TouchpointNotFound);
        let malformed = DecideRequest { limit: -1, customer: None, ..DecideRequest::default() };
        let fault = host::fault(world.client().decide(malformed).await.unwrap_err());
        assert_eq!(fault.violations().len(), 3);
    }
}

#[tokio::test]
async fn a_merged_id_answers_as_the_survivor() {
    for world in World::each().await {
        world.menus().await;
        let (loser, survivor) = (world.customer(), world.customer());
        let before = world.decide(loser).await;
        let token = world.owners.change(&world.tenant, loser, Section::Identity, |identity, _, _| {
            identity.merged_into = survivor.to_string();
        });
        world.owners.change(&world.tenant, survivor, Section::Identity, |identity, _, _| {
            identity.aliases.push(loser.to_string());
        });
        let after = world.decide_with(DecideRequest { at_least: token.to_string(), ..ask(loser) }).await;
        assert_eq!((before.customer_id, after.customer_id), (loser.to_string(), survivor.to_string()));
    }
}

#[tokio::test]
async fn a_request_id_gives_the_recorded_decision() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        let request = DecideRequest { request_id: "once".into(), ..ask(customer) };
        let first = world.decide_with(request.clone()).await;
        let (token, _) = world.say(customer, "diet", "vegan");
        world.mark(customer, Section::Interaction, &token).await;
        assert_eq!(world.decide_with(request.clone()).await, first);
        let other = DecideRequest { explain: true, ..request };
        assert_eq!(reason(world.client().decide(other).await.unwrap_err()), Reason::RequestIdReused);
        assert_eq!(chosen(&world.decide(customer).await), ["vegan"]);
    }
}

#[tokio::test]
async fn a_dry_run_leaves_nothing() {
    for world in World::each().await {
        world.menus().await;
        let dry = world.decide_with(DecideRequest { dry_run: true, ..ask(world.customer()) }).await;
        assert_eq!((chosen(&dry), dry.decision_id.as_str()), (vec!["usual"], ""));
        assert_eq!(world.store.count("decision_block").await, 0);
    }
}

#[tokio::test]
async fn without_an_owner_a_decision_is_made_with_what_there_is() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        world.owners.away.lock().push(SectionKind::Interaction);
        let degraded = world.decide(customer).await;
        assert_eq!(degraded.degraded, ["interaction"]);
        assert_eq!(chosen(&degraded), ["usual"]);
        assert_eq!(degraded.excluded[0].guard(), Guard::ProfileUnavailable);
        let (token, _) = world.say(customer, "diet", "vegan");
        let demanding = DecideRequest { at_least: token.to_string(), ..ask(customer) };
        assert_eq!(reason(world.client().decide(demanding).await.unwrap_err()), Reason::PeerUnavailable);
        world.owners.away.lock().clear();
        assert_eq!(chosen(&world.decide(customer).await), ["vegan"]);
    }
}

#[tokio::test]
async fn a_boundary_excludes_and_says_so() {
    for world in World::each().await {
        world
            .treatment(Treatment {
                name: "wine".into(),
                topics: vec!["alcohol.wine".into()],
                value: 9.0,
                ..Treatment::default()
            })
            .await;
        world.treatment(Treatment { name: "juice".into(), ..Treatment::default() }).await;
        world.touchpoint("home", &["wine", "juice"]).await;
        let customer = world.customer();
        let boundary = world.context.ids.next::<terms::id::Boundary>().to_string();
        let statement = world.context.ids.next::<terms::id::Statement>().to_string();
        world.owners.change(&world.tenant, customer, Section::Interaction, |_, interaction, _| {
            let scope = BoundaryScope { topics: vec!["alcohol".into()], ..BoundaryScope::default() };
            interaction.boundaries.push(ProfileBoundary {
                boundary_id: boundary.clone(),
                scope: Some(scope),
                statement_id: statement.clone(),
                ..ProfileBoundary::default()
            });
        });
        let decision = world.decide(customer).await;
        assert_eq!(chosen(&decision), ["juice"]);
        assert_eq!(decision.excluded[0].guard(), Guard::Boundary);
        assert_eq!(decision.excluded[0].boundary_ids, std::slice::from_ref(&boundary));
        let because = &decision.because[0];
        assert_eq!(because.factor, Some(Factor::BoundaryId(boundary)));
        assert_eq!(
            (&because.boundary_statement_id, because.without.as_slice()),
            (&statement, ["wine".to_owned()].as_slice())
        );
        assert!(because.description.contains("said what they do not want"), "{because:?}");
        // The log says so too, and so does the replay.
        let decision_id = decision.decision_id.clone();
        let get = GetDecisionRequest { decision_id: decision_id.clone(), ..GetDecisionRequest::default() };
        let logged = world.client().get_decision(get).await.unwrap().into_inner().decision.unwrap();
        let replay = ReplayDecisionRequest { decision_id, ..ReplayDecisionRequest::default() };
        let replayed = world.client().replay_decision(replay).await.unwrap().into_inner();
        assert!(replayed.identical, "{:?}", replayed.differences);
        assert_eq!((&logged.because, &replayed.decision.unwrap().because), (&decision.because, &decision.because));
    }
}

#[tokio::test]
async fn one_of_a_batch_that_fails_does_not_fail_the_others() {
    for world in World::each().await {
        world.menus().await;
        let mut requests: Vec<DecideRequest> = (0..20).map(|_| ask(world.customer())).collect();
        requests[7].touchpoint = "nowhere".into();
        let batch = DecideBatchRequest { requests, request_id: "b".into(), ..DecideBatchRequest::default() };
        let reply = world.client().decide_batch(batch.clone()).await.unwrap().into_inner();
        assert_eq!(reply.results.len(), 20);
        for (n, result) in reply.results.iter().enumerate() {
            match &result.result {
                Some(decide_result::Result::Error(status)) => assert_eq!((n, status.code), (7, 5)),
                Some(decide_result::Result::Decision(decision)) => assert_eq!(chosen(decision), ["usual"]),
                None => panic!("no result"),
            }
        }
        for decision in reply.results.iter().filter_map(|result| match &result.result {
            Some(decide_result::Result::Decision(decision)) => Some(decision),
            _ => None,
        }) {
            let request = GetDecisionRequest { decision_id: decision.decision_id.clone(), ..Default::default() };
            world.client().get_decision(request).await.unwrap();
        }
        let blocks = world.store.count("decision_block").await;
        let again = world.client().decide_batch(batch).await.unwrap().into_inner();
        assert_eq!((again.results, world.store.count("decision_block").await), (reply.results, blocks));
    }
}

#[tokio::test]
async fn an_outcome_is_reported_once_and_told() {
    for world in World::each().await {
        world.menus().await;
        let decision = world.decide(world.customer()).await.decision_id;
        let mut client = world.client();
        let report = |outcome: &str, reward: Option<f64>| ReportOutcomeRequest {
            decision_id: decision.clone(),
            outcome: outcome.into(),
            reward,
            ..ReportOutcomeRequest::default()
        };
        let first = client.report_outcome(report("accepted", None)).await.unwrap().into_inner();
        let outcome = first.outcome.clone().unwrap();
        assert_eq!((outcome.treatment.as_str(), outcome.reward, first.duplicate), ("usual", 1.0, false));
        assert_eq!(outcome.motivation(), Motivation::Organic);
        let again = client.report_outcome(report("accepted", None)).await.unwrap().into_inner();
        assert!(again.duplicate && again.outcome == first.outcome);
        let status = client.report_outcome(report("accepted", Some(0.2))).await.unwrap_err();
        assert_eq!(reason(status), Reason::OutcomeConflict);
        let elsewhere = world.client_of(&"other".parse().unwrap()).report_outcome(report("accepted", None)).await;
        assert_eq!(reason(elsewhere.unwrap_err()), Reason::DecisionNotFound);
        let get = GetDecisionRequest { decision_id: decision.clone(), ..GetDecisionRequest::default() };
        let found = client.get_decision(get).await.unwrap().into_inner();
        assert_eq!(found.outcomes, [outcome]);
        let told = told(&world, 1).await;
        assert!(matches!(&*told, [Event::OutcomeReported(event)] if event.decision_id == decision), "{told:?}");
    }
}

#[tokio::test]
async fn the_feed_tells_of_decisions_in_which_the_customer_was_heard() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        world.decide(customer).await;
        let (token, statement) = world.say(customer, "diet", "vegan");
        let heard = world.decide_with(DecideRequest { at_least: token.to_string(), ..ask(customer) }).await;
        assert!(revision(&heard.revision).of(Service::Customization).next().is_some());
        let told = told(&world, 1).await;
        let [Event::DecisionRecorded(event)] = &*told else { panic!("{told:?}") };
        assert_eq!((&event.decision_id, &event.statement_ids), (&heard.decision_id, &vec![statement]));
        assert_eq!(event.treatments, ["vegan"]);
    }
}

/// What the feed tells of decisions and outcomes, from the beginning until there are so many.
async fn told(world: &World, many: usize) -> Vec<Event> {
    let mut feed = world.store.feed().watch(data::Watch::new(data::WatchFrom::Oldest)).await.unwrap();
    let mut told = Vec::new();
    while told.len() < many {
        let entries = feed.next().await.unwrap().unwrap().entries;
        let about = |event: &Event| matches!(event, Event::DecisionRecorded(_) | Event::OutcomeReported(_));
        told.extend(entries.iter().filter_map(|entry| entry.change().cloned()).filter(about));
    }
    told
}

fn revision(token: &str) -> Revision {
    Revision::parse("revision", token).unwrap()
}
