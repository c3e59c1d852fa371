//! `ExplainIdentity`: why records are one customer, or why two customers are not.
//!
//! Everything that is said here follows from what is stored: edges between records and identifiers, pairs that resemble
//! each other, the model in force, and what guards say of the two customers today.

use std::collections::{BTreeMap, BTreeSet};

use identity_matching::{
    explain::{Explanation, Step, Verdict},
    weight::Weight,
};
use terms::{CustomerId, Identifier, Timestamp};

use crate::{
    identify::Refusal,
    matching::{Known, Search, resemble::guard_of},
    record::{Claim, Record, RecordId},
};

/// How many pairs of records of two customers are compared to find what speaks most for their being one.
const MOST_COMPARED: usize = 2_500;
/// How many edges an explanation shows at most; the strongest are kept.
pub const MOST_EDGES: usize = 500;

/// A record with its edges, and the customer that it belongs to now.
#[derive(Debug, Clone)]
pub struct Owned {
    /// The record.
    pub record: Record,
    /// Its edges.
    pub claims: Vec<Claim>,
    /// Its customer.
    pub customer: CustomerId,
}

/// What an edge rests on.
#[derive(Debug, Clone, PartialEq)]
pub enum Ground {
    /// Both records claim this identifier.
    Shared(Identifier),
    /// The records resemble each other.
    Resemblance(Box<Explanation>),
}

/// Evidence between two records.
#[derive(Debug, Clone, PartialEq)]
pub struct Edge {
    /// One side, the older record.
    pub left: RecordId,
    /// The other side.
    pub right: RecordId,
    /// What it rests on.
    pub ground: Ground,
    /// The probability that the two sides are one.
    pub probability: f64,
    /// Who made it; `None`: the matcher.
    pub actor: Option<String>,
    /// When (record time), where that is known.
    pub at: Option<Timestamp>,
}

/// The explanation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Explained {
    /// For and against; the strongest first within each kind.
    pub edges: Vec<Edge>,
    /// What keeps the two sides apart.
    pub guards: Vec<Refusal>,
    /// The same in one or two sentences.
    pub summary: String,
}

/// What is known of the pairs among some records.
pub struct Compared<'a> {
    /// Knows every record that is compared.
    pub search: Search<'a>,
    /// Who is compared.
    pub known: Vec<Known>,
    /// Pairs that are stored as evidence, the lesser record first.
    pub stored: BTreeSet<(RecordId, RecordId)>,
}

impl Compared<'_> {
    fn edge(&self, a: RecordId, b: RecordId) -> Option<Edge> {
        let (left, right) = (a.min(b), a.max(b));
        let explanation = self.search.explain(left, right)?;
        let probability = explanation.score.probability();
        let ground = Ground::Resemblance(Box::new(explanation));
        Some(Edge { left, right, ground, probability, actor: None, at: None })
    }
}

/// Why the records of one customer are one.
pub fn why_one(records: &[Owned], compared: &Compared<'_>) -> Explained {
    let mut edges = shared(records);
    let tied = edges.len();
    let ours: BTreeSet<RecordId> = records.iter().map(|owned| owned.record.id).collect();
    let pairs = compared.stored.iter().filter(|(a, b)| ours.contains(a) && ours.contains(b));
    let mut alike: Vec<Edge> = pairs.filter_map(|(a, b)| compared.edge(*a, *b)).collect();
    strongest_first(&mut alike);
    let resembling = alike.len();
    edges.extend(alike);
    edges.truncate(MOST_EDGES);
    let summary = summary_of_one(records.len(), tied, resembling, &edges, compared);
    Explained { edges, guards: Vec::new(), summary }
}

/// Why two customers are not one: what speaks for it, and what keeps them apart. `guards` is what forbids to join them.
pub fn why_two(one: &[Owned], other: &[Owned], compared: &Compared<'_>, mut guards: Vec<Refusal>) -> Explained {
    let (ours, theirs) = (ids(one), ids(other));
    let of = |ids: &BTreeSet<RecordId>| {
        compared.known.iter().map(|known| known.record).filter(|record| ids.contains(record)).collect::<Vec<_>>()
    };
    let (ours, theirs) = (of(&ours), of(&theirs));
    let across = ours.iter().flat_map(|a| theirs.iter().map(move |b| (*a, *b))).take(MOST_COMPARED);
    let mut scored: Vec<(Weight, RecordId, RecordId)> =
        across.filter_map(|(a, b)| Some((compared.search.score(a, b)?, a, b))).collect();
    scored.sort_by_key(|(score, a, b)| (std::cmp::Reverse(*score), *a, *b));
    let review = compared.search.thresholds().review;
    let mut edges: Vec<Edge> = shared_across(one, other);
    // The best is told whatever it is worth: it says why the two are not one.
    let told = scored.iter().enumerate().filter(|(place, (score, ..))| *place == 0 || *score >= review);
    edges.extend(told.take(MOST_EDGES).filter_map(|(_, (_, a, b))| compared.edge(*a, *b)));
    let best = edges.iter().find_map(|edge| match &edge.ground {
        Ground::Resemblance(explanation) => Some((**explanation).clone()),
        Ground::Shared(_) => None,
    });
    if let Some(best) = &best {
        for veto in &best.vetoes {
            if let Some(guard) = guard_of(*veto)
                && guards.iter().all(|known| known.guard != guard)
            {
                guards.push(Refusal::new(guard, veto.reason()));
            }
        }
    }
    let summary = summary_of_two(best.as_ref(), &guards, ours.is_empty() || theirs.is_empty());
    Explained { edges, guards, summary }
}

