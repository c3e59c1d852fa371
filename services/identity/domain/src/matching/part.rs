//! Customers who were one because their records resembled each other, and no longer do, part again.
//!
//! A customer is a tree of ids (see [`crate::view::Merge`]). What holds two of its ids together now is one of these:
//!
//! - records of both are in one cluster,
//! - a record of one claims a unique identifier of the other,
//! - a merge by an identifier or by hand.
//!
//! Ids that nothing holds to the others leave, each with the records that arrived at it, as by a split; but nobody said
//! that they are two, so no cannot-link is left. A merge by an identifier or by hand is never undone.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Fault};

use super::{files::Files, matcher::Matcher, resemble::Found};
use crate::{
    history::Detail,
    identify_stream::Batch,
    policy::Policy,
    ports::Verdicts,
    record::RecordId,
    split_customer::{Cause, take_out},
    view::{Bond, Moment, Node, View},
};

/// Takes apart what no longer belongs together, and says so in the answers.
///
/// # Errors
/// What the store says.
pub(super) async fn part(
    files: &mut dyn Files,
    (matcher, policy): (&Matcher, &Policy),
    view: &mut View,
    (batch, verdicts): (&mut Batch, &mut Verdicts),
    found: &mut Found,
    moment: Moment<'_>,
) -> Result<(), Fault> {
    let suspects = suspects(view, found);
    if suspects.is_empty() {
        return Ok(());
    }
    let customers: BTreeSet<CustomerId> = suspects.keys().copied().collect();
    let missing: BTreeSet<CustomerId> = customers.iter().copied().filter(|id| view.customer(*id).is_none()).collect();
    if !missing.is_empty() {
        files.customers(view, &missing).await?;
    }
    files.everything(view, &customers).await?;
    let clusters = clusters(files, view, found, &customers).await?;
    batch.merged_before = batch.merged.len();
    let reason = format!("records no longer match ({})", matcher.version());
    for (customer, record) in suspects {
        for ids in leaving(policy, view, &clusters, customer) {
            let cause =
                Cause { record: Some(record), detail: Detail::default(), reason: reason.clone(), bond: Bond::Probable };
            take_out(view, batch, policy, (customer, ids), cause, moment)?;
        }
    }
    for (record, customer) in &mut found.customers {
        if let Some(home) = found.homes.get(record) {
            *customer = view.resolve(*home);
        }
    }
    for reply in verdicts.iter_mut().flatten() {
        let Some(now) = reply.record.and_then(|record| view.record(record)).map(|r| view.resolve(r.home)) else {
            continue;
        };
        if let Some(state) = view.customer(now).filter(|_| reply.customer != Some(now)) {
            reply.customer = Some(now);
            reply.confidence = state.confidence;
        }
    }
    Ok(())
}

/// Customers with records of one former cluster in several present ones, with a record that shows it.
fn suspects(view: &View, found: &Found) -> BTreeMap<CustomerId, RecordId> {
    let mut now: BTreeMap<RecordId, RecordId> = BTreeMap::new();
    for cluster in &found.clusters {
        now.extend(cluster.first().into_iter().flat_map(|name| cluster.iter().map(move |record| (*record, *name))));
    }
    let customer = |record: &RecordId| match found.customers.get(record) {
        Some(customer) => Some(*customer),
        None => view.record(*record).map(|record| view.resolve(record.home)),
    };
    let mut suspects = BTreeMap::new();
    for records in &found.parted {
        let mut parts: BTreeMap<CustomerId, BTreeMap<RecordId, RecordId>> = BTreeMap::new();
        for record in records {
            if let Some(customer) = customer(record) {
                // Who is no longer compared is alone.
                let cluster = now.get(record).copied().unwrap_or(*record);
                parts.entry(customer).or_default().entry(cluster).or_insert(*record);
            }
        }
        let several = parts.into_iter().filter(|(_, clusters)| clusters.len() > 1);
        suspects.extend(several.filter_map(|(customer, clusters)| Some((customer, clusters.into_values().max()?))));
    }
    suspects
}

