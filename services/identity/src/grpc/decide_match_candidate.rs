//! `DecideMatchCandidate`.

use std::sync::Arc;

use data::once;
use host::{Call, decode};
use identity_domain::{
    DecideMatchCandidate, MatchVerdict as Verdict, Policy, matching::CandidateId, merge_customers::check_words,
};
use rapport_proto::identity::v1::{DecideMatchCandidateRequest, DecideMatchCandidateResponse, MatchVerdict};
use terms::{Fault, Reason, Violations};

use super::{Ports, list_match_candidates::told};

pub(super) async fn decide_match_candidate(
    ports: &Ports,
    call: Call,
    body: DecideMatchCandidateRequest,
) -> Result<DecideMatchCandidateResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let policy = ports.policies.get(call.tenant()).await?;
    let command = checked(policy.clone(), body)?;
    // What is only tried is not recorded.
    let once = once.filter(|_| !command.validate_only);
    let written = ports.matches.decide(&call.caller, once, command).await?;
    let decided = written.value;
    Ok(DecideMatchCandidateResponse {
        candidate: told(ports, call.tenant(), &policy, std::slice::from_ref(&decided.candidate)).await?.pop(),
        customer_id: decided.customer.map(|id| id.to_string()).unwrap_or_default(),
        merged: decided.merged.iter().map(ToString::to_string).collect(),
        revision: written.revision.to_string(),
    })
}

fn checked(policy: Arc<Policy>, body: DecideMatchCandidateRequest) -> Result<DecideMatchCandidate, Fault> {
    let mut wrong = Violations::new();
    wrong.take(decode::request_id("request_id", body.request_id));
    let candidate = wrong.take(CandidateId::parse("candidate_id", &body.candidate_id));
    let verdict = decode::enumeration::<MatchVerdict>("verdict", body.verdict).and_then(|verdict| match verdict {
        MatchVerdict::Same => Ok(Verdict::Same),
        MatchVerdict::Different => Ok(Verdict::Different),
        MatchVerdict::Unspecified => {
            Err(Fault::invalid("verdict", Reason::InvalidFields, "is required: whether the two are one or two"))
        }
    });
    let verdict = wrong.take(verdict);
    check_words(&body.reason, &mut wrong);
    wrong.add_if(body.etag.len() > 128, "etag", "is no etag of a pair; pass it just as it came");
    wrong.done()?;
    let missing = || Fault::internal("a checked field is missing");
    Ok(DecideMatchCandidate {
        candidate: candidate.ok_or_else(missing)?,
        verdict: verdict.ok_or_else(missing)?,
        reason: body.reason,
        etag: body.etag,
        validate_only: body.validate_only,
        policy,
    })
}
