//! Rows and what they mean. Attributes, values of statements and details of events are sealed: the first under the
//! customer's own id, the others under the id to which they were addressed.

use std::{collections::BTreeMap, sync::Arc};

use data::Sealer;
use prost::Message;
use rapport_proto::{
    feed::v1::InteractionRecorded,
    r#type::v1::{InteractionDirection, InteractionDirectness},
};
use rules::Value;
use sea_orm::QueryResult;
use segmentation_domain::{
    facts::Attributes,
    membership::{Membership, Reason},
    news::{Address, Details, Event, Statement},
    segment::{Kind, Segment, State},
    view::Subject,
};
use terms::{CustomerId, Fault, Position, Tenant, Timestamp};
use uuid::Uuid;

use super::sql::{column, id};

/// Seals and opens for one tenant.
#[derive(Clone, Copy)]
pub(super) struct Sealing<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) sealer: &'a Sealer,
}

impl Sealing<'_> {
    pub(super) fn seal(&self, owner: CustomerId, plain: &[u8]) -> Option<Vec<u8>> {
        (!plain.is_empty()).then(|| self.sealer.seal(self.tenant, owner, plain))
    }

    pub(super) fn open(&self, owner: CustomerId, sealed: Option<Vec<u8>>) -> Result<Vec<u8>, Fault> {
        sealed.map_or_else(|| Ok(Vec::new()), |sealed| self.sealer.open(self.tenant, owner, &sealed))
    }
}

pub(super) const SUBJECT: &str =
    "customer, survivor, changed_xid, changed_seq, erased, attributes, next_due, settled_at, version";

/// A row of [`SUBJECT`].
pub(super) fn subject(sealing: Sealing<'_>, row: &QueryResult) -> Result<(CustomerId, Subject), Fault> {
    let customer = id(row, 0)?;
    let subject = Subject {
        survivor: column::<Option<Uuid>>(row, 1)?.map(CustomerId::from_uuid),
        changed_at: Position { xid: column(row, 2)?, seq: column(row, 3)? },
        erased: column(row, 4)?,
        attributes: Arc::new(attributes(&sealing.open(customer, column(row, 5)?)?)?),
        next_due: column::<Option<i64>>(row, 6)?.map(Timestamp),
        settled_at: Timestamp(column(row, 7)?),
        version: column(row, 8)?,
    };
    Ok((customer, subject))
}

