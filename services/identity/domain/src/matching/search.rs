//! Who resembles the records that have changed: candidates, pairs, and the clusters that follow.
//!
//! The store answers three questions: who shares a blocking key with the changed records, who is paired with whom, and
//! what is compared of them. Everything else is decided here, so that the clusters are those of
//! [`identity_matching::batch`] over all records of the tenant: which pairs are compared, their scores, and that each
//! connected component of pairs which a change touches is clustered anew, by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use identity_matching::{
    block::{Key, keys},
    cluster::{Edge, Rules, agglomerate},
    corpus::{Corpus, RecordIndex},
    explain::{Explanation, explain},
    guard::{CannotLinks, Veto, vetoes},
    model::Thresholds,
    score::Scorer,
    weight::Weight,
};
use terms::CustomerId;

use super::{likeness::Likeness, matcher::Matcher};
use crate::{customer::Kind, record::RecordId};

/// A record as the store keeps it for the matcher.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// The record.
    pub record: RecordId,
    /// The customer under which it is filed; resolve it before use.
    pub home: CustomerId,
    /// The cluster that it is in, named by the first of its records.
    pub cluster: RecordId,
    /// What is compared of it.
    pub likeness: Likeness,
}

/// Two records that resemble each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// One, the lesser.
    pub a: RecordId,
    /// The other.
    pub b: RecordId,
    /// The match weight.
    pub score: Weight,
}

impl Pair {
    /// In the order of the ids.
    pub fn new(a: RecordId, b: RecordId, score: Weight) -> Self {
        Self { a: a.min(b), b: a.max(b), score }
    }

    /// The other of the two.
    pub fn other(&self, record: RecordId) -> RecordId {
        if self.a == record { self.b } else { self.a }
    }
}

/// A component of more records than this is left as it is: it means that the model no longer fits the data.
const LARGEST: usize = 2_000;

/// One search, for the records that one transaction changed.
pub struct Search<'m> {
    matcher: &'m Matcher,
    thresholds: Thresholds,
    corpus: Corpus,
    members: Vec<Member>,
    places: HashMap<RecordId, RecordIndex>,
    /// Records that changed; those that are no longer compared have no place.
    subjects: BTreeSet<RecordId>,
    pairs: HashMap<RecordIndex, BTreeMap<RecordIndex, Weight>>,
    /// Former partners of changed records: what held them together may be gone.
    seeds: BTreeSet<RecordId>,
    /// Records whose stored pairs are here.
    opened: HashSet<RecordIndex>,
    /// Whether every candidate is known to share a key with the one subject.
    direct: bool,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    record: RecordId,
    home: CustomerId,
    kind: Kind,
    cluster: Option<RecordId>,
}

impl<'m> Search<'m> {
    /// For the records that changed: what is compared of each from now on, and where it is filed.
    pub fn new(
        matcher: &'m Matcher,
        thresholds: Thresholds,
        subjects: impl IntoIterator<Item = (RecordId, CustomerId, Option<Likeness>)>,
    ) -> Self {
        let mut search = Self {
            matcher,
            thresholds,
            corpus: Corpus::new(),
            members: Vec::new(),
            places: HashMap::new(),
            subjects: BTreeSet::new(),
            pairs: HashMap::new(),
            seeds: BTreeSet::new(),
            opened: HashSet::new(),
            direct: false,
        };
        for (record, home, likeness) in subjects {
            search.subjects.insert(record);
            if let Some(likeness) = likeness {
                search.push(record, home, None, &likeness);
            }
        }
        search.direct = search.members.len() == 1 && matcher.is_settled();
        search
    }

    /// The keys under which candidates are looked for.
    pub fn keys(&self) -> BTreeSet<(Kind, Key)> {
        let mut all = BTreeSet::new();
        let mut own = Vec::new();
        for (index, member) in (0..).zip(&self.members) {
            for stop_keys in self.matcher.filed_by() {
                keys(&self.corpus, stop_keys, index, &mut own);
                all.extend(own.iter().map(|key| (member.kind, *key)));
            }
        }
        all
    }

