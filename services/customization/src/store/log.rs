//! Writes decisions. While one batch commits, the next gathers: so a commit is paid for once for many decisions, and who
//! decides alone waits for nobody.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use customization_domain::ports::{Effect, Entry, News, Word};
use data::{Sql, Store, Tx, sql::insert_rows};
use rapport_proto::feed::v1::{DecisionRecorded, event::Event};
use sea_orm::Value;
use terms::{CustomerId, Fault, Once, Reason, Revision, Service, Written, partition};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{block, index::Indexer, rows::NOBODY};

/// How many decisions share a commit at most.
const BATCH: usize = 512;
/// How many must be deciding for a batch to wait for more of them.
const SIBLINGS: usize = 4;
/// How long it waits for them at most.
const MOMENT: Duration = Duration::from_millis(1);
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
    pub(super) fn start(store: Store, indexer: Arc<Indexer>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(run(store, indexer, receiver));
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

async fn run(store: Store, indexer: Arc<Indexer>, mut queue: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::with_capacity(BATCH);
    let mut before = 0;
    while queue.recv_many(&mut waiting, BATCH).await > 0 {
        gather(&mut queue, &mut waiting, before).await;
        // Whoever gave up before the write began need not be written for.
        let (entries, done): (Vec<Entry>, Vec<_>) = waiting
            .drain(..)
            .filter(|waiting: &Waiting| !waiting.done.is_closed())
            .map(|waiting| (waiting.entry, waiting.done))
            .unzip();
        before = entries.len();
        if entries.is_empty() {
            continue;
        }
        let entries: Arc<[Entry]> = entries.into();
        let outcome = write(&store, entries.clone()).await;
        indexer.wrote(entries.len());
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

/// Lets a batch grow while many decide at once: a commit costs as much for one decision as for a hundred. `before` were
/// written last, and these came in the meantime: of as many, three quarters are waited for, for a moment. Who decides
/// alone waits for nobody. (PostgreSQL's `commit_delay` and `commit_siblings` are the same idea.)
async fn gather(queue: &mut mpsc::Receiver<Waiting>, waiting: &mut Vec<Waiting>, before: usize) {
    let enough = ((before + waiting.len()) * 3 / 4).min(BATCH);
    let more = async { while waiting.len() < enough && queue.recv_many(waiting, BATCH - waiting.len()).await > 0 {} };
    if enough >= SIBLINGS {
        // What came until then is in the batch: receiving is cancel safe.
        let _ = tokio::time::timeout(MOMENT, more).await;
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
    block::write(tx, entries).await?;
    insert_effects(tx, entries).await?;
    for (entry, news) in entries.iter().filter_map(|entry| Some((entry, entry.news.as_ref()?))) {
        tx.act_as(&news.actor);
        tx.publish(&entry.tenant, entry.customer, Event::DecisionRecorded(recorded(entry, news)));
    }
    Ok(())
}

async fn insert_effects(tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
    let row = |entry: &Entry, effect: &Effect, customer: CustomerId| -> [Value; 8] {
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
    };
    let rows: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.owner()?)))
        .flat_map(|(entry, customer)| entry.effects.iter().map(move |effect| row(entry, effect, customer)))
        .collect();
    let into = "decision_effect (tenant, decision, kind, word, customer, at, changed, exclusions)";
    insert_rows(tx.conn(), into, rows, "").await.map(drop)
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

fn recorded(entry: &Entry, news: &News) -> DecisionRecorded {
    let changed = |is: fn(Word) -> Option<String>| {
        entry.effects.iter().filter(|effect| effect.changed).filter_map(|effect| is(effect.of)).collect()
    };
    DecisionRecorded {
        decision_id: entry.id.to_string(),
        touchpoint: news.touchpoint.clone(),
        treatments: news.treatments.clone(),
        statement_ids: changed(|word| if let Word::Statement(id) = word { Some(id.to_string()) } else { None }),
        boundary_ids: changed(|word| if let Word::Boundary(id) = word { Some(id.to_string()) } else { None }),
        defaulted: news.defaulted,
        experiment: String::new(),
        arm: String::new(),
        decide_time: Some(host::encode::timestamp(entry.at)),
    }
}
