//! The three-part test, and what splits and erasures do to the log.

use profile::Section;
use rapport_proto::{
    customization::v1::*,
    feed::v1::{CustomerErased, CustomerSplit, event::Event},
    profile::v1::{BoundaryContacts, DecisionContacts, ProfileBoundary, ProfilePromise, SectionKind},
    r#type::v1::{BoundaryScope, Identifier},
};
use terms::{CustomerId, Reason};

use crate::world::{World, ask, by_email, by_id, normal, reason};

async fn relationship(world: &World, customer: CustomerId) -> GetRelationshipResponse {
    let request = GetRelationshipRequest { customer: by_id(customer), ..GetRelationshipRequest::default() };
    world.client().get_relationship(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_three_parts() {
    for world in World::each().await {
        world.menus().await;
        let customer = world.customer();
        let before = relationship(&world, customer).await;
        assert!(!before.relationship && before.identified.unwrap().holds);
        let (_, heard) = world.say(customer, "diet", "vegan");
        let (token, unheard) = world.say(customer, "colour", "red");
        world.mark(customer, Section::Interaction, &token).await;
        let decision = world.decide(customer).await.decision_id;
        let after = relationship(&world, customer).await;
        assert!(after.relationship, "{after:?}");
        assert_eq!(after.unheard_statement_ids, [unheard]);
        let effect = after.statements.iter().find(|effect| effect.statement_id == heard).unwrap();
        assert_eq!((effect.decision_ids.as_slice(), effect.heard), ([decision].as_slice(), true));
        assert_eq!((after.decision_count, after.changed_decision_count), (1, 1));
        // Nobody counts questions yet: the figure is absent, not nothing.
        assert_eq!((after.interaction_count, after.asked_twice_count), (2, None));
        // A year later it is long ago.
        world.clock.advance(std::time::Duration::from_secs(86_400 * 400));
        assert_eq!(relationship(&world, customer).await.decision_count, 0);
        let nobody =
            GetRelationshipRequest { customer: by_email("no@example.org"), ..GetRelationshipRequest::default() };
        let status = world.client().get_relationship(nobody).await.unwrap_err();
        assert_eq!(reason(status), Reason::CustomerNotFound);
    }
}

#[tokio::test]
async fn boundaries_are_held_against_what_went_out() {
    for world in World::each().await {
        let wine = Treatment { name: "wine".into(), topics: vec!["alcohol.wine".into()], ..Treatment::default() };
        world.treatment(wine).await;
        world.touchpoint("home", &["wine"]).await;
        let customer = world.customer();
        // Decided before the boundary was heard; sent after it was set.
        let decision = world.decide(customer).await.decision_id;
        let boundary = world.context.ids.next::<terms::id::Boundary>().to_string();
        world.owners.change(&world.tenant, customer, Section::Interaction, |_, interaction, _| {
            let scope = BoundaryScope { topics: vec!["alcohol".into()], ..BoundaryScope::default() };
            let boundary_id = boundary.clone();
            interaction.boundaries.push(ProfileBoundary { boundary_id, scope: Some(scope), ..Default::default() });
            let text = "An answer by Friday".to_owned();
            let promise_id = world.context.ids.next::<terms::id::Promise>().to_string();
            interaction.promises.push(ProfilePromise { promise_id, text, ..Default::default() });
        });
        world
            .mark(
                customer,
                Section::Interaction,
                &world.owners.change(&world.tenant, customer, Section::Interaction, |_, _, _| {}),
            )
            .await;
        let unknown = world.context.ids.next::<terms::id::Decision>().to_string();
        let mut seen = Vec::new();
        for (count, decisions) in
            [(0, vec![]), (2, vec![(&decision, 2)]), (3, vec![(&decision, 2)]), (1, vec![(&unknown, 1)])]
        {
            let one = |(id, count): (&String, i64)| DecisionContacts { decision_id: id.clone(), count };
            let decisions = decisions.into_iter().map(one).collect();
            *world.owners.contacts.lock() = vec![BoundaryContacts { boundary_id: boundary.clone(), count, decisions }];
            let relationship = relationship(&world, customer).await;
            assert_eq!(relationship.promises[0].text, "An answer by Friday");
            let honoured = &relationship.boundaries[0];
            seen.push((honoured.violation_count, honoured.unjudged_count));
        }
        assert_eq!(seen, [(Some(0), 0), (Some(2), 0), (Some(2), 1), (None, 1)]);
        // Without interaction nothing is guessed.
        world.owners.away.lock().push(SectionKind::Interaction);
        let request = GetRelationshipRequest { customer: by_id(customer), ..GetRelationshipRequest::default() };
        let status = world.client().get_relationship(request).await.unwrap_err();
        assert_eq!(reason(status), Reason::PeerUnavailable);
    }
}

#[tokio::test]
async fn however_an_identifier_is_written_the_decision_goes_with_it() {
    for world in World::each().await {
        world.menus().await;
        let (from, to) = (world.customer(), world.customer());
        for address in ["jane.doe@x.com", "J@x.com"] {
            world.owners.identify("email", address, from);
        }
        // Named five times by the first address, the second time as remembered; once by the other.
        for address in
            ["Jane.Doe@X.com", "Jane.Doe@X.com", "jane.doe@x.com", "JANEDOE@x.com", "janedoe@x.com", "j@x.com"]
        {
            world.decide_with(DecideRequest { customer: by_email(address), ..ask(from) }).await;
        }
        let identifiers = vec![Identifier { namespace: "email".into(), value: normal("Jane.Doe@x.com") }];
        let (from_customer_id, to_customer_id) = (from.to_string(), to.to_string());
        let split = CustomerSplit { from_customer_id, to_customer_id, identifiers, ..CustomerSplit::default() };
        world.tell(from, Event::CustomerSplit(split)).await;
        testkit::eventually("the decisions follow their identifier", async || {
            relationship(&world, to).await.decision_count == 5 && relationship(&world, from).await.decision_count == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_survivor_has_the_decisions_of_its_aliases_and_gives_them_back() {
    for world in World::each().await {
        world.menus().await;
        let (loser, survivor) = (world.customer(), world.customer());
        world.decide(loser).await;
        world.decide(survivor).await;
        let change = |merged: bool| {
            world.owners.change(&world.tenant, loser, Section::Identity, |identity, _, _| {
                identity.merged_into = if merged { survivor.to_string() } else { String::new() };
            });
            world.owners.change(&world.tenant, survivor, Section::Identity, |identity, _, _| {
                identity.aliases = if merged { vec![loser.to_string()] } else { Vec::new() };
            })
        };
        for (merged, expected) in [(true, (2, 2)), (false, (1, 1))] {
            let token = change(merged);
            world.mark(loser, Section::Identity, &one_of(&world, loser, &token)).await;
            world.mark(survivor, Section::Identity, &one_of(&world, survivor, &token)).await;
            let counts =
                (relationship(&world, loser).await.decision_count, relationship(&world, survivor).await.decision_count);
            assert_eq!(counts, expected);
        }
    }
}

/// The same position in the customer's own partition.
fn one_of(world: &World, customer: CustomerId, token: &terms::Revision) -> terms::Revision {
    let (_, _, position) = token.iter().next().unwrap();
    terms::Revision::at(terms::Service::Identity, terms::partition(&world.tenant, customer), position)
}

#[tokio::test]
async fn a_split_and_an_erasure_reach_the_log() {
    for world in World::each().await {
        world.menus().await;
        let (from, to) = (world.customer(), world.customer());
        world.owners.identify("email", "Jane@Example.org", from);
        let request = DecideRequest { customer: by_email("Jane@Example.org"), ..ask(from) };
        let moves = world.decide_with(request).await.decision_id;
        let stays = world.decide(from).await.decision_id;
        let split = CustomerSplit {
            from_customer_id: from.to_string(),
            to_customer_id: to.to_string(),
            identifiers: vec![Identifier { namespace: "email".into(), value: "jane@example.org".into() }],
            ..CustomerSplit::default()
        };
        world.tell(from, Event::CustomerSplit(split)).await;
        testkit::eventually("the decision follows its identifier", async || {
            relationship(&world, to).await.decision_count == 1 && relationship(&world, from).await.decision_count == 1
        })
        .await;
        let erased = CustomerErased { customer_id: from.to_string(), ..CustomerErased::default() };
        world.tell(from, Event::CustomerErased(erased)).await;
        let get = |id: &str| GetDecisionRequest { decision_id: id.to_owned(), ..GetDecisionRequest::default() };
        testkit::eventually("nothing of the erased customer is left", async || {
            let record = world.client().get_decision(get(&stays)).await.unwrap().into_inner().decision.unwrap();
            record.inputs.is_none() && record.context.is_empty() && record.customer_id.is_empty()
        })
        .await;
        let replay = ReplayDecisionRequest { decision_id: stays, ..ReplayDecisionRequest::default() };
        assert_eq!(reason(world.client().replay_decision(replay).await.unwrap_err()), Reason::DecisionNotFound);
        assert!(world.client().get_decision(get(&moves)).await.is_ok());
        let request = GetRelationshipRequest { customer: by_id(from), ..GetRelationshipRequest::default() };
        testkit::eventually("the profile is a tombstone", async || {
            world.client().get_relationship(request.clone()).await.is_err()
        })
        .await;
    }
}
