//! The review queue and explanations, through the RPCs: what stewards see of a pair, what they say of it, and why.

use rapport_proto::{identity::v1::*, r#type::v1::CustomerKind};
use tonic::Code;
use tonic_types::StatusExt;

use crate::world::{Client, by_id, identifier, refusal, served, traits};

/// A record with a key of its own.
fn record(key: &str, said: &[(&str, &str)]) -> IdentifyRequest {
    IdentifyRequest {
        source: "crm".to_owned(),
        source_record_id: key.to_owned(),
        traits: traits(said),
        ..IdentifyRequest::default()
    }
}

fn carrying(mut record: IdentifyRequest, identifiers: &[&str], verified: bool) -> IdentifyRequest {
    let claim =
        |text: &&str| IdentifierClaim { identifier: Some(identifier(text)), verified: verified.then_some(true) };
    record.identifiers = identifiers.iter().map(claim).collect();
    record
}

const JANE: [(&str, &str); 6] = [
    ("first_name", "Jane"),
    ("last_name", "Kowalski"),
    ("dob", "1970-03-01"),
    ("street", "12 Elm Street"),
    ("city", "Springfield"),
    ("email", "jane.kowalski@mail.example"),
];
const JAYNE: [(&str, &str); 3] =
    [("name", "Jane Kowalsky"), ("birth_date", "1970-03-01"), ("address", "12 Elm St, Springfield")];
const PERHAPS: [(&str, &str); 3] = [("name", "Jane Kowalski"), ("city", "Springfield"), ("phone", "202-555-0147")];

async fn identify(client: &mut Client, request: IdentifyRequest) -> IdentifyResponse {
    client.identify(request).await.unwrap().into_inner()
}

async fn list(client: &mut Client, request: ListMatchCandidatesRequest) -> Vec<MatchCandidate> {
    client.list_match_candidates(request).await.unwrap().into_inner().candidates
}

fn in_state(state: MatchCandidateState) -> ListMatchCandidatesRequest {
    ListMatchCandidatesRequest { state: state.into(), ..ListMatchCandidatesRequest::default() }
}

fn decide(candidate: &MatchCandidate, verdict: MatchVerdict) -> DecideMatchCandidateRequest {
    DecideMatchCandidateRequest {
        candidate_id: candidate.candidate_id.clone(),
        verdict: verdict.into(),
        reason: "she called us".to_owned(),
        ..DecideMatchCandidateRequest::default()
    }
}

async fn explain(client: &mut Client, customer: &str, other: &str) -> ExplainIdentityResponse {
    let other = if other.is_empty() { None } else { by_id(other) };
    let request = ExplainIdentityRequest { customer: by_id(customer), other, ..ExplainIdentityRequest::default() };
    client.explain_identity(request).await.unwrap().into_inner()
}

/// The waterfall's parts make the whole: exactly, in thousandths of a bit.
fn adds_up(edge: &EvidenceEdge) {
    let thousandths = |bits: f64| (bits * 1_000.0).round() as i64;
    let parts = edge.comparisons.iter().map(|c| thousandths(c.weight) + thousandths(c.term_frequency_weight));
    let sum = thousandths(edge.prior_weight) + parts.sum::<i64>();
    assert_eq!(sum, thousandths(edge.weight), "{edge:?}");
    let odds = edge.weight.exp2();
    assert!((edge.probability - odds / (1.0 + odds)).abs() < 1e-9, "{edge:?}");
    assert!(edge.comparisons.len() > 2 && edge.comparisons.iter().all(|c| !c.comparison.is_empty()), "{edge:?}");
    assert_eq!((edge.kind(), edge.matcher_version.is_empty()), (EvidenceKind::Probabilistic, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_listed_and_decided() {
    for mut served in served().await {
        let client = &mut served.client;
        let first = identify(client, record("1", &JANE)).await;
        let second = identify(client, record("2", &PERHAPS)).await;
        assert!(second.created, "{second:?}");
        let open = list(client, ListMatchCandidatesRequest::default()).await;
        let [candidate] = open.as_slice() else { panic!("one pair: {open:?}") };
        assert_eq!(std::slice::from_ref(&candidate.candidate_id), second.candidate_ids.as_slice());
        let mut ids = [first.customer_id.as_str(), second.customer_id.as_str()];
        ids.sort_unstable();
        let mut asked = [candidate.left_customer_id.as_str(), candidate.right_customer_id.as_str()];
        asked.sort_unstable();
        assert_eq!(asked, ids);
        assert_eq!((candidate.state(), candidate.guards.len()), (MatchCandidateState::Open, 0));
        let [edge] = candidate.edges.as_slice() else { panic!("one edge: {candidate:?}") };
        adds_up(edge);
        assert!((edge.weight - candidate.weight).abs() < 1e-9 && candidate.weight < 3.3, "{candidate:?}");
        // By customer, by filter, in pages.
        for id in ids {
            let request = ListMatchCandidatesRequest { customer: by_id(id), ..ListMatchCandidatesRequest::default() };
            assert_eq!(list(client, request).await.len(), 1, "{}", served.store.name());
        }
        for (filter, count) in [("probability > 0.3", 1), ("probability > 0.95", 0), ("guard == ''", 1)] {
            let filter = filter.to_owned();
            let request =
                ListMatchCandidatesRequest { filter: filter.clone(), ..ListMatchCandidatesRequest::default() };
            assert_eq!(list(client, request).await.len(), count, "{filter}");
        }
        // What is refused.
        let wrong = DecideMatchCandidateRequest {
            candidate_id: "mcd_?".to_owned(),
            reason: "x".repeat(1_025),
            ..DecideMatchCandidateRequest::default()
        };
        let wrong = client.decide_match_candidate(wrong).await.unwrap_err();
        let fields = wrong.get_details_bad_request().unwrap().field_violations;
        let fields: Vec<_> = fields.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["candidate_id", "verdict", "reason"]);
        let stale = DecideMatchCandidateRequest { etag: "1-1".to_owned(), ..decide(candidate, MatchVerdict::Same) };
        let stale = client.decide_match_candidate(stale).await.unwrap_err();
        assert_eq!(refusal(&stale), (Code::Aborted, "ETAG_STALE".to_owned()));
        let tried = DecideMatchCandidateRequest { validate_only: true, ..decide(candidate, MatchVerdict::Same) };
        let tried = client.decide_match_candidate(tried).await.unwrap().into_inner();
        assert_eq!((tried.merged.len(), tried.revision.as_str()), (1, ""));
        assert_eq!(list(client, in_state(MatchCandidateState::Open)).await, open);
        // One.
        let same =
            DecideMatchCandidateRequest { etag: candidate.etag.clone(), ..decide(candidate, MatchVerdict::Same) };
        let done = client.decide_match_candidate(same).await.unwrap().into_inner();
        assert_eq!(
            (&done.customer_id, done.merged.as_slice()),
            (&first.customer_id, &[second.customer_id.clone()][..])
        );
        assert!(!done.revision.is_empty());
        let decided = done.candidate.unwrap();
        assert_eq!(decided.state(), MatchCandidateState::Accepted);
        assert_eq!((decided.decided_by.as_str(), decided.reason.as_str()), ("tester", "she called us"));
        let request = GetCustomerRequest { customer: by_id(&second.customer_id), at_least: done.revision.clone() };
        let customer = client.get_customer(request).await.unwrap().into_inner().customer.unwrap();
        assert_eq!((&customer.customer_id, customer.record_count), (&first.customer_id, 2));
        assert!(list(client, in_state(MatchCandidateState::Open)).await.is_empty());
        assert_eq!(list(client, in_state(MatchCandidateState::Accepted)).await, std::slice::from_ref(&decided));
        let late = client.decide_match_candidate(decide(candidate, MatchVerdict::Different)).await.unwrap_err();
        assert_eq!(refusal(&late), (Code::FailedPrecondition, "MATCH_CANDIDATE_DECIDED".to_owned()));
        let again = client.decide_match_candidate(decide(candidate, MatchVerdict::Same)).await.unwrap().into_inner();
        assert_eq!((again.candidate, again.merged.len()), (Some(decided), 0));
        let request = ListIdentityHistoryRequest {
            customer: by_id(&first.customer_id),
            filter: "kind == 'reviewed'".to_owned(),
            ..ListIdentityHistoryRequest::default()
        };
        let history = client.list_identity_history(request).await.unwrap().into_inner().entries;
        let [entry] = history.as_slice() else { panic!("one entry: {history:?}") };
        assert_eq!((entry.kind(), entry.reason.as_str()), (IdentityHistoryKind::Reviewed, "she called us"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_are_kept_apart() {
    for mut served in served().await {
        let client = &mut served.client;
        identify(client, record("1", &JANE)).await;
        let second = identify(client, record("2", &PERHAPS)).await;
        let open = list(client, ListMatchCandidatesRequest::default()).await;
        let request = DecideMatchCandidateRequest {
            request_id: "one-decision".to_owned(),
            ..decide(&open[0], MatchVerdict::Different)
        };
        let done = client.decide_match_candidate(request.clone()).await.unwrap().into_inner();
        assert_eq!((done.customer_id.as_str(), done.merged.len(), done.revision.is_empty()), ("", 0, false));
        assert_eq!(done.candidate.as_ref().unwrap().state(), MatchCandidateState::Rejected);
        assert_eq!(client.decide_match_candidate(request).await.unwrap().into_inner(), done);
        // Now the record says everything that Jane's does.
        let told = identify(client, record("2", &JANE)).await;
        assert_eq!((&told.customer_id, told.merged.len(), told.candidate_ids.len()), (&second.customer_id, 0, 0));
        let late = client.decide_match_candidate(decide(&open[0], MatchVerdict::Same)).await.unwrap_err();
        assert_eq!(refusal(&late), (Code::FailedPrecondition, "MATCH_CANDIDATE_DECIDED".to_owned()));
    }
}

/// Two verified accounts share an address: nothing was compared, and a person judges.
#[tokio::test(flavor = "multi_thread")]
async fn guards_are_named_in_review() {
    for mut served in served().await {
        let client = &mut served.client;
        let account = |key: &str| carrying(record("", &[]), &[key, "email:both@mail.example"], true);
        let first = identify(client, account("user_id:one")).await;
        let second = identify(client, account("user_id:two")).await;
        assert!(second.created && second.refused.iter().all(|refusal| refusal.in_review), "{second:?}");
        let request = ListMatchCandidatesRequest {
            filter: "guard == 'VERIFIED_CONFLICT' || guard == 'UNIQUE_CONFLICT'".to_owned(),
            ..ListMatchCandidatesRequest::default()
        };
        let open = list(client, request).await;
        let [candidate] = open.as_slice() else { panic!("one pair: {open:?}") };
        let guards: Vec<_> = candidate.guards.iter().map(|refusal| refusal.guard()).collect();
        assert_eq!(guards, [IdentityGuard::UniqueConflict, IdentityGuard::VerifiedConflict]);
        let [edge] = candidate.edges.as_slice() else { panic!("one edge: {candidate:?}") };
        assert_eq!(
            (edge.kind(), &edge.identifier),
            (EvidenceKind::Identifier, &Some(identifier("email:both@mail.example")))
        );
        let why = explain(client, &first.customer_id, &second.customer_id).await;
        assert_eq!(why.guards.iter().map(|refusal| refusal.guard()).collect::<Vec<_>>(), guards);
        assert!(why.summary.contains("verified user_id"), "{}", why.summary);
        let done = client.decide_match_candidate(decide(candidate, MatchVerdict::Same)).await.unwrap().into_inner();
        assert_eq!(done.customer_id, first.customer_id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn why_one_and_why_not() {
    for mut served in served().await {
        let client = &mut served.client;
        let jane = identify(client, carrying(record("1", &JANE), &["phone:+4930901820"], false)).await;
        let also = identify(client, record("2", &JAYNE)).await;
        let till = identify(client, carrying(record("3", &[]), &["phone:+4930901820"], false)).await;
        assert!(also.customer_id == jane.customer_id && till.customer_id == jane.customer_id);
        let other =
            identify(client, record("4", &[("name", "Otto Prendergast"), ("city", "Ghent"), ("dob", "1950-01-02")]))
                .await;
        // One: shared identifier, resemblance.
        let why = explain(client, &jane.customer_id, "").await;
        let kinds: Vec<_> = why.edges.iter().map(|edge| edge.kind()).collect();
        assert_eq!(kinds, [EvidenceKind::Identifier, EvidenceKind::Probabilistic], "{why:?}");
        adds_up(&why.edges[1]);
        assert_eq!((why.records.len(), why.guards.len()), (3, 0));
        assert!(why.confidence > 0.9 && why.confidence < 1.0);
        for part in ["3 records are one customer", "phone", "resemble"] {
            assert!(why.summary.contains(part), "{part}: {}", why.summary);
        }
        // Two.
        let why = explain(client, &jane.customer_id, &other.customer_id).await;
        adds_up(&why.edges[0]);
        assert!(why.edges[0].weight < -1.0 && why.summary.contains("They are two"), "{}", why.summary);
        // By hand.
        let merge = MergeCustomersRequest {
            survivor: by_id(&jane.customer_id),
            losers: vec![by_id(&other.customer_id).unwrap()],
            reason: "her stage name".to_owned(),
            ..MergeCustomersRequest::default()
        };
        client.merge_customers(merge).await.unwrap();
        let why = explain(client, &jane.customer_id, "").await;
        let word = &why.edges[0];
        assert_eq!(
            (word.kind(), word.actor.as_str(), word.reason.as_str()),
            (EvidenceKind::Manual, "tester", "her stage name")
        );
        assert_eq!((&word.left_record_id, &word.right_record_id), (&jane.record_id, &other.record_id), "{word:?}");
        assert!(word.create_time.is_some() && (word.probability - 1.0).abs() < f64::EPSILON);
        assert!(why.summary.contains("by hand") && why.summary.contains("tester"), "{}", why.summary);
        // And back: a cannot-link keeps them apart.
        let split = SplitCustomerRequest {
            customer: by_id(&jane.customer_id),
            alias: other.customer_id.clone(),
            reason: "not her".to_owned(),
            ..SplitCustomerRequest::default()
        };
        let links = client.split_customer(split).await.unwrap().into_inner().cannot_links;
        let why = explain(client, &jane.customer_id, &other.customer_id).await;
        let word = &why.edges[0];
        assert_eq!((word.kind(), word.actor.as_str(), &word.edge_id), (EvidenceKind::CannotLink, "tester", &links[0]));
        assert!(word.probability.abs() < f64::EPSILON);
        assert_eq!(why.guards[0].guard(), IdentityGuard::CannotLink);
        assert!(why.summary.contains("by hand"), "{}", why.summary);
        assert!(
            explain(client, &jane.customer_id, "")
                .await
                .edges
                .iter()
                .all(|edge| edge.kind() != EvidenceKind::CannotLink)
        );
    }
}

/// Members of a household say the same of themselves as the household, and are never it.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_not_the_household() {
    for mut served in served().await {
        let client = &mut served.client;
        let home =
            [("name", "Prendergast"), ("street", "7 Oak Road"), ("city", "Springfield"), ("phone", "202-555-0147")];
        let of = |kind: CustomerKind, record: IdentifyRequest| IdentifyRequest { kind: kind.into(), ..record };
        let household = of(CustomerKind::Household, carrying(record("home", &home), &["email:us@mail.example"], true));
        let household = identify(client, household).await;
        let member = of(CustomerKind::Person, carrying(record("otto", &home), &["email:us@mail.example"], true));
        let member = identify(client, member).await;
        assert!(member.created && member.customer_id != household.customer_id, "{member:?}");
        assert_eq!(member.refused[0].guard(), IdentityGuard::KindMismatch);
        assert!(!member.refused[0].in_review && member.candidate_ids.is_empty(), "nobody is asked: {member:?}");
        let merge = MergeCustomersRequest {
            survivor: by_id(&household.customer_id),
            losers: vec![by_id(&member.customer_id).unwrap()],
            reason: "same address".to_owned(),
            ..MergeCustomersRequest::default()
        };
        let refused = client.merge_customers(merge).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::FailedPrecondition, "KIND_MISMATCH".to_owned()));
        let why = explain(client, &household.customer_id, &member.customer_id).await;
        assert_eq!(why.guards[0].guard(), IdentityGuard::KindMismatch);
        assert!(why.summary.contains("household"), "{}", why.summary);
    }
}
