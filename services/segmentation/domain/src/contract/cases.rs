//! Memberships: events, traits, statements, the clock, merges and splits.

use std::time::Duration;

use super::*;
use crate::{
    membership::Reason,
    rfm::{Quintiles, Rfm},
};

const HOUR: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

/// Hard case 7: "≥ 1 in 7 d" and "0 in 7 d" while only the clock moves.
pub async fn windows_open_and_close_by_the_clock(exam: Exam) {
    let one = exam.rule("active", r#"count("login", duration("7d")) >= 1"#).await;
    let none = exam.rule("lapsed", r#"count("login", duration("7d")) == 0"#).await;
    let jane = customer(1);
    exam.meet(jane, &[]).await;
    assert_eq!(exam.inside(jane).await, names(&["lapsed"]));
    exam.wait(HOUR).await;
    let login = exam.clock.now();
    exam.happen(jane, "login").await;
    assert_eq!(exam.inside(jane).await, names(&["active"]));
    exam.wait(7 * DAY - SECOND).await;
    assert_eq!(exam.inside(jane).await, names(&["active"]), "one second before");
    // However late it is noticed, it took effect at its second.
    exam.wait(5 * DAY).await;
    let due = login + 7 * DAY;
    assert_eq!(exam.since(jane, &none).await, Some((due, Reason::Clock)));
    let stays = exam.stays(jane, &one).await;
    assert_eq!(
        stays.iter().map(|s| (s.membership.since, s.until, s.left)).collect::<Vec<_>>(),
        [(login, due, Reason::Clock)]
    );
    // A repeat enters once, and keeps the window open.
    exam.happen(jane, "login").await;
    let again = exam.clock.now();
    exam.wait(3 * DAY).await;
    exam.happen(jane, "login").await;
    assert_eq!(exam.since(jane, &one).await, Some((again, Reason::Event)));
    exam.wait(5 * DAY).await;
    assert_eq!(exam.inside(jane).await, names(&["active"]));
    exam.wait(2 * DAY).await;
    assert_eq!(exam.inside(jane).await, names(&["lapsed"]));
    assert_eq!(exam.stays(jane, &one).await.len(), 2);
    assert_eq!(exam.stays(jane, &none).await.len(), 2);
    exam.audit().await;
}

/// Hard case 8: "1 to 2 events within [from, to]"; a late third and a duplicate; and a segment created afterwards.
pub async fn one_to_two_events_between_two_instants(exam: Exam) {
    const RULE: &str =
        r#"count("visit", timestamp("2026-01-02T00:00:00Z"), timestamp("2026-01-05T00:00:00Z")) in [1, 2]"#;
    let before = exam.rule("before", RULE).await;
    let jane = customer(1);
    exam.meet(jane, &[]).await;
    exam.wait(DAY + HOUR).await;
    exam.happen(jane, "visit").await;
    exam.wait(HOUR).await;
    let second = exam.event(jane, "visit", exam.clock.now());
    exam.hear(What::Interaction { customer: jane, event: second.clone() }).await;
    assert_eq!(exam.inside(jane).await, names(&["before"]));
    exam.wait(10 * DAY).await;
    assert_eq!(exam.inside(jane).await, names(&["before"]), "the span is over, the count stays");
    exam.hear(What::Interaction { customer: jane, event: second.clone() }).await;
    assert_eq!(exam.inside(jane).await, names(&["before"]), "the same event is no third");
    let third = exam.event(jane, "visit", BEGIN + 2 * DAY);
    for _ in 0..2 {
        exam.hear(What::Interaction { customer: jane, event: third.clone() }).await;
        exam.hear(What::Interaction { customer: jane, event: second.clone() }).await;
    }
    assert_eq!(exam.inside(jane).await, names(&[]));
    assert_eq!(exam.stays(jane, &before).await.len(), 1, "out exactly once");
    let after = exam.rule("after", RULE).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    let bob = customer(2);
    exam.happen_at(bob, "visit", BEGIN + 3 * DAY).await;
    assert_eq!(exam.inside(bob).await, names(&["before", "after"]));
    exam.happen_at(bob, "visit", BEGIN + 4 * DAY + SECOND).await;
    assert_eq!(exam.inside(bob).await, names(&["before", "after"]), "past the end of the span");
    exam.happen_at(bob, "visit", BEGIN + 4 * DAY).await;
    exam.happen_at(bob, "visit", BEGIN + DAY).await;
    assert_eq!(exam.inside(bob).await, names(&[]), "both ends belong to the span");
    for segment in [&before, &after] {
        assert_eq!(exam.stays(bob, segment).await.len(), 1, "out exactly once");
    }
    exam.audit().await;
}

/// Somebody of whom nothing is known but that they exist belongs to absences; from the first time they are heard of.
pub async fn absence_begins_when_the_customer_is_known(exam: Exam) {
    exam.rule("silent", r#"count("login") == 0"#).await;
    let (jane, bob) = (customer(1), customer(2));
    exam.happen(jane, "something.else").await;
    assert_eq!(exam.inside(jane).await, names(&["silent"]));
    exam.hear(What::Merged { loser: bob, survivor: customer(3) }).await;
    assert_eq!(exam.inside(customer(3)).await, names(&["silent"]));
    assert_eq!(exam.inside(bob).await, names(&[]));
    exam.audit().await;
}

/// "X, then not Y within d": each unanswered X whose time is over counts, at its second.
pub async fn an_answer_that_does_not_come(exam: Exam) {
    let cold = exam.rule("cold", r#"did("offer").then_not("answer", duration("24h"))"#).await;
    let (jane, bob) = (customer(1), customer(2));
    let offered = exam.clock.now();
    exam.happen(jane, "offer").await;
    exam.happen(bob, "offer").await;
    exam.wait(23 * HOUR).await;
    exam.happen(bob, "answer.no").await;
    exam.wait(3 * HOUR).await;
    assert_eq!(exam.since(jane, &cold).await, Some((offered + DAY, Reason::Clock)));
    assert_eq!(exam.inside(bob).await, names(&[]));
    // An answer that was given in time, and is heard of late.
    exam.happen_at(jane, "answer", offered + HOUR).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    exam.audit().await;
}

/// Golden traits, statements; missing ones; types; reasons.
pub async fn traits_and_statements_count(exam: Exam) {
    let local = exam.rule("local", r#"customer.country == "NO" && customer.kind == "person""#).await;
    let vegan = exam.rule("vegan", r#"statements["diet"] == "vegan""#).await;
    let jane = customer(1);
    exam.meet(jane, &[("country", "SE".into()), ("kind", "person".into())]).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    exam.wait(HOUR).await;
    exam.meet(jane, &[("country", "NO".into())]).await;
    assert_eq!(exam.since(jane, &local).await, Some((exam.clock.now(), Reason::Trait)));
    let mut diet = exam.statement(jane, "diet", "vegan");
    exam.hear(What::Statement { customer: jane, statement: diet.clone() }).await;
    assert_eq!(exam.since(jane, &vegan).await.map(|s| s.1), Some(Reason::Statement));
    // The older state of the statement changes nothing; a retraction does.
    diet.retracted = true;
    diet.told_at = Position::START;
    exam.hear(What::Statement { customer: jane, statement: diet.clone() }).await;
    assert_eq!(exam.inside(jane).await, names(&["local", "vegan"]));
    diet.told_at = exam.position();
    exam.hear(What::Statement { customer: jane, statement: diet }).await;
    assert_eq!(exam.inside(jane).await, names(&["local"]));
    exam.meet(jane, &[("country", Value::Null)]).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    exam.audit().await;
}

/// A statement stops holding at its instant.
pub async fn a_statement_ends_by_the_clock(exam: Exam) {
    let away = exam.rule("away", r#"has(statements.holiday)"#).await;
    let jane = customer(1);
    let until = exam.clock.now() + 2 * DAY;
    let statement = Statement { valid_until: Some(until), ..exam.statement(jane, "holiday", true) };
    exam.hear(What::Statement { customer: jane, statement }).await;
    assert_eq!(exam.inside(jane).await, names(&["away"]));
    exam.wait(3 * DAY).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    assert_eq!(exam.stays(jane, &away).await.first().map(|s| (s.until, s.left)), Some((until, Reason::Clock)));
    exam.audit().await;
}

/// The same events late, twice and in another order make the same members.
pub async fn late_and_double_events(exam: Exam) {
    exam.rule("buyer", r#"count("purchase", duration("30d")) >= 2 && sum("purchase", "value", duration("30d")) > 50"#)
        .await;
    exam.rule("shopper", r#"count("purchase.shop") > 0"#).await;
    let (jane, bob) = (customer(1), customer(2));
    let buy = |who, kind: &str, days: u32, units: i64| Event {
        micros: Some(units * 1_000_000),
        currency: "EUR".into(),
        ..exam.event(who, kind, BEGIN + days * DAY)
    };
    exam.wait(20 * DAY).await;
    for (who, order) in [(jane, [0, 1, 2]), (bob, [2, 0, 1])] {
        let events = [buy(who, "purchase", 1, 20), buy(who, "purchase.shop", 8, 40), buy(who, "other", 9, 100)];
        for n in order {
            for _ in 0..2 {
                exam.hear(What::Interaction { customer: who, event: events[n].clone() }).await;
            }
        }
        assert_eq!(exam.inside(who).await, names(&["buyer", "shopper"]));
    }
    exam.wait(12 * DAY).await;
    for who in [jane, bob] {
        assert_eq!(exam.inside(who).await, names(&["shopper"]));
    }
    exam.audit().await;
}

/// Where two feeds meet: an interaction for the loser before the merge, after it, and both.
pub async fn an_event_and_a_merge_in_any_order(exam: Exam) {
    let three = exam.rule("three", r#"count("visit") >= 3"#).await;
    let lone = exam.rule("lone", r#"count("visit") <= 1"#).await;
    let (loser, survivor) = (customer(1), customer(2));
    exam.happen(loser, "visit").await;
    exam.happen(survivor, "visit").await;
    assert_eq!(exam.inside(loser).await, names(&["lone"]));
    exam.hear(What::Merged { loser, survivor }).await;
    assert_eq!(exam.inside(loser).await, names(&[]));
    assert_eq!(exam.stays(loser, &lone).await.len(), 0, "a stay of no length is none");
    assert_eq!(exam.inside(survivor).await, names(&[]));
    exam.wait(HOUR).await;
    exam.happen(loser, "visit").await;
    assert_eq!(exam.since(survivor, &three).await, Some((exam.clock.now(), Reason::Event)));
    let located = exam.store.locate(&exam.tenant, loser).await.unwrap().unwrap();
    assert_eq!((located.customer, located.erased), (survivor, false));
    assert_eq!(exam.store.locate(&exam.tenant, customer(9)).await.unwrap(), None);
    exam.audit().await;
}

/// A merge undone: everything goes back to the id under which it had arrived.
pub async fn a_split_gives_back_what_had_arrived(exam: Exam) {
    exam.rule("two", r#"count("visit") == 2"#).await;
    exam.rule("one", r#"count("visit") == 1"#).await;
    let (a, b, c) = (customer(1), customer(2), customer(3));
    for who in [a, b, c, c] {
        exam.happen(who, "visit").await;
    }
    exam.hear(What::Merged { loser: a, survivor: b }).await;
    exam.hear(What::Merged { loser: b, survivor: c }).await;
    assert_eq!(exam.inside(c).await, names(&[]));
    exam.hear(What::Split { from: c, to: b, ids: vec![a, b] }).await;
    assert_eq!(exam.inside(b).await, names(&["two"]));
    assert_eq!(exam.inside(c).await, names(&["two"]));
    exam.hear(What::Split { from: b, to: a, ids: vec![a] }).await;
    for who in [a, b] {
        assert_eq!(exam.inside(who).await, names(&["one"]));
    }
    exam.happen(a, "visit").await;
    assert_eq!(exam.inside(a).await, names(&["two"]));
    exam.audit().await;
}

/// A split by identifier: interaction says which interactions and statements move.
pub async fn interactions_that_were_moved(exam: Exam) {
    exam.rule("visitor", r#"count("visit") >= 1"#).await;
    exam.rule("vegan", r#"statements["diet"] == "vegan""#).await;
    let (from, to) = (customer(1), customer(2));
    let visit = exam.happen(from, "visit").await;
    let diet = exam.statement(from, "diet", "vegan");
    let diet_id = diet.id;
    exam.hear(What::Statement { customer: from, statement: diet }).await;
    exam.hear(What::Split { from, to, ids: vec![to] }).await;
    let moved = What::Moved { from, to, interactions: vec![visit], statements: vec![diet_id] };
    for _ in 0..2 {
        exam.hear(moved.clone()).await;
        assert_eq!(exam.inside(from).await, names(&[]));
        assert_eq!(exam.inside(to).await, names(&["vegan", "visitor"]));
    }
    // Told, moved and told again in one batch.
    let event = exam.event(from, "visit", exam.clock.now());
    let id = event.id;
    let told = exam.news(What::Interaction { customer: from, event });
    let moved = exam.news(What::Moved { from, to: customer(3), interactions: vec![id], statements: vec![] });
    exam.hear_all(vec![told.clone(), moved, told]).await;
    assert_eq!(exam.inside(customer(3)).await, names(&["visitor"]));
    assert_eq!(exam.inside(from).await, names(&[]));
    exam.audit().await;
}

/// Merges heard in the wrong order, as when two partitions are read at different speeds.
pub async fn a_later_merge_heard_first(exam: Exam) {
    exam.rule("two", r#"count("visit") == 2"#).await;
    let (a, b, c) = (customer(1), customer(2), customer(3));
    exam.happen(a, "visit").await;
    exam.happen(b, "visit").await;
    let first = exam.news(What::Merged { loser: a, survivor: b });
    let second = exam.news(What::Merged { loser: b, survivor: c });
    let third = exam.news(What::Split { from: c, to: a, ids: vec![a] });
    exam.hear_all(vec![second.clone()]).await;
    exam.hear_all(vec![first.clone()]).await;
    assert_eq!(exam.inside(c).await, names(&["two"]));
    exam.hear_all(vec![third]).await;
    exam.hear_all(vec![first, second]).await;
    exam.happen(a, "visit").await;
    assert_eq!(exam.inside(a).await, names(&["two"]), "what was heard again does not merge again");
    exam.audit().await;
}

/// Nothing brings an erased customer back.
pub async fn an_erased_customer_stays_erased(exam: Exam) {
    let seen = exam.rule("seen", r#"count("visit") >= 0"#).await;
    let (loser, survivor) = (customer(1), customer(2));
    exam.happen(loser, "visit").await;
    exam.hear(What::Merged { loser, survivor }).await;
    exam.wait(HOUR).await;
    exam.hear(What::Erased { ids: vec![survivor, loser] }).await;
    let statement = exam.statement(survivor, "diet", "vegan");
    let late = exam.news(What::Statement { customer: survivor, statement });
    exam.hear_all(vec![late]).await;
    for who in [loser, survivor] {
        exam.happen(who, "visit").await;
        exam.meet(who, &[("country", "NO".into())]).await;
        assert_eq!(exam.inside(who).await, names(&[]));
        assert_eq!(exam.stays(who, &seen).await, [], "not even that they once belonged");
        let catalog = exam.store.catalog(&exam.tenant).await.unwrap();
        let person = exam.store.person(&exam.tenant, catalog.ruleset().needs(), who).await.unwrap().unwrap();
        assert!(person.subject.erased && person.subject.attributes.is_empty());
        assert!(person.facts.is_none_or(|facts| facts.events.is_empty() && facts.statements.is_empty()));
    }
    assert_eq!(exam.store.population(&exam.tenant).await.unwrap(), 0);
    exam.audit().await;
}

/// Memberships now and at past times.
pub async fn memberships_as_of_a_time(exam: Exam) {
    let active = exam.rule("active", r#"count("login", duration("7d")) >= 1"#).await;
    let jane = customer(1);
    exam.meet(jane, &[]).await;
    exam.wait(DAY).await;
    let login = exam.clock.now();
    exam.happen(jane, "login").await;
    exam.wait(10 * DAY).await;
    let again = exam.clock.now();
    exam.happen(jane, "login").await;
    exam.wait(HOUR).await;
    let at = |t: Timestamp| exam.inside_at(jane, Some(t));
    assert_eq!(at(login - SECOND).await, names(&[]));
    assert_eq!(at(login).await, names(&["active"]));
    assert_eq!(at(login + 7 * DAY - SECOND).await, names(&["active"]));
    assert_eq!(at(login + 7 * DAY).await, names(&[]));
    assert_eq!(at(again).await, names(&["active"]));
    let store = &exam.store;
    for (time, count) in [(login - SECOND, 0), (login, 1), (login + 8 * DAY, 0), (again, 1)] {
        let members = store.members(&exam.tenant, active.id, Some(time), None, 10).await.unwrap();
        assert_eq!(members.len(), count);
        let counts = store.count_members(&exam.tenant, Some(active.id), Some(time)).await.unwrap();
        assert_eq!(counts.get(&active.id).copied().unwrap_or(0), count as i64);
    }
    exam.audit().await;
}

/// What one tenant does is nothing to another.
pub async fn tenants_are_apart(exam: Exam) {
    let other = Exam::of_tenant(exam.store.clone(), exam.clock.clone(), "other");
    exam.rule("visitor", r#"count("visit") >= 1"#).await;
    other.rule("visitor", r#"count("visit") >= 2"#).await;
    let jane = customer(1);
    exam.happen(jane, "visit").await;
    assert_eq!(exam.inside(jane).await, names(&["visitor"]));
    assert_eq!(other.inside(jane).await, names(&[]));
    assert_eq!(other.store.locate(&other.tenant, jane).await.unwrap(), None);
    assert_eq!(other.store.population(&other.tenant).await.unwrap(), 0);
    let segment = other.store.catalog(&other.tenant).await.unwrap().named("visitor").cloned().unwrap();
    assert!(exam.store.catalog(&exam.tenant).await.unwrap().get(segment.id).is_none_or(|s| s.version == 1));
    exam.audit().await;
    other.audit().await;
}

/// x, t_x, T, m and the scores.
pub async fn purchases_in_the_terms_of_fader_and_hardie(exam: Exam) {
    exam.wait(100 * DAY).await;
    for n in 1..=10u32 {
        for k in 0..n {
            let who = customer(u128::from(n));
            let event = Event {
                micros: Some(i64::from(n) * 1_000_000),
                currency: "EUR".into(),
                incentivised: k % 2 == 1,
                ..exam.event(who, "purchase.shop", BEGIN + (10 * n + k) * DAY)
            };
            exam.hear(What::Interaction { customer: who, event }).await;
        }
    }
    exam.happen(customer(11), "visit").await;
    let now = exam.clock.now();
    let tallies = exam.store.tallies(&exam.tenant, "purchase").await.unwrap();
    // The tenth customer's purchases begin on day 100, which is today: the others are still to come.
    assert_eq!(tallies.iter().map(|t| t.purchases).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 1]);
    let purchases = exam.store.purchases(&exam.tenant, customer(4), "purchase").await.unwrap();
    let rfm = Rfm::of(&purchases, now).unwrap();
    assert_eq!((rfm.frequency(), rfm.recency()), (3, 3 * 86_400_000_000));
    assert_eq!((rfm.age, rfm.monetary), (60 * 86_400_000_000, Some(4_000_000)));
    assert_eq!((rfm.total, rfm.currency.as_str(), rfm.organic_share), (16_000_000, "EUR", 0.5));
    let scores = Quintiles::of(&tallies).scores(customer(4), &rfm);
    assert_eq!((scores.recency, scores.frequency, scores.monetary), (2, 3, 2));
    assert!(exam.store.purchases(&exam.tenant, customer(11), "purchase").await.unwrap().is_empty());
}