fn attributes(plain: &[u8]) -> Result<Attributes, Fault> {
    if plain.is_empty() {
        return Ok(Attributes::new());
    }
    let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(plain).map_err(Fault::internal)?;
    Ok(read.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// The plain form of attributes.
pub(super) fn attribute_bytes(attributes: &Attributes) -> Result<Vec<u8>, Fault> {
    if attributes.is_empty() {
        return Ok(Vec::new());
    }
    let written: serde_json::Map<String, serde_json::Value> =
        attributes.iter().map(|(name, value)| (name.to_string(), value.into())).collect();
    serde_json::to_vec(&written).map_err(Fault::internal)
}

pub(super) const EVENT: &str =
    "customer, at, id, kind, micros, currency, incentivised, address, address_xid, address_seq, details";

/// A row of [`EVENT`], with its owner; `open` says whether the details are read.
pub(super) fn event(sealing: Sealing<'_>, row: &QueryResult, open: bool) -> Result<(CustomerId, Event), Fault> {
    let address = Address { id: id(row, 7)?, at: Position { xid: column(row, 8)?, seq: column(row, 9)? } };
    let details = match open {
        true => details(&sealing.open(address.id, column(row, 10)?)?)?,
        false => Details::default(),
    };
    let event = Event {
        id: id(row, 2)?,
        kind: column::<String>(row, 3)?.into(),
        at: Timestamp(column(row, 1)?),
        micros: column(row, 4)?,
        currency: column::<String>(row, 5)?.into(),
        incentivised: column(row, 6)?,
        details,
        raw: Arc::default(),
        address,
    };
    Ok((id(row, 0)?, event))
}

/// The details of an event in their stored form: the feed's message, without what has a column of its own.
pub(crate) fn raw_details(event: &InteractionRecorded) -> Arc<[u8]> {
    InteractionRecorded {
        channel: event.channel.clone(),
        touchpoint: event.touchpoint.clone(),
        direction: event.direction,
        directness: event.directness,
        inducement: event.inducement.clone(),
        conversation_id: event.conversation_id.clone(),
        properties: event.properties.clone(),
        ..InteractionRecorded::default()
    }
    .encode_to_vec()
    .into()
}

/// The details as rules read them.
pub(crate) fn details(raw: &[u8]) -> Result<Details, Fault> {
    if raw.is_empty() {
        return Ok(Details::default());
    }
    let read = InteractionRecorded::decode(raw).map_err(Fault::internal)?;
    let mut details: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    let direction = match read.direction() {
        InteractionDirection::Outbound => "outbound",
        InteractionDirection::Inbound | InteractionDirection::Unspecified => "inbound",
    };
    let directness = match read.directness() {
        InteractionDirectness::Indirect => "indirect",
        InteractionDirectness::Direct | InteractionDirectness::Unspecified => "direct",
    };
    let texts = [
        ("channel", read.channel),
        ("touchpoint", read.touchpoint),
        ("direction", direction.to_owned()),
        ("directness", directness.to_owned()),
        ("inducement", read.inducement),
        ("conversation_id", read.conversation_id),
    ];
    for (name, text) in texts {
        if !text.is_empty() {
            details.insert(name.into(), text.into());
        }
    }
    if let Some(properties) = read.properties {
        let properties = properties.fields.into_iter().map(|(name, value)| (name, crate::feed::value(value)));
        details.insert("properties".into(), properties.collect());
    }
    Ok(Arc::new(details))
}

pub(super) const STATEMENT: &str = "customer, id, topic, value, at, valid_until, retracted, told_xid, \
                                    told_seq, address, address_xid, address_seq";

/// A row of [`STATEMENT`], with its owner.
pub(super) fn statement(sealing: Sealing<'_>, row: &QueryResult) -> Result<(CustomerId, Statement), Fault> {
    let address = Address { id: id(row, 9)?, at: Position { xid: column(row, 10)?, seq: column(row, 11)? } };
    let plain = sealing.open(address.id, column(row, 3)?)?;
    let value: serde_json::Value = match plain.as_slice() {
        [] => serde_json::Value::Null,
        plain => serde_json::from_slice(plain).map_err(Fault::internal)?,
    };
    let statement = Statement {
        id: id(row, 1)?,
        topic: column::<String>(row, 2)?.into(),
        value: value.into(),
        at: Timestamp(column(row, 4)?),
        valid_until: column::<Option<i64>>(row, 5)?.map(Timestamp),
        retracted: column(row, 6)?,
        told_at: Position { xid: column(row, 7)?, seq: column(row, 8)? },
        address,
    };
    Ok((id(row, 0)?, statement))
}

/// The plain form of a statement's value.
pub(super) fn value_bytes(value: &Value) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(&serde_json::Value::from(value)).map_err(Fault::internal)
}

/// Since, reason and version, from the column at `place` on.
pub(super) fn membership(row: &QueryResult, place: usize) -> Result<Membership, Fault> {
    Ok(Membership {
        since: Timestamp(column(row, place)?),
        reason: reason(column(row, place + 1)?)?,
        version: column(row, place + 2)?,
    })
}

/// Reads a reason.
pub(super) fn reason(code: i64) -> Result<Reason, Fault> {
    let reason = i32::try_from(code).ok().and_then(Reason::from_code);
    reason.ok_or_else(|| Fault::internal(format!("a membership has the unknown reason {code}")))
}

pub(super) const SEGMENT: &str =
    "id, name, display_name, description, definition, version, edit, state, created_at, updated_at";

/// A row of [`SEGMENT`].
pub(super) fn segment(row: &QueryResult) -> Result<Segment, Fault> {
    Ok(Segment {
        id: id(row, 0)?,
        name: column(row, 1)?,
        display_name: column(row, 2)?,
        description: column(row, 3)?,
        kind: column::<Option<String>>(row, 4)?.map_or(Kind::List, Kind::Rule),
        version: column(row, 5)?,
        edit: column(row, 6)?,
        state: match column::<i64>(row, 7)? {
            1 => State::Building,
            2 => State::Live,
            _ => State::Deleted,
        },
        created_at: Timestamp(column(row, 8)?),
        updated_at: Timestamp(column(row, 9)?),
    })
}

/// The stored form of a state. The index of names knows 3.
pub(super) const fn state_code(state: State) -> i64 {
    match state {
        State::Building => 1,
        State::Live => 2,
        State::Deleted => 3,
    }
}
