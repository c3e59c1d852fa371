//! `Decide`.

use std::sync::Arc;

use customization_domain::{
    Ask, Decision,
    catalog::Place,
    decide as choose,
    ports::{DecisionLog, Entry, News},
    profile::Profile,
};
use host::{Call, decode};
use prost::Message;
use rapport_proto::customization::v1::{DecideRequest, DecideResponse};
use rules::Value;
use terms::{CustomerId, CustomerRef, Fault, Once, Reason, Revision, Timestamp, Violations};

use super::Ports;
use crate::{
    customers::Found,
    known::Known,
    record::{Body, Circumstances, effects},
    reply,
    store::Shelf,
    values,
};

/// The largest context, in bytes.
const CONTEXT_MAX: usize = 16 << 10;
/// The deepest context, in levels.
const DEPTH_MAX: usize = 8;

pub(super) async fn decide(ports: &Ports, call: Call, body: DecideRequest) -> Result<DecideResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "Decide", &body.request_id, &body);
    let wanted = Wanted::decode(wrong, body)?;
    let made = make(ports, &call, &wanted).await?;
    log(ports, made, once).await
}

/// A decision that is asked for.
pub(super) struct Wanted {
    customer: CustomerRef,
    touchpoint: String,
    /// Serialized, as it is logged.
    context_bytes: Vec<u8>,
    context: Value,
    pub(super) at_least: Revision,
    explain: bool,
    limit: u32,
    dry_run: bool,
}

impl Wanted {
    pub(super) fn decode(mut wrong: Violations, body: DecideRequest) -> Result<Self, Fault> {
        let customer = wrong.take(decode::customer("customer", body.customer));
        super::check_which(&mut wrong, "touchpoint", &body.touchpoint);
        let (context_bytes, context) = match body.context {
            None => (Vec::new(), Value::Null),
            Some(given) => context(&mut wrong, &given),
        };
        let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
        let limit = u32::try_from(body.limit).unwrap_or_else(|_| {
            wrong.add("limit", format!("is {}; it must not be negative", body.limit));
            0
        });
        let (true, Some(customer)) = (wrong.is_empty(), customer) else { return Err(decode::refused(wrong)) };
        Ok(Self {
            customer,
            touchpoint: body.touchpoint,
            context_bytes,
            context,
            at_least,
            explain: body.explain,
            limit,
            dry_run: body.dry_run,
        })
    }
}

fn context(wrong: &mut Violations, given: &prost_types::Struct) -> (Vec<u8>, Value) {
    let bytes = given.encode_to_vec();
    if bytes.len() > CONTEXT_MAX {
        wrong.add("context", format!("has {} bytes; at most {CONTEXT_MAX} are taken", bytes.len()));
    }
    let context = values::map(Some(given));
    if let Some(problem) = problem(&context, DEPTH_MAX) {
        wrong.add("context", problem);
    }
    (bytes, context)
}

/// What rules cannot read in a context, if anything.
fn problem(value: &Value, levels: usize) -> Option<&'static str> {
    let below = || levels.checked_sub(1);
    match value {
        Value::List(_) | Value::Map(_) if levels == 0 => Some("is nested deeper than 8 levels"),
        Value::List(items) => below().and_then(|levels| items.iter().find_map(|item| problem(item, levels))),
        Value::Map(entries) => below().and_then(|levels| {
            let of_entry = |(key, value): (&Arc<str>, &Value)| unreadable(key).or_else(|| problem(value, levels));
            entries.iter().find_map(of_entry)
        }),
        Value::Double(number) if !number.is_finite() => Some("holds a number that is not finite"),
        Value::String(text) => unreadable(text),
        _ => None,
    }
}

fn unreadable(text: &str) -> Option<&'static str> {
    text.as_bytes().contains(&0).then_some("contains the character U+0000")
}

/// A decision that was made: what is to be logged, if it is not a dry run, and the reply.
pub(super) struct Made {
    entry: Option<Entry>,
    response: DecideResponse,
}

/// Logs a decision; gives its reply, or the one that was recorded first.
pub(super) async fn log(ports: &Ports, made: Made, once: Option<Once>) -> Result<DecideResponse, Fault> {
    let Made { entry, mut response } = made;
    let Some(entry) = entry else { return Ok(response) };
    let published = match once {
        None => ports.store.record(entry).await?,
        Some(once) => {
            let written = ports.store.record_once(once, entry, response.encode_to_vec()).await?;
            response = DecideResponse::decode(&*written.value).map_err(Fault::internal)?;
            written.revision
        }
    };
    if !published.is_empty() {
        let mut revision = Revision::parse("revision", &response.revision)?;
        revision.merge(&published);
        response.revision = revision.to_string();
    }
    Ok(response)
}

