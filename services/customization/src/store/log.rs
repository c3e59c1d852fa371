//! Writes decisions. While one batch commits, the next gathers: so a commit is paid for once for many decisions, and a
//! single decision waits for nobody.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use customization_domain::ports::{Effect, Entry, Word};
use data::{Dialect, Sql, Store, Tx, sql::insert_rows};
use rapport_proto::feed::v1::{DecisionRecorded, event::Event};
use sea_orm::Value;
use terms::{CustomerId, Fault, Once, Reason, Revision, Service, Written, partition};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::rows::NOBODY;

/// How many decisions share a commit at most.
const BATCH: usize = 512;
/// How many wait before callers do.
const WAITING: usize = 4_096;

/// Leads to the task that writes. It ends with the last clone.
#[derive(Clone)]
pub(super) struct Batches(mpsc::Sender<Waiting>);

struct Waiting {
    entry: Entry,
    done: oneshot::Sender<Result<Revision, Fault>>,
}

impl Batches {
    pub(super) fn start(store: Store) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(store, receiver));
        Self(sender)
    }

    pub(super) async fn record(&self, entry: Entry) -> Result<Revision, Fault> {
        let (done, outcome) = oneshot::channel();
        self.0.send(Waiting { entry, done }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

fn gone() -> Fault {
    Fault::new(Reason::ShuttingDown, "the server is going away; retry elsewhere")
}

async fn run(store: Store, mut queue: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        // Whoever gave up before the write began need not be written for.
        let (entries, done): (Vec<Entry>, Vec<_>) = waiting
            .drain(..)
            .filter(|waiting: &Waiting| !waiting.done.is_closed())
            .map(|waiting| (waiting.entry, waiting.done))
            .unzip();
        if entries.is_empty() {
            continue;
        }
        let entries: Arc<[Entry]> = entries.into();
        let outcome = write(&store, entries.clone()).await;
        for (entry, done) in entries.iter().zip(done) {
            let outcome = match &outcome {
                Ok(revision) => Ok(own(revision, entry)),
                Err(fault) => Err(again(fault)),
            };
            // Whoever waited may be gone; the decision stands.
            let _ = done.send(outcome);
        }
    }
}

/// The part of a batch's revision that is about one decision.
fn own(revision: &Revision, entry: &Entry) -> Revision {
    let partition = partition(&entry.tenant, entry.customer.unwrap_or(NOBODY));
    match revision.position(Service::Customization, partition) {
        Some(position) => Revision::at(Service::Customization, partition, position),
        None => Revision::new(),
    }
}

/// The same fault for another caller.
fn again(fault: &Fault) -> Fault {
    let copy = Fault::new(fault.reason(), fault.message()).because(format!("{fault:?}"));
    match fault.retry_delay() {
        Some(delay) => copy.retry_after(delay),
        None => copy,
    }
}

async fn write(store: &Store, entries: Arc<[Entry]>) -> Result<Revision, Fault> {
    let batch = entries.clone();
    let written = store
        .write(move |tx| {
            let batch = batch.clone();
            Box::pin(async move { insert(tx, &batch).await })
        })
        .await?;
    stored(&entries);
    Ok(written.revision)
}

/// The same in a transaction of its own, under an idempotency key.
pub(super) async fn record_once(
    store: &Store,
    once: Once,
    entry: Entry,
    reply: Vec<u8>,
) -> Result<Written<Vec<u8>>, Fault> {
    let entries: Arc<[Entry]> = vec![entry].into();
    let batch = entries.clone();
    let reply = BASE64_STANDARD.encode(reply);
    let written = store
        .write_once(Some(once), move |tx| {
            let (batch, reply) = (batch.clone(), reply.clone());
            Box::pin(async move {
                insert(tx, &batch).await?;
                Ok(reply)
            })
        })
        .await?;
    if !written.replayed {
        stored(&entries);
    }
    let value = BASE64_STANDARD.decode(&written.value).map_err(Fault::internal)?;
    Ok(written.map(|_| value))
}

fn stored(entries: &[Entry]) {
    entries.iter().filter_map(|entry| entry.inputs.as_ref()).for_each(|inputs| inputs.set_stored());
}

async fn insert(tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
    insert_inputs(tx, entries).await?;
    let effects: Vec<(&Entry, &Effect, CustomerId)> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.owner()?)))
        .flat_map(|(entry, customer)| entry.effects.iter().map(move |effect| (entry, effect, customer)))
        .collect();
    match tx.dialect() {
        Dialect::Sqlite => {
            let decisions: Vec<_> = entries.iter().map(|entry| decision(tx, entry)).collect();
            insert_rows(tx.conn(), DECISION, decisions, "").await?;
            let effects: Vec<_> =
                effects.iter().map(|(entry, effect, customer)| row(entry, effect, *customer)).collect();
            insert_rows(tx.conn(), EFFECT, effects, "").await?;
        }
        Dialect::Postgres => {
            unnest_decisions(tx, entries).await?;
            unnest_effects(tx, &effects).await?;
        }
    }
    for entry in entries.iter().filter(|entry| entry.is_told()) {
        tx.act_as(&entry.news.actor);
        tx.publish(&entry.tenant, entry.customer, Event::DecisionRecorded(news(entry)));
    }
    Ok(())
}