fn ids(records: &[Owned]) -> BTreeSet<RecordId> {
    records.iter().map(|owned| owned.record.id).collect()
}

fn strongest_first(edges: &mut [Edge]) {
    edges.sort_by(|a, b| b.probability.total_cmp(&a.probability).then((a.left, a.right).cmp(&(b.left, b.right))));
}

/// Identifiers that several records claim: from the first record to each other one.
fn shared(records: &[Owned]) -> Vec<Edge> {
    let mut by_identifier: BTreeMap<&Identifier, Vec<(&Owned, &Claim)>> = BTreeMap::new();
    for owned in records {
        for claim in &owned.claims {
            by_identifier.entry(&claim.identifier).or_default().push((owned, claim));
        }
    }
    let mut edges = Vec::new();
    for (identifier, claims) in by_identifier {
        let Some(((first, _), rest)) = claims.split_first() else { continue };
        edges.extend(rest.iter().map(|(owned, claim)| tie(identifier, first, owned, claim)));
    }
    edges
}

/// Identifiers that records of both claim, although they are two.
fn shared_across(one: &[Owned], other: &[Owned]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for ours in one {
        for claim in &ours.claims {
            let also = other.iter().find(|theirs| theirs.claims.iter().any(|c| c.identifier == claim.identifier));
            edges.extend(also.map(|theirs| tie(&claim.identifier, ours, theirs, claim)));
        }
    }
    edges.truncate(MOST_EDGES);
    edges
}

fn tie(identifier: &Identifier, a: &Owned, b: &Owned, claim: &Claim) -> Edge {
    Edge {
        left: a.record.id.min(b.record.id),
        right: a.record.id.max(b.record.id),
        ground: Ground::Shared(identifier.clone()),
        probability: claim.certainty,
        actor: Some(claim.actor.clone()),
        at: Some(claim.created_at),
    }
}

fn summary_of_one(records: usize, tied: usize, resembling: usize, edges: &[Edge], compared: &Compared<'_>) -> String {
    if records < 2 {
        return "The customer has one record; there is nothing to hold together.".to_owned();
    }
    let mut text = format!("{records} records are one customer: ");
    text += &match (tied, resembling) {
        (0, 0) => "they were linked by a source's key, by hand, or through records that are not shown.".to_owned(),
        (n, 0) => format!("identifiers that they share tie them together ({n} links)."),
        (0, n) => format!("they resemble each other ({n} pairs)."),
        (n, m) => {
            format!("identifiers that they share tie them together ({n} links), and {m} pairs resemble each other.")
        }
    };
    let weakest = edges.iter().filter_map(|edge| match &edge.ground {
        Ground::Resemblance(explanation) => Some(explanation.score),
        Ground::Shared(_) => None,
    });
    if let Some(least) = weakest.min() {
        let merge = compared.search.thresholds().merge;
        text += &format!(" The weakest resemblance has {least} bits; from {merge} on nobody is asked.");
    }
    text
}

fn summary_of_two(best: Option<&Explanation>, guards: &[Refusal], incomparable: bool) -> String {
    let mut text = match best {
        None if incomparable => "They are two: one of them has no record with a name and anything beside it, so there \
                                 is nothing to compare."
            .to_owned(),
        None => "They are two: no identifier leads to both, and nothing was compared.".to_owned(),
        Some(best) => {
            let (percent, review) = (100.0 * best.score.probability(), best.review_threshold);
            let decision = match best.verdict {
                Verdict::Merge => format!("their best records would be joined, with {} bits", best.score),
                Verdict::Review => format!("a steward decides: their best records have {} bits", best.score),
                Verdict::Apart => format!("their best records have {} bits, and review begins at {review}", best.score),
            };
            format!("They are two; {decision}, a probability of {percent:.2} %.{}", for_and_against(best))
        }
    };
    if let Some(guard) = guards.first() {
        text += &format!(" What keeps them apart: {}.", guard.detail);
    } else if let Some(doubt) = best.and_then(|best| best.doubts.first()) {
        text += &format!(" In doubt: {}.", doubt.reason());
    }
    text
}

/// The strongest step for one party, and the strongest against.
fn for_and_against(explanation: &Explanation) -> String {
    let level = |step: &&Step| matches!(step, Step::Level { .. });
    let best = explanation.steps.iter().filter(level).max_by_key(|step| step.total());
    let worst = explanation.steps.iter().filter(level).min_by_key(|step| step.total());
    let mut text = String::new();
    if let Some(step) = best.filter(|step| step.total() > Weight::ZERO) {
        text += &format!(" Most for it: {step}.");
    }
    if let Some(step) = worst.filter(|step| step.total() < Weight::ZERO) {
        text += &format!(" Most against it: {step}.");
    }
    text
}
