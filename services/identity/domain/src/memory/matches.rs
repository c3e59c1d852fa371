//! The review queue in memory.

use async_trait::async_trait;
use terms::{Caller, CustomerId, Fault, Once, Tenant, Written};

use super::{MemoryCustomers, TenantState};
use crate::{
    decide_match_candidate::{DecideMatchCandidate, Decided, Label, decide_match_candidate},
    matching::{
        Candidate, CandidateId, CandidateState, Dossier, Files, Matcher, Matches, Trained,
        candidate::{CandidatePlace, CandidateQuery},
    },
    record::RecordId,
};

impl TenantState {
    fn owner(&self, record: RecordId) -> Option<CustomerId> {
        self.view.record(record).map(|record| self.view.resolve(record.home))
    }

    fn standing(&self, candidate: &Candidate) -> Candidate {
        candidate.clone().standing(|customer| self.view.resolve(customer), |record| self.owner(record))
    }
}

#[async_trait]
impl Matches for MemoryCustomers {
    async fn candidates(&self, tenant: &Tenant, query: CandidateQuery) -> Result<Vec<Candidate>, Fault> {
        Ok(self.read(tenant, |state| {
            let concerns = |candidate: &&Candidate| {
                let names = [candidate.proposal.left, candidate.proposal.right];
                candidate.state == query.state
                    && query.customer.is_none_or(|wanted| names.iter().any(|id| state.view.resolve(*id) == wanted))
            };
            let stored = state.files.candidates.values().filter(concerns);
            let mut found: Vec<(CandidatePlace, Candidate)> =
                stored.map(|candidate| (query.order.place(candidate), state.standing(candidate))).collect();
            found.sort_by_key(|(place, _)| *place);
            if !query.order.ascending {
                found.reverse();
            }
            found.retain(|(place, _)| match query.after {
                None => true,
                Some(after) if query.order.ascending => *place > after,
                Some(after) => *place < after,
            });
            found.into_iter().map(|(_, candidate)| candidate).take(query.limit as usize).collect()
        }))
    }

    async fn candidate(&self, tenant: &Tenant, id: CandidateId) -> Result<Option<Candidate>, Fault> {
        Ok(self.read(tenant, |state| state.files.candidates.get(&id).map(|candidate| state.standing(candidate))))
    }

    async fn decide(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: DecideMatchCandidate,
    ) -> Result<Written<Decided>, Fault> {
        self.by_hand(caller, once, command.validate_only, |view, files, moment| {
            let candidate = files.candidates.get(&command.candidate).cloned();
            decide_match_candidate(view, candidate, &command, moment)
        })
    }

    async fn labels(&self, tenant: &Tenant) -> Result<Vec<Label>, Fault> {
        Ok(self.read(tenant, |state| {
            let decided = state.files.candidates.values().filter_map(|candidate| {
                let same = match candidate.state {
                    CandidateState::Accepted => true,
                    CandidateState::Rejected => false,
                    CandidateState::Open | CandidateState::Obsolete => return None,
                };
                let (left, right) = (candidate.proposal.left_record, candidate.proposal.right_record);
                let holds = (state.owner(left)? == state.owner(right)?) == same;
                holds.then_some(Label { left, right, same })
            });
            let mut labels: Vec<Label> = decided.collect();
            labels.sort_unstable();
            labels
        }))
    }

    async fn matcher(&self, _tenant: &Tenant, version: &str) -> Result<Option<Trained>, Fault> {
        let shipped = Trained::shipped(true);
        let known = ["", "default", shipped.matcher.version()].contains(&version);
        Ok(known.then_some(shipped))
    }

    async fn dossier(&self, tenant: &Tenant, records: &[RecordId]) -> Result<Dossier, Fault> {
        let mut files = self.read(tenant, |state| state.files.clone().over(&state.view));
        let mut pairs = files.pairs(records).await?;
        pairs.retain(|(a, b)| records.contains(a) && records.contains(b));
        let (known, claims) = (files.filed(records).await?, files.claims(records).await?);
        Ok(Dossier { matcher: Matcher::default(), known, pairs, claims })
    }
}