/// Tables with their columns.
const DECISION: &str =
    "decision (tenant, id, customer, arrived_as, arrived_via, touchpoint, catalog_version, at, inputs, body)";
const EFFECT: &str = "decision_effect (tenant, decision, kind, word, customer, at, changed, exclusions)";

fn sealed(tx: &Tx, entry: &Entry) -> Vec<u8> {
    tx.sealer().seal(&entry.tenant, entry.customer.unwrap_or(NOBODY), &entry.body)
}

fn decision(tx: &Tx, entry: &Entry) -> [Value; 10] {
    let id = |customer: Option<CustomerId>| -> Value { customer.map(CustomerId::uuid).into() };
    [
        entry.tenant.as_str().into(),
        entry.id.uuid().into(),
        id(entry.owner()),
        id(entry.customer),
        entry.arrived_via.map(|via| via.to_vec()).into(),
        entry.touchpoint.uuid().into(),
        entry.catalog_version.into(),
        entry.at.micros().into(),
        entry.inputs.as_ref().map(|inputs| inputs.digest.to_vec()).into(),
        sealed(tx, entry).into(),
    ]
}

fn row(entry: &Entry, effect: &Effect, customer: CustomerId) -> [Value; 8] {
    let (kind, word) = word(effect.of);
    [
        entry.tenant.as_str().into(),
        entry.id.uuid().into(),
        kind.into(),
        word.into(),
        customer.uuid().into(),
        entry.at.micros().into(),
        effect.changed.into(),
        i64::from(effect.exclusions).into(),
    ]
}

/// A column as an array.
fn array<T, V>(items: &[T], of: impl Fn(&T) -> V) -> Value
where
    Vec<V>: Into<Value>,
{
    items.iter().map(of).collect::<Vec<V>>().into()
}

/// Arrays cannot hold nulls here: zeros and empty bytes stand for them.
async fn unnest_decisions(tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
    let sql = format!(
        "INSERT INTO {} SELECT t, i, NULLIF(o, $11), NULLIF(c, $11), NULLIF(v, ''::bytea), p, g, a, \
         NULLIF(n, ''::bytea), b FROM UNNEST($1::text[], $2::uuid[], $3::uuid[], $4::bytea[], $5::uuid[], \
         $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[], $10::uuid[]) AS d (t, i, c, v, p, g, a, n, b, o)",
        DECISION
    );
    let values = vec![
        array(entries, |entry| entry.tenant.as_str().to_owned()),
        array(entries, |entry| entry.id.uuid()),
        array(entries, |entry| entry.customer.unwrap_or(NOBODY).uuid()),
        array(entries, |entry| entry.arrived_via.map(|via| via.to_vec()).unwrap_or_default()),
        array(entries, |entry| entry.touchpoint.uuid()),
        array(entries, |entry| entry.catalog_version),
        array(entries, |entry| entry.at.micros()),
        array(entries, |entry| entry.inputs.as_ref().map(|inputs| inputs.digest.to_vec()).unwrap_or_default()),
        array(entries, |entry| sealed(tx, entry)),
        array(entries, |entry| entry.owner().unwrap_or(NOBODY).uuid()),
        NOBODY.uuid().into(),
    ];
    tx.conn().run(&sql, values).await.map(drop)
}

