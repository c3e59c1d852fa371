//! Pairs that may be one, and what stewards say of them.

use terms::{Caller, CustomerId, Reason};

use super::{
    caller, get, given,
    matching::{about, jane},
    once,
    relations::Both,
};
use crate::{
    decide_match_candidate::{DecideMatchCandidate, Decided, Label, MatchVerdict},
    history::HistoryKind,
    identify::{Guard, Identified},
    list_identity_history::HistoryQuery,
    matching::{
        Candidate, CandidateId, CandidateState, Matches,
        candidate::{CandidateOrder, CandidateQuery},
    },
    split_customer::SplitCustomer,
};

/// A store of everything.
pub trait Everything: Both + Matches {}

impl<T: Both + Matches> Everything for T {}

pub(super) async fn run(store: &dyn Everything) {
    one_by_a_stewards_word(store, &caller("review-same")).await;
    two_by_a_stewards_word(store, &caller("review-different")).await;
    a_decision_holds_against_the_matcher(store, &caller("review-holds")).await;
    what_was_not_asked_refuses(store, &caller("review-refused")).await;
    what_no_longer_stands(store, &caller("review-obsolete")).await;
    a_decision_is_tried_and_retried(store, &caller("review-retried")).await;
    proof_against_proof(store, &caller("review-proof")).await;
    another_account_is_no_question(store, &caller("review-accounts")).await;
    the_matchers_guards_are_named(store, &caller("review-vetoes")).await;
    alike_with_two_accounts(store, &caller("review-alike")).await;
}

/// Somebody who may be Jane: the name is hers, and the town.
async fn perhaps(store: &dyn Everything, caller: &Caller, id: &str) -> Identified {
    let traits = serde_json::json!({ "name": "Jane Kowalski", "city": "Springfield", "phone": "202-555-0147" });
    about("desk", id, &traits).identify(store, caller).await
}

/// Stewards who decide on one pair at once, each the one way or the other, while the records go on saying what they say:
/// one verdict holds, and everything is as it says.
///
/// # Panics
/// When it is not so.
pub async fn one_verdict_holds<S: Everything>(store: std::sync::Arc<S>, rounds: usize) {
    for round in 0..rounds {
        let caller = caller(&format!("verdicts-{round}"));
        let (first, second, candidate) = asked(&*store, &caller).await;
        let stewards = (0..6).map(|n| {
            let (store, caller) = (store.clone(), caller.clone());
            tokio::spawn(async move {
                if n == 5 {
                    jane("1").seen(60).identify(&*store, &caller).await;
                    given(&["crm:one"]).source("shop", "1").seen(70).identify(&*store, &caller).await;
                    return None;
                }
                let verdict = if n % 2 == 0 { MatchVerdict::Same } else { MatchVerdict::Different };
                match store.decide(&caller, None, says(candidate.id, verdict)).await {
                    Ok(_) => Some(verdict),
                    Err(fault) if fault.reason() == Reason::MatchCandidateDecided => None,
                    Err(fault) => panic!("{fault:?}"),
                }
            })
        });
        let mut heard = std::collections::BTreeSet::new();
        for steward in futures::future::join_all(stewards).await {
            heard.extend(steward.expect("no panic").map(|verdict| verdict == MatchVerdict::Same));
        }
        assert_eq!(heard.len(), 1, "round {round}: one verdict");
        let same = heard.contains(&true);
        assert_eq!(now(&*store, &caller, &first).await == now(&*store, &caller, &second).await, same, "round {round}");
        let state = if same { CandidateState::Accepted } else { CandidateState::Rejected };
        assert_eq!(pair(&*store, &caller, candidate.id).await.state, state, "round {round}");
        assert_eq!(store.labels(&caller.tenant).await.unwrap().len(), 1);
    }
}

/// Jane, and somebody who may be her: a pair in review.
async fn asked(store: &dyn Everything, caller: &Caller) -> (Identified, Identified, Candidate) {
    let first = jane("1").identify(store, caller).await;
    let second = perhaps(store, caller, "1").await;
    assert!(second.created && first.customer != second.customer, "{second:?}");
    let [id] = second.candidates[..] else { panic!("one pair: {second:?}") };
    let candidate = pair(store, caller, id).await;
    assert_eq!(candidate.state, CandidateState::Open);
    (first, second, candidate)
}

async fn pair(store: &dyn Everything, caller: &Caller, id: CandidateId) -> Candidate {
    store.candidate(&caller.tenant, id).await.expect("read").expect("a pair")
}

fn says(candidate: CandidateId, verdict: MatchVerdict) -> DecideMatchCandidate {
    DecideMatchCandidate {
        candidate,
        verdict,
        reason: "she told us".to_owned(),
        etag: String::new(),
        validate_only: false,
        policy: std::sync::Arc::default(),
    }
}

