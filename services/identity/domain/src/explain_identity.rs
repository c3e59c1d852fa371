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
    cannot_link::CannotLink,
    identify::{Guard, Refusal},
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

/// What somebody said by hand of two ids, and what holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Word {
    /// The merge or the cannot-link.
    pub id: String,
    /// Whether the two are one.
    pub same: bool,
    /// One id, whoever it means now.
    pub here: CustomerId,
    /// The other.
    pub there: CustomerId,
    /// Who said it; empty where that is not known any more.
    pub actor: String,
    /// Why, as it was said; may be empty.
    pub reason: String,
    /// When (record time).
    pub at: Timestamp,
}

impl Word {
    /// That two are two.
    pub fn of(link: &CannotLink) -> Self {
        Self {
            id: link.id.to_string(),
            same: false,
            here: link.a,
            there: link.b,
            actor: link.actor.clone(),
            reason: String::new(),
            at: link.at,
        }
    }
}

/// What an edge rests on.
#[derive(Debug, Clone, PartialEq)]
pub enum Ground {
    /// Somebody said so.
    Word {
        /// The merge or the cannot-link.
        id: String,
        /// Whether the two are one.
        same: bool,
        /// Why, as it was said.
        reason: String,
    },
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

/// Why the records of one customer are one. `words` is what was said of its ids.
pub fn why_one(records: &[Owned], compared: &Compared<'_>, words: &[Word]) -> Explained {
    let mut edges: Vec<Edge> =
        words.iter().filter(|word| word.same).filter_map(|word| said(word, records, records)).collect();
    edges.extend(shared(records));
    let ours: BTreeSet<RecordId> = records.iter().map(|owned| owned.record.id).collect();
    let pairs = compared.stored.iter().filter(|(a, b)| ours.contains(a) && ours.contains(b));
    let mut alike: Vec<Edge> = pairs.filter_map(|(a, b)| compared.edge(*a, *b)).collect();
    strongest_first(&mut alike);
    edges.extend(alike);
    let summary = summary_of_one(records.len(), &edges, compared);
    edges.truncate(MOST_EDGES);
    Explained { edges, guards: Vec::new(), summary }
}

/// Why two customers are not one: what speaks for it, and what keeps them apart. `guards` is what forbids to join them,
/// `words` what was said of the two.
pub fn why_two(
    one: &[Owned],
    other: &[Owned],
    compared: &Compared<'_>,
    mut guards: Vec<Refusal>,
    words: &[Word],
) -> Explained {
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
    let against: Vec<&Word> = words.iter().filter(|word| !word.same).collect();
    if let Some(word) = against.first() {
        guards
            .insert(0, Refusal::new(Guard::CannotLink, format!("{} said by hand that they are two", who(&word.actor))));
    }
    let mut edges: Vec<Edge> = against.into_iter().filter_map(|word| said(word, one, other)).collect();
    edges.extend(shared_across(one, other));
    // The best is told whatever it is worth: it says why the two are not one.
    let told = scored.iter().enumerate().filter(|(place, (score, ..))| *place == 0 || *score >= review);
    edges.extend(told.take(MOST_EDGES).filter_map(|(_, (_, a, b))| compared.edge(*a, *b)));
    let best = edges.iter().find_map(|edge| match &edge.ground {
        Ground::Resemblance(explanation) => Some((**explanation).clone()),
        Ground::Shared(_) | Ground::Word { .. } => None,
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

/// Who acted, as a sentence begins.
fn who(actor: &str) -> &str {
    if actor.is_empty() { "somebody" } else { actor }
}

/// What was said of two ids, as an edge between the oldest records that arrived there: of `one`, and of `other`.
fn said(word: &Word, one: &[Owned], other: &[Owned]) -> Option<Edge> {
    let all = || one.iter().chain(other);
    let at = |id: CustomerId| all().filter(|owned| owned.record.home == id).map(|owned| owned.record.id).min();
    let (mut left, mut right) = (at(word.here), at(word.there));
    // An id whose records all moved away stands for whoever has it now.
    let oldest = |records: &[Owned], not: Option<RecordId>| {
        records.iter().map(|owned| owned.record.id).filter(|id| Some(*id) != not).min()
    };
    if left.is_none() {
        left = oldest(one, right).or_else(|| oldest(other, right));
    }
    if right.is_none() {
        right = oldest(other, left).or_else(|| oldest(one, left));
    }
    let (left, right) = (left?, right?);
    let ground = Ground::Word { id: word.id.clone(), same: word.same, reason: word.reason.clone() };
    Some(Edge {
        left: left.min(right),
        right: left.max(right),
        ground,
        probability: if word.same { 1.0 } else { 0.0 },
        actor: Some(word.actor.clone()),
        at: Some(word.at),
    })
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
    for claims in by_identifier.into_values() {
        let Some(((first, claimed), rest)) = claims.split_first() else { continue };
        edges.extend(rest.iter().map(|(owned, claim)| tie((first.record.id, claimed), (owned.record.id, claim))));
    }
    edges
}

/// Identifiers that records of both claim, although they are two.
fn shared_across(one: &[Owned], other: &[Owned]) -> Vec<Edge> {
    let mut edges = Vec::new();
    for ours in one {
        for claim in &ours.claims {
            let also = other.iter().find_map(|theirs| {
                let same = theirs.claims.iter().find(|c| c.identifier == claim.identifier)?;
                Some((theirs.record.id, same))
            });
            edges.extend(also.map(|(theirs, same)| tie((ours.record.id, claim), (theirs, same))));
        }
    }
    edges.truncate(MOST_EDGES);
    edges
}

/// That two records claim the same identifier. Who claimed it last made the edge; it is as certain as the weaker claim.
pub fn tie((a, one): (RecordId, &Claim), (b, other): (RecordId, &Claim)) -> Edge {
    let claim = if one.created_at > other.created_at { one } else { other };
    Edge {
        left: a.min(b),
        right: a.max(b),
        ground: Ground::Shared(claim.identifier.clone()),
        probability: one.certainty.min(other.certainty),
        actor: Some(claim.actor.clone()),
        at: Some(claim.created_at),
    }
}

fn summary_of_one(records: usize, edges: &[Edge], compared: &Compared<'_>) -> String {
    if records < 2 {
        return "The customer has one record; there is nothing to hold together.".to_owned();
    }
    let (mut words, mut tied, mut alike) = (0, 0, 0);
    let (mut actors, mut namespaces, mut weakest) = (BTreeSet::new(), BTreeSet::new(), None::<Weight>);
    for edge in edges {
        match &edge.ground {
            Ground::Word { .. } => {
                words += 1;
                actors.insert(who(edge.actor.as_deref().unwrap_or_default()));
            }
            Ground::Shared(identifier) => {
                tied += 1;
                namespaces.insert(identifier.namespace.as_str());
            }
            Ground::Resemblance(explanation) => {
                alike += 1;
                weakest = Some(weakest.map_or(explanation.score, |least| least.min(explanation.score)));
            }
        }
    }
    let mut grounds = Vec::new();
    if words > 0 {
        grounds.push(format!("{} joined them by hand ({})", listed(&actors), counted(words, "time")));
    }
    if tied > 0 {
        grounds.push(format!("they share identifiers ({}: {})", counted(tied, "link"), listed(&namespaces)));
    }
    if alike > 0 {
        grounds.push(format!("they resemble each other ({})", counted(alike, "pair")));
    }
    if grounds.is_empty() {
        grounds.push("a source's key links them, or records that are not shown".to_owned());
    }
    let mut text = format!("{records} records are one customer: {}.", grounds.join("; "));
    if let Some(least) = weakest {
        let merge = compared.search.thresholds().merge;
        text += &format!(
            " The weakest resemblance: {} ({least} bits; from {merge} on nobody is asked).",
            percent(least.probability())
        );
    }
    text
}

/// How likely it is that two are one.
fn percent(probability: f64) -> String {
    match probability {
        p if p > 0.999_9 => "a probability of more than 99.99 %".to_owned(),
        p if p < 0.000_1 => "a probability of less than 0.01 %".to_owned(),
        p => format!("a probability of {:.2} %", 100.0 * p),
    }
}

fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn listed(words: &BTreeSet<&str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

fn summary_of_two(best: Option<&Explanation>, guards: &[Refusal], incomparable: bool) -> String {
    let mut text = match best {
        None if incomparable => "They are two: one of them has no record with a name and anything beside it, so there \
                                 is nothing to compare."
            .to_owned(),
        None => "They are two: no identifier leads to both, and nothing was compared.".to_owned(),
        Some(best) => {
            let (likely, review, score) = (percent(best.score.probability()), best.review_threshold, best.score);
            let decision = match best.verdict {
                Verdict::Merge => format!("Their best records would be joined: {likely} ({score} bits)."),
                Verdict::Review => format!("A steward is to decide of their best records: {likely} ({score} bits)."),
                Verdict::Apart => {
                    format!("Their best records are too different: {likely} ({score} bits; review begins at {review}).")
                }
            };
            format!("They are two. {decision}{}", for_and_against(best))
        }
    };
    if !guards.is_empty() {
        let details: Vec<&str> = guards.iter().map(|guard| guard.detail.as_str()).collect();
        text += &format!(" What keeps them apart: {}.", details.join("; "));
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
