//! What follows when records changed: who resembles them, and which customers become one.
//!
//! This comes after the decisions on identifiers, in the same transaction, for all records of a group together: so they
//! see each other. What it decides depends on the records and not on their order.

use std::collections::{BTreeMap, BTreeSet};

use identity_matching::{guard::Veto, model::Thresholds};
use terms::{CustomerId, Fault};

use super::{
    ask::may_ask,
    files::Files,
    likeness::{Likeness, Numbered, has_name, likeness},
    matcher::Matcher,
    part::part,
    search::{Known, Pair, Search},
    settle::Settling,
};
use crate::{
    guard::may_join,
    identify::{Guard, Refusal},
    identify_stream::Batch,
    policy::{Policy, Strategy},
    ports::Verdicts,
    record::{Claim, RecordId},
    view::{CustomerState, Moment, View},
};

/// What is to be kept for the matcher.
#[derive(Debug, Clone, Default)]
pub struct Filing {
    /// Records that are filed anew; `None`: they are no longer compared.
    pub likenesses: BTreeMap<RecordId, Option<Likeness>>,
    /// What was filed of them before.
    pub former: Vec<Known>,
    /// The pairs of these records; they replace those that are stored.
    pub pairs: Vec<Pair>,
    /// Records whose cluster has another name now.
    pub clusters: BTreeMap<RecordId, RecordId>,
    /// Blocks that were passed over.
    pub passed_over: usize,
    /// These records are kept, and not filed yet: nobody finds them until they are filed anew.
    pub deferred: bool,
}

/// Clusters that a change touched.
#[derive(Debug, Default)]
pub struct Found {
    /// Each in the order of its keys.
    pub clusters: Vec<Vec<RecordId>>,
    /// Every pair that is known among the changed records and those they touch, the best first.
    pub pairs: Vec<Pair>,
    /// The customer of every record in either, as it was before.
    pub customers: BTreeMap<RecordId, CustomerId>,
    /// The id at which each of these records arrived.
    pub homes: BTreeMap<RecordId, CustomerId>,
    /// Clusters that are no longer one: the records of each in its present parts.
    pub parted: Vec<Vec<RecordId>>,
    /// Changed records that are no longer compared.
    pub gone: BTreeSet<RecordId>,
    /// Pairs that may not be one whatever they have in common.
    pub held: BTreeMap<(RecordId, RecordId), Vec<Refusal>>,
}

/// The records of a batch that say something else than before and that are compared, or were.
pub fn subjects(view: &View, batch: &Batch) -> Vec<RecordId> {
    let named = |record: &&RecordId| view.record(**record).is_some_and(|record| has_name(&record.facts));
    batch.retold.iter().filter(named).copied().collect()
}

/// What is kept of records that are compared later; `None` where one of them may have been compared before: then all are
/// compared now.
pub fn defer(view: &View, batch: &Batch, policy: &Policy) -> Option<Filing> {
    let subjects = subjects(view, batch);
    if subjects.iter().any(|record| batch.records.get(record) != Some(&true)) {
        return None;
    }
    let mut likenesses = likenesses(view, &subjects, Vec::new(), &|namespace: &str| policy.number(namespace));
    likenesses.retain(|_, likeness| likeness.is_some());
    Some(Filing { likenesses, deferred: true, ..Filing::default() })
}

