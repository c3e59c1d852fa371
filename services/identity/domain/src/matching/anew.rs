//! Filing records anew, and clustering them anew, when nothing about them changed but the matcher did, or when they were
//! stored before anything was compared.
//!
//! First all records are filed, then all are clustered: who is compared with whom is known before anybody is joined or
//! parted, so nobody is parted from a partner who was only not filed yet.

use std::collections::BTreeSet;

use terms::{CustomerId, Fault};

use super::{
    files::Files,
    matcher::Matcher,
    resemble::{Filing, close, conclude, gather, likenesses},
    search::Search,
};
use crate::{
    identify_stream::Batch,
    policy::Policy,
    record::{Record, RecordId},
    view::{Moment, View},
};

/// How these records, which are in the view, are filed from now on, and with whom they are paired. Nobody is joined.
///
/// # Errors
/// What the store says.
pub async fn file_anew(
    files: &mut dyn Files,
    matcher: &Matcher,
    policy: &Policy,
    view: &View,
    records: &[RecordId],
) -> Result<Filing, Fault> {
    let thresholds = matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower);
    let (claims, former) = (files.claims(records).await?, files.filed(records).await?);
    let numbered = |namespace: &str| policy.number(namespace);
    let mut likenesses = likenesses(view, records, claims, &numbered);
    // Who is not compared, and was not, is no matter.
    likenesses.retain(|record, likeness| likeness.is_some() || former.iter().any(|known| known.record == *record));
    let home = |record: &RecordId| view.record(*record).map(|record| record.home);
    let subjects = likenesses.iter().filter_map(|(id, likeness)| Some((*id, home(id)?, likeness.clone())));
    let mut search = Search::new(matcher, thresholds, subjects);
    let keys = search.keys();
    let (candidates, passed_over) = if keys.is_empty() { (Vec::new(), 0) } else { files.sharing(&keys).await? };
    search.compare(candidates);
    Ok(Filing { pairs: search.found(), likenesses, former, passed_over, ..Filing::default() })
}

/// Clusters anew whatever these records are in, and whatever else belongs to their customers; parts, joins, and proposes
/// for review, as if they had just arrived.
///
/// # Errors
/// What the store says.
pub async fn cluster_anew(
    files: &mut dyn Files,
    matcher: &Matcher,
    policy: &Policy,
    view: &mut View,
    (batch, records): (&mut Batch, &[RecordId]),
    moment: Moment<'_>,
) -> Result<Filing, Fault> {
    let thresholds = matcher.thresholds(policy.thresholds.upper, policy.thresholds.lower);
    let homes: BTreeSet<CustomerId> =
        records.iter().filter_map(|record| view.record(*record)).map(|record| record.home).collect();
    files.meanings(view, &homes).await?;
    let customers: BTreeSet<CustomerId> = homes.iter().map(|home| view.resolve(*home)).collect();
    files.whole(view, &customers).await?;
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let mut search = Search::new(matcher, thresholds, []);
    search.former(&[], view.records_of(&customers).map(|record| record.id));
    close(files, &mut search).await?;
    let mut found = gather(files, view, &search, policy, &[]).await?;
    found.parted = doubtful(view, &search, &customers);
    let clusters = found.clusters.iter().flat_map(|cluster| {
        let name = cluster.first().copied();
        cluster.iter().filter_map(move |record| Some((*record, name?)))
    });
    let clusters = clusters.filter(|(record, name)| search.cluster_before(*record) != Some(*name)).collect();
    conclude(files, (policy, matcher), found, view, (batch, &mut Vec::new()), moment).await?;
    Ok(Filing { clusters, ..Filing::default() })
}

/// The records of each customer that was joined from several ids: the names of former clusters do not tell which of them
/// were one, for some of these are new already.
fn doubtful(view: &View, search: &Search<'_>, customers: &[CustomerId]) -> Vec<Vec<RecordId>> {
    let of = |customer: &CustomerId| {
        let own = [*customer];
        let records: Vec<&Record> = view.records_of(&own).filter(|record| search.knows(record.id)).collect();
        let first = records.first()?.home;
        let joined = records.iter().any(|record| record.home != first);
        joined.then(|| records.into_iter().map(|record| record.id).collect())
    };
    customers.iter().filter_map(of).collect()
}
