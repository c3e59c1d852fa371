//! Definitions: names, versions, circles, lists, builds.

use std::{sync::Arc, time::Duration};

use terms::{Fault, Once, Reason as Why};

use super::*;
use crate::{catalog::Catalog, definition::Definition, membership::Reason, segment::State};

fn draft(name: &str, source: &str) -> Draft {
    Draft {
        name: name.to_owned(),
        display_name: String::new(),
        description: String::new(),
        body: Body::Rule(source.to_owned()),
    }
}

impl Exam {
    async fn refuse(&self, decide: impl Fn(&Catalog) -> Result<Definition, Fault> + Send + Sync + 'static) -> Fault {
        let refused = self.store.define(&self.tenant, None, Arc::new(decide)).await;
        refused.expect_err("the definition is refused")
    }

    async fn refuse_new(&self, draft: Draft) -> Fault {
        self.refuse(move |catalog| create_segment(catalog, &draft, SegmentId::from_uuid(Uuid::nil()), BEGIN)).await
    }

    async fn refuse_edit(&self, name: &str, source: &str) -> Fault {
        let which = SegmentRef::Name(name.to_owned());
        let edit = Edit { body: Some(Body::Rule(source.to_owned())), ..Edit::default() };
        self.refuse(move |catalog| update_segment(catalog, &which, "", &edit, BEGIN)).await
    }
}

