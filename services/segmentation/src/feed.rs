//! What segmentation hears from identity and interaction, and what it tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use data::{Entry, Tx};
use prost_types::value::Kind;
use rapport_proto::{
    feed::v1::{
        CustomerChanged, DifferentiationChanged, InteractionRecorded, InteractionsMoved, MembershipChanged,
        SegmentDefinitionChanged, StatementChanged, event::Event as Said,
    },
    r#type::v1::{CustomerKind, Motivation},
};
use rules::Value;
use segmentation_domain::{
    catalog::Catalog,
    membership::Transition,
    news::{Address, Event, News, Statement, What},
    segment::{Segment, State},
    view::Effects,
};
use terms::{CustomerId, Fault, Id, IdKind, Tenant, Timestamp};

use crate::store::{details, raw_details};

/// The kinds of entries that are heard.
pub(crate) const KINDS: &[&str] = &[
    "customer.changed",
    "customer.merged",
    "customer.split",
    "customer.erased",
    "interaction.recorded",
    "interaction.moved",
    "statement.changed",
];

/// An entry as news; `None` for one that was purged or is of no interest. `open` says whether rules read details.
pub(crate) fn news(entry: &Entry, open: bool) -> Result<Option<News>, Fault> {
    let Some(said) = entry.change() else { return Ok(None) };
    let what = match said {
        Said::CustomerChanged(changed) => Some(customer_changed(entry, changed)?),
        Said::CustomerMerged(merged) => {
            Some(What::Merged { loser: id(&merged.loser)?, survivor: id(&merged.survivor)? })
        }
        Said::CustomerSplit(split) => Some(What::Split {
            from: id(&split.from_customer_id)?,
            to: id(&split.to_customer_id)?,
            ids: ids(&split.customer_ids)?,
        }),
        Said::CustomerErased(erased) => {
            let mut all: Vec<CustomerId> = ids(&erased.customer_ids)?;
            all.push(id(&erased.customer_id)?);
            all.sort_unstable();
            all.dedup();
            Some(What::Erased { ids: all })
        }
        Said::InteractionRecorded(recorded) => Some(interaction_recorded(entry, recorded, open)?),
        Said::InteractionsMoved(moved) => interactions_moved(moved)?,
        Said::StatementChanged(changed) => Some(statement_changed(entry, changed)?),
        _ => None,
    };
    Ok(what.map(|what| News { position: entry.position, at: entry.at, what }))
}

fn customer_changed(entry: &Entry, changed: &CustomerChanged) -> Result<What, Fault> {
    let mut attributes: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for (name, given) in changed.traits.iter().flat_map(|traits| &traits.fields) {
        attributes.insert(name.as_str().into(), value(given.clone()));
    }
    let kind = match changed.kind() {
        CustomerKind::Unspecified => None,
        CustomerKind::Person => Some("person"),
        CustomerKind::Household => Some("household"),
        CustomerKind::Organization => Some("organization"),
    };
    if let Some(kind) = kind {
        attributes.insert("kind".into(), kind.into());
    }
    Ok(What::Changed { customer: whose(entry, &changed.customer_id)?, attributes })
}

fn interaction_recorded(entry: &Entry, recorded: &InteractionRecorded, open: bool) -> Result<What, Fault> {
    let customer = whose(entry, &recorded.customer_id)?;
    let raw = raw_details(recorded);
    let event = Event {
        id: id(&recorded.interaction_id)?,
        kind: recorded.r#type.as_str().into(),
        at: instant(recorded.occurred_at)?.unwrap_or(entry.at),
        micros: recorded.value_micros,
        currency: recorded.currency.as_str().into(),
        incentivised: recorded.motivation() == Motivation::Incentivised,
        details: if open { details(&raw)? } else { Arc::default() },
        raw,
        address: Address::first(customer),
    };
    Ok(What::Interaction { customer, event })
}

/// After a merge everything moves with the ids, which identity tells of; after a split interaction names what moves.
fn interactions_moved(moved: &InteractionsMoved) -> Result<Option<What>, Fault> {
    if moved.all {
        return Ok(None);
    }
    Ok(Some(What::Moved {
        from: id(&moved.from_customer_id)?,
        to: id(&moved.to_customer_id)?,
        interactions: ids(&moved.interaction_ids)?,
        statements: ids(&moved.statement_ids)?,
    }))
}

