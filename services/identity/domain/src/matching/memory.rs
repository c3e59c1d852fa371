//! What is filed for the matcher, without a disk.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use identity_matching::block::Key;
use terms::{CustomerId, Fault, Timestamp};

use super::{
    candidate::{Candidate, CandidateId, CandidateState},
    files::Files,
    matcher::Matcher,
    resemble::Filing,
    search::{Known, Pair},
};
use crate::{
    customer::Kind,
    record::{Claim, RecordId},
    view::View,
};

/// The files of one tenant.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryFiles {
    known: BTreeMap<RecordId, Known>,
    pairs: BTreeSet<(RecordId, RecordId)>,
    pub(crate) candidates: BTreeMap<CandidateId, Candidate>,
    claims: HashMap<RecordId, Vec<Claim>>,
    matcher: Matcher,
}

impl MemoryFiles {
    /// Puts away what a decision filed.
    pub(crate) fn keep(&mut self, view: &View, filing: Filing) {
        for (record, likeness) in filing.likenesses {
            self.pairs.retain(|(a, b)| *a != record && *b != record);
            match (likeness, view.record(record)) {
                (Some(likeness), Some(stored)) => {
                    let cluster = self.known.get(&record).map_or(record, |known| known.cluster);
                    let known = Known { record, home: stored.home, cluster, likeness };
                    self.known.insert(record, known);
                }
                _ => drop(self.known.remove(&record)),
            }
        }
        self.pairs.extend(filing.pairs.iter().map(|Pair { a, b, .. }| (*a, *b)));
        for (record, cluster) in filing.clusters {
            if let Some(known) = self.known.get_mut(&record) {
                known.cluster = cluster;
            }
        }
    }

    /// Puts pairs into the review queue, or what is better known of them.
    pub(crate) fn propose(&mut self, proposals: Vec<super::Proposal>, now: Timestamp) {
        for proposal in proposals {
            match self.candidates.get_mut(&proposal.id()) {
                Some(known) if known.state == CandidateState::Open => {
                    let guards = match (known.proposal.guards.is_empty(), proposal.guards.is_empty()) {
                        (_, false) => proposal.guards.clone(),
                        (_, true) => known.proposal.guards.clone(),
                    };
                    let warned = known.proposal.guards.is_empty() && !guards.is_empty();
                    let better = known.proposal.score < proposal.score;
                    if better {
                        known.proposal = proposal;
                    }
                    if better || warned {
                        known.proposal.guards = guards;
                        known.updated_at = now;
                        known.version += 1;
                    }
                }
                Some(_) => {}
                None => {
                    let candidate = Candidate {
                        id: proposal.id(),
                        proposal,
                        state: CandidateState::Open,
                        decided_by: None,
                        reason: None,
                        created_at: now,
                        updated_at: now,
                        version: 1,
                    };
                    self.candidates.insert(candidate.id, candidate);
                }
            }
        }
    }

    /// Reads edges from the view, as a store reads them from its tables.
    pub(crate) fn over(mut self, view: &View) -> Self {
        self.claims.clear();
        for known in self.known.values_mut() {
            known.home = view.record(known.record).map_or(known.home, |record| record.home);
        }
        for (record, claim) in view.claims() {
            self.claims.entry(record).or_default().push(claim.clone());
        }
        self
    }
}

#[async_trait]
impl Files for MemoryFiles {
    async fn claims(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, Claim)>, Fault> {
        let claims = records.iter().filter_map(|id| Some((id, self.claims.get(id)?)));
        Ok(claims.flat_map(|(id, claims)| claims.iter().map(move |claim| (*id, claim.clone()))).collect())
    }

    async fn filed(&mut self, records: &[RecordId]) -> Result<Vec<Known>, Fault> {
        Ok(records.iter().filter_map(|record| self.known.get(record)).cloned().collect())
    }

    async fn sharing(&mut self, keys: &BTreeSet<(Kind, Key)>) -> Result<(Vec<Known>, usize), Fault> {
        let shares = |known: &&Known| {
            let kind = known.likeness.kind;
            self.matcher.all_keys(&known.likeness).into_iter().any(|key| keys.contains(&(kind, key)))
        };
        Ok((self.known.values().filter(shares).cloned().collect(), 0))
    }

    async fn pairs(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, RecordId)>, Fault> {
        let with = |(a, b): &&(RecordId, RecordId)| records.contains(a) || records.contains(b);
        Ok(self.pairs.iter().filter(with).copied().collect())
    }

    async fn meanings(&mut self, _view: &mut View, _customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        Ok(())
    }

    async fn customers(&mut self, _view: &mut View, _customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        Ok(())
    }

    async fn everything(&mut self, _view: &mut View, _customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        Ok(())
    }

    async fn whole(&mut self, _view: &mut View, _customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        Ok(())
    }
}
