//! Guards: blocked values, priority, limits, shared devices, sessions; hard cases 2, 3 and 4.

use std::{sync::Arc, time::Duration};

use futures::future;
use serde_json::json;
use terms::{Caller, CustomerId, Reason};

use super::{Given, caller, get, given, identifier};
use crate::{
    customer::{CustomerIdentifier, Kind},
    history::HistoryKind,
    identify::{Guard, Identified},
    list_identity_history::HistoryQuery,
    policy::{Policy, Rules},
    ports::Customers,
};

pub(super) async fn run(store: &dyn Customers) {
    a_limit_of_one_demotes_what_has_less_priority(store, &caller("case-3")).await;
    a_limit_of_one_keeps_known_users_apart(store, &caller("case-3-known")).await;
    a_shared_device_is_nobodys(store, &caller("case-2")).await;
    an_anonymous_device_becomes_its_user(store, &caller("case-2-anonymous")).await;
    a_session_moves_with_its_user(store, &caller("case-4")).await;
    a_late_event_moves_no_session(store, &caller("case-4-late")).await;
    blocked_values_lead_nowhere(store, &caller("blocked")).await;
    a_limit_has_a_period(store, &caller("period")).await;
    a_hub_stops_linking(store, &caller("hub")).await;
    a_hub_merges_no_more(store, &caller("hub-merges")).await;
    priorities_decide(store, &caller("priority")).await;
    verified_conflicts_veto(store, &caller("verified")).await;
    birth_dates_and_generations_veto(store, &caller("people")).await;
    kinds_stay_apart(store, &caller("kinds")).await;
    a_group_decides_as_one_after_the_other(store).await;
    refusals_stand_in_the_history_once(store, &caller("refusals")).await;
}

fn guards(reply: &Identified) -> Vec<Guard> {
    reply.refused.iter().map(|refusal| refusal.guard).collect()
}

async fn lead(store: &dyn Customers, caller: &Caller, text: &str) -> Option<CustomerId> {
    let leads = store.leads(&caller.tenant, &[identifier(text)]).await.unwrap();
    leads[0].map(|lead| lead.customer)
}

async fn known(store: &dyn Customers, caller: &Caller, id: CustomerId, text: &str) -> CustomerIdentifier {
    let customer = get(store, caller, id).await;
    customer.identifiers.into_iter().find(|known| known.identifier == identifier(text)).expect("one of its identifiers")
}

async fn a_limit_of_one_demotes_what_has_less_priority(store: &dyn Customers, caller: &Caller) {
    let one = given(&["user_id:abc123", "email:jane@example.org"]).identify(store, caller).await;
    let second = given(&["email:jane@example.org", "user_id:abc456"]).says("name", "J");
    let two = second.clone().identify(store, caller).await;
    assert!(two.created && two.customer != one.customer && two.merged.is_empty());
    let refusal = &two.refused[0];
    assert_eq!((refusal.guard, refusal.claim, refusal.customer), (Guard::UniqueConflict, Some(0), one.customer));
    assert_eq!(two.refused.len(), 1, "{:?}", two.refused);
    assert_eq!(lead(store, caller, "email:jane@example.org").await, one.customer, "it stays where it was");
    assert_eq!(lead(store, caller, "user_id:abc456").await, two.customer);
    let (one, two) = (one.customer.unwrap(), two.customer.unwrap());
    let email = "email:jane@example.org";
    assert!(!known(store, caller, one, email).await.demoted && known(store, caller, two, email).await.demoted);
    // Said again, by itself, or with the first user: always the same.
    let again = second.seen(5).identify(store, caller).await;
    assert_eq!((again.customer, guards(&again)), (Some(two), vec![Guard::UniqueConflict]));
    assert_eq!(given(&[email]).identify(store, caller).await.customer, Some(one));
    let third = given(&["user_id:abc123", email]).source("crm", "9").identify(store, caller).await;
    assert_eq!((third.customer, guards(&third)), (Some(one), vec![]));
}

