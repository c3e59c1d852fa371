//! From clusters of records to customers: who becomes one, who goes to review, and what the answers say.

use std::collections::{BTreeMap, BTreeSet};

use identity_matching::model::Thresholds;
use terms::CustomerId;

use super::{ask::distinct, candidate::Proposal, matcher::Matcher, resemble::Found, search::Pair};
use crate::{
    golden::Golden,
    history::{Detail, HistoryEntry, HistoryKind},
    identify::{Evidence, MatchReason, Refusal},
    identify_stream::Batch,
    policy::Policy,
    ports::Verdicts,
    record::RecordId,
    view::{Bond, CustomerState, Merge, Moment, View},
};

/// How many pieces of probabilistic evidence an answer names at most, and how many pairs one record sends to review.
const MOST: usize = 8;

/// What settling takes.
pub struct Settling<'a> {
    /// The graph; what is settled is done in it.
    pub view: &'a mut View,
    /// What the group changes; what is settled is added.
    pub batch: &'a mut Batch,
    /// What the tenant decided.
    pub policy: &'a Policy,
    /// The matcher that found the clusters.
    pub matcher: &'a Matcher,
    /// Where each record that is known is filed.
    pub homes: &'a BTreeMap<RecordId, CustomerId>,
    /// When a match counts.
    pub thresholds: Thresholds,
    /// The present, ids and the actor.
    pub moment: Moment<'a>,
    /// What forbids that two customers become one.
    pub forbids: &'a (dyn Fn(&View, &CustomerState, &CustomerState) -> Vec<Refusal> + Sync),
}

/// What came of it, for the answers.
#[derive(Debug, Default)]
struct Settled {
    /// Customers who are another one now, those included of whom nobody has heard.
    became: BTreeMap<CustomerId, CustomerId>,
    /// Of these, customers who were there before.
    merged: BTreeSet<CustomerId>,
    /// Joins that a guard refused.
    refused: Vec<(CustomerId, CustomerId, Vec<Refusal>)>,
}

impl Settled {
    fn resolve(&self, mut customer: CustomerId) -> CustomerId {
        while let Some(next) = self.became.get(&customer) {
            customer = *next;
        }
        customer
    }
}

