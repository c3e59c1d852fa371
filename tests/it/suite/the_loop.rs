//! Identify, differentiate, interact, customize: once around, with nothing but the public RPCs.

use anyhow::{Context, Result, ensure};
use it::{
    app::{App, by, by_id, chosen},
    suite::Shape,
    until::{LONG, until},
};
use rapport_proto::{
    customization::v1::{
        CreateTreatmentRequest, DecideResponse, GetDecisionRequest, GetRelationshipRequest, Guard,
        ReplayDecisionRequest, ReportOutcomeRequest, Treatment, because::Factor,
    },
    interaction::v1::{ListInteractionsRequest, ListStatementsRequest, RetractStatementRequest, SetBoundaryRequest},
    segmentation::v1::{GetDifferentiationRequest, ListMembersRequest},
    r#type::v1::BoundaryScope,
};
use serde_json::json;

in_both_shapes!(the_loop_closes, what_is_taken_back_no_longer_counts);

async fn the_loop_closes(shape: Shape) {
    once_around(&App::new(shape, "loop")).await.expect("the loop closes");
}

async fn once_around(app: &App) -> Result<()> {
    // Identify: the same person twice, one id.
    let identifiers = [("email", "Jane.Doe@Example.org"), ("crm", "4711")];
    let first = app.identify(&identifiers, json!({ "name": "Jane", "country": "NL" })).await?;
    ensure!(first.created && first.customer_id.starts_with("cust_"), "{first:?}");
    let again = app.identify(&[("email", "jane.doe@example.org")], json!({})).await?;
    ensure!(again.customer_id == first.customer_id && !again.created, "{again:?}");
    ensure!(!again.matched_by.is_empty(), "it says why: {again:?}");
    let jane = first.customer_id;

    // Interact: what happened, and what she told us.
    app.record(by("crm", "4711"), "purchase", 40).await?;
    let second = app.record(by_id(&jane), "purchase", 25).await?;
    ensure!(second.interaction.context("the interaction")?.customer_id == jane, "one customer, however named");

    // Differentiate: a segment by rule, with her in it.
    let segment = app.segment("dutch-buyers", r#"customer.country == "NL" && count("purchase") >= 2"#).await?;
    until("Jane is in the segment", LONG, || async {
        app.member(by_id(&jane), "dutch-buyers", &segment.revision).await.ok().filter(|member| *member)
    })
    .await;
    let members = ListMembersRequest { segment: "dutch-buyers".to_owned(), ..ListMembersRequest::default() };
    let mut members = app.segmentation().list_members(members).await?.into_inner();
    let page = members.message().await?.context("a page of members")?;
    ensure!(page.total_count == 1 && page.members.first().is_some_and(|m| m.customer_id == jane), "{page:?}");
    let worth = GetDifferentiationRequest {
        customer: Some(by_id(&jane)),
        at_least: second.revision,
        ..GetDifferentiationRequest::default()
    };
    let worth = app.segmentation().get_differentiation(worth).await?.into_inner();
    let rfm = worth.value.and_then(|value| value.rfm).context("RFM")?;
    ensure!(rfm.purchase_count == 2 && rfm.total.as_ref().is_some_and(|t| t.units == 65), "{rfm:?}");

    // Customize: a decision, what she says, and then another.
    app.treatment("greens", r#"statements["diet"] == "vegetarian""#, 10.0).await?;
    app.treatment("dutch", r#""dutch-buyers" in segments"#, 6.0).await?;
    app.treatment("plain", "", 5.0).await?;
    let ready = app.touchpoint("home", &["greens", "dutch", "plain"]).await?;
    let before = app.decide(by_id(&jane), "home", &ready).await?;
    ensure!(chosen(&before) == "dutch", "{before:?}");
    ensure!(before.excluded.iter().any(|e| e.treatment == "greens" && e.guard() == Guard::Eligibility), "{before:?}");
    let said = app.say(by("email", "jane.doe@example.org"), "diet", json!("vegetarian")).await?;
    let statement = said.statement.context("the statement")?.statement_id;
    let after = app.decide(by_id(&jane), "home", &said.revision).await?;
    ensure!(chosen(&after) == "greens", "{after:?}");
    let because = after
        .because
        .iter()
        .find(|because| because.factor == Some(Factor::StatementId(statement.clone())))
        .with_context(|| format!("because[] names the statement: {:?}", after.because))?;
    ensure!(because.without.first().is_some_and(|name| name == "dutch"), "without it, the same as before: {because:?}");
    logged_and_answered(app, &after).await?;

    // The three-part test.
    let about = GetRelationshipRequest {
        customer: Some(by_id(&jane)),
        at_least: after.revision,
        ..GetRelationshipRequest::default()
    };
    let relationship = app.customization().get_relationship(about).await?.into_inner();
    let parts = [&relationship.identified, &relationship.in_dialogue, &relationship.customised];
    let held = parts.map(|part| part.as_ref().is_some_and(|part| part.holds));
    ensure!(held == [true; 3] && relationship.relationship, "{relationship:?}");
    let effect = relationship.statements.iter().find(|s| s.statement_id == statement).context("the effect")?;
    ensure!(effect.heard && effect.decision_count >= 1, "{effect:?}");
    Ok(())
}

/// The decision can be read, replayed to the byte, and told how it went, once.
async fn logged_and_answered(app: &App, decision: &DecideResponse) -> Result<()> {
    let id = || decision.decision_id.clone();
    ensure!(id().starts_with("dec_"), "{decision:?}");
    let at_least = || decision.revision.clone();
    let replay = ReplayDecisionRequest { decision_id: id(), at_least: at_least(), ..ReplayDecisionRequest::default() };
    let replay = app.customization().replay_decision(replay).await?.into_inner();
    ensure!(replay.identical && replay.record == replay.logged_record, "{:?}", replay.differences);
    ensure!(!replay.record.is_empty(), "the record holds something");
    let outcome = ReportOutcomeRequest {
        decision_id: id(),
        outcome: "accepted".to_owned(),
        value: Some(it::app::money(12)),
        ..ReportOutcomeRequest::default()
    };
    let told = app.customization().report_outcome(outcome.clone()).await?.into_inner();
    ensure!(!told.duplicate && told.outcome.is_some_and(|o| o.treatment == "greens"), "the first treatment is meant");
    let again = app.customization().report_outcome(outcome).await?.into_inner();
    ensure!(again.duplicate, "the same outcome twice is one");
    let logged = GetDecisionRequest { decision_id: id(), at_least: at_least() };
    let logged = app.customization().get_decision(logged).await?.into_inner();
    ensure!(logged.outcomes.len() == 1, "{:?}", logged.outcomes);
    let record = logged.decision.context("the record")?;
    ensure!(record.decision_id == id() && record.treatments.first().is_some_and(|t| t.treatment == "greens"));
    Ok(())
}

async fn what_is_taken_back_no_longer_counts(shape: Shape) {
    taken_back(&App::new(shape, "taken-back")).await.expect("boundaries and retractions count");
}

async fn taken_back(app: &App) -> Result<()> {
    let ann = app.identify(&[("email", "ann@example.org")], json!({ "name": "Ann" })).await?.customer_id;
    let wine = Treatment {
        name: "wine".to_owned(),
        topics: vec!["alcohol.wine".to_owned()],
        value: 20.0,
        purpose: "transactional".to_owned(),
        ..Treatment::default()
    };
    let wine = CreateTreatmentRequest { treatment: Some(wine), ..CreateTreatmentRequest::default() };
    app.customization().create_treatment(wine).await?;
    app.treatment("tea", "", 5.0).await?;
    let ready = app.touchpoint("table", &["wine", "tea"]).await?;
    ensure!(chosen(&app.decide(by_id(&ann), "table", &ready).await?) == "wine");

    // A boundary on the topic above rules it out, and the decision says so.
    let boundary = SetBoundaryRequest {
        customer: Some(by_id(&ann)),
        statement: "I never want alcohol offers".to_owned(),
        scope: Some(BoundaryScope { topics: vec!["alcohol".to_owned()], ..BoundaryScope::default() }),
        ..SetBoundaryRequest::default()
    };
    let set = app.interaction().set_boundary(boundary).await?.into_inner();
    let boundary = set.boundary.context("the boundary")?.boundary_id;
    let bounded = app.decide(by_id(&ann), "table", &set.revision).await?;
    ensure!(chosen(&bounded) == "tea", "{bounded:?}");
    let ruled_out = bounded.excluded.iter().find(|e| e.treatment == "wine").context("wine was ruled out")?;
    ensure!(ruled_out.guard() == Guard::Boundary && ruled_out.boundary_ids.contains(&boundary), "{ruled_out:?}");
    let named = bounded.because.iter().any(|because| {
        matches!(&because.factor, Some(Factor::BoundaryId(id)) if *id == boundary)
            && because.without.first().is_some_and(|w| w == "wine")
    });
    ensure!(named, "because[] names the boundary: {:?}", bounded.because);

    // A later statement supersedes; taking it back lets the earlier one hold again.
    let first = app.say(by_id(&ann), "size", json!("small")).await?.statement.context("the first")?;
    let second = app.say(by_id(&ann), "size", json!("large")).await?;
    ensure!(second.superseded == [first.statement_id.clone()], "{second:?}");
    let retract = RetractStatementRequest {
        statement_id: second.statement.context("the second")?.statement_id,
        reason: "a slip".to_owned(),
        ..RetractStatementRequest::default()
    };
    let retracted = app.interaction().retract_statement(retract).await?.into_inner();
    ensure!(retracted.restored.is_some_and(|s| s.statement_id == first.statement_id));
    let list = ListStatementsRequest {
        customer: Some(by_id(&ann)),
        topic: "size".to_owned(),
        at_least: retracted.revision,
        ..ListStatementsRequest::default()
    };
    let held = app.interaction().list_statements(list.clone()).await?.into_inner().statements;
    ensure!(held.len() == 1 && held[0].statement_id == first.statement_id, "{held:?}");
    let history = ListStatementsRequest { include_history: true, ..list };
    ensure!(app.interaction().list_statements(history).await?.into_inner().statements.len() == 2, "history stays");

    // The timeline in pages.
    for euros in 1..=5 {
        app.record(by_id(&ann), "visit", euros).await?;
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = ListInteractionsRequest {
            customer: Some(by_id(&ann)),
            page_size: 2,
            page_token: token,
            filter: r#"type == "visit""#.to_owned(),
            ..ListInteractionsRequest::default()
        };
        let page = app.interaction().list_interactions(page).await?.into_inner();
        ensure!(page.interactions.len() <= 2);
        seen.extend(page.interactions.into_iter().map(|i| i.value.unwrap_or_default().units));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    ensure!(seen == [5, 4, 3, 2, 1], "latest first, each once: {seen:?}");
    Ok(())
}