    /// Adds what the store knew of changed records, and with whom they were paired.
    pub fn former(&mut self, clusters: &[(RecordId, RecordId)], partners: impl IntoIterator<Item = RecordId>) {
        for (record, cluster) in clusters {
            if let Some(member) = self.places.get(record).and_then(|place| self.members.get_mut(*place as usize)) {
                member.cluster = Some(*cluster);
            }
        }
        self.seeds.extend(partners.into_iter().filter(|record| !self.subjects.contains(record)));
    }

    /// Adds records that are explained, and compared with nobody.
    #[must_use]
    pub fn with(mut self, known: Vec<Known>) -> Self {
        self.add(known);
        self
    }

    /// Adds candidates, and compares them with the changed records that share a key with them.
    pub fn compare(&mut self, candidates: Vec<Known>) {
        self.add(candidates);
        let least = self.least();
        let scorer = Scorer::new(&self.corpus, self.matcher.weights());
        for (a, b) in self.wanted() {
            let score = scorer.score(a, b);
            if score >= least {
                self.pairs.entry(a).or_default().insert(b, score);
                self.pairs.entry(b).or_default().insert(a, score);
            }
        }
    }

    /// Records whose stored pairs must be known before anything can be clustered.
    pub fn open(&self) -> Vec<RecordId> {
        let missing = self.seeds.iter().filter(|seed| !self.places.contains_key(seed)).copied();
        let reached = self.reached();
        let closed = reached.len() > LARGEST;
        let unopened = reached.into_iter().filter(|place| !closed && !self.is_opened(*place));
        missing.chain(unopened.filter_map(|place| Some(self.members.get(place as usize)?.record))).collect()
    }

    /// Adds the stored pairs of `opened`, and whoever is in them and was not known.
    pub fn stored(&mut self, opened: &[RecordId], pairs: &[(RecordId, RecordId)], known: Vec<Known>) {
        self.add(known);
        self.opened.extend(opened.iter().filter_map(|record| self.places.get(record)));
        // Whoever is asked for and is not there is no longer compared.
        self.seeds.retain(|seed| self.places.contains_key(seed) || !opened.contains(seed));
        let least = self.least();
        let scorer = Scorer::new(&self.corpus, self.matcher.weights());
        for (a, b) in pairs {
            // A changed record has new pairs.
            if self.subjects.contains(a) || self.subjects.contains(b) {
                continue;
            }
            let (Some(a), Some(b)) = (self.places.get(a).copied(), self.places.get(b).copied()) else { continue };
            let score = scorer.score(a, b);
            if score >= least {
                self.pairs.entry(a).or_default().insert(b, score);
                self.pairs.entry(b).or_default().insert(a, score);
            }
        }
    }

    /// The records that are clustered anew, with where each is filed.
    pub fn touched(&self) -> Vec<(RecordId, CustomerId)> {
        self.reached().iter().filter_map(|place| self.member(*place)).map(|m| (m.record, m.home)).collect()
    }

    /// Clusters what the changes touch. `customer` is the customer behind a home, `apart` whether two customers were
    /// declared to be two. Records within a cluster are in the order of their keys; the first names it.
    pub fn clusters(
        &self,
        customer: impl Fn(CustomerId) -> CustomerId,
        apart: impl Fn(CustomerId, CustomerId) -> bool,
    ) -> Vec<Vec<RecordId>> {
        let mut clusters = Vec::new();
        for component in self.components() {
            if component.len() > LARGEST || component.iter().any(|place| !self.is_opened(*place)) {
                continue;
            }
            let cannot_links = self.cannot_links(&component, &customer, &apart);
            let mut edges = self.edges(&component);
            for cluster in agglomerate(self.rules(&cannot_links), &component, &mut edges) {
                clusters.push(cluster.iter().filter_map(|place| Some(self.member(*place)?.record)).collect());
            }
        }
        clusters
    }

