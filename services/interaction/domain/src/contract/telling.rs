//! Statements: the newest by event time stands, retraction undoes, history stays.

use std::time::Duration;

use serde_json::json;
use terms::{CustomerId, CustomerRef, PageRequest, Reason, Timestamp};

use super::world::{BEGIN, World, happening, saying};
use crate::{
    draft::{InteractionDraft, StatementDraft},
    filter::StatementFilter,
    lists::{ListStatements, list_statements},
    ports::How,
    record_interaction::record_interaction,
    record_statement::{RecordStatement, record_statement},
    retract_statement::{RetractStatement, StatementRetracted, retract_statement},
    statement::{Standing, StatementId, StatementState},
    store::{Demand, StatementOrder, Store},
};

fn at(topic: &str, value: f64, seconds: i64) -> StatementDraft {
    StatementDraft { occurred_at: Some(Timestamp(BEGIN.0 + seconds * 1_000_000)), ..saying(topic, value) }
}

async fn retract<S: Store + Clone>(world: &World<S>, id: StatementId) -> StatementRetracted {
    let wish = RetractStatement { statement: id, reason: "a slip".to_owned(), etag: String::new() };
    retract_statement(&world.ports, &world.caller, How::default(), wish).await.unwrap().value
}

fn all_of(customer: CustomerId) -> ListStatements {
    ListStatements {
        customer: CustomerRef::Id(customer),
        topic: String::new(),
        history: false,
        as_of: None,
        order: StatementOrder::Newest,
        filter: None,
        at_least: Demand::default(),
    }
}

async fn list<S: Store + Clone>(world: &World<S>, wish: &ListStatements, size: u32) -> Vec<Standing> {
    let mut all = Vec::new();
    let mut after = Vec::new();
    loop {
        let page = PageRequest { size, after };
        let (page, _) = list_statements(&world.ports, &world.caller, wish, &page).await.unwrap();
        all.extend(page.items);
        match page.next {
            Some(next) => after = next,
            None => return all,
        }
    }
}

async fn current<S: Store + Clone>(world: &World<S>, customer: CustomerId) -> Vec<StatementId> {
    list(world, &all_of(customer), 100).await.into_iter().map(|s| s.statement.id).collect()
}

pub(super) async fn the_newest_by_event_time_stands<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let middle = world.tell_as(jane, at("size", 2.0, -100)).await;
    assert_eq!((middle.statement.state, middle.superseded), (StatementState::Current, vec![]));
    let late = world.tell_as(jane, at("size", 1.0, -200)).await;
    assert_eq!(late.statement.state, StatementState::Superseded, "a late older one is history at once");
    assert_eq!(late.statement.superseded_by, Some(middle.statement.statement.id));
    let newest = world.tell_as(jane, at("size", 3.0, -50)).await;
    assert_eq!(newest.superseded, [middle.statement.statement.id]);
    world.tell_as(jane, at("size.shoe", 4.0, -300)).await;
    assert_eq!(current(world, jane).await.len(), 2, "topics stand side by side, also one below the other");
    // Within one interaction the later of two on one topic stands.
    let draft = InteractionDraft {
        statements: vec![saying("size", 5.0), saying("size", 6.0)],
        ..happening(CustomerRef::Id(jane), "survey")
    };
    let recorded = record_interaction(&world.ports, &world.caller, How::default(), &draft).await.unwrap().value;
    let states: Vec<_> = recorded.statements.iter().map(|s| s.state).collect();
    assert_eq!(states, [StatementState::Superseded, StatementState::Current]);
    assert_eq!(current(world, jane).await[0], recorded.statements[1].statement.id);
}

pub(super) async fn a_retraction_is_as_if_it_had_never_been_said<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let first = world.tell_as(jane, at("diet", 1.0, -30)).await.statement.statement.id;
    let second = world.tell_as(jane, at("diet", 2.0, -20)).await.statement.statement.id;
    let third = world.tell_as(jane, at("diet", 3.0, -10)).await.statement.statement.id;
    let gone = retract(world, second).await;
    assert_eq!((gone.statement.state, gone.restored), (StatementState::Retracted, None), "it did not stand");
    assert_eq!(current(world, jane).await, [third]);
    let gone = retract(world, third).await;
    assert_eq!(gone.restored.map(|s| s.statement.id), Some(first));
    assert_eq!(current(world, jane).await, [first]);
    world.pass(5);
    let again = retract(world, third).await;
    assert_eq!(
        again.statement.statement.retraction, gone.statement.statement.retraction,
        "the first retraction counts"
    );
    let stale = RetractStatement { statement: third, reason: String::new(), etag: "1".to_owned() };
    let stale = retract_statement(&world.ports, &world.caller, How::default(), stale).await;
    assert_eq!(stale.unwrap_err().reason(), Reason::EtagStale);
    let none = RetractStatement { statement: world.ports.ids.next(), reason: String::new(), etag: String::new() };
    let none = retract_statement(&world.ports, &world.caller, How::default(), none).await;
    assert_eq!(none.unwrap_err().reason(), Reason::StatementNotFound);
    assert!(retract(world, first).await.restored.is_none());
    assert!(current(world, jane).await.is_empty());
    assert!(world.ports.store.portrait(&world.caller.tenant, jane).await.unwrap().statements.is_empty());
}

