//! Boundaries and consents: what may be said.

use serde_json::Value;
use terms::{CustomerId, CustomerRef, Reason, Timestamp};

use super::world::{BEGIN, World, happening, saying};
use crate::{
    boundary::{Boundary, Scope},
    consent::{Consent, ConsentState, LawfulBasis},
    draft::{InteractionDraft, StatementDraft},
    get_dialogue::{Contacts, Dialogue, GetDialogue, get_dialogue},
    get_permissions::{GetPermissions, Permissions, get_permissions},
    interaction::Direction,
    lift_boundary::{LiftBoundary, lift_boundary},
    permission::Rule,
    ports::How,
    record_consent::{ConsentDraft, RecordConsent, record_consent},
    record_interaction::record_interaction,
    retract_statement::{RetractStatement, retract_statement},
    set_boundary::{SetBoundary, set_boundary},
    statement::{StatementKind, StatementState},
    store::{Demand, Store},
};

pub(super) fn consent(state: ConsentState, channel: &str) -> ConsentDraft {
    ConsentDraft {
        purpose: "marketing".to_owned(),
        channel: channel.to_owned(),
        topic: String::new(),
        state: Some(state),
        basis: LawfulBasis::Consent,
        source: "form".to_owned(),
        evidence: "yes, please".to_owned(),
        valid_from: None,
        valid_until: None,
        occurred_at: None,
    }
}

pub(super) async fn consents<S: Store + Clone>(
    world: &World<S>,
    customer: CustomerId,
    drafts: Vec<ConsentDraft>,
) -> Vec<Consent> {
    let said = RecordConsent { customer: CustomerRef::Id(customer), consents: drafts, source_interaction: None };
    record_consent(&world.ports, &world.caller, How::default(), &said).await.unwrap().value
}

pub(super) async fn permissions<S: Store + Clone>(world: &World<S>, customer: CustomerId) -> Permissions {
    let wish = GetPermissions {
        customer: CustomerRef::Id(customer),
        purpose: String::new(),
        channel: String::new(),
        topic: String::new(),
        as_of: None,
        at_least: Demand::default(),
    };
    get_permissions(&world.ports, &world.caller, &wish).await.unwrap()
}

pub(super) async fn rule<S: Store + Clone>(
    world: &World<S>,
    customer: CustomerId,
    purpose: &str,
    channel: &str,
    topic: &str,
) -> Rule {
    let wish = GetPermissions {
        customer: CustomerRef::Id(customer),
        purpose: purpose.to_owned(),
        channel: channel.to_owned(),
        topic: topic.to_owned(),
        as_of: None,
        at_least: Demand::default(),
    };
    let found = get_permissions(&world.ports, &world.caller, &wish).await.unwrap();
    let exact = found.permissions.iter().find(|p| p.purpose == purpose && p.channel == channel && p.topic == topic);
    exact.expect("what was asked is answered").rule
}

async fn lift<S: Store + Clone>(world: &World<S>, boundary: &Boundary, etag: &str) -> Result<Boundary, terms::Fault> {
    let wish = LiftBoundary { boundary: boundary.id, reason: "I changed my mind".to_owned(), etag: etag.to_owned() };
    Ok(lift_boundary(&world.ports, &world.caller, How::default(), wish).await?.value)
}

