//! The section of the hot profile, read as decisions read it.

use profile::{Section, Sections, Versioned};
use prost::Message;
use rapport_proto::{
    interaction::v1::*,
    profile::v1::InteractionSection,
    r#type::v1::{InteractionDirection, StatementKind},
};
use terms::{Caller, CustomerId, Revision, Timestamp};

use crate::world::{World, by_id, happening, saying, tenant, text, worlds};

async fn load(world: &World, customer: CustomerId, at_least: &Revision) -> (InteractionSection, Revision) {
    let loaded = world.owner.load(&tenant(), customer, Section::Interaction, at_least).await;
    let Versioned { revision, bytes, .. } = loaded.expect("the section is read");
    (InteractionSection::decode(bytes).expect("a section"), revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_shows() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let (empty, _) = load(&world, jane, &Revision::new()).await;
        assert_eq!(empty, InteractionSection { customer_id: jane.to_string(), ..Default::default() });
        let never = StatementInput { kind: StatementKind::Boundary.into(), ..saying("alcohol", "never ever") };
        let mut input = happening(by_id(jane), "visit");
        input.statements = vec![saying("city", "Bergen"), saying("city", "Oslo"), never];
        let request = RecordInteractionRequest { interaction: Some(input), ..Default::default() };
        world.client.record_interaction(request).await.unwrap();
        let consents = vec![Consent {
            purpose: "marketing".to_owned(),
            state: ConsentState::Granted.into(),
            lawful_basis: LawfulBasis::LegitimateInterest.into(),
            source: "form".to_owned(),
            ..Default::default()
        }];
        let request = RecordConsentRequest { customer: by_id(jane), consents, ..Default::default() };
        let written = world.client.record_consent(request).await.unwrap().into_inner();
        let (section, revision) = load(&world, jane, &written.revision.parse().unwrap()).await;
        let topics: Vec<_> = section.statements.iter().map(|s| (s.topic.as_str(), s.value.clone())).collect();
        assert_eq!(topics, [("alcohol", text("never ever")), ("city", text("Oslo"))]);
        assert_eq!(section.boundaries[0].scope.as_ref().unwrap().topics, ["alcohol"]);
        assert_eq!(section.boundaries[0].statement, "never ever");
        assert!(section.consents[0].legitimate_interest && !section.consents[0].other_basis);
        assert_eq!((section.interaction_count, section.organic_count, section.counters[0].count), (1, 1, 1));
        assert!(section.last_inbound_at_micros > 0);
        assert!(!revision.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_merge_the_section_is_of_both() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let j = world.identity.create(&world.context.ids, "j@example.org");
        for customer in [jane, j] {
            let request = RecordInteractionRequest {
                interaction: Some(happening(by_id(customer), "visit")),
                ..Default::default()
            };
            world.client.record_interaction(request).await.unwrap();
        }
        let merged = world.identity.merge(j, jane).await;
        let (section, _) = load(&world, jane, &merged).await;
        assert_eq!(section.interaction_count, 2);
        let erased = world.identity.erase(jane).await;
        let (section, _) = load(&world, jane, &erased).await;
        assert!(section.erased && section.counters.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_is_of_both_after_a_merge() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let j = world.identity.create(&world.context.ids, "j@example.org");
        let never = StatementInput { kind: StatementKind::Boundary.into(), ..saying("alcohol", "never ever") };
        let request = RecordStatementRequest { customer: by_id(jane), statement: Some(never), ..Default::default() };
        let boundary = world.client.record_statement(request).await.unwrap().into_inner().boundary.unwrap();
        for customer in [jane, j] {
            let direction = InteractionDirection::Outbound.into();
            let input = InteractionInput { direction, ..happening(by_id(customer), "newsletter") };
            let request = RecordInteractionRequest { interaction: Some(input), ..Default::default() };
            world.client.record_interaction(request).await.unwrap();
        }
        let merged = world.identity.merge(j, jane).await;
        let caller = Caller::all_powerful(tenant(), "tester");
        let asked = world.owner.dialogue(&caller, j, Timestamp::EPOCH, merged.clone()).await;
        let (dialogue, revision) = asked.expect("the dialogue is read");
        assert_eq!((dialogue.inbound, dialogue.outbound), (0, 2));
        assert_eq!(dialogue.contacts[0].boundary.to_string(), boundary.boundary_id);
        assert_eq!((dialogue.contacts[0].count, dialogue.contacts[0].decisions.len()), (2, 0));
        assert!(revision.covers(&merged));
    }
}
