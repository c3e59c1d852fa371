//! `ListMatchCandidates`.

use host::{Call, decode};
use identity_domain::{
    Claim, Policy, RecordId,
    explain_identity::{Edge, tie},
    lookup_customer::{check_ref, not_found, resolve},
    matching::{
        Candidate, CandidateState, Dossier, Search,
        candidate::{CandidateOrder, CandidatePlace, CandidateQuery},
    },
};
use rapport_proto::identity::v1::{
    ListMatchCandidatesRequest, ListMatchCandidatesResponse, MatchCandidate, MatchCandidateState,
};
use rules::{FactSheet, Rule, Schema, Type};
use terms::{CustomerId, CustomerRef, Fault, PageRequest, Reason, Revision, Tenant, Violations};

use super::Ports;
use crate::evidence;

/// How many pairs are looked at for one page, at most. The page is then short and has a token to go on.
const MOST_SCANNED: usize = 10_000;
/// How many are looked at in one read.
const SCAN: u32 = 500;

/// A part of the queue that was asked for.
struct Wanted {
    scope: String,
    size: usize,
    order: CandidateOrder,
    after: Option<CandidatePlace>,
    filter: Option<Rule>,
    customer: Option<CustomerRef>,
    state: CandidateState,
    at_least: Revision,
}

pub(super) async fn list_match_candidates(
    ports: &Ports,
    call: Call,
    body: ListMatchCandidatesRequest,
) -> Result<ListMatchCandidatesResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let wanted = checked(&policy, body)?;
    let customer = match &wanted.customer {
        None => None,
        Some(reference) => {
            let found = resolve(&*ports.customers, call.tenant(), std::slice::from_ref(reference)).await?;
            Some(found.into_iter().next().flatten().ok_or_else(|| not_found(reference))?)
        }
    };
    let (candidates, next) = page(ports, &call, &wanted, customer).await?;
    Ok(ListMatchCandidatesResponse {
        candidates: told(ports, call.tenant(), &policy, &candidates).await?,
        next_page_token: next.map_or_else(String::new, |place| PageRequest::token(&wanted.scope, &place.to_bytes())),
        // Read from the store: every write that was acknowledged shows.
        revision: wanted.at_least.to_string(),
    })
}

/// Pairs with the evidence between them.
pub(super) async fn told(
    ports: &Ports,
    tenant: &Tenant,
    policy: &Policy,
    candidates: &[Candidate],
) -> Result<Vec<MatchCandidate>, Fault> {
    let mut records: Vec<_> =
        candidates.iter().flat_map(|c| [c.proposal.left_record, c.proposal.right_record]).collect();
    records.sort_unstable();
    records.dedup();
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let Dossier { matcher, known, claims, .. } = ports.matches.dossier(tenant, &records).await?;
    let search =
        Search::new(&matcher, matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower), []).with(known);
    let told = candidates.iter().map(|candidate| {
        let (left, right) = (candidate.proposal.left_record, candidate.proposal.right_record);
        let explained = search.explain(left, right);
        let alike = explained.map(|explained| evidence::resemblance(left, right, &explained, &matcher));
        let both = shared(&claims, left, right).map(|tie| evidence::edge(&tie, &matcher));
        evidence::candidate(candidate, both.chain(alike).collect())
    });
    Ok(told.collect())
}

/// Identifiers that both records claim.
fn shared(claims: &[(RecordId, Claim)], left: RecordId, right: RecordId) -> impl Iterator<Item = Edge> {
    let of = move |record: RecordId| claims.iter().filter(move |(id, _)| *id == record).map(|(_, claim)| claim);
    let both = of(left).filter_map(move |claim| Some((claim, of(right).find(|c| c.identifier == claim.identifier)?)));
    both.map(move |(one, other)| tie((left, one), (right, other)))
}

