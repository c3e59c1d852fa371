//! `MatchRecords`: which records of a whole data set are one party. Nothing is stored, and no customer changes.
//!
//! The records are read as those of `Identify` are, and matched by the same model, which is first fitted to the data set.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use identity_matching::{
    batch::{Outcome, match_some_records},
    block::Rule,
    cluster::{Edge, Rules},
    corpus::{Corpus, RecordIndex},
    explain::{Explanation, explain},
    guard::CannotLinks,
    model::Thresholds,
    score::Scorer,
    train,
    weight::Weight,
};
use serde_json::Value;
use terms::{CustomerId, Fault, Identifier, Reason, Timestamp};
use uuid::Uuid;

use crate::{
    identify::{ClaimInput, Identify, IdentifyInput},
    matching::{Matcher, likeness},
    policy::Policy,
    record::{Claim, Facts, Observed, Record, RecordId},
};

/// How long the name of a source may be, in bytes.
const MAX_SOURCE: usize = 256;

/// One record of a data set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MatchInput {
    /// Its key, unique in the data set.
    pub key: String,
    /// Where it comes from; may be empty.
    pub source: String,
    /// What it claims.
    pub identifiers: Vec<Identifier>,
    /// What it says.
    pub traits: Vec<(String, Value)>,
}

/// What is asked of a data set.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// When a match counts.
    pub thresholds: Thresholds,
    /// Whether only records of different sources are compared.
    pub link_only: bool,
    /// How many pairs are to be explained, best first.
    pub explained: usize,
}

impl Question {
    /// Links from `threshold` on, a probability, or as the policy says.
    pub fn new(matcher: &Matcher, policy: &Policy, threshold: Option<f64>) -> Self {
        let thresholds = matcher.thresholds(threshold.or(policy.thresholds.upper), policy.thresholds.lower);
        Self { thresholds, link_only: false, explained: 0 }
    }
}

/// Records that are to be matched.
#[derive(Debug)]
pub struct DataSet {
    policy: Arc<Policy>,
    entries: Vec<Entry>,
    keys: HashSet<String>,
    sources: HashMap<String, u32>,
    corpus: Corpus,
    /// The entries of the corpus, by their place in it.
    compared: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    source: u32,
}

/// Records that are one party.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordCluster {
    /// Their keys, in order; the first names the cluster.
    pub keys: Vec<String>,
    /// The probability of the weakest match that holds them together; 1 for a single record.
    pub confidence: f64,
}

/// Two records with their match, by their keys, the lesser first.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredPair {
    /// One record.
    pub left: String,
    /// The other.
    pub right: String,
    /// The match weight.
    pub score: Weight,
}

/// What matching a data set found.
#[derive(Debug)]
pub struct Matched {
    /// The model as it was fitted to the data set.
    pub matcher: Matcher,
    /// Every record once, in the order of the first keys.
    pub clusters: Vec<RecordCluster>,
    /// The best pairs, with why.
    pub explained: Vec<(ScoredPair, Explanation)>,
    /// Pairs that a person should look at, best first.
    pub review: Vec<ScoredPair>,
    /// How many pairs were compared.
    pub compared: u64,
    /// How many of them reach the upper threshold.
    pub linked: u64,
    /// Rules of which keys were too common, with how many.
    pub oversized: Vec<(Rule, usize)>,
}