/// Looks for whoever resembles the `subjects`; loads into the view every customer whose records are in one cluster with
/// those of another. `None`: what is compared of the subjects is what it was.
///
/// # Errors
/// What the store says.
pub async fn search(
    files: &mut dyn Files,
    matcher: &Matcher,
    thresholds: Thresholds,
    policy: &Policy,
    view: &mut View,
    batch: &Batch,
    subjects: &[RecordId],
) -> Result<Option<(Found, Filing)>, Fault> {
    let known: Vec<RecordId> =
        subjects.iter().filter(|record| batch.records.get(*record) == Some(&false)).copied().collect();
    let (claims, former) = if known.is_empty() {
        (Vec::new(), Vec::new())
    } else {
        (files.claims(&known).await?, files.filed(&known).await?)
    };
    let numbered = |namespace: &str| policy.number(namespace);
    let mut likenesses = likenesses(view, subjects, claims, &numbered);
    likenesses.retain(|record, likeness| {
        let before = former.iter().find(|known| known.record == *record).map(|known| &known.likeness);
        before != likeness.as_ref()
    });
    if likenesses.is_empty() {
        return Ok(None);
    }
    let former: Vec<Known> = former.into_iter().filter(|known| likenesses.contains_key(&known.record)).collect();
    let home = |record: &RecordId| view.record(*record).map(|record| record.home);
    let changed = likenesses.iter().filter_map(|(id, likeness)| Some((*id, home(id)?, likeness.clone())));
    let mut search = Search::new(matcher, thresholds, changed);
    let keys = search.keys();
    let (candidates, passed_over) = if keys.is_empty() { (Vec::new(), 0) } else { files.sharing(&keys).await? };
    search.compare(candidates);
    if !former.is_empty() {
        let filed: Vec<RecordId> = former.iter().map(|known| known.record).collect();
        let clusters: Vec<_> = former.iter().map(|known| (known.record, known.cluster)).collect();
        let partners = files.pairs(&filed).await?.into_iter().flat_map(|(a, b)| [a, b]);
        search.former(&clusters, partners);
    }
    close(files, &mut search).await?;
    let mut found = gather(files, view, &search, policy, &former).await?;
    found.gone = likenesses.iter().filter(|(_, likeness)| likeness.is_none()).map(|(record, _)| *record).collect();
    let clusters = found.clusters.iter().flat_map(|cluster| {
        let name = cluster.first().copied();
        cluster.iter().filter_map(move |record| Some((*record, name?)))
    });
    let clusters = clusters.filter(|(record, name)| search.cluster_before(*record) != Some(*name)).collect();
    let filing = Filing { pairs: search.found(), likenesses, former, clusters, passed_over, deferred: false };
    Ok(Some((found, filing)))
}

pub(super) fn likenesses(
    view: &View,
    subjects: &[RecordId],
    stored: Vec<(RecordId, Claim)>,
    numbered: Numbered<'_>,
) -> BTreeMap<RecordId, Option<Likeness>> {
    let mut claims: BTreeMap<RecordId, BTreeMap<_, Claim>> = BTreeMap::new();
    for (record, claim) in stored {
        claims.entry(record).or_default().insert(claim.identifier.clone(), claim);
    }
    // What the view holds is newer.
    for (record, claim) in view.claims().filter(|(record, _)| subjects.contains(record)) {
        claims.entry(record).or_default().insert(claim.identifier.clone(), claim.clone());
    }
    let of = |id: &RecordId| {
        let record = view.record(*id)?;
        let claims: Vec<&Claim> = claims.get(id).into_iter().flat_map(BTreeMap::values).collect();
        likeness(record, &claims, numbered)
    };
    subjects.iter().map(|id| (*id, of(id))).collect()
}

/// Loads the stored pairs of everybody whom a change touches.
pub(super) async fn close(files: &mut dyn Files, search: &mut Search<'_>) -> Result<(), Fault> {
    loop {
        let open = search.open();
        if open.is_empty() {
            return Ok(());
        }
        let pairs = files.pairs(&open).await?;
        let missing: BTreeSet<RecordId> = pairs
            .iter()
            .flat_map(|(a, b)| [*a, *b])
            .chain(open.iter().copied())
            .filter(|r| !search.knows(*r))
            .collect();
        let missing: Vec<RecordId> = missing.into_iter().collect();
        let known = if missing.is_empty() { Vec::new() } else { files.filed(&missing).await? };
        search.stored(&open, &pairs, known);
    }
}

/// Clusters, and loads the customers that may become one.
pub(super) async fn gather(
    files: &mut dyn Files,
    view: &mut View,
    search: &Search<'_>,
    policy: &Policy,
    former: &[Known],
) -> Result<Found, Fault> {
    let mut pairs = search.all_pairs();
    pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.score), pair.a, pair.b));
    let mut homes: BTreeMap<RecordId, CustomerId> = search.touched().into_iter().collect();
    homes.extend(pairs.iter().flat_map(|pair| [pair.a, pair.b]).filter_map(|r| Some((r, search.home(r)?))));
    let others: BTreeSet<CustomerId> = homes.values().copied().collect();
    if others.len() > 1 {
        files.meanings(view, &others).await?;
    }
    let clusters = search.clusters(|home| view.resolve(home), |a, b| view.cannot_link(a, b).is_some());
    let customers: BTreeMap<RecordId, CustomerId> =
        homes.iter().map(|(record, home)| (*record, view.resolve(*home))).collect();
    let mut wanted: BTreeSet<CustomerId> = BTreeSet::new();
    for cluster in &clusters {
        let theirs: BTreeSet<CustomerId> = cluster.iter().filter_map(|r| customers.get(r)).copied().collect();
        if theirs.len() > 1 {
            wanted.extend(theirs);
        }
    }
    let missing = wanted.iter().copied().filter(|customer| view.customer(*customer).is_none()).collect::<BTreeSet<_>>();
    if !missing.is_empty() {
        files.customers(view, &missing).await?;
    }
    let mark = policy.survivorship_mark();
    let foreign = |id: &CustomerId| view.customer(*id).is_some_and(|customer| customer.golden.mark != mark);
    if wanted.iter().any(foreign) || (!wanted.is_empty() && policy.follows(Strategy::MostFrequent)) {
        files.whole(view, &wanted).await?;
    }
    let parted = parted(search, &clusters, former);
    let held = pairs.iter().map(|pair| ((pair.a, pair.b), held(search, pair))).filter(|(_, held)| !held.is_empty());
    Ok(Found { held: held.collect(), clusters, pairs, customers, homes, parted, gone: BTreeSet::new() })
}

