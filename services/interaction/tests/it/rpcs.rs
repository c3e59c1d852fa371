//! Every RPC, called as another service of the same process would call it.

use interaction::{ACCESS, NOT_YET_SERVED};
use rapport_proto::{
    interaction::v1::*,
    r#type::v1::{BoundaryScope, Motivation, StatementKind},
};
use terms::Access;
use tonic::Code;

use crate::world::{by_email, by_id, client, fields, happening, refusal, saying, text, worlds};

#[tokio::test(flavor = "multi_thread")]
async fn an_interaction_is_recorded_read_and_listed() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let mut input = happening(by_email("Jane@Example.org"), "purchase.online");
        input.value = Some(rapport_proto::google::r#type::Money {
            currency_code: "EUR".to_owned(),
            units: 12,
            nanos: 500_000_000,
        });
        input.inducement = "spring-deal".to_owned();
        input.statements = vec![
            saying("gift.for", "mother"),
            StatementInput { kind: StatementKind::Boundary.into(), ..saying("alcohol", "never") },
        ];
        let request =
            RecordInteractionRequest { interaction: Some(input), request_id: "r1".to_owned(), ..Default::default() };
        let recorded = world.client.record_interaction(request.clone()).await.unwrap().into_inner();
        let again = world.client.record_interaction(request.clone()).await.unwrap().into_inner();
        assert_eq!(again, recorded);
        let other = RecordInteractionRequest { interaction: Some(happening(by_id(jane), "login")), ..request };
        assert_eq!(
            refusal(world.client.record_interaction(other).await),
            (Code::AlreadyExists, "REQUEST_ID_REUSED".into())
        );
        let interaction = recorded.interaction.unwrap();
        assert_eq!(interaction.customer_id, jane.to_string());
        assert_eq!(interaction.motivation, i32::from(Motivation::Incentivised));
        assert_eq!(interaction.value.as_ref().unwrap().units, 12);
        assert_eq!(interaction.arrived_as, by_email("Jane@Example.org"));
        assert_eq!((recorded.statements.len(), recorded.boundaries.len()), (2, 1));
        assert_eq!(recorded.boundaries[0].scope.as_ref().unwrap().topics, ["alcohol"]);
        let read = GetInteractionRequest {
            interaction_id: interaction.interaction_id.clone(),
            at_least: recorded.revision.clone(),
        };
        let read = world.client.get_interaction(read).await.unwrap().into_inner();
        assert_eq!((read.interaction, read.statements), (Some(interaction.clone()), recorded.statements));
        let list = ListInteractionsRequest {
            customer: by_id(jane),
            filter: "value > 12.0 && type == 'purchase.online'".to_owned(),
            ..Default::default()
        };
        let listed = world.client.list_interactions(list.clone()).await.unwrap().into_inner();
        assert_eq!(listed.interactions, std::slice::from_ref(&interaction));
        let wrong =
            ListInteractionsRequest { filter: "type = 1".to_owned(), page_size: -1, order_by: "x".to_owned(), ..list };
        assert_eq!(fields(world.client.list_interactions(wrong).await), ["page_size", "order_by", "filter"]);
        // Another tenant sees none of it.
        let mut foreign = client(&world.context, "other");
        let read = GetInteractionRequest { interaction_id: interaction.interaction_id, ..Default::default() };
        assert_eq!(refusal(foreign.get_interaction(read).await), (Code::NotFound, "INTERACTION_NOT_FOUND".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_field_is_told_at_once() {
    for mut world in worlds().await {
        let mut input = happening(None, "Not A Key");
        input.interaction_id = "int_x".to_owned();
        input.motivation = Motivation::Incentivised.into();
        input.direction = 99;
        input.statements = vec![
            StatementInput { topic: "t".to_owned(), ..Default::default() },
            StatementInput { confidence: 2.0, boundary_scope: Some(BoundaryScope::default()), ..saying("", "x") },
        ];
        let request =
            RecordInteractionRequest { interaction: Some(input), request_id: "a b".to_owned(), ..Default::default() };
        let mut told = fields(world.client.record_interaction(request).await);
        told.sort();
        assert_eq!(
            told,
            [
                "interaction.customer",
                "interaction.direction",
                "interaction.inducement",
                "interaction.interaction_id",
                "interaction.statements[0].value",
                "interaction.statements[1].boundary_scope",
                "interaction.statements[1].confidence",
                "interaction.statements[1].topic",
                "interaction.type",
                "request_id",
            ]
        );
        let none = RecordInteractionRequest::default();
        assert_eq!(fields(world.client.record_interaction(none).await), ["interaction"]);
        let unknown = RecordInteractionRequest {
            interaction: Some(happening(by_email("nobody@example.org"), "login")),
            ..Default::default()
        };
        assert_eq!(
            refusal(world.client.record_interaction(unknown).await),
            (Code::NotFound, "CUSTOMER_NOT_FOUND".into())
        );
        let consent = RecordConsentRequest { consents: vec![Consent::default()], ..Default::default() };
        let mut told = fields(world.client.record_consent(consent).await);
        told.sort();
        assert_eq!(told, ["consents[0].purpose", "consents[0].source", "consents[0].state", "customer"]);
        let boundary = SetBoundaryRequest::default();
        assert_eq!(fields(world.client.set_boundary(boundary).await), ["customer", "statement", "scope"]);
        let lift = LiftBoundaryRequest::default();
        assert_eq!(fields(world.client.lift_boundary(lift).await), ["boundary_id", "reason"]);
        let watch =
            WatchInteractionsRequest { cursor: "?".to_owned(), types: vec!["X".to_owned()], ..Default::default() };
        assert_eq!(
            fields(world.client.watch_interactions(watch).await.map(|_| tonic::Response::new(()))),
            ["cursor", "types[0]"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_customer_said_holds_until_it_is_superseded_or_taken_back() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let tell = |value: &str| RecordStatementRequest {
            customer: by_id(jane),
            statement: Some(saying("city", value)),
            source: "chat".to_owned(),
            ..Default::default()
        };
        let first = world.client.record_statement(tell("Bergen")).await.unwrap().into_inner().statement.unwrap();
        let second = world.client.record_statement(tell("Oslo")).await.unwrap().into_inner();
        assert_eq!(second.superseded, std::slice::from_ref(&first.statement_id));
        let second = second.statement.unwrap();
        assert_eq!((second.state, second.value.clone()), (StatementState::Current.into(), text("Oslo")));
        let list = ListStatementsRequest { customer: by_id(jane), include_history: true, ..Default::default() };
        let listed = world.client.list_statements(list.clone()).await.unwrap().into_inner().statements;
        let states: Vec<_> = listed.iter().map(|s| (s.statement_id.clone(), s.state())).collect();
        let expected = [
            (second.statement_id.clone(), StatementState::Current),
            (first.statement_id.clone(), StatementState::Superseded),
        ];
        assert_eq!(states, expected);
        assert_eq!(listed[1].superseded_by, second.statement_id);
        let retract = RetractStatementRequest {
            statement_id: second.statement_id.clone(),
            reason: "a joke".to_owned(),
            etag: second.etag,
            ..Default::default()
        };
        let gone = world.client.retract_statement(retract.clone()).await.unwrap().into_inner();
        assert_eq!(gone.restored.unwrap().statement_id, first.statement_id);
        assert_eq!(gone.statement.unwrap().retract_reason, "a joke");
        assert_eq!(refusal(world.client.retract_statement(retract).await), (Code::Aborted, "ETAG_STALE".into()));
        let current = ListStatementsRequest { include_history: false, at_least: gone.revision, ..list };
        let listed = world.client.list_statements(current).await.unwrap().into_inner().statements;
        assert_eq!(listed.iter().map(|s| s.value.clone()).collect::<Vec<_>>(), [text("Bergen")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_say_what_decided() {
    for mut world in worlds().await {
        let jane = world.identity.create(&world.context.ids, "jane@example.org");
        let consent = |state: ConsentState| RecordConsentRequest {
            customer: by_id(jane),
            consents: vec![Consent {
                purpose: "marketing".to_owned(),
                channel: "email".to_owned(),
                state: state.into(),
                source: "form".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let ask = |purpose: &str| GetPermissionsRequest {
            customer: by_id(jane),
            purpose: purpose.to_owned(),
            channel: "email".to_owned(),
            ..Default::default()
        };
        let granted = world.client.record_consent(consent(ConsentState::Granted)).await.unwrap().into_inner();
        let said = world.client.get_permissions(ask("marketing")).await.unwrap().into_inner();
        assert!(said.permissions[0].allowed);
        assert_eq!(said.permissions[0].consent_id, granted.consents[0].consent_id);
        world.client.record_consent(consent(ConsentState::Withdrawn)).await.unwrap();
        let said = world.client.get_permissions(ask("marketing")).await.unwrap().into_inner();
        assert_eq!(said.permissions[0].decided_by(), PermissionRule::ConsentWithdrawn);
        assert!(!said.permissions[0].allowed && said.permissions[0].explanation.contains("withdrawn"));
        let said = world.client.get_permissions(ask("transactional")).await.unwrap().into_inner();
        assert!(said.permissions[0].allowed);
        let set = SetBoundaryRequest {
            customer: by_id(jane),
            statement: "leave me alone".to_owned(),
            scope: Some(BoundaryScope { everything: true, ..Default::default() }),
            ..Default::default()
        };
        let set = world.client.set_boundary(set).await.unwrap().into_inner();
        let said = world.client.get_permissions(ask("transactional")).await.unwrap().into_inner();
        assert_eq!(said.permissions[0].decided_by(), PermissionRule::Boundary);
        assert_eq!(said.boundaries, [set.boundary.clone().unwrap()]);
        let boundary_id = set.boundary.unwrap().boundary_id;
        let lift = LiftBoundaryRequest { boundary_id, reason: "fine again".to_owned(), ..Default::default() };
        let lifted = world.client.lift_boundary(lift).await.unwrap().into_inner().boundary.unwrap();
        assert_eq!(lifted.lift_reason, "fine again");
        let said = world.client.get_permissions(ask("transactional")).await.unwrap().into_inner();
        assert!(said.permissions[0].allowed && said.boundaries.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_later_says_so() {
    for mut world in worlds().await {
        let later = world.client.next_question(NextQuestionRequest::default()).await;
        assert_eq!(refusal(later), (Code::Unimplemented, "NOT_YET_SERVED".into()));
        let later = world.client.make_promise(MakePromiseRequest::default()).await;
        assert_eq!(refusal(later), (Code::Unimplemented, "NOT_YET_SERVED".into()));
    }
}

#[test]
fn every_rpc_has_its_scope() {
    let declared = host::Catalog::get().of("rapport.interaction.v1.InteractionService");
    assert_eq!(declared.len(), ACCESS.len());
    for rpc in declared {
        assert!(ACCESS.iter().any(|(name, _)| *name == rpc.name), "{}", rpc.name);
    }
    assert!(NOT_YET_SERVED.iter().all(|later| ACCESS.iter().any(|(name, _)| name == later)));
    let reads = ["GetInteraction", "ListInteractions", "WatchInteractions", "ListStatements", "GetPermissions"];
    for (name, access) in ACCESS {
        let read = reads.iter().any(|read| name.ends_with(&format!("/{read}")));
        assert!(!read || *access == Access::Read, "{name}");
    }
}