async fn decide(store: &dyn Everything, caller: &Caller, command: DecideMatchCandidate) -> Decided {
    store.decide(caller, None, command).await.expect("decided").value
}

async fn refuses(store: &dyn Everything, caller: &Caller, command: DecideMatchCandidate) -> Reason {
    store.decide(caller, None, command).await.expect_err("refused").reason()
}

async fn in_state(store: &dyn Everything, caller: &Caller, state: CandidateState) -> Vec<CandidateId> {
    let query = CandidateQuery { customer: None, state, order: CandidateOrder::default(), after: None, limit: 100 };
    let found = store.candidates(&caller.tenant, query).await.expect("read");
    found.into_iter().map(|candidate| candidate.id).collect()
}

async fn now(store: &dyn Everything, caller: &Caller, of: &Identified) -> CustomerId {
    store.resolve(&caller.tenant, &[of.customer.unwrap()]).await.unwrap()[0].expect("somebody")
}

async fn kinds(store: &dyn Everything, caller: &Caller, of: &Identified) -> Vec<(HistoryKind, String)> {
    let entries = store.history(&caller.tenant, of.customer.unwrap(), HistoryQuery::ALL).await.unwrap();
    entries.into_iter().map(|entry| (entry.kind, entry.why().to_owned())).collect()
}

async fn one_by_a_stewards_word(store: &dyn Everything, caller: &Caller) {
    let (first, second, candidate) = asked(store, caller).await;
    let written = store.decide(caller, None, says(candidate.id, MatchVerdict::Same)).await.unwrap();
    assert!(!written.revision.is_empty());
    let done = written.value;
    assert_eq!((done.customer, done.merged.clone()), (first.customer, vec![second.customer.unwrap()]));
    assert_eq!((done.candidate.state, done.candidate.version), (CandidateState::Accepted, candidate.version + 1));
    assert_eq!(
        (done.candidate.decided_by.as_deref(), done.candidate.reason.as_deref()),
        (Some("tester"), Some("she told us"))
    );
    assert_eq!(done.candidate, pair(store, caller, candidate.id).await);
    assert_ne!(done.candidate.proposal.left, done.candidate.proposal.right, "the two who were asked about");
    let customer = get(store, caller, second.customer.unwrap()).await;
    assert_eq!((Some(customer.id), customer.record_count), (first.customer, 2));
    let history = kinds(store, caller, &first).await;
    assert!(history.contains(&(HistoryKind::Review, "she told us".to_owned())), "{history:?}");
    assert!(history.contains(&(HistoryKind::Merge, "she told us".to_owned())), "{history:?}");
    let (left, right) = (candidate.proposal.left_record, candidate.proposal.right_record);
    assert_eq!(store.labels(&caller.tenant).await.unwrap(), [Label { left, right, same: true }]);
    assert!(in_state(store, caller, CandidateState::Open).await.is_empty());
    assert_eq!(in_state(store, caller, CandidateState::Accepted).await, [candidate.id]);
    // The same again changes nothing; something else is too late.
    let version = customer.version;
    let again = decide(store, caller, says(candidate.id, MatchVerdict::Same)).await;
    assert_eq!((again.candidate, again.customer, again.merged.len()), (done.candidate, first.customer, 0));
    assert_eq!(get(store, caller, customer.id).await.version, version);
    assert_eq!(
        refuses(store, caller, says(candidate.id, MatchVerdict::Different)).await,
        Reason::MatchCandidateDecided
    );
    // What is undone teaches nothing.
    let alias = second.customer;
    let command = SplitCustomer {
        customer: terms::CustomerRef::Id(customer.id),
        identifiers: Vec::new(),
        records: Vec::new(),
        alias,
        reason: "a mistake".to_owned(),
        etag: String::new(),
        validate_only: false,
        policy: std::sync::Arc::default(),
    };
    store.split(caller, None, command).await.unwrap();
    assert_eq!(now(store, caller, &second).await, second.customer.unwrap());
    assert!(store.labels(&caller.tenant).await.unwrap().is_empty());
}