async fn a_limit_of_one_keeps_known_users_apart(store: &dyn Customers, caller: &Caller) {
    let a = given(&["user_id:a"]).identify(store, caller).await.customer;
    let b = given(&["user_id:b"]).identify(store, caller).await.customer;
    given(&["user_id:a", "email:j@example.org"]).identify(store, caller).await;
    let joined = given(&["email:j@example.org", "user_id:b"]).identify(store, caller).await;
    assert_eq!((joined.customer, joined.merged.len(), guards(&joined)), (b, 0, vec![Guard::UniqueConflict]));
    let both = given(&["user_id:a", "user_id:b"]).identify(store, caller).await;
    assert_eq!((both.customer, guards(&both)), (a, vec![Guard::UniqueConflict]), "the first of equals");
    let fault = given(&["user_id:c", "email:j@example.org"]).only_known().command();
    let fault = store.identify(caller, None, fault).await.unwrap_err();
    assert_eq!(fault.reason(), Reason::IdentifiersRefused);
}

async fn a_shared_device_is_nobodys(store: &dyn Customers, caller: &Caller) {
    let phone = "device:phone-1";
    let alice = given(&["user_id:alice", phone]).identify(store, caller).await;
    let before = given(&[phone]).seen(1).identify(store, caller).await;
    assert_eq!(before.customer, alice.customer, "it leads to her while it knows one");
    let bob = given(&["user_id:bob", phone]).seen(2).identify(store, caller).await;
    assert!(bob.created && bob.merged.is_empty(), "{bob:?}");
    assert_eq!(guards(&bob), [Guard::UniqueConflict]);
    let third = given(&[phone]).seen(3).identify(store, caller).await;
    assert!(third.created && ![alice.customer, bob.customer].contains(&third.customer));
    assert_eq!(guards(&third), [Guard::SharedIdentifier]);
    for (source, id) in [("webshop", ""), ("app", ""), ("app", "visit-9")] {
        let again = given(&[phone]).source(source, id).seen(4).identify(store, caller).await;
        assert_eq!((again.customer, again.created), (third.customer, false), "the third is stable");
    }
    // They come back, and stay three.
    for (user, id) in [("user_id:alice", alice.customer), ("user_id:bob", bob.customer)] {
        let back = given(&[phone, user]).seen(9).identify(store, caller).await;
        assert_eq!((back.customer, guards(&back)), (id, vec![Guard::SharedIdentifier]));
    }
    assert_eq!(lead(store, caller, phone).await, third.customer, "the anonymous device keeps its own id");
    let device = known(store, caller, alice.customer.unwrap(), phone).await;
    assert!(device.shared, "{device:?}");
    let customer = get(store, caller, alice.customer.unwrap()).await;
    assert_eq!(customer.record_count, 2, "what came before stays");
}

async fn an_anonymous_device_becomes_its_user(store: &dyn Customers, caller: &Caller) {
    let visitor = given(&["cookie:c1"]).identify(store, caller).await;
    let known = given(&["cookie:c1", "email:jane@example.org"]).seen(1).identify(store, caller).await;
    assert_eq!((known.customer, known.created), (visitor.customer, false));
    // Another address on the same device is another person: the device proves too little.
    let other = given(&["cookie:c1", "email:joe@example.org"]).seen(2).identify(store, caller).await;
    assert!(other.created && other.merged.is_empty());
    // Two known people on one device are never merged by it.
    let both = given(&["email:jane@example.org", "cookie:c2"]).seen(3).identify(store, caller).await;
    let joe = given(&["email:joe@example.org", "cookie:c2"]).seen(4).identify(store, caller).await;
    assert_eq!((both.customer, joe.customer), (known.customer, other.customer));
    assert_eq!(guards(&joe), [Guard::LowerPriority]);
}