pub(super) async fn what_has_expired_does_not_bring_back_the_older<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let until = BEGIN + Duration::from_secs(60);
    let old = world.tell(jane, "mood", "fine").await.statement.statement.id;
    world.pass(1);
    let passing = StatementDraft { valid_until: Some(until), ..saying("mood", "hurried") };
    let passing = world.tell_as(jane, passing).await.statement.statement.id;
    assert_eq!(current(world, jane).await, [passing]);
    world.pass(60);
    assert!(current(world, jane).await.is_empty());
    let states: Vec<_> =
        list(world, &ListStatements { history: true, ..all_of(jane) }, 10).await.iter().map(|s| s.state).collect();
    assert_eq!(states, [StatementState::Expired, StatementState::Superseded]);
    assert_eq!(retract(world, passing).await.restored.map(|s| s.statement.id), Some(old));
}

pub(super) async fn history_is_told_as_it_was_known<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let first = world.tell(jane, "city", "Bergen").await.statement.statement.id;
    let after_first = world.pass(10);
    world.pass(10);
    let second = world.tell(jane, "city", "Oslo").await.statement.statement.id;
    let after_second = world.pass(10);
    world.pass(10);
    retract(world, second).await;
    let known = async |as_of| {
        let wish = ListStatements { as_of, ..all_of(jane) };
        list(world, &wish, 10).await.into_iter().map(|s| s.statement.id).collect::<Vec<_>>()
    };
    assert!(known(Some(Timestamp(BEGIN.0 - 1))).await.is_empty());
    assert_eq!(known(Some(after_first)).await, [first]);
    assert_eq!(known(Some(after_second)).await, [second]);
    assert_eq!(known(None).await, [first]);
}

pub(super) async fn statements_are_paged_and_sifted<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    for (i, topic) in ["b", "a.x", "a", "ab", "a.y"].into_iter().enumerate() {
        world.tell_as(jane, at(topic, i as f64, [-5, -1, -4, -4, -2][i])).await;
    }
    let topics = |found: Vec<Standing>| found.into_iter().map(|s| s.statement.topic).collect::<Vec<_>>().join(" ");
    for size in [1, 2, 5, 6] {
        let by = |order| ListStatements { order, ..all_of(jane) };
        assert_eq!(topics(list(world, &by(StatementOrder::Newest), size).await), "a.x a.y ab a b");
        assert_eq!(topics(list(world, &by(StatementOrder::Oldest), size).await), "b a ab a.y a.x");
        assert_eq!(topics(list(world, &by(StatementOrder::Topic), size).await), "a a.x a.y ab b");
        let below = ListStatements { topic: "a".to_owned(), ..by(StatementOrder::Topic) };
        assert_eq!(topics(list(world, &below, size).await), "a a.x a.y");
        let filter = StatementFilter::compile("filter", "value >= 2.0 && kind == 'fact'").unwrap();
        assert_eq!(
            topics(list(world, &ListStatements { filter, ..by(StatementOrder::Topic) }, size).await),
            "a a.y ab"
        );
    }
}

pub(super) async fn an_own_statement_id_is_recorded_once<S: Store + Clone>(world: &World<S>) {
    let jane = world.customer("jane@example.org");
    let draft =
        StatementDraft { id: Some(world.ports.ids.next()), ..saying("likes", json!(["tea", {"with": "milk"}])) };
    let told = RecordStatement {
        customer: CustomerRef::Id(jane),
        statement: draft,
        source_interaction: None,
        source: String::new(),
    };
    let tell = async |told: &RecordStatement| {
        record_statement(&world.ports, &world.caller, How::default(), told).await.map(|written| written.value)
    };
    let first = tell(&told).await.unwrap();
    let again = tell(&told).await.unwrap();
    assert!(again.duplicate && !first.duplicate);
    assert_eq!(again.statement, first.statement);
    let other = RecordStatement { source: "crm".to_owned(), ..told.clone() };
    assert_eq!(tell(&other).await.unwrap_err().reason(), Reason::IdReused);
    let nowhere =
        RecordStatement { source_interaction: Some(world.ports.ids.next()), statement: saying("x", 1.0), ..told };
    assert_eq!(tell(&nowhere).await.unwrap_err().reason(), Reason::InteractionNotFound);
}