impl DataSet {
    /// Without records; identifiers are read by `policy`.
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            entries: Vec::new(),
            keys: HashSet::new(),
            sources: HashMap::new(),
            corpus: Corpus::new(),
            compared: Vec::new(),
        }
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a record. One that says nothing to match on is a party of its own.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] with every wrong field, a key that was there before among them.
    pub fn push(&mut self, input: MatchInput) -> Result<(), Fault> {
        let MatchInput { key, source, identifiers, traits } = input;
        let refused = |field: &str, why: &str| Err(Fault::invalid(field, Reason::InvalidFields, why));
        if key.is_empty() {
            return refused("key", "is empty; give every record a key");
        }
        if self.keys.contains(&key) {
            return refused("key", "was there before; give every record a key of its own");
        }
        if source.len() > MAX_SOURCE || source.chars().any(char::is_control) {
            return refused("source", "is too long or holds control characters; give at most 256 bytes of text");
        }
        let compared = self.read(&key, identifiers, traits)?;
        let next = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        let source = *self.sources.entry(source).or_insert(next);
        if let Some(mut compared) = compared {
            compared.key = Corpus::text_key(&key);
            self.corpus.push(&compared);
            self.compared.push(self.entries.len());
        }
        self.keys.insert(key.clone());
        self.entries.push(Entry { key, source });
        Ok(())
    }

    /// Reads a record as if it had come by `Identify`.
    fn read(
        &self,
        key: &str,
        identifiers: Vec<Identifier>,
        traits: Vec<(String, Value)>,
    ) -> Result<Option<identity_matching::record::Record>, Fault> {
        let claim = |Identifier { namespace, value }| ClaimInput { namespace, value, verified: None };
        let input = IdentifyInput {
            source: "data-set".to_owned(),
            source_record_id: key.to_owned(),
            identifiers: identifiers.into_iter().map(claim).collect(),
            traits,
            observed_at: Some(Timestamp::EPOCH),
            ..IdentifyInput::default()
        };
        let checked = Identify::check(input, &self.policy, Timestamp::EPOCH)?;
        let said = |value| Observed { value, observed_at: Timestamp::EPOCH, record_time: Timestamp::EPOCH };
        let claims: Vec<Claim> = checked
            .usable()
            .map(|(_, claim)| Claim {
                identifier: claim.identifier.clone(),
                raw_value: claim.raw_value.clone(),
                verified: None,
                first_seen: Timestamp::EPOCH,
                last_seen: Timestamp::EPOCH,
                certainty: 1.0,
                actor: String::new(),
                created_at: Timestamp::EPOCH,
            })
            .collect();
        let record = Record {
            id: RecordId::from_uuid(Uuid::nil()),
            source: String::new(),
            source_record_id: None,
            home: CustomerId::from_uuid(Uuid::nil()),
            facts: Facts { traits: checked.traits.into_iter().map(|(n, v)| (n, said(v))).collect(), kind: None },
            observed_at: Timestamp::EPOCH,
            created_at: Timestamp::EPOCH,
        };
        let numbered = |namespace: &str| self.policy.number(namespace);
        Ok(likeness(&record, &claims.iter().collect::<Vec<_>>(), &numbered).map(|likeness| likeness.compared))
    }

    /// Fits `base` to the records and matches them. `report` hears how many pairs were compared, and of how many at most,
    /// and says whether to go on; `None` if it did not. The same records give the same answer.
    pub fn matched(
        mut self,
        base: &Matcher,
        question: Question,
        report: impl FnMut(u64, u64) -> bool,
    ) -> Option<Matched> {
        let mut model = train::adapt(base.model(), &mut self.corpus);
        model.thresholds = question.thresholds;
        let source = |place: RecordIndex| self.entry(place).map(|entry| entry.source);
        let wanted = |a, b| !question.link_only || source(a) != source(b);
        let none = CannotLinks::default();
        let outcome = match_some_records(&model, &self.corpus, &none, wanted, report)?;
        let mut oversized: BTreeMap<u8, (Rule, usize)> = BTreeMap::new();
        for rule in model.stop_keys.iter().filter_map(|key| Rule::of(*key)) {
            oversized.entry(rule as u8).or_insert((rule, 0)).1 += 1;
        }
        let merge = question.thresholds.merge;
        let matcher = Matcher::new(base.number(), model, Vec::new());
        Some(Matched {
            clusters: self.clusters(&outcome, &matcher),
            explained: self.explained(&outcome, &matcher, question),
            review: outcome.review.iter().filter_map(|edge| self.pair(edge)).collect(),
            compared: outcome.blocking.pairs,
            linked: outcome.pairs.iter().filter(|edge| edge.score >= merge).count() as u64,
            oversized: oversized.into_values().collect(),
            matcher,
        })
    }

    fn entry(&self, place: RecordIndex) -> Option<&Entry> {
        self.entries.get(*self.compared.get(place as usize)?)
    }

    fn pair(&self, edge: &Edge) -> Option<ScoredPair> {
        let (a, b) = (&self.entry(edge.a)?.key, &self.entry(edge.b)?.key);
        Some(ScoredPair { left: a.min(b).clone(), right: a.max(b).clone(), score: edge.score })
    }

    fn explained(&self, outcome: &Outcome, matcher: &Matcher, question: Question) -> Vec<(ScoredPair, Explanation)> {
        let none = CannotLinks::default();
        let rules = Rules {
            scorer: Scorer::new(&self.corpus, matcher.weights()),
            cannot_links: &none,
            thresholds: question.thresholds,
            coverage: matcher.model().coverage,
        };
        let asked = outcome.pairs.iter().filter(|edge| edge.score >= question.thresholds.review);
        let explained = asked.take(question.explained).filter_map(|edge| {
            let pair = self.pair(edge)?;
            let left = self.entry(edge.a).is_some_and(|entry| entry.key == pair.left);
            let (a, b) = if left { (edge.a, edge.b) } else { (edge.b, edge.a) };
            Some((pair, explain(matcher.version(), rules, a, b)))
        });
        explained.collect()
    }

    fn clusters(&self, outcome: &Outcome, matcher: &Matcher) -> Vec<RecordCluster> {
        let mut members: HashMap<RecordIndex, Vec<&str>> = HashMap::new();
        for (place, cluster) in (0..).zip(&outcome.cluster) {
            members.entry(*cluster).or_default().extend(self.entry(place).map(|entry| entry.key.as_str()));
        }
        let weakest = weakest(outcome, matcher);
        let clusters = members.into_iter().map(|(cluster, keys)| (keys, weakest.get(&cluster).copied()));
        let compared: HashSet<usize> = self.compared.iter().copied().collect();
        let alone = self.entries.iter().enumerate().filter(|(at, _)| !compared.contains(at));
        let alone = alone.map(|(_, entry)| (vec![entry.key.as_str()], None));
        let mut all: Vec<RecordCluster> = clusters
            .chain(alone)
            .map(|(mut keys, confidence)| {
                keys.sort_unstable();
                let keys = keys.into_iter().map(str::to_owned).collect();
                RecordCluster { keys, confidence: confidence.unwrap_or(1.0) }
            })
            .collect();
        all.sort_unstable_by(|a, b| a.keys.cmp(&b.keys));
        all
    }
}