async fn a_session_moves_with_its_user(store: &dyn Customers, caller: &Caller) {
    let session = "session:s1";
    let b = given(&["user_id:b", session]).says("cart", 3).identify(store, caller).await;
    let view = given(&[session]).seen(1).says("page", "b").identify(store, caller).await;
    assert_eq!(view.customer, b.customer);
    let before = get(store, caller, b.customer.unwrap()).await;
    let a = given(&["user_id:a", session]).seen(2).identify(store, caller).await;
    assert!(a.created && a.merged.is_empty() && a.refused.is_empty(), "{a:?}");
    assert_eq!(lead(store, caller, session).await, a.customer, "the session is A's now");
    let view = given(&[session]).seen(3).says("page", "a").identify(store, caller).await;
    assert_eq!((view.customer, view.created), (a.customer, false), "and so is what happens in it");
    let after = get(store, caller, b.customer.unwrap()).await;
    assert_eq!((after.traits, after.record_count), (before.traits, before.record_count), "B is untouched");
    let again = given(&[session]).seen(4).says("page", "a2").identify(store, caller).await;
    assert_eq!((again.customer, again.record), (a.customer, view.record), "one record, not two");
    // And back.
    let back = given(&["user_id:b", session]).seen(5).identify(store, caller).await;
    assert_eq!((back.customer, lead(store, caller, session).await), (b.customer, b.customer));
}

async fn a_late_event_moves_no_session(store: &dyn Customers, caller: &Caller) {
    let a = given(&["user_id:a", "session:s"]).seen(20).identify(store, caller).await;
    let b = given(&["user_id:b", "session:s"]).seen(10).identify(store, caller).await;
    assert_ne!(a.customer, b.customer);
    assert_eq!(lead(store, caller, "session:s").await, a.customer, "A had it later, whatever came first");
    given(&["user_id:a", "session:s"]).seen(30).identify(store, caller).await;
    given(&["user_id:b", "session:s"]).seen(25).identify(store, caller).await;
    assert_eq!(lead(store, caller, "session:s").await, a.customer);
}

async fn blocked_values_lead_nowhere(store: &dyn Customers, caller: &Caller) {
    let a = given(&["crm:1", "phone:n/a", "email:Test@test.com"]).identify(store, caller).await;
    assert_eq!(guards(&a), [Guard::BlockedValue, Guard::BlockedValue]);
    let b = given(&["crm:2", "email:test@test.com"]).identify(store, caller).await;
    assert_ne!(a.customer, b.customer);
    assert_eq!(get(store, caller, a.customer.unwrap()).await.identifiers.len(), 1, "it is no identifier");
    let nothing = given(&["email:n/a"]).source("crm", "7").identify(store, caller).await;
    assert!(nothing.created && given(&["email:n/a"]).source("crm", "8").identify(store, caller).await.created);
}

/// The shipped policy with the rules of one namespace changed.
fn policy(namespace: &str, change: impl FnOnce(&mut Rules)) -> Arc<Policy> {
    let mut policy = Policy::default();
    let mut rules = policy.rules(namespace).cloned().unwrap_or_default();
    change(&mut rules);
    policy.namespaces.insert(namespace.to_owned(), rules);
    Arc::new(policy)
}

async fn a_limit_has_a_period(store: &dyn Customers, caller: &Caller) {
    let policy = policy("email", |rules| {
        (rules.max_per_customer, rules.limit_period) = (2, Some(Duration::from_secs(3_600)));
    });
    let mail = |n: u8, seconds| given(&["user_id:u", &format!("email:{n}@example.org")]).seen(seconds).under(&policy);
    let one = mail(1, 0).identify(store, caller).await;
    mail(2, 10).identify(store, caller).await;
    let third = mail(3, 20).identify(store, caller).await;
    assert_eq!((third.customer, guards(&third)), (one.customer, vec![Guard::LimitExceeded]));
    assert_eq!(lead(store, caller, "email:3@example.org").await, None, "it is nobody's yet");
    assert_eq!(guards(&mail(2, 30).identify(store, caller).await), [], "a value that it has");
    let later = mail(4, 3_700).identify(store, caller).await;
    assert_eq!((later.customer, guards(&later)), (one.customer, vec![]), "the period is over");
    let other = given(&["email:3@example.org"]).seen(40).under(&policy).identify(store, caller).await;
    assert!(other.created);
}