fn checked(policy: &Policy, body: ListMatchCandidatesRequest) -> Result<Wanted, Fault> {
    let mut wrong = Violations::new();
    let scope = format!("ListMatchCandidates\0{}\0{}\0{:?}\0{}", body.filter, body.order_by, body.customer, body.state);
    let page = wrong.take(PageRequest::parse(body.page_size, &body.page_token, &scope));
    let after = page.as_ref().and_then(|page| wrong.take(place(&page.after))).flatten();
    let order = wrong.take(order(&body.order_by)).unwrap_or_default();
    let filter = if body.filter.trim().is_empty() { None } else { wrong.take(filter(&body.filter)) };
    let customer = decode::optional_customer("customer", body.customer).and_then(|reference| {
        let check = |reference| check_ref(reference, policy).map_err(|fault| fault.within("customer"));
        reference.map(check).transpose()
    });
    let customer = wrong.take(customer).flatten();
    let state = wrong.take(decode::enumeration::<MatchCandidateState>("state", body.state));
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let size = page.map_or(PageRequest::DEFAULT_SIZE, |page| page.size) as usize;
    let state = state.map_or(CandidateState::Open, evidence::state_of);
    Ok(Wanted { scope, size, order, after, filter, customer, state, at_least })
}

fn place(after: &[u8]) -> Result<Option<CandidatePlace>, Fault> {
    if after.is_empty() {
        return Ok(None);
    }
    let damaged = || Fault::invalid("page_token", Reason::InvalidFields, "is damaged; leave it empty to start again");
    CandidatePlace::from_bytes(after).map(Some).ok_or_else(damaged)
}

fn order(text: &str) -> Result<CandidateOrder, Fault> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(match words.as_slice() {
        [] | ["probability", "desc"] => CandidateOrder::default(),
        ["probability"] => CandidateOrder { by_time: false, ascending: true },
        ["create_time"] => CandidateOrder { by_time: true, ascending: true },
        ["create_time", "desc"] => CandidateOrder { by_time: true, ascending: false },
        _ => {
            let advice = "gives no known order; give `probability` or `create_time`, each with or without ` desc`";
            return Err(Fault::invalid("order_by", Reason::InvalidFields, advice));
        }
    })
}

fn filter(text: &str) -> Result<Rule, Fault> {
    let schema = Schema::new()
        .declare("probability", Type::Double)
        .declare("weight", Type::Double)
        .declare("state", Type::String)
        .declare("guard", Type::String)
        .declare("create_time", Type::Timestamp)
        .clock();
    Rule::compile(text, &schema).map_err(|mistakes| rules::fault("filter", &mistakes))
}

/// What a filter speaks of.
fn facts(candidate: &Candidate) -> FactSheet {
    let proposal = &candidate.proposal;
    FactSheet::new()
        .with("probability", proposal.score.probability())
        .with("weight", proposal.score.as_bits())
        .with("state", candidate.state.as_str())
        .with("guard", proposal.guards.first().map_or("", |refusal| refusal.guard.as_str()))
        .with("create_time", candidate.created_at)
}

/// The pairs of one page, and the last place that was looked at if there are more.
async fn page(
    ports: &Ports,
    call: &Call,
    wanted: &Wanted,
    customer: Option<CustomerId>,
) -> Result<(Vec<Candidate>, Option<CandidatePlace>), Fault> {
    let now = ports.clock.now();
    let mut after = wanted.after;
    let mut candidates = Vec::new();
    // What is obsolete is stored as it was when it was open.
    let stored = match wanted.state {
        CandidateState::Obsolete => CandidateState::Open,
        state => state,
    };
    let mut scanned = 0;
    loop {
        let query = CandidateQuery { customer, state: stored, order: wanted.order, after, limit: SCAN };
        let batch = ports.matches.candidates(call.tenant(), query).await?;
        let last = batch.len() < SCAN as usize;
        for candidate in batch {
            if candidates.len() == wanted.size {
                return Ok((candidates, after));
            }
            after = Some(wanted.order.place(&candidate));
            scanned += 1;
            let fits = candidate.state == wanted.state
                && wanted.filter.as_ref().is_none_or(|rule| rule.eval(&facts(&candidate), now));
            if fits {
                candidates.push(candidate);
            }
        }
        if last {
            return Ok((candidates, None));
        }
        if scanned >= MOST_SCANNED {
            return Ok((candidates, after));
        }
    }
}