async fn two_by_a_stewards_word(store: &dyn Everything, caller: &Caller) {
    let (first, second, candidate) = asked(store, caller).await;
    let done = decide(store, caller, says(candidate.id, MatchVerdict::Different)).await;
    assert_eq!((done.customer, done.merged.len(), done.candidate.state), (None, 0, CandidateState::Rejected));
    assert_eq!(done.candidate, pair(store, caller, candidate.id).await);
    let (left, right) = (candidate.proposal.left_record, candidate.proposal.right_record);
    assert_eq!(store.labels(&caller.tenant).await.unwrap(), [Label { left, right, same: false }]);
    for of in [&first, &second] {
        assert!(kinds(store, caller, of).await.contains(&(HistoryKind::Review, "she told us".to_owned())));
    }
    // No record joins them, whatever it says of itself.
    let traits = serde_json::json!({ "first_name": "Jane", "last_name": "Kowalski", "dob": "1970-03-01",
        "street": "12 Elm Street", "city": "Springfield", "email": "jane.kowalski@mail.example",
        "phone": "202-555-0147" });
    let third = about("desk", "1", &traits).seen(60).identify(store, caller).await;
    assert!(third.merged.is_empty() && third.candidates.is_empty(), "{third:?}");
    assert_ne!(now(store, caller, &first).await, now(store, caller, &second).await);
    // Nor does an identifier.
    for (of, id) in [("crm:first", "shop"), ("crm:second", "desk")] {
        given(&[of]).source(id, "1").seen(70).identify(store, caller).await;
    }
    let both = given(&["crm:first", "crm:second"]).source("till", "1").identify(store, caller).await;
    assert!(both.refused.iter().any(|refusal| refusal.guard == Guard::CannotLink), "{both:?}");
    assert_ne!(now(store, caller, &first).await, now(store, caller, &second).await);
    decide(store, caller, says(candidate.id, MatchVerdict::Different)).await;
    assert_eq!(refuses(store, caller, says(candidate.id, MatchVerdict::Same)).await, Reason::MatchCandidateDecided);
}

/// A steward said that two are one: that they resemble each other no more changes nothing.
async fn a_decision_holds_against_the_matcher(store: &dyn Everything, caller: &Caller) {
    let (first, second, candidate) = asked(store, caller).await;
    decide(store, caller, says(candidate.id, MatchVerdict::Same)).await;
    let other = serde_json::json!({ "name": "Wilhelmina Oberholzer", "city": "Ghent", "phone": "202-555-0199" });
    let told = about("desk", "1", &other).seen(60).identify(store, caller).await;
    assert_eq!(told.customer, first.customer);
    assert_eq!(now(store, caller, &second).await, first.customer.unwrap());
}

/// A guard that the pair does not show refuses, and the pair waits.
async fn what_was_not_asked_refuses(store: &dyn Everything, caller: &Caller) {
    let (_, second, candidate) = asked(store, caller).await;
    for (value, source) in [("u1", "shop"), ("u2", "desk")] {
        given(&[&format!("user_id:{value}")]).source(source, "1").seen(60).identify(store, caller).await;
    }
    assert_eq!(refuses(store, caller, says(candidate.id, MatchVerdict::Same)).await, Reason::MergeRefused);
    assert_eq!(pair(store, caller, candidate.id).await.state, CandidateState::Open);
    assert_eq!(now(store, caller, &second).await, second.customer.unwrap());
    decide(store, caller, says(candidate.id, MatchVerdict::Different)).await;
}

async fn what_no_longer_stands(store: &dyn Everything, caller: &Caller) {
    let (_, _, candidate) = asked(store, caller).await;
    for source in ["shop", "desk"] {
        given(&["crm:one"]).source(source, "1").seen(60).identify(store, caller).await;
    }
    assert_eq!(pair(store, caller, candidate.id).await.state, CandidateState::Obsolete);
    for verdict in [MatchVerdict::Same, MatchVerdict::Different] {
        assert_eq!(refuses(store, caller, says(candidate.id, verdict)).await, Reason::MatchCandidateDecided);
    }
    let unknown = "mcd_00000000000000000000000000".parse().unwrap();
    assert_eq!(refuses(store, caller, says(unknown, MatchVerdict::Same)).await, Reason::MatchCandidateNotFound);
}

async fn a_decision_is_tried_and_retried(store: &dyn Everything, caller: &Caller) {
    let (first, second, candidate) = asked(store, caller).await;
    let stale = DecideMatchCandidate { etag: "0-0".to_owned(), ..says(candidate.id, MatchVerdict::Same) };
    assert_eq!(refuses(store, caller, stale).await, Reason::EtagStale);
    let tried = DecideMatchCandidate { validate_only: true, ..says(candidate.id, MatchVerdict::Same) };
    let tried = store.decide(caller, None, tried).await.unwrap();
    assert!(tried.revision.is_empty());
    assert_eq!((tried.value.customer, tried.value.candidate.state), (first.customer, CandidateState::Accepted));
    assert_eq!(pair(store, caller, candidate.id).await, candidate);
    assert_eq!(now(store, caller, &second).await, second.customer.unwrap());
    let key = |fingerprint| once(&caller.tenant, "decision", fingerprint);
    let command = DecideMatchCandidate { etag: candidate.etag(), ..says(candidate.id, MatchVerdict::Same) };
    let written = store.decide(caller, key(1), command.clone()).await.unwrap();
    let again = store.decide(caller, key(1), command).await.unwrap();
    assert_eq!((&again.value, &again.revision, again.replayed), (&written.value, &written.revision, true));
    let other = says(candidate.id, MatchVerdict::Different);
    assert_eq!(store.decide(caller, key(2), other).await.unwrap_err().reason(), Reason::RequestIdReused);
}