/// What two records say that no two records of one party say.
fn held(search: &Search<'_>, pair: &Pair) -> Vec<Refusal> {
    let guards = search.vetoes(pair.a, pair.b).filter_map(|veto| {
        let refusal = Refusal::new(guard_of(veto)?, veto.reason());
        Some(Refusal { in_review: true, ..refusal })
    });
    guards.collect()
}

/// The guard that a veto of the matcher is, if it is one.
pub fn guard_of(veto: Veto) -> Option<Guard> {
    match veto {
        Veto::CannotLink => Some(Guard::CannotLink),
        Veto::Identifier => Some(Guard::VerifiedConflict),
        Veto::BirthDate => Some(Guard::BirthDate),
        Veto::Generation => Some(Guard::Generation),
        Veto::GivenName | Veto::NamesAlone => None,
    }
}

/// Which former clusters are no longer within one.
fn parted(search: &Search<'_>, clusters: &[Vec<RecordId>], former: &[Known]) -> Vec<Vec<RecordId>> {
    let mut now: BTreeMap<RecordId, BTreeMap<Option<RecordId>, Vec<RecordId>>> = BTreeMap::new();
    let mut note = |before: RecordId, after: Option<RecordId>, record: RecordId| {
        now.entry(before).or_default().entry(after).or_default().push(record);
    };
    let mut seen = BTreeSet::new();
    for cluster in clusters {
        for record in cluster {
            seen.insert(*record);
            if let Some(before) = search.cluster_before(*record) {
                note(before, cluster.first().copied(), *record);
            }
        }
    }
    // Whoever is no longer compared has left its cluster.
    for known in former.iter().filter(|known| !seen.contains(&known.record)) {
        note(known.cluster, None, known.record);
    }
    let apart = now.into_values().filter(|parts| parts.len() > 1);
    apart.map(|parts| parts.into_values().flatten().collect()).collect()
}

/// Everything that follows: searches, settles and completes the answers. Gives what is to be kept.
///
/// # Errors
/// What the store says.
pub async fn resemble(
    files: &mut dyn Files,
    matcher: &Matcher,
    policy: &Policy,
    view: &mut View,
    (batch, verdicts): (&mut Batch, &mut Verdicts),
    moment: Moment<'_>,
) -> Result<Option<Filing>, Fault> {
    let subjects = subjects(view, batch);
    if subjects.is_empty() {
        return Ok(None);
    }
    if policy.thresholds.probabilistic_disabled {
        return Ok(None);
    }
    let thresholds = matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower);
    let searched = search(files, matcher, thresholds, policy, view, batch, &subjects).await?;
    let Some((found, filing)) = searched else { return Ok(None) };
    conclude(files, (policy, matcher), found, view, (batch, verdicts), moment).await?;
    Ok(Some(filing))
}

/// Parts, joins and proposes what was found, and completes the answers.
pub(super) async fn conclude(
    files: &mut dyn Files,
    (policy, matcher): (&Policy, &Matcher),
    mut found: Found,
    view: &mut View,
    (batch, verdicts): (&mut Batch, &mut Verdicts),
    moment: Moment<'_>,
) -> Result<(), Fault> {
    part(files, (matcher, policy), view, (batch, verdicts), &mut found, moment).await?;
    let now = moment.now;
    let forbids = |_: &View, a: &CustomerState, b: &CustomerState| {
        let mut refusals = may_join(policy, a, b, now);
        let in_review = may_ask(&refusals);
        refusals.iter_mut().for_each(|refusal| refusal.in_review = in_review);
        refusals
    };
    let thresholds = matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower);
    Settling { view, batch, policy, homes: &found.homes, matcher, thresholds, moment, forbids: &forbids }
        .settle(&found, verdicts);
    Ok(())
}