/// Hard case 9: C → {A, B}, B → A; then A → C.
pub async fn diamonds_are_accepted_and_circles_refused(exam: Exam) {
    exam.rule("a", r#"count("visit") >= 1"#).await;
    exam.rule("b", r#""a" in segments && customer.country == "NO""#).await;
    exam.rule("c", r#""a" in segments && "b" in segments"#).await;
    let jane = customer(1);
    exam.meet(jane, &[("country", "NO".into())]).await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    exam.happen(jane, "visit").await;
    assert_eq!(exam.inside(jane).await, names(&["a", "b", "c"]), "in one go: a, then b, then c");
    let fault = exam.refuse_edit("a", r#""c" in segments"#).await;
    assert_eq!(fault.reason(), Why::SegmentCycle);
    assert_eq!(fault.metadata(), [("cycle", "a -> c -> a".to_owned())]);
    let fault = exam.refuse_edit("a", r#""a" in segments"#).await;
    assert_eq!(fault.metadata(), [("cycle", "a -> a".to_owned())]);
    let fault = exam.refuse_new(draft("d", r#""d" in segments"#)).await;
    assert_eq!(fault.reason(), Why::SegmentCycle);
    let which = SegmentRef::Name("a".to_owned());
    let fault = exam.refuse(move |catalog| delete_segment(catalog, &which, "", BEGIN)).await;
    assert_eq!(fault.reason(), Why::SegmentInUse);
    assert_eq!(fault.metadata(), [("used_by", "segment:b,segment:c".to_owned())]);
    exam.delete("c").await;
    exam.delete("b").await;
    exam.delete("a").await;
    exam.audit().await;
    assert_eq!(exam.inside(jane).await, names(&[]));
}

/// Handles are unique among the living; etags and request ids are kept.
pub async fn names_etags_and_request_ids(exam: Exam) {
    let first = exam.rule("vip", "true").await;
    assert_eq!(exam.refuse_new(draft("vip", "false")).await.reason(), Why::NameTaken);
    let fault = exam.refuse_new(draft("Vip", "customer.x ==")).await;
    assert_eq!(fault.violations().len(), 2, "every wrong field is told: {fault}");
    let fault = exam.refuse_new(draft("typo", "\n  \"vpi\" in segments")).await;
    assert_eq!(fault.reason(), Why::RuleInvalid);
    assert!(fault.message().contains("line 2"), "{fault}");
    assert!(fault.message().contains("vip"), "it says what may have been meant: {fault}");
    let which = SegmentRef::Id(first.id);
    let stale = exam.refuse(move |catalog| delete_segment(catalog, &which, "stale", BEGIN)).await;
    assert_eq!(stale.reason(), Why::EtagStale);

    let once = |fingerprint| {
        let request_id = "r1".to_owned();
        Some(Once { tenant: exam.tenant.clone(), method: "Create", request_id, fingerprint: [fingerprint; 32] })
    };
    let create = |n: u128| {
        let draft = draft("again", "true");
        let id = SegmentId::from_uuid(Uuid::from_u128(n));
        Arc::new(move |catalog: &Catalog| create_segment(catalog, &draft, id, BEGIN))
    };
    let made = exam.store.define(&exam.tenant, once(1), create(1)).await.unwrap();
    let same = exam.store.define(&exam.tenant, once(1), create(2)).await.unwrap();
    assert!(!made.replayed && same.replayed);
    assert_eq!(same.value, made.value);
    let other = exam.store.define(&exam.tenant, once(2), create(3)).await.unwrap_err();
    assert_eq!(other.reason(), Why::RequestIdReused);

    exam.delete("vip").await;
    let second = exam.rule("vip", "false").await;
    assert_ne!(first.id, second.id, "a name may be used again");
    let catalog = exam.store.catalog(&exam.tenant).await.unwrap();
    assert_eq!(catalog.named("vip").map(|s| s.id), Some(second.id));
    assert!(catalog.find(&SegmentRef::Id(first.id)).is_err());
    exam.audit().await;
}

/// A definition that changes makes a version; members follow; history stays.
pub async fn versions_are_kept(exam: Exam) {
    let jane = customer(1);
    exam.happen(jane, "visit").await;
    let segment = exam.rule("visitor", r#"count("visit") >= 1"#).await;
    assert_eq!(exam.since(jane, &segment).await, Some((exam.clock.now(), Reason::Definition)));
    exam.wait(DAY).await;
    let same = exam.edit("visitor", Body::Rule(r#"count("visit") >= 1"#.to_owned())).await;
    assert_eq!(same.version, 1);
    let changed = exam.edit("visitor", Body::Rule(r#"count("visit") >= 2"#.to_owned())).await;
    assert_eq!((changed.version, changed.state), (2, State::Building));
    exam.build().await;
    assert_eq!(exam.inside(jane).await, names(&[]));
    let stays = exam.stays(jane, &segment).await;
    assert_eq!(stays.iter().map(|s| (s.until, s.left)).collect::<Vec<_>>(), [(exam.clock.now(), Reason::Definition)]);
    let catalog = exam.store.catalog(&exam.tenant).await.unwrap();
    let live = catalog.named("visitor").unwrap();
    assert_eq!((live.state, live.edit), (State::Live, 3));
    let version = |n| exam.store.version(&exam.tenant, segment.id, n);
    assert_eq!(version(1).await.unwrap().unwrap().0, r#"count("visit") >= 1"#);
    assert_eq!(version(2).await.unwrap().unwrap().0, r#"count("visit") >= 2"#);
    assert_eq!(version(3).await.unwrap(), None);
    exam.audit().await;
}

/// A list: who is on it, known or not; replaced; used by a rule.
pub async fn lists_by_hand(exam: Exam) {
    let (jane, bob, eve) = (customer(1), customer(2), customer(3));
    exam.meet(jane, &[]).await;
    let list = exam.draft("press", Body::List(vec![jane, bob, jane])).await;
    exam.rule("others", r#"!("press" in segments)"#).await;
    exam.meet(eve, &[]).await;
    exam.audit().await;
    assert_eq!(exam.since(jane, &list).await.map(|s| s.1), Some(Reason::Manual));
    assert_eq!(exam.inside(bob).await, names(&["press"]), "also one of whom nothing else is known");
    assert_eq!(exam.inside(eve).await, names(&["others"]));
    exam.wait(DAY).await;
    exam.edit("press", Body::List(vec![bob, eve])).await;
    exam.audit().await;
    assert_eq!(exam.inside(jane).await, names(&["others"]));
    assert_eq!(exam.inside(eve).await, names(&["press"]));
    assert_eq!(exam.stays(jane, &list).await.first().map(|s| s.left), Some(Reason::Manual));
    let fault = exam.refuse_edit("press", "true").await;
    assert_eq!(fault.reason(), Why::InvalidFields);
    let edit = Edit { body: Some(Body::List(vec![jane; 10_001])), ..Edit::default() };
    let which = SegmentRef::Name("press".to_owned());
    assert!(
        exam.store.catalog(&exam.tenant).await.map(|c| update_segment(&c, &which, "", &edit, BEGIN)).unwrap().is_err()
    );
    exam.delete("others").await;
    exam.delete("press").await;
    exam.audit().await;
    assert_eq!(exam.inside(bob).await, names(&[]));
}

/// Who is on a list stays on it under another id, and returns with a split.
pub async fn a_list_follows_a_merge(exam: Exam) {
    let (a, b) = (customer(1), customer(2));
    exam.draft("press", Body::List(vec![a])).await;
    exam.audit().await;
    exam.hear(What::Merged { loser: a, survivor: b }).await;
    assert_eq!(exam.inside(b).await, names(&["press"]));
    exam.hear(What::Split { from: b, to: a, ids: vec![a] }).await;
    assert_eq!(exam.inside(b).await, names(&[]));
    assert_eq!(exam.inside(a).await, names(&["press"]));
    exam.hear(What::Merged { loser: a, survivor: b }).await;
    let list = exam.draft("late", Body::List(vec![a])).await;
    exam.audit().await;
    assert_eq!(exam.since(b, &list).await.map(|s| s.1), Some(Reason::Manual), "listed under a former id");
}

/// News that come while a segment is being built meet the new rule; the build does the rest, and ends once.
pub async fn a_build_goes_on_while_news_come(exam: Exam) {
    for n in 0..10 {
        exam.happen(customer(n), "visit").await;
    }
    let segment = exam.draft("repeat", Body::Rule(r#"count("visit") >= 2"#.to_owned())).await;
    exam.draft("also", Body::Rule(r#"count("visit") >= 1"#.to_owned())).await;
    let tenant = exam.tenant.clone();
    let step = exam.store.build(Some((&tenant, segment.id)), 4).await.unwrap().unwrap();
    assert_eq!((step.customers, step.done), (4, false));
    exam.happen(customer(9), "visit").await;
    exam.happen(customer(0), "visit").await;
    assert_eq!(exam.since(customer(9), &segment).await.map(|s| s.1), Some(Reason::Event));
    exam.wait(Duration::from_secs(60)).await;
    let mut steps = 0;
    while let Some(step) = exam.store.build(Some((&tenant, segment.id)), 4).await.unwrap() {
        steps += 1;
        assert_eq!(step.done, steps == 2);
    }
    assert_eq!(steps, 2);
    let catalog = exam.store.catalog(&exam.tenant).await.unwrap();
    assert_eq!(catalog.named("repeat").map(|s| s.state), Some(State::Live));
    assert_eq!(catalog.named("also").map(|s| s.state), Some(State::Building));
    exam.audit().await;
    assert_eq!(exam.store.members(&exam.tenant, segment.id, None, None, 99).await.unwrap().len(), 2);
    let after = exam.store.members(&exam.tenant, segment.id, None, Some(customer(0)), 99).await.unwrap();
    assert_eq!(after.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [customer(9)]);
}

/// What changes a segment changes those that use it, with that reason.
pub async fn segments_of_segments(exam: Exam) {
    exam.rule("active", r#"count("login", duration("7d")) >= 1"#).await;
    let quiet = exam.rule("quiet", r#"!("active" in segments)"#).await;
    let jane = customer(1);
    exam.happen(jane, "login").await;
    let due = exam.clock.now() + 7 * DAY;
    exam.wait(9 * DAY).await;
    assert_eq!(exam.since(jane, &quiet).await, Some((due, Reason::Segment)));
    exam.happen(jane, "login").await;
    let stays = exam.stays(jane, &quiet).await;
    assert_eq!(stays.iter().map(|s| s.left).collect::<Vec<_>>(), [Reason::Segment]);
    exam.edit("active", Body::Rule(r#"count("login", duration("7d")) >= 2"#.to_owned())).await;
    exam.audit().await;
    assert_eq!(exam.since(jane, &quiet).await.map(|s| s.1), Some(Reason::Segment));
}