pub(super) async fn make(ports: &Ports, call: &Call, wanted: &Wanted) -> Result<Made, Fault> {
    let tenant = call.tenant();
    let shelf = ports.store.shelf(tenant, &wanted.at_least).await?;
    let place = shelf.catalog.place_of(&wanted.touchpoint)?;
    let found = match ports.customers.hot(tenant, &wanted.customer, &wanted.at_least) {
        Some(found) => found,
        None => {
            // Boxed: the way of a hot decision is short, and its future need not hold the long one.
            let found = Box::pin(ports.customers.find(call, &wanted.customer, &wanted.at_least)).await?;
            found.unwrap_or_else(Found::nobody)
        }
    };
    let known = &found.known;
    let (now, seed) = (ports.clock.now(), ports.ids.seed());
    let limit = (wanted.limit > 0).then_some(wanted.limit as usize);
    let ask = Ask { place, profile: &known.profile, context: &wanted.context, now, seed, limit };
    let decision = choose(&ask);
    let mut response = encode(&shelf, place, known, &decision, wanted, now);
    let entry = (!wanted.dry_run).then(|| entry(ports, call, wanted, place, &found, &decision, (now, seed)));
    if let Some(entry) = &entry {
        response.decision_id = entry.id.to_string();
    }
    Ok(Made { entry, response })
}

fn entry(
    ports: &Ports,
    call: &Call,
    wanted: &Wanted,
    place: &Place,
    found: &Found,
    decision: &Decision,
    (now, seed): (Timestamp, u64),
) -> Entry {
    let known = &found.known;
    let made = Circumstances {
        seed,
        limit: wanted.limit,
        explained: wanted.explain,
        context: wanted.context_bytes.clone(),
        revision: known.revision.clone(),
        degraded: known.profile.degraded,
        actor: call.caller.subject.to_string(),
    };
    let name = |ranked: &customization_domain::decide::Ranked| {
        ranked.pick.of(place).map(|candidate| candidate.name().to_owned())
    };
    let effects = effects(decision);
    // Most decisions are told to nobody.
    let news = effects.iter().any(|effect| effect.changed).then(|| News {
        actor: call.caller.subject.clone(),
        touchpoint: place.touchpoint.spec.name.clone(),
        treatments: decision.ranked.iter().filter_map(name).collect(),
        defaulted: decision.defaulted,
    });
    Entry {
        tenant: call.tenant().clone(),
        id: ports.ids.next(),
        customer: known.profile.customer,
        named: former(&wanted.customer, &known.profile),
        arrived_via: found.via,
        touchpoint: place.touchpoint.id,
        catalog_version: place.catalog_version,
        at: now,
        inputs: known.inputs.clone(),
        body: Body::new(place, decision, made).encode_to_vec(),
        effects,
        news,
    }
}

/// The former id by which a request named the customer.
fn former(reference: &CustomerRef, profile: &Profile) -> Option<CustomerId> {
    match reference {
        CustomerRef::Id(id) if profile.identity.aliases.contains(id) => Some(*id),
        _ => None,
    }
}

fn encode(
    shelf: &Shelf,
    place: &Place,
    known: &Known,
    decision: &Decision,
    wanted: &Wanted,
    now: Timestamp,
) -> DecideResponse {
    let explain = wanted.explain;
    let content = |treatment| shelf.contents.get(&treatment).cloned();
    DecideResponse {
        customer_id: known.profile.customer.map_or_else(String::new, |customer| customer.to_string()),
        treatments: reply::ranked(place, &decision.ranked, explain, content),
        excluded: if explain { reply::excluded(place, &decision.excluded) } else { Vec::new() },
        because: if explain { reply::because(place, &decision.because) } else { Vec::new() },
        defaulted: decision.defaulted,
        identity_confidence: known.profile.identity.confidence(),
        decide_time: Some(host::encode::timestamp(now)),
        degraded: reply::degraded(known.profile.degraded),
        revision: wanted.at_least.to_string(),
        ..DecideResponse::default()
    }
}

/// There is no such decision.
pub(super) fn not_found(decision: &str) -> Fault {
    Fault::not_found(Reason::DecisionNotFound, format!("decision `{decision}`"))
}