async fn unnest_effects(tx: &Tx, effects: &[(&Entry, &Effect, CustomerId)]) -> Result<(), Fault> {
    if effects.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO {} SELECT t, d, k, w, c, a, h <> 0, e FROM UNNEST($1::text[], $2::uuid[], $3::bigint[], \
         $4::uuid[], $5::uuid[], $6::bigint[], $7::bigint[], $8::bigint[]) AS x (t, d, k, w, c, a, h, e)",
        EFFECT
    );
    let values = vec![
        array(effects, |(entry, _, _)| entry.tenant.as_str().to_owned()),
        array(effects, |(entry, _, _)| entry.id.uuid()),
        array(effects, |(_, effect, _)| word(effect.of).0),
        array(effects, |(_, effect, _)| word(effect.of).1),
        array(effects, |(_, _, customer)| customer.uuid()),
        array(effects, |(entry, _, _)| entry.at.micros()),
        array(effects, |(_, effect, _)| i64::from(effect.changed)),
        array(effects, |(_, effect, _)| i64::from(effect.exclusions)),
    ];
    tx.conn().run(&sql, values).await.map(drop)
}

/// A word as `decision_effect` names it.
pub(super) const STATEMENT: i64 = 1;
pub(super) const BOUNDARY: i64 = 2;

fn word(of: Word) -> (i64, Uuid) {
    match of {
        Word::Statement(id) => (STATEMENT, id.uuid()),
        Word::Boundary(id) => (BOUNDARY, id.uuid()),
    }
}

/// Inputs that the log does not have yet, as far as this process knows.
async fn insert_inputs(tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
    let mut known: Vec<(CustomerId, [u8; 16])> = Vec::new();
    for entry in entries {
        let (Some(inputs), Some(customer)) = (&entry.inputs, entry.customer) else { continue };
        if inputs.is_stored() || known.contains(&(customer, inputs.digest)) {
            continue;
        }
        known.push((customer, inputs.digest));
        let sql = "INSERT INTO decision_input (tenant, customer, digest, content) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (tenant, customer, digest) DO NOTHING";
        let values = vec![
            entry.tenant.as_str().into(),
            customer.uuid().into(),
            inputs.digest.to_vec().into(),
            tx.sealer().seal(&entry.tenant, customer, &inputs.content).into(),
        ];
        tx.conn().run(sql, values).await?;
    }
    Ok(())
}

fn news(entry: &Entry) -> DecisionRecorded {
    let changed = |is: fn(Word) -> Option<String>| {
        entry.effects.iter().filter(|effect| effect.changed).filter_map(|effect| is(effect.of)).collect()
    };
    DecisionRecorded {
        decision_id: entry.id.to_string(),
        touchpoint: entry.news.touchpoint.clone(),
        treatments: entry.news.treatments.clone(),
        statement_ids: changed(|word| if let Word::Statement(id) = word { Some(id.to_string()) } else { None }),
        boundary_ids: changed(|word| if let Word::Boundary(id) = word { Some(id.to_string()) } else { None }),
        defaulted: entry.news.defaulted,
        experiment: String::new(),
        arm: String::new(),
        decide_time: Some(host::encode::timestamp(entry.at)),
    }
}
