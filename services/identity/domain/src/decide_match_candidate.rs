//! `DecideMatchCandidate`: a steward's word on a pair of the review queue.
//!
//! *Same* joins the two ids at which the records of the pair arrived, as [`crate::merge_customers`] does: an assertion,
//! which no later matching undoes. *Different* leaves a cannot-link between them, as a split does. Either is kept as a
//! [`Label`] from which the matcher learns.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Fault, Reason};

use crate::{
    cannot_link::CannotLink,
    guard::may_join,
    history::{Detail, HistoryEntry, HistoryId, HistoryKind},
    identify::{Guard, Refusal},
    identify_stream::Batch,
    matching::{Candidate, CandidateId, CandidateState},
    merge_customers::{MergeCustomers, kept_apart, merge_customers, refused},
    policy::Policy,
    record::RecordId,
    view::{CustomerState, Moment, View},
};

/// What a steward says of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchVerdict {
    /// They are one.
    Same,
    /// They are two.
    Different,
}

impl MatchVerdict {
    /// What becomes of the pair.
    pub const fn state(self) -> CandidateState {
        match self {
            Self::Same => CandidateState::Accepted,
            Self::Different => CandidateState::Rejected,
        }
    }
}

/// A decision by hand.
#[derive(Debug, Clone)]
pub struct DecideMatchCandidate {
    /// The pair.
    pub candidate: CandidateId,
    /// The decision.
    pub verdict: MatchVerdict,
    /// Why, in the words of whoever decides; may be empty.
    pub reason: String,
    /// The state of the pair that was read; empty: whatever it is.
    pub etag: String,
    /// Whether to decide without storing.
    pub validate_only: bool,
    /// What the tenant has decided.
    pub policy: Arc<Policy>,
}

/// What followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// The pair as decided.
    pub candidate: Candidate,
    /// The customer that both are, if they are one.
    pub customer: Option<CustomerId>,
    /// The ids that lead to it since this call.
    pub merged: Vec<CustomerId>,
}

/// What a decision teaches: two records, and whether they are one party.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// One record.
    pub left: RecordId,
    /// The other.
    pub right: RecordId,
    /// Whether they are one.
    pub same: bool,
}

/// Decides in the view; what to write is in the batch. The view holds everything of the customers of both records.
/// `candidate` is the pair as it is stored.
///
/// *Same* overrides the guards that the pair shows, for these are what the steward was asked about; any other guard
/// that fires refuses, and the pair stays as it is. Saying the same again changes nothing.
///
/// # Errors
/// [`Reason::MatchCandidateNotFound`], [`Reason::EtagStale`], [`Reason::MatchCandidateDecided`],
/// [`Reason::MergeRefused`], [`Reason::KindMismatch`].
pub fn decide_match_candidate(
    view: &mut View,
    candidate: Option<Candidate>,
    command: &DecideMatchCandidate,
    moment: Moment<'_>,
) -> Result<(Batch, Decided), Fault> {
    let stored = candidate.ok_or_else(|| not_found(command.candidate))?;
    if !command.etag.is_empty() && command.etag != stored.etag() {
        return Err(Fault::etag_stale(format_args!("pair `{}`", stored.id)));
    }
    let standing = standing(view, stored.clone());
    if standing.state == command.verdict.state() {
        let (one, other) = owners(view, &stored);
        let customer = one.filter(|_| one == other);
        return Ok((Batch::default(), Decided { candidate: standing, customer, merged: Vec::new() }));
    }
    if standing.state != CandidateState::Open {
        return Err(decided(&standing));
    }
    let deciding = Deciding { command, moment, pair: Pair::of(view, &stored)?, stored };
    match command.verdict {
        MatchVerdict::Same => deciding.unite(view),
        MatchVerdict::Different => Ok(deciding.keep_apart(view)),
    }
}

/// The pair as it stands now.
fn standing(view: &View, candidate: Candidate) -> Candidate {
    let owner = |record| view.record(record).map(|record| view.resolve(record.home));
    candidate.standing(|customer| view.resolve(customer), owner)
}

/// To whom the records of a pair belong.
fn owners(view: &View, candidate: &Candidate) -> (Option<CustomerId>, Option<CustomerId>) {
    let owner = |record| view.record(record).map(|record| view.resolve(record.home));
    (owner(candidate.proposal.left_record), owner(candidate.proposal.right_record))
}

/// No such pair.
pub fn not_found(candidate: CandidateId) -> Fault {
    Fault::not_found(Reason::MatchCandidateNotFound, format_args!("pair `{candidate}` of the review queue"))
        .with("candidate_id", candidate.to_string())
}