/// The probability of the weakest match that each cluster needs: the last pair of a spanning tree of the best.
fn weakest(outcome: &Outcome, matcher: &Matcher) -> HashMap<RecordIndex, f64> {
    fn root(parents: &mut [RecordIndex], mut at: RecordIndex) -> RecordIndex {
        while let Some(parent) = parents.get(at as usize).copied().filter(|parent| *parent != at) {
            let above = parents.get(parent as usize).copied().unwrap_or(parent);
            if let Some(own) = parents.get_mut(at as usize) {
                *own = above;
            }
            at = above;
        }
        at
    }
    let model = matcher.model();
    let mut parents: Vec<RecordIndex> = (0..).take(outcome.cluster.len()).collect();
    let mut weakest = HashMap::new();
    for edge in &outcome.pairs {
        let of = |place: RecordIndex| outcome.cluster.get(place as usize).copied();
        let Some(cluster) = of(edge.a).filter(|cluster| of(edge.b) == Some(*cluster)) else { continue };
        let (a, b) = (root(&mut parents, edge.a), root(&mut parents, edge.b));
        if a != b {
            if let Some(parent) = parents.get_mut(a.max(b) as usize) {
                *parent = a.min(b);
            }
            // Below the threshold it is coverage that joined them.
            let covered = edge.score < model.thresholds.merge;
            let score = if covered { edge.score + model.coverage } else { edge.score };
            weakest.insert(cluster, score.probability());
        }
    }
    weakest
}

#[cfg(test)]
mod tests;