pub(super) async fn a_boundary_and_its_statement_are_one_thing<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let never = StatementDraft { kind: StatementKind::Boundary, ..saying("alcohol", "I never want alcohol offers") };
    let told = world.tell_as(jane, never.clone()).await;
    let boundary = told.boundary.expect("a boundary");
    assert_eq!((&boundary.scope, boundary.words.as_str()), (&Scope::topic("alcohol"), "I never want alcohol offers"));
    assert_eq!(told.statement.statement.boundary, Some(boundary.id));
    assert_eq!(rule(world, jane, "transactional", "email", "alcohol.wine").await, Rule::Boundary);
    assert_eq!(rule(world, jane, "transactional", "email", "cheese").await, Rule::Transactional);
    // Retracting the statement lifts the boundary.
    let wish =
        RetractStatement { statement: told.statement.statement.id, reason: "not me".to_owned(), etag: String::new() };
    let retracted = retract_statement(&world.ports, &world.caller, How::default(), wish).await.unwrap().value;
    assert_eq!(retracted.lifted.map(|b| b.id), Some(boundary.id));
    assert_eq!(rule(world, jane, "transactional", "email", "alcohol").await, Rule::Transactional);
    assert!(permissions(world, jane).await.boundaries.is_empty());
    // Lifting the boundary retracts the statement.
    let wish = SetBoundary {
        customer: CustomerRef::Id(jane),
        words: "no text messages".to_owned(),
        scope: Scope { channels: vec!["sms".to_owned()], ..Scope::default() },
        source_interaction: None,
        occurred_at: None,
        valid_until: None,
        source: "phone".to_owned(),
    };
    let set = set_boundary(&world.ports, &world.caller, How::default(), &wish).await.unwrap().value;
    assert_eq!(set.statement.statement.value, Value::String("no text messages".to_owned()));
    assert_eq!(set.statement.state, StatementState::Current);
    assert_eq!(rule(world, jane, "transactional", "sms", "").await, Rule::Boundary);
    assert_eq!(lift(world, &set.boundary, "stale").await.unwrap_err().reason(), Reason::EtagStale);
    let lifted = lift(world, &set.boundary, &set.boundary.etag()).await.unwrap();
    assert_eq!(lifted.lifted.as_ref().map(|l| l.reason.as_str()), Some("I changed my mind"));
    world.pass(9);
    assert_eq!(lift(world, &set.boundary, "").await.unwrap(), lifted, "lifting again changes nothing");
    assert!(world.ports.store.portrait(&world.caller.tenant, jane).await.unwrap().statements.is_empty());
    assert_eq!(rule(world, jane, "transactional", "sms", "").await, Rule::Transactional);
}

pub(super) async fn a_boundary_ends_only_by_being_lifted<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let never = StatementDraft { kind: StatementKind::Boundary, ..saying("alcohol", "never") };
    let told = world.tell_as(jane, never).await;
    world.pass(1);
    let newer = world.tell(jane, "alcohol", "red wine").await;
    assert_eq!(newer.superseded, [told.statement.statement.id]);
    assert_eq!(rule(world, jane, "marketing", "email", "alcohol").await, Rule::Boundary);
    lift(world, &told.boundary.unwrap(), "").await.unwrap();
    assert_eq!(rule(world, jane, "marketing", "email", "alcohol").await, Rule::None);
    let missing = LiftBoundary { boundary: world.ports.ids.next(), reason: "x".to_owned(), etag: String::new() };
    let missing = lift_boundary(&world.ports, &world.caller, How::default(), missing).await;
    assert_eq!(missing.unwrap_err().reason(), Reason::BoundaryNotFound);
}

pub(super) async fn a_dialogue_is_counted_in_its_period_and_held_against_boundaries<S: Store + Clone>(
    world: &World<S>,
) {
    let (jane, j) = (world.customer("jane@example.org"), world.customer("j@example.org"));
    let decision = world.ports.ids.next();
    let say = async |customer, direction, channel: &str, decision| {
        let draft = happening(CustomerRef::Id(customer), "message");
        let draft = InteractionDraft { direction, channel: channel.to_owned(), decision, ..draft };
        record_interaction(&world.ports, &world.caller, How::default(), &draft).await.unwrap();
        world.pass(60);
    };
    let set = async |scope: Scope| {
        let (customer, words) = (CustomerRef::Id(jane), "not that".to_owned());
        let (source_interaction, occurred_at, valid_until, source) = (None, None, None, String::new());
        let wish = SetBoundary { customer, words, scope, source_interaction, occurred_at, valid_until, source };
        set_boundary(&world.ports, &world.caller, How::default(), &wish).await.unwrap().value.boundary
    };
    let dialogue = async |customer, since| {
        let wish = GetDialogue { customer: CustomerRef::Id(customer), since, at_least: Demand::default() };
        get_dialogue(&world.ports, &world.caller, &wish).await.unwrap().0
    };
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    assert_eq!(dialogue(jane, Timestamp::EPOCH).await, Dialogue::default());
    say(jane, outbound, "sms", None).await;
    let sms = set(Scope { channels: vec!["sms".to_owned()], ..Scope::default() }).await;
    say(jane, inbound, "sms", None).await;
    say(jane, outbound, "sms", None).await;
    let later = world.pass(0);
    let alcohol = set(Scope::topic("alcohol")).await;
    for channel in ["sms", "email", "email"] {
        say(jane, outbound, channel, Some(decision)).await;
    }
    say(jane, outbound, "post", None).await;
    say(j, outbound, "email", None).await;
    let contacts = |boundary: &Boundary, count, decisions: &[_]| Contacts {
        boundary: boundary.id,
        count,
        decisions: decisions.to_vec(),
    };
    let all = dialogue(jane, Timestamp::EPOCH).await;
    assert_eq!((all.inbound, all.outbound, all.organic), (1, 6, 7));
    assert_eq!(all.contacts, [contacts(&sms, 2, &[(decision, 1)]), contacts(&alcohol, 4, &[(decision, 3)])]);
    // Only what happened in the period; a boundary that was lifted is none.
    lift(world, &alcohol, "").await.unwrap();
    let period = dialogue(jane, later).await;
    assert_eq!((period.inbound, period.outbound), (0, 4));
    assert_eq!(period.contacts, [contacts(&sms, 1, &[(decision, 1)])]);
    // Whoever was merged in spoke too.
    world.hear(world.directory.merge(j, jane)).await;
    assert_eq!(dialogue(j, Timestamp::EPOCH).await.outbound, 7);
    let unknown =
        GetDialogue { customer: CustomerRef::Id(world.ports.ids.next()), since: later, at_least: Demand::default() };
    let unknown = get_dialogue(&world.ports, &world.caller, &unknown).await;
    assert_eq!(unknown.unwrap_err().reason(), Reason::CustomerNotFound);
}