fn decided(candidate: &Candidate) -> Fault {
    let what = match candidate.state {
        CandidateState::Accepted => {
            "was decided: the two are one; if they are not, take them apart with SplitCustomer".to_owned()
        }
        CandidateState::Rejected => {
            "was decided: the two are two; if they are one, merge them with MergeCustomers and `override_guards`"
                .to_owned()
        }
        CandidateState::Open | CandidateState::Obsolete => {
            "no longer stands: its customers became one, or no longer have the records that it is about".to_owned()
        }
    };
    Fault::new(Reason::MatchCandidateDecided, format!("pair `{}` {what}", candidate.id))
        .with("candidate_id", candidate.id.to_string())
        .with("state", candidate.state.as_str())
}

/// The ids at which the two records arrived, the older customer's first, and these customers.
struct Pair {
    homes: [CustomerId; 2],
    customers: [CustomerState; 2],
}

impl Pair {
    fn of(view: &View, candidate: &Candidate) -> Result<Self, Fault> {
        let side = |record: RecordId| {
            let home = view.record(record)?.home;
            Some((home, view.customer(view.resolve(home))?.clone()))
        };
        let gone = || Fault::internal("a customer of a pair in review is gone");
        let one = side(candidate.proposal.left_record).ok_or_else(gone)?;
        let other = side(candidate.proposal.right_record).ok_or_else(gone)?;
        let age = |(_, customer): &(CustomerId, CustomerState)| (customer.created_at, customer.id);
        let (first, second) = if age(&one) <= age(&other) { (one, other) } else { (other, one) };
        Ok(Self { homes: [first.0, second.0], customers: [first.1, second.1] })
    }
}

struct Deciding<'a> {
    command: &'a DecideMatchCandidate,
    moment: Moment<'a>,
    stored: Candidate,
    pair: Pair,
}

impl Deciding<'_> {
    fn unite(self, view: &mut View) -> Result<(Batch, Decided), Fault> {
        let [survivor, loser] = &self.pair.customers;
        let policy = &self.command.policy;
        let mut refusals = may_join(policy, survivor, loser, self.moment.now);
        refusals.extend(kept_apart(view, survivor.id, loser.id));
        let shown: BTreeSet<Guard> = self.stored.proposal.guards.iter().map(|refusal| refusal.guard).collect();
        let others: Vec<Refusal> = refusals.into_iter().filter(|refusal| !shown.contains(&refusal.guard)).collect();
        if !others.is_empty() {
            return Err(refused(&others, survivor, loser));
        }
        let [there, here] = self.pair.homes;
        let merge = MergeCustomers {
            survivor: CustomerRef::Id(there),
            losers: vec![CustomerRef::Id(here)],
            reason: self.command.reason.clone(),
            override_guards: true,
            etag: String::new(),
            validate_only: self.command.validate_only,
            policy: policy.clone(),
        };
        let entry = self.entry(self.moment.ids.next(), "decided: one customer");
        let (mut batch, merged) = merge_customers(view, &merge, self.moment)?;
        batch.history.insert(0, entry);
        let candidate = self.decided(view, &mut batch);
        Ok((batch, Decided { candidate, customer: Some(merged.customer.id), merged: merged.merged }))
    }

    fn keep_apart(self, view: &mut View) -> (Batch, Decided) {
        let mut batch = Batch::default();
        let [one, other] = self.pair.homes;
        let link = CannotLink::between(self.moment.ids.next(), one, other, self.moment.actor, self.moment.now);
        view.add_cannot_link(link.clone());
        batch.cannot_links.push(link);
        batch.history.push(self.entry(self.moment.ids.next(), "decided: two customers"));
        let candidate = self.decided(view, &mut batch);
        (batch, Decided { candidate, customer: None, merged: Vec::new() })
    }

    fn entry(&self, id: HistoryId, reason: &str) -> HistoryEntry {
        let [one, other] = &self.pair.customers;
        HistoryEntry {
            id,
            kind: HistoryKind::Review,
            customer: one.id,
            other: Some(other.id),
            record: None,
            detail: Detail { words: self.command.reason.clone(), ..Detail::default() },
            actor: self.moment.actor.to_owned(),
            reason: reason.to_owned(),
            at: self.moment.now,
        }
    }

    /// Notes the decision; gives the pair as it stands now.
    fn decided(self, view: &View, batch: &mut Batch) -> Candidate {
        let candidate = Candidate {
            state: self.command.verdict.state(),
            decided_by: Some(self.moment.actor.to_owned()),
            reason: Some(self.command.reason.clone()).filter(|words| !words.is_empty()),
            updated_at: self.moment.now,
            version: self.stored.version + 1,
            ..self.stored
        };
        batch.reviewed = Some(candidate.clone());
        standing(view, candidate)
    }
}