async fn a_hub_stops_linking(store: &dyn Customers, caller: &Caller) {
    let policy = policy("email", |rules| rules.max_customers_per_value = 3);
    let office = "email:office@example.org";
    let mut ids = Vec::new();
    for n in 0..3 {
        let user = format!("user_id:{n}");
        ids.push(given(&[&user, office]).under(&policy).identify(store, caller).await.customer);
        assert_eq!(lead(store, caller, office).await, ids[0], "three are not too many");
    }
    given(&["user_id:3", office]).under(&policy).identify(store, caller).await;
    assert_eq!(lead(store, caller, office).await, None, "four are");
    let alone = given(&[office]).under(&policy).identify(store, caller).await;
    assert!(alone.created && !ids.contains(&alone.customer));
    assert_eq!(given(&[office]).seen(8).under(&policy).identify(store, caller).await.customer, alone.customer);
    let again = given(&["user_id:0", office]).under(&policy).seen(9).identify(store, caller).await;
    assert_eq!((again.customer, guards(&again)), (ids[0], vec![Guard::SharedIdentifier]));
}

async fn a_hub_merges_no_more(store: &dyn Customers, caller: &Caller) {
    let policy = policy("email", |rules| rules.max_customers_per_value = 3);
    let office = "email:office@example.org";
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(given(&[&format!("crm:{n}")]).under(&policy).identify(store, caller).await.customer);
    }
    let with_office = |n: usize| given(&[&format!("crm:{n}"), office]).under(&policy).seen(1);
    for n in 0..3 {
        let reply = with_office(n).identify(store, caller).await;
        assert_eq!((reply.customer, guards(&reply)), (ids[0], vec![]), "three are not too many");
    }
    for (n, id) in ids.iter().enumerate().skip(3) {
        let reply = with_office(n).identify(store, caller).await;
        assert_eq!((reply.customer, guards(&reply)), (*id, vec![Guard::SharedIdentifier]));
        assert!(reply.merged.is_empty());
    }
    assert_eq!(lead(store, caller, office).await, None);
    assert_eq!(
        given(&["crm:2"]).under(&policy).identify(store, caller).await.customer,
        ids[0],
        "what was one stays so"
    );
}

async fn priorities_decide(store: &dyn Customers, caller: &Caller) {
    let mut rules = Policy::default();
    let limited = |priority| Rules { unique: true, max_per_customer: 1, priority, ..Rules::default() };
    rules.namespaces.insert("low".to_owned(), limited(1));
    rules.namespaces.insert("high".to_owned(), limited(2));
    let policy = Arc::new(rules);
    let a = given(&["high:a", "low:a"]).under(&policy).identify(store, caller).await;
    let b = given(&["high:b", "low:b"]).under(&policy).identify(store, caller).await;
    let mixed = given(&["low:a", "high:b"]).under(&policy).identify(store, caller).await;
    assert_eq!((mixed.customer, mixed.refused[0].customer), (b.customer, a.customer));
    assert!(mixed.merged.is_empty());
}