/// The present cluster of every record of these customers that is compared, by the first of its records.
async fn clusters(
    files: &mut dyn Files,
    view: &View,
    found: &Found,
    customers: &BTreeSet<CustomerId>,
) -> Result<BTreeMap<RecordId, RecordId>, Fault> {
    let mut clusters: BTreeMap<RecordId, RecordId> = BTreeMap::new();
    for cluster in &found.clusters {
        clusters.extend(cluster.first().into_iter().flat_map(|name| cluster.iter().map(move |r| (*r, *name))));
    }
    let customers: Vec<CustomerId> = customers.iter().copied().collect();
    let untouched = view.records_of(&customers).map(|record| record.id);
    let untouched: Vec<RecordId> = untouched.filter(|id| !clusters.contains_key(id)).collect();
    if !untouched.is_empty() {
        let gone = |record: &RecordId| found.gone.contains(record);
        let filed = files.filed(&untouched).await?.into_iter();
        clusters.extend(filed.filter(|known| !gone(&known.record)).map(|known| (known.record, known.cluster)));
    }
    Ok(clusters)
}

/// The groups of ids that nothing holds to the customer's own id.
fn leaving(
    policy: &Policy,
    view: &View,
    clusters: &BTreeMap<RecordId, RecordId>,
    customer: CustomerId,
) -> Vec<BTreeSet<CustomerId>> {
    let mut ids = view.aliases_of(customer);
    ids.push(customer);
    let mut groups = Groups(ids.iter().map(|id| (*id, *id)).collect());
    let own = [customer];
    let mut cluster: BTreeMap<RecordId, CustomerId> = BTreeMap::new();
    let mut inhabited: BTreeSet<CustomerId> = BTreeSet::new();
    let mut records: BTreeMap<RecordId, CustomerId> = BTreeMap::new();
    for record in view.records_of(&own) {
        inhabited.insert(record.home);
        records.insert(record.id, record.home);
        if let Some(name) = clusters.get(&record.id) {
            let first = *cluster.entry(*name).or_insert(record.home);
            groups.unite(first, record.home);
        }
    }
    for (record, claim) in view.claims().filter(|(_, claim)| claim.links()) {
        let Some(home) = records.get(&record) else { continue };
        let unique = policy.rules(&claim.identifier.namespace).is_none_or(|rules| rules.unique);
        let shared = view.sharing(&claim.identifier).is_some_and(|sharing| sharing.shared);
        let lead = view.lead(&Node::Identifier(claim.identifier.clone())).filter(|_| unique && !shared);
        if let Some(lead) = lead.filter(|lead| view.resolve(lead.customer) == customer) {
            groups.unite(*home, lead.customer);
        }
    }
    for id in ids.iter().filter(|id| **id != customer) {
        match view.merge(*id) {
            Some(merge) => {
                let empty = !inhabited.contains(&merge.here) || !inhabited.contains(&merge.there);
                if merge.bond != Bond::Probable || empty {
                    groups.unite(merge.here, merge.there);
                }
            }
            None => groups.unite(*id, customer),
        }
    }
    groups.apart_from(customer)
}

/// Ids in groups: each leads to another one of its group, or is its name (Galler and Fischer 1964).
struct Groups(BTreeMap<CustomerId, CustomerId>);

impl Groups {
    fn name(&self, mut id: CustomerId) -> CustomerId {
        while let Some(next) = self.0.get(&id).copied().filter(|next| *next != id) {
            id = next;
        }
        id
    }

    fn unite(&mut self, one: CustomerId, other: CustomerId) {
        let (one, other) = (self.name(one), self.name(other));
        if one != other {
            self.0.insert(one.max(other), one.min(other));
        }
    }

    /// Every group but that of `customer`.
    fn apart_from(&self, customer: CustomerId) -> Vec<BTreeSet<CustomerId>> {
        let own = self.name(customer);
        let mut groups: BTreeMap<CustomerId, BTreeSet<CustomerId>> = BTreeMap::new();
        for id in self.0.keys() {
            groups.entry(self.name(*id)).or_default().insert(*id);
        }
        groups.remove(&own);
        groups.into_values().collect()
    }
}