impl Settling<'_> {
    /// Joins the customers of each cluster, proposes the other pairs for review, and completes the answers.
    pub fn settle(&mut self, found: &Found, verdicts: &mut Verdicts) {
        let mut settled = Settled::default();
        for cluster in found.clusters.iter().filter(|cluster| cluster.len() > 1) {
            self.unite(found, cluster, &mut settled);
        }
        let proposals = self.proposals(found, &settled);
        for verdict in verdicts.iter_mut().flatten() {
            self.complete(verdict, found, &settled, &proposals);
        }
        self.batch.proposals.extend(proposals);
    }

    /// Makes one of the customers of a cluster, the oldest first; those that a guard keeps apart stay so.
    fn unite(&mut self, found: &Found, cluster: &[RecordId], settled: &mut Settled) {
        let customers: BTreeSet<CustomerId> =
            cluster.iter().filter_map(|record| found.customers.get(record)).map(|id| settled.resolve(*id)).collect();
        if customers.len() < 2 {
            return;
        }
        let mut order: Vec<CustomerId> = customers.into_iter().collect();
        order.sort_by_key(|id| self.view.customer(*id).map(|customer| (customer.created_at, customer.id)));
        let mut united: Vec<CustomerId> = Vec::new();
        for other in order {
            // Whoever may not join the oldest may still join one who is kept apart from it.
            let mut refused = Vec::new();
            let host = united.iter().copied().find(|host| {
                let (Some(a), Some(b)) = (self.view.customer(*host), self.view.customer(other)) else { return false };
                let refusals = (self.forbids)(self.view, a, b);
                let free = refusals.is_empty();
                if !free {
                    refused.push((*host, other, refusals));
                }
                free
            });
            match host {
                Some(host) => {
                    let pair = best(found, cluster, settled, host, other);
                    let cause = pair.map(|pair| pair.a.max(pair.b)).or(cluster.last().copied());
                    if let Some(cause) = cause {
                        self.join(host, other, (cause, pair), settled);
                    }
                }
                None => united.push(other),
            }
            for (host, other, refusals) in &refused {
                self.note(found, cluster, settled, (*host, *other), refusals);
            }
            settled.refused.append(&mut refused);
        }
    }

    /// Writes into the history what guards refused to a record that said something new.
    fn note(
        &mut self,
        found: &Found,
        cluster: &[RecordId],
        settled: &Settled,
        (host, other): (CustomerId, CustomerId),
        refusals: &[Refusal],
    ) {
        let Some(pair) = best(found, cluster, settled, host, other) else { return };
        let news = [pair.a, pair.b].into_iter().find(|record| self.batch.retold.contains(record));
        let (Some(record), Some(refusal)) = (news, refusals.first()) else { return };
        self.batch.history.push(HistoryEntry {
            id: self.moment.ids.next(),
            kind: HistoryKind::Refuse,
            customer: other,
            other: Some(host),
            record: Some(record),
            detail: Detail {
                guard: Some(refusal.guard),
                sentence: refusal.detail.clone(),
                in_review: refusal.in_review,
                ..Detail::default()
            },
            actor: self.moment.actor.to_owned(),
            reason: format!("refused by {}", refusal.guard.as_str()),
            at: self.moment.now,
        });
    }

    /// Makes `loser` part of `survivor`. The id of a customer of this very group becomes an alias that nobody has heard
    /// of: what arrived at it stays known, so that it can part again.
    fn join(
        &mut self,
        survivor: CustomerId,
        loser: CustomerId,
        (cause, pair): (RecordId, Option<Pair>),
        settled: &mut Settled,
    ) {
        let (Some(mut state), Some(other)) =
            (self.view.customer(survivor).cloned(), self.view.customer(loser).cloned())
        else {
            return;
        };
        let before = state.golden.clone();
        if state.golden.absorb(self.policy, other.golden.clone()).is_err() {
            let both = [survivor, loser];
            state.golden = Golden::of(self.policy, self.view.records_of(&both));
        }
        state.anchors.absorb(&other.anchors);
        state.record_count = state.record_count.saturating_add(other.record_count);
        state.confidence = state.confidence.min(other.confidence);
        let probability = pair.map_or(1.0, |pair| pair.score.probability());
        state.confidence = state.confidence.min(probability);
        state.updated_at = self.moment.now;
        state.version += 1;
        let reason = match pair {
            Some(pair) => format!("a record matches with {} bits ({})", pair.score, self.matcher.version()),
            None => format!("records match ({})", self.matcher.version()),
        };
        let fresh = self.batch.created.contains(&loser);
        let id = self.moment.ids.next();
        let (here, there) = self.ends(pair, loser, survivor);
        let merge = Merge {
            id,
            loser,
            loser_created_at: other.created_at,
            survivor,
            here,
            there,
            bond: Bond::Probable,
            certainty: probability,
            at: self.moment.now,
        };
        self.view.apply_merge(&merge);
        self.batch.history.push(HistoryEntry {
            id,
            kind: HistoryKind::Merge,
            customer: survivor,
            other: Some(loser),
            record: Some(cause),
            detail: Detail::default(),
            actor: self.moment.actor.to_owned(),
            reason,
            at: self.moment.now,
        });
        self.batch.forget(loser);
        self.batch.merged.push(merge);
        if !fresh {
            settled.merged.insert(loser);
        }
        self.batch.tell(survivor, &state.golden.differing(&before));
        self.view.add_customer(state);
        settled.became.insert(loser, survivor);
    }

    /// The ids at which the two records of a pair arrived, that of the loser first.
    fn ends(&self, pair: Option<Pair>, loser: CustomerId, survivor: CustomerId) -> (CustomerId, CustomerId) {
        let home =
            |record: RecordId| self.view.record(record).map(|record| record.home).or(self.homes.get(&record).copied());
        let ends = pair.and_then(|pair| home(pair.a).zip(home(pair.b)));
        let of = |id: CustomerId, customer: CustomerId| self.view.resolve(id) == customer;
        match ends {
            Some((a, b)) if of(a, loser) && of(b, survivor) => (a, b),
            Some((a, b)) if of(b, loser) && of(a, survivor) => (b, a),
            _ => (loser, survivor),
        }
    }

    /// Pairs of different customers from the lower threshold on, the best of each two customers.
    fn proposals(&self, found: &Found, settled: &Settled) -> Vec<Proposal> {
        let mut best: BTreeMap<(CustomerId, CustomerId), Proposal> = BTreeMap::new();
        let mut count: BTreeMap<RecordId, usize> = BTreeMap::new();
        for pair in found.pairs.iter().filter(|pair| pair.score >= self.thresholds.review) {
            let customer = |record: RecordId| Some(settled.resolve(*found.customers.get(&record)?));
            let (Some(a), Some(b)) = (customer(pair.a), customer(pair.b)) else { continue };
            let key = (a.min(b), a.max(b));
            if a == b || best.contains_key(&key) || self.view.cannot_link(a, b).is_some() {
                continue;
            }
            if [pair.a, pair.b].iter().any(|record| count.get(record).is_some_and(|n| *n >= MOST)) {
                continue;
            }
            [pair.a, pair.b].iter().for_each(|record| *count.entry(*record).or_default() += 1);
            let (left_record, right_record) = if a < b { (pair.a, pair.b) } else { (pair.b, pair.a) };
            let refused = settled.refused.iter().filter(|(x, y, _)| {
                let (x, y) = (settled.resolve(*x), settled.resolve(*y));
                (x.min(y), x.max(y)) == key
            });
            let refused: Vec<Refusal> = refused.flat_map(|(_, _, refusals)| refusals.iter().cloned()).collect();
            // What nobody can judge is not asked.
            if refused.iter().any(|refusal| !refusal.in_review) {
                continue;
            }
            let held = found.held.get(&(pair.a, pair.b)).into_iter().flatten().cloned();
            let guards = distinct(refused.into_iter().chain(held));
            let model = self.matcher.version().to_owned();
            let proposal =
                Proposal { left: key.0, right: key.1, left_record, right_record, score: pair.score, model, guards };
            best.insert(key, proposal);
        }
        best.into_values().collect()
    }

    /// Says in an answer what matching did to its record.
    fn complete(
        &self,
        reply: &mut crate::identify::Identified,
        found: &Found,
        settled: &Settled,
        proposals: &[Proposal],
    ) {
        let (Some(record), Some(customer)) = (reply.record, reply.customer) else { return };
        let Some(cluster) = found.clusters.iter().find(|cluster| cluster.contains(&record)) else { return };
        let now = settled.resolve(customer);
        if now != customer {
            // A customer that was there before has merged into another; one of this group never was.
            reply.created &= settled.merged.contains(&customer) || self.batch.created.contains(&now);
            reply.customer = Some(now);
        }
        reply.merged.extend(settled.merged.iter().filter(|loser| settled.resolve(**loser) == now));
        reply.merged.dedup();
        if let Some(state) = self.view.customer(now) {
            reply.confidence = state.confidence;
        }
        if !reply.created {
            let with_record =
                |pair: &&Pair| [pair.a, pair.b].contains(&record) && cluster.contains(&pair.other(record));
            reply.matched_by.extend(found.pairs.iter().filter(with_record).take(MOST).map(|pair| MatchReason {
                evidence: Evidence::Resemblance(pair.score.0),
                record: pair.other(record),
                probability: pair.score.probability(),
            }));
        }
        for (a, b, refusals) in &settled.refused {
            let (a, b) = (settled.resolve(*a), settled.resolve(*b));
            if a != b && [a, b].contains(&now) {
                reply.refused.extend(refusals.iter().cloned());
            }
        }
        let asked = proposals.iter().filter(|proposal| [proposal.left_record, proposal.right_record].contains(&record));
        reply.candidates.extend(asked.map(Proposal::id));
    }
}

/// The strongest pair of a cluster between two customers, or of one of them with the rest.
fn best(found: &Found, cluster: &[RecordId], settled: &Settled, a: CustomerId, b: CustomerId) -> Option<Pair> {
    let customer = |record: RecordId| found.customers.get(&record).map(|id| settled.resolve(*id));
    let inside = || found.pairs.iter().filter(|pair| cluster.contains(&pair.a) && cluster.contains(&pair.b));
    let ends = |pair: &Pair| (customer(pair.a), customer(pair.b));
    let between = |pair: &&Pair| [(Some(a), Some(b)), (Some(b), Some(a))].contains(&ends(pair));
    // Coherence with the whole cluster may do without a pair of exactly these two.
    let touching = |pair: &&Pair| ends(pair).0 == Some(b) || ends(pair).1 == Some(b);
    inside().find(between).or_else(|| inside().find(touching)).copied()
}
