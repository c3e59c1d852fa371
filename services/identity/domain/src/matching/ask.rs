//! Pairs that go to review because a guard refused what a shared identifier would have joined.

use std::collections::BTreeMap;

use identity_matching::weight::Weight;
use terms::CustomerId;

use super::candidate::Proposal;
use crate::{
    identify::{Guard, Refusal},
    identify_stream::Batch,
    ports::Verdicts,
    record::RecordId,
    view::View,
};

/// A record that shares an identifier with another customer and was not joined to it: a person is to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The record.
    pub record: RecordId,
    /// The record that first claimed the identifier.
    pub other: RecordId,
    /// The customer to whom the identifier leads.
    pub holder: CustomerId,
    /// What forbade the join.
    pub guards: Vec<Refusal>,
}

/// Whether a person may judge what guards refused: all of it is a doubt about somebody. That a household is no person,
/// and what a steward decided, are no doubts.
pub fn may_ask(refusals: &[Refusal]) -> bool {
    let doubt = |refusal: &Refusal| {
        matches!(
            refusal.guard,
            Guard::UniqueConflict
                | Guard::LimitExceeded
                | Guard::VerifiedConflict
                | Guard::BirthDate
                | Guard::Generation
        )
    };
    !refusals.is_empty() && refusals.iter().all(doubt)
}

/// Whether what guards refused of a shared identifier goes to review: proof stands against proof. That somebody else
/// has another user id is a fact about them, and goes nowhere.
pub fn must_ask(refusals: &[Refusal]) -> bool {
    let proof =
        |refusal: &Refusal| matches!(refusal.guard, Guard::VerifiedConflict | Guard::BirthDate | Guard::Generation);
    may_ask(refusals) && refusals.iter().any(proof)
}

/// Proposes these pairs, and names them in the answers. A pair that resembles each other as well keeps its weight; of
/// another one nothing is known but that something speaks for it and something against: its weight is 0.
pub fn ask(view: &View, batch: &mut Batch, verdicts: &mut Verdicts) {
    for asked in std::mem::take(&mut batch.asked) {
        let Some(record) = view.record(asked.record) else { continue };
        let (one, other) = (view.resolve(record.home), view.resolve(asked.holder));
        if one == other || view.cannot_link(one, other).is_some() {
            continue;
        }
        let (left_record, right_record) =
            if one < other { (asked.record, asked.other) } else { (asked.other, asked.record) };
        let proposal = Proposal {
            left: one.min(other),
            right: one.max(other),
            left_record,
            right_record,
            score: Weight::ZERO,
            model: String::new(),
            guards: asked.guards,
        };
        let id = proposal.id();
        match batch.proposals.iter_mut().find(|known| known.id() == id) {
            Some(known) => known.guards = distinct(known.guards.drain(..).chain(proposal.guards)),
            None => batch.proposals.push(proposal),
        }
        for reply in verdicts.iter_mut().flatten() {
            if reply.record == Some(asked.record) && !reply.candidates.contains(&id) {
                reply.candidates.push(id);
            }
        }
    }
}

/// Each guard once.
pub(crate) fn distinct(refusals: impl Iterator<Item = Refusal>) -> Vec<Refusal> {
    let mut by_guard: BTreeMap<Guard, Refusal> = BTreeMap::new();
    for refusal in refusals {
        by_guard.entry(refusal.guard).or_insert(Refusal { claim: None, ..refusal });
    }
    by_guard.into_values().collect()
}