fn statement_changed(entry: &Entry, changed: &StatementChanged) -> Result<What, Fault> {
    let customer = whose(entry, &changed.customer_id)?;
    let statement = Statement {
        id: id(&changed.statement_id)?,
        topic: changed.topic.as_str().into(),
        value: changed.value.clone().map_or(Value::Null, value),
        at: instant(changed.occurred_at)?.unwrap_or(entry.at),
        valid_until: instant(changed.valid_until)?,
        retracted: changed.retracted,
        told_at: entry.position,
        address: Address::first(customer),
    };
    Ok(What::Statement { customer, statement })
}

/// The customer that the change names; else the one that the entry is about.
fn whose(entry: &Entry, text: &str) -> Result<CustomerId, Fault> {
    if text.is_empty() {
        return entry.customer.ok_or_else(|| Fault::internal("a feed entry names no customer"));
    }
    id(text)
}

fn id<K: IdKind>(text: &str) -> Result<Id<K>, Fault> {
    text.parse().map_err(|_| Fault::internal(format!("a feed entry holds a malformed id of the kind `{}`", K::PREFIX)))
}

fn ids<K: IdKind>(texts: &[String]) -> Result<Vec<Id<K>>, Fault> {
    texts.iter().map(|text| id(text)).collect()
}

fn instant(given: Option<prost_types::Timestamp>) -> Result<Option<Timestamp>, Fault> {
    let Some(given) = given else { return Ok(None) };
    let instant = Timestamp::from_parts(given.seconds, given.nanos);
    instant.map(Some).ok_or_else(|| Fault::internal("a feed entry holds an instant out of range"))
}

/// A free-form value as rules read it.
pub(crate) fn value(given: prost_types::Value) -> Value {
    match given.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) => Value::Double(n),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(value).collect::<Vec<_>>().into(),
        Some(Kind::StructValue(object)) => {
            object.fields.into_iter().map(|(name, inside)| (name, value(inside))).collect()
        }
    }
}

/// Publishes who entered and left, and whose value changed.
pub(crate) fn publish(tx: &Tx, tenant: &Tenant, catalog: &Catalog, effects: &Effects) {
    let mut told: BTreeSet<CustomerId> = BTreeSet::new();
    for transition in &effects.transitions {
        told.insert(transition.customer);
        tx.publish(tenant, transition.customer, Said::MembershipChanged(membership_changed(catalog, transition)));
    }
    // The section of the hot profile shows values and where ids lead, too.
    let valued = effects.events.iter().filter(|(_, event)| event.micros.is_some()).map(|(owner, _)| *owner);
    let moved = effects.relocations.iter().flat_map(|relocation| relocation.parties());
    for customer in valued.chain(moved) {
        if told.insert(customer) {
            let changed = vec!["value".to_owned()];
            let customer_id = customer.to_string();
            tx.publish(tenant, customer, Said::DifferentiationChanged(DifferentiationChanged { customer_id, changed }));
        }
    }
}

fn membership_changed(catalog: &Catalog, transition: &Transition) -> MembershipChanged {
    MembershipChanged {
        segment_id: transition.segment.to_string(),
        segment: catalog.get(transition.segment).map(|s| s.name.clone()).unwrap_or_default(),
        entered: transition.entered(),
        reason: transition.reason.word().to_owned(),
        cause_id: transition.cause_id.clone(),
        occurred_at: Some(host::encode::timestamp(transition.at)),
        version: transition.version,
        customer_id: transition.customer.to_string(),
    }
}

/// Publishes that a segment is new, changed, complete or gone.
pub(crate) fn publish_definition(tx: &Tx, tenant: &Tenant, segment: &Segment) {
    let changed = SegmentDefinitionChanged {
        segment_id: segment.id.to_string(),
        segment: segment.name.clone(),
        version: segment.version,
        deleted: segment.state == State::Deleted,
        live: segment.state == State::Live,
    };
    tx.publish(tenant, None, Said::SegmentDefinitionChanged(changed));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_heard_by_its_name() {
        assert!(KINDS.iter().all(|kind| kind.split('.').count() == 2));
        assert_eq!(value(host::encode::json(&serde_json::json!({"a": [1, null, "x", true]}))), {
            let list = Value::from(vec![Value::Double(1.0), Value::Null, "x".into(), Value::Bool(true)]);
            [("a", list)].into_iter().collect()
        });
    }
}