/// Proof stands against proof: the pair goes to review with the guard's name, and a steward's word outweighs it.
async fn proof_against_proof(store: &dyn Everything, caller: &Caller) {
    let proven = |key: &str| given(&[&format!("user_id:{key}"), "email:both@mail.example"]).verified();
    let first = proven("u1").identify(store, caller).await;
    let second = proven("u2").identify(store, caller).await;
    assert!(second.created && second.refused.iter().all(|refusal| refusal.in_review), "{second:?}");
    let [id] = second.candidates[..] else { panic!("one pair: {second:?}") };
    let candidate = pair(store, caller, id).await;
    let guards: Vec<Guard> = candidate.proposal.guards.iter().map(|refusal| refusal.guard).collect();
    assert_eq!(guards, [Guard::UniqueConflict, Guard::VerifiedConflict]);
    assert_eq!((candidate.proposal.score.0, candidate.proposal.model.as_str()), (0, ""));
    let records = [candidate.proposal.left_record, candidate.proposal.right_record];
    assert!(records.contains(&first.record.unwrap()) && records.contains(&second.record.unwrap()));
    // Asked once.
    let again = proven("u2").seen(60).identify(store, caller).await;
    assert!(again.candidates.is_empty() && again.refused.iter().all(|refusal| refusal.in_review), "{again:?}");
    assert_eq!(pair(store, caller, id).await, candidate);
    let done = decide(store, caller, says(id, MatchVerdict::Same)).await;
    assert_eq!((done.customer, done.merged), (first.customer, vec![second.customer.unwrap()]));
    let after = proven("u2").seen(120).identify(store, caller).await;
    assert_eq!((after.customer, after.refused.len()), (first.customer, 0), "{after:?}");
}

/// That somebody else has the account is a fact, and nobody's question.
async fn another_account_is_no_question(store: &dyn Everything, caller: &Caller) {
    given(&["user_id:u1", "email:family@mail.example"]).identify(store, caller).await;
    let second = given(&["user_id:u2", "email:family@mail.example"]).identify(store, caller).await;
    assert!(second.created && second.candidates.is_empty(), "{second:?}");
    assert!(second.refused.iter().all(|refusal| !refusal.in_review), "{second:?}");
    assert!(in_state(store, caller, CandidateState::Open).await.is_empty());
}

/// Senior and junior resemble each other in everything else.
async fn the_matchers_guards_are_named(store: &dyn Everything, caller: &Caller) {
    let named = |suffix: &str| {
        serde_json::json!({ "first_name": "Henry", "last_name": format!("Prendergast {suffix}"),
            "street": "7 Oak Road", "city": "Springfield", "email": "henry.prendergast@mail.example" })
    };
    about("crm", "1", &named("Sr")).identify(store, caller).await;
    let junior = about("crm", "2", &named("Jr")).identify(store, caller).await;
    assert!(junior.created);
    let [id] = junior.candidates[..] else { panic!("one pair: {junior:?}") };
    let candidate = pair(store, caller, id).await;
    let guards: Vec<Guard> = candidate.proposal.guards.iter().map(|refusal| refusal.guard).collect();
    assert_eq!(guards, [Guard::Generation]);
    assert!(candidate.proposal.guards.iter().all(|refusal| refusal.in_review && !refusal.detail.is_empty()));
    let done = decide(store, caller, says(id, MatchVerdict::Same)).await;
    assert_eq!(done.merged.len(), 1);
}

/// A guard that the matcher does not know of: two accounts.
async fn alike_with_two_accounts(store: &dyn Everything, caller: &Caller) {
    let first = jane("1").identify(store, caller).await;
    given(&["user_id:u1"]).source("shop", "1").seen(10).identify(store, caller).await;
    let mut twin = jane("2");
    twin.0.identifiers.clone_from(&given(&["user_id:u2"]).0.identifiers);
    let second = twin.identify(store, caller).await;
    assert!(second.created && second.refused.iter().all(|refusal| refusal.in_review), "{second:?}");
    let [id] = second.candidates[..] else { panic!("one pair: {second:?}") };
    let guards: Vec<Guard> =
        pair(store, caller, id).await.proposal.guards.iter().map(|refusal| refusal.guard).collect();
    assert_eq!(guards, [Guard::UniqueConflict]);
    assert!(kinds(store, caller, &second).await.iter().any(|(kind, _)| *kind == HistoryKind::Refuse));
    let done = decide(store, caller, says(id, MatchVerdict::Same)).await;
    assert_eq!(done.customer, first.customer);
}