async fn verified_conflicts_veto(store: &dyn Customers, caller: &Caller) {
    let a = given(&["email:a@example.org"]).verified().identify(store, caller).await;
    let b = given(&["email:b@example.org"]).verified().identify(store, caller).await;
    let both = given(&["email:a@example.org", "email:b@example.org"]).identify(store, caller).await;
    assert_eq!((both.customer, both.merged.len(), guards(&both)), (a.customer, 0, vec![Guard::VerifiedConflict]));
    let phone = given(&["email:a@example.org", "phone:+4930901820"]).source("crm", "1").identify(store, caller).await;
    assert_eq!(phone.customer, a.customer);
    let other = given(&["phone:+4930901820"]).source("crm", "2").identify(store, caller).await;
    assert_eq!(other.customer, a.customer);
    let crossed = given(&["email:b@example.org", "phone:+4930901820"]).source("crm", "3").identify(store, caller).await;
    assert_eq!((crossed.customer, guards(&crossed)), (b.customer, vec![Guard::VerifiedConflict]));
    let c = given(&["email:c@example.org"]).identify(store, caller).await;
    let joined =
        given(&["email:a@example.org", "email:c@example.org"]).source("crm", "4").identify(store, caller).await;
    assert_eq!(joined.merged, [c.customer.unwrap()], "no proof, no conflict");
}

async fn birth_dates_and_generations_veto(store: &dyn Customers, caller: &Caller) {
    let born = |id: &str, date: &str| {
        given(&["phone:+4930901821"]).source("crm", id).says("birth_date", date).says("birth_date_verified", true)
    };
    let father = born("1", "1950-04-09").identify(store, caller).await;
    let son = born("2", "1981-11-23").identify(store, caller).await;
    assert!(son.created && son.customer != father.customer);
    assert_eq!(guards(&son), [Guard::BirthDate]);
    let named = |id: &str, name: &str| given(&["phone:+4930901822"]).source("crm", id).says("name", name);
    let senior = named("3", "John Smith Sr.").identify(store, caller).await;
    let junior = named("4", "John Smith Jr.").identify(store, caller).await;
    assert!(junior.created && junior.customer != senior.customer);
    assert_eq!(guards(&junior), [Guard::Generation]);
    let plain = named("5", "John Smith").identify(store, caller).await;
    assert_eq!(plain.customer, senior.customer);
}

async fn kinds_stay_apart(store: &dyn Customers, caller: &Caller) {
    let kind = |given: Given, kind: Kind| {
        let mut given = given;
        given.0.kind = Some(kind);
        given
    };
    let acme = kind(given(&["email:info@acme.example"]), Kind::Organization).identify(store, caller).await;
    let jane = kind(given(&["email:info@acme.example"]).source("crm", "1"), Kind::Person).identify(store, caller).await;
    assert!(jane.created && jane.customer != acme.customer);
    assert_eq!(guards(&jane), [Guard::KindMismatch]);
    let unsaid = given(&["email:info@acme.example"]).source("crm", "2").identify(store, caller).await;
    assert_eq!(unsaid.customer, acme.customer);
}

/// Cases 2, 3 and 4 in one transaction, and one by one: the same customers and the same refusals.
async fn a_group_decides_as_one_after_the_other(store: &dyn Customers) {
    let commands = || {
        let calls: [&[&str]; 12] = [
            &["user_id:abc123", "email:jane@example.org"],
            &["user_id:abc456", "email:jane@example.org"],
            &["email:jane@example.org"],
            &["user_id:alice", "device:d"],
            &["device:d"],
            &["user_id:bob", "device:d"],
            &["device:d"],
            &["device:d"],
            &["user_id:a", "session:s"],
            &["user_id:b", "session:s"],
            &["session:s"],
            &["user_id:bob", "device:d", "phone:n/a"],
        ];
        calls.into_iter().enumerate().map(|(second, call)| given(call).seen(second as i64).command())
    };
    let (single, grouped) = (caller("one-by-one"), caller("in-a-group"));
    let mut one = Vec::new();
    for command in commands() {
        one.push(store.identify(&single, None, command).await.unwrap().value);
    }
    let many = store.identify_many(&grouped, commands().collect()).await.unwrap().value;
    let many: Vec<Identified> = many.into_iter().map(|verdict| verdict.unwrap()).collect();
    let shape = |replies: &[Identified]| -> Vec<(Option<usize>, bool, Vec<Guard>)> {
        let first = |reply: &Identified| replies.iter().position(|other| other.customer == reply.customer);
        replies.iter().map(|reply| (first(reply), reply.created, guards(reply))).collect()
    };
    assert_eq!(shape(&many), shape(&one));
    let places: Vec<_> = shape(&one).into_iter().filter_map(|(place, ..)| place).collect();
    assert_eq!(places, [0, 1, 0, 3, 3, 5, 6, 6, 8, 9, 9, 5]);
    for text in ["email:jane@example.org", "device:d", "session:s"] {
        let place = |replies: &[Identified], id| replies.iter().position(|reply| reply.customer == id);
        let leads = (lead(store, &single, text).await, lead(store, &grouped, text).await);
        assert_eq!(place(&one, leads.0), place(&many, leads.1), "{text}");
    }
}

