//! What identity tells the other services. It follows nobody.

use std::collections::BTreeSet;

use data::Tx;
use identity_domain::{Batch, Bond, CustomerState, Merge, News, Relation, Split, View};
use rapport_proto::feed::v1::{
    CustomerChanged, CustomerMerged, CustomerSplit, CustomersRelated, SectionChanged, event::Event,
};
use terms::{CustomerId, Fault, Tenant};

use crate::encode;

/// Publishes what a group of commands changed, and gives the customers whose section is stale.
///
/// `customer.merged` goes into the partition of the loser and into that of the survivor; `customer.changed` of the
/// survivor comes after it and carries every golden trait, so that a consumer that takes the traits over as they come
/// needs nothing of the losers.
pub(crate) fn publish(tx: &Tx, tenant: &Tenant, view: &View, batch: &Batch) -> Result<Vec<CustomerId>, Fault> {
    let mut changed: BTreeSet<CustomerId> = BTreeSet::new();
    // What was merged before something was taken apart is told first, as it was then.
    let before = if batch.splits.is_empty() { 0 } else { batch.merged_before.min(batch.merged.len()) };
    let (earlier, later) = batch.merged.split_at(before);
    for merge in earlier {
        publish_merge(tx, tenant, merge, survivor_among(earlier, merge));
        changed.insert(merge.loser);
    }
    for split in &batch.splits {
        changed.extend(publish_split(tx, tenant, split));
    }
    for merge in later {
        publish_merge(tx, tenant, merge, view.resolve(merge.loser));
        changed.insert(merge.loser);
    }
    for (id, news) in &batch.news {
        let state = view.customer(*id).ok_or_else(|| Fault::internal("a changed customer is gone"))?;
        tx.publish(tenant, *id, Event::CustomerChanged(customer_changed(state, news)));
        changed.insert(*id);
    }
    Ok(changed.into_iter().collect())
}

/// Whom the loser of a merge meant after these merges.
fn survivor_among(merges: &[Merge], merge: &Merge) -> CustomerId {
    let mut survivor = merge.survivor;
    while let Some(next) = merges.iter().find(|other| other.loser == survivor) {
        survivor = next.survivor;
    }
    survivor
}

/// `customer.merged` goes into the partitions of both.
fn publish_merge(tx: &Tx, tenant: &Tenant, merge: &Merge, survivor: CustomerId) {
    let event = CustomerMerged {
        loser: merge.loser.to_string(),
        survivor: survivor.to_string(),
        merge_id: merge.id.to_string(),
        manual: merge.bond == Bond::Manual,
    };
    tx.publish(tenant, merge.loser, Event::CustomerMerged(event.clone()));
    if terms::partition(tenant, merge.loser) != terms::partition(tenant, survivor) {
        tx.publish(tenant, survivor, Event::CustomerMerged(event));
    }
}

/// Publishes a relation that was recorded, changed or ended, in the partitions of both customers.
pub(crate) fn related(tx: &Tx, tenant: &Tenant, relation: &Relation) {
    let event = CustomersRelated {
        relation_id: relation.id.to_string(),
        from_customer_id: relation.from.to_string(),
        to_customer_id: relation.to.to_string(),
        r#type: relation.kind.as_str().to_owned(),
        valid_until: relation.valid_until.map(host::encode::timestamp),
    };
    tx.publish(tenant, relation.from, Event::CustomersRelated(event.clone()));
    if terms::partition(tenant, relation.from) != terms::partition(tenant, relation.to) {
        tx.publish(tenant, relation.to, Event::CustomersRelated(event));
    }
}

/// `customer.split` goes into each partition concerned; whoever shares one with another hears that their section is out
/// of date. Gives all of them.
fn publish_split(tx: &Tx, tenant: &Tenant, split: &Split) -> BTreeSet<CustomerId> {
    let event = CustomerSplit {
        from_customer_id: split.from.to_string(),
        to_customer_id: split.to.to_string(),
        identifiers: split.identifiers.iter().map(host::encode::identifier).collect(),
        record_ids: split.records.iter().map(ToString::to_string).collect(),
        customer_ids: split.customers.iter().map(ToString::to_string).collect(),
        split_id: split.id.to_string(),
    };
    let concerned: BTreeSet<CustomerId> =
        [split.from, split.to].into_iter().chain(split.customers.iter().copied()).collect();
    let mut told: BTreeSet<u16> = BTreeSet::new();
    for id in &concerned {
        if told.insert(terms::partition(tenant, *id)) {
            tx.publish(tenant, *id, Event::CustomerSplit(event.clone()));
        } else {
            let changed = SectionChanged { section: "identity".to_owned(), customer_id: id.to_string() };
            tx.publish(tenant, *id, Event::SectionChanged(changed));
        }
    }
    concerned
}

fn customer_changed(state: &CustomerState, news: &News) -> CustomerChanged {
    let golden = &state.golden;
    let mut traits = encode::traits(golden.traits.iter().map(|(name, winner)| (name, &winner.value)));
    for gone in news.traits.iter().filter(|name| !golden.traits.contains_key(*name)) {
        traits.fields.insert(gone.clone(), host::encode::json(&serde_json::Value::Null));
    }
    CustomerChanged {
        customer_id: state.id.to_string(),
        created: news.created,
        kind: encode::kind(golden.kind()).into(),
        changed_traits: news.traits.iter().cloned().collect(),
        traits: Some(traits),
        changed_namespaces: news.namespaces.iter().cloned().collect(),
        confidence: state.confidence,
        observed_at: news.observed_at.map(host::encode::timestamp),
    }
}