pub(super) async fn consents_are_decided_by_the_algebra<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::None);
    let given = consents(
        world,
        jane,
        vec![
            consent(ConsentState::Granted, "email"),
            ConsentDraft { basis: LawfulBasis::LegitimateInterest, ..consent(ConsentState::Granted, "post") },
            ConsentDraft {
                valid_until: Some(Timestamp(BEGIN.0 + 60_000_000)),
                ..consent(ConsentState::Granted, "app")
            },
        ],
    )
    .await;
    assert_eq!(given.iter().map(|c| c.channel.as_str()).collect::<Vec<_>>(), ["email", "post", "app"]);
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::ConsentGranted);
    assert_eq!(rule(world, jane, "marketing", "post", "").await, Rule::LegitimateInterest);
    assert_eq!(rule(world, jane, "marketing", "app", "").await, Rule::ConsentGranted);
    let read = permissions(world, jane).await;
    assert_eq!(read.consents, given);
    assert!(read.permissions.iter().any(|p| p.purpose == "research" && p.rule == Rule::None));
    world.pass(60);
    assert_eq!(rule(world, jane, "marketing", "app", "").await, Rule::ConsentExpired);
    consents(world, jane, vec![consent(ConsentState::Withdrawn, "email"), consent(ConsentState::Denied, "post")]).await;
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::ConsentWithdrawn);
    assert_eq!(rule(world, jane, "marketing", "post", "").await, Rule::ConsentDenied);
    assert_eq!(rule(world, jane, "transactional", "email", "").await, Rule::Transactional);
    world.pass(1);
    consents(world, jane, vec![consent(ConsentState::Granted, "email")]).await;
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::ConsentGranted, "a mind can change");
    let said = RecordConsent { customer: CustomerRef::Id(jane), consents: vec![], source_interaction: None };
    let none = record_consent(&world.ports, &world.caller, How::default(), &said).await;
    assert_eq!(none.unwrap_err().reason(), Reason::InvalidFields);
}

pub(super) async fn the_strictest_wins_when_customers_merge<S: Store + Clone>(world: &World<S>) {
    let (jane, j) = (world.customer("jane@example.org"), world.customer("j@example.org"));
    consents(world, j, vec![consent(ConsentState::Denied, "email")]).await;
    world.pass(10);
    consents(world, jane, vec![consent(ConsentState::Granted, "email")]).await;
    world.pass(10);
    world.hear(world.directory.merge(j, jane)).await;
    for id in [jane, j] {
        assert_eq!(rule(world, id, "marketing", "email", "").await, Rule::ConsentDenied, "a newer grant of the other");
    }
    assert_eq!(rule(world, jane, "transactional", "email", "").await, Rule::Transactional);
    world.pass(10);
    consents(world, jane, vec![consent(ConsentState::Granted, "email")]).await;
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::ConsentGranted, "they speak for both now");
    world.pass(10);
    world.hear(world.directory.split(jane, j, &[])).await;
    assert_eq!(rule(world, jane, "marketing", "email", "").await, Rule::ConsentGranted);
    assert_eq!(rule(world, j, "marketing", "email", "").await, Rule::ConsentDenied, "each goes back");
}