async fn refusals_stand_in_the_history_once(store: &dyn Customers, caller: &Caller) {
    let one = given(&["user_id:1", "email:j@example.org"]).identify(store, caller).await.customer;
    let record = given(&["user_id:2", "email:j@example.org", "phone:none"]);
    let two = record.clone().identify(store, caller).await.customer.unwrap();
    record.seen(60).says("later", json!(true)).identify(store, caller).await;
    let all = HistoryQuery { after: None, limit: 100, descending: false };
    let history = store.history(&caller.tenant, two, all).await.unwrap();
    let refused: Vec<_> = history.iter().filter(|entry| entry.kind == HistoryKind::Refuse).collect();
    let told: Vec<_> = refused.iter().map(|entry| (entry.detail.guard, entry.other)).collect();
    assert_eq!(told, [(Some(Guard::UniqueConflict), one), (Some(Guard::BlockedValue), None)]);
    assert_eq!(refused[0].detail.identifier, Some(identifier("email:j@example.org")));
    assert!(!refused[0].reason.contains("example.org") && refused[0].reason.contains("UNIQUE_CONFLICT"));
}

/// `rounds` times: two clients at once, each with a user of its own and the same address. Exactly one gets it.
///
/// # Panics
/// When both get it, or neither.
pub async fn one_of_two_gets_the_last_place(store: Arc<dyn Customers>, rounds: usize) {
    let caller = caller("last-place");
    for round in 0..rounds {
        let email = format!("email:{round}@example.org");
        let calls = ["a", "b"].map(|user| {
            let (store, caller, user, email) =
                (store.clone(), caller.clone(), format!("user_id:{user}{round}"), email.clone());
            tokio::spawn(async move { given(&[&user, &email]).identify(&*store, &caller).await })
        });
        let replies: Vec<Identified> = future::join_all(calls).await.into_iter().map(|reply| reply.unwrap()).collect();
        assert_ne!(replies[0].customer, replies[1].customer, "round {round}");
        let refused: Vec<_> = replies.iter().filter(|reply| guards(reply) == [Guard::UniqueConflict]).collect();
        assert_eq!(refused.len(), 1, "round {round}: {replies:?}");
        let winner = lead(&*store, &caller, &email).await;
        assert!(winner.is_some() && winner != refused[0].customer, "round {round}");
    }
    // And the last place of a limit of three, fought for by eight.
    let policy = policy("email", |rules| rules.max_per_customer = 3);
    for round in 0..rounds.div_ceil(4) {
        let calls = (0..8).map(|n| {
            let (store, caller, policy) = (store.clone(), caller.clone(), policy.clone());
            let (user, email) = (format!("user_id:limit-{round}"), format!("email:{n}-{round}@limit.example"));
            tokio::spawn(async move { given(&[&user, &email]).under(&policy).identify(&*store, &caller).await })
        });
        let replies: Vec<Identified> = future::join_all(calls).await.into_iter().map(|reply| reply.unwrap()).collect();
        let taken = replies.iter().filter(|reply| reply.refused.is_empty()).count();
        assert_eq!(taken, 3, "round {round}: {replies:?}");
        assert!(replies.iter().all(|reply| reply.customer == replies[0].customer), "round {round}");
    }
}