    /// The pairs of the changed records from the lower threshold on, the best first.
    pub fn found(&self) -> Vec<Pair> {
        let mut pairs = BTreeSet::new();
        for place in self.subjects.iter().filter_map(|record| self.places.get(record)) {
            for (other, score) in self.pairs.get(place).into_iter().flatten() {
                if let (Some(a), Some(b)) = (self.member(*place), self.member(*other)) {
                    pairs.insert(Pair::new(a.record, b.record, *score));
                }
            }
        }
        let mut pairs: Vec<Pair> = pairs.into_iter().collect();
        pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.score), pair.a, pair.b));
        pairs
    }

    /// Every pair that is known from the lower threshold on, of changed records and of those that they touch.
    pub fn all_pairs(&self) -> Vec<Pair> {
        let pairs = self.pairs.iter().flat_map(|(a, others)| others.iter().map(move |(b, score)| (*a, *b, *score)));
        let pairs = pairs.filter(|(a, b, _)| a < b);
        pairs
            .filter_map(|(a, b, score)| Some(Pair::new(self.member(a)?.record, self.member(b)?.record, score)))
            .collect()
    }

    /// The cluster that a record was in before.
    pub fn cluster_before(&self, record: RecordId) -> Option<RecordId> {
        self.member(*self.places.get(&record)?)?.cluster
    }

    /// Where a record is filed.
    pub fn home(&self, record: RecordId) -> Option<CustomerId> {
        Some(self.member(*self.places.get(&record)?)?.home)
    }

    /// Whether a record is a changed one, or is known.
    pub fn knows(&self, record: RecordId) -> bool {
        self.subjects.contains(&record) || self.places.contains_key(&record)
    }

    /// The score of any two records that are known.
    pub fn score(&self, a: RecordId, b: RecordId) -> Option<Weight> {
        let (a, b) = (*self.places.get(&a)?, *self.places.get(&b)?);
        Some(Scorer::new(&self.corpus, self.matcher.weights()).score(a, b))
    }

    /// Why two records are one party, or why not, as far as they alone can say.
    pub fn explain(&self, a: RecordId, b: RecordId) -> Option<Explanation> {
        let (a, b) = (*self.places.get(&a)?, *self.places.get(&b)?);
        Some(explain(self.matcher.version(), self.rules(&CannotLinks::default()), a, b))
    }

    /// What the two records say that no two records of one party say.
    pub fn vetoes(&self, a: RecordId, b: RecordId) -> impl Iterator<Item = Veto> {
        let places = self.places.get(&a).zip(self.places.get(&b));
        let found = places.map(|(a, b)| vetoes(&self.corpus, &CannotLinks::default(), *a, *b));
        found.unwrap_or_default().iter()
    }

    /// The thresholds that hold.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    fn member(&self, place: RecordIndex) -> Option<&Member> {
        self.members.get(place as usize)
    }

    fn is_opened(&self, place: RecordIndex) -> bool {
        self.opened.contains(&place) || self.member(place).is_some_and(|member| self.subjects.contains(&member.record))
    }

    fn add(&mut self, known: Vec<Known>) {
        for Known { record, home, cluster, likeness } in known {
            if !self.places.contains_key(&record) && !self.subjects.contains(&record) {
                self.push(record, home, Some(cluster), &likeness);
            }
        }
    }

    fn push(&mut self, record: RecordId, home: CustomerId, cluster: Option<RecordId>, likeness: &Likeness) {
        let place = self.corpus.push(&likeness.compared);
        self.corpus.weigh_last(place, &self.matcher.model().frequencies);
        self.members.push(Member { record, home, kind: likeness.kind, cluster });
        self.places.insert(record, place);
    }

    /// Pairs from here on are kept: they may be joined, or are for review.
    fn least(&self) -> Weight {
        self.thresholds.review.min(self.floor())
    }

    /// Pairs from here on take part in clustering.
    fn floor(&self) -> Weight {
        self.thresholds.merge - self.matcher.model().coverage
    }

    fn rules<'a>(&'a self, cannot_links: &'a CannotLinks) -> Rules<'a> {
        Rules {
            scorer: Scorer::new(&self.corpus, self.matcher.weights()),
            cannot_links,
            thresholds: self.thresholds,
            coverage: self.matcher.model().coverage,
        }
    }

    /// The pairs to compare: of a changed record and another that shares a key with it.
    fn wanted(&self) -> BTreeSet<(RecordIndex, RecordIndex)> {
        let changed: Vec<RecordIndex> = self.subjects.iter().filter_map(|r| self.places.get(r)).copied().collect();
        let mut wanted = BTreeSet::new();
        if let (true, [subject]) = (self.direct, changed.as_slice()) {
            let kind = self.member(*subject).map(|member| member.kind);
            let others = (0..).zip(&self.members).filter(|(place, m)| place != subject && Some(m.kind) == kind);
            wanted.extend(others.map(|(place, _)| (*subject, place)));
            return wanted;
        }
        let mut own = Vec::new();
        let mut by_key: HashMap<(Kind, Key), Vec<RecordIndex>> = HashMap::new();
        for place in changed {
            let Some(member) = self.member(place) else { continue };
            keys(&self.corpus, &self.matcher.model().stop_keys, place, &mut own);
            own.iter().for_each(|key| by_key.entry((member.kind, *key)).or_default().push(place));
        }
        for (place, member) in (0..).zip(&self.members) {
            keys(&self.corpus, &self.matcher.model().stop_keys, place, &mut own);
            let shared = own.iter().filter_map(|key| by_key.get(&(member.kind, *key))).flatten();
            wanted.extend(shared.filter(|subject| **subject != place).map(|s| (place.min(*s), place.max(*s))));
        }
        wanted
    }

    /// Everybody whom pairs from the floor on connect with a changed record or with a former partner of one.
    fn reached(&self) -> BTreeSet<RecordIndex> {
        self.components().into_iter().flatten().collect()
    }

    fn components(&self) -> Vec<Vec<RecordIndex>> {
        let from = self.subjects.iter().chain(&self.seeds).filter_map(|record| self.places.get(record));
        let mut seen: HashSet<RecordIndex> = HashSet::new();
        let mut components = Vec::new();
        for start in from {
            if !seen.insert(*start) {
                continue;
            }
            let (mut component, mut queue) = (vec![*start], VecDeque::from([*start]));
            while let Some(at) = queue.pop_front() {
                for (other, score) in self.pairs.get(&at).into_iter().flatten() {
                    if *score >= self.floor() && seen.insert(*other) {
                        component.push(*other);
                        queue.push_back(*other);
                    }
                }
            }
            component.sort_unstable_by_key(|place| self.corpus.key(*place));
            components.push(component);
        }
        components
    }

    fn edges(&self, component: &[RecordIndex]) -> Vec<Edge> {
        let of = |a: &RecordIndex| {
            let a = *a;
            self.pairs.get(&a).into_iter().flatten().map(move |(b, score)| Edge { a, b: *b, score: *score })
        };
        let edges = component.iter().flat_map(of);
        edges.filter(|edge| edge.score >= self.floor() && self.corpus.key(edge.a) < self.corpus.key(edge.b)).collect()
    }

    fn cannot_links(
        &self,
        component: &[RecordIndex],
        customer: &impl Fn(CustomerId) -> CustomerId,
        apart: &impl Fn(CustomerId, CustomerId) -> bool,
    ) -> CannotLinks {
        let mut of: BTreeMap<CustomerId, Vec<RecordIndex>> = BTreeMap::new();
        for place in component {
            if let Some(member) = self.member(*place) {
                of.entry(customer(member.home)).or_default().push(*place);
            }
        }
        let mut cannot_links = CannotLinks::default();
        for (one, ours) in &of {
            for (other, theirs) in of.range(one..).skip(1).filter(|(other, _)| apart(*one, **other)) {
                debug_assert_ne!(one, other);
                for (a, b) in ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b))) {
                    cannot_links.insert(self.corpus.key(*a), self.corpus.key(*b));
                }
            }
        }
        cannot_links
    }
}
