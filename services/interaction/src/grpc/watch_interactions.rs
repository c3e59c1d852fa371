//! `WatchInteractions`: this service's own feed, one tenant, perhaps one customer, resumed by cursor.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use data::{Entry, FeedBatch, FeedSource, Watch, WatchFrom};
use futures::{Stream, StreamExt, stream};
use host::Call;
use interaction_domain::{
    Store,
    arrival::Resolved,
    customers::resolve_one,
    interaction::{Interaction, InteractionId},
    key::{KEY_MAX, check_key, covers},
};
use rapport_proto::{
    feed::v1::event::Event,
    interaction::v1::{WatchInteractionsRequest, WatchInteractionsResponse},
};
use terms::{Caller, CustomerId, CustomerRef, Fault, PARTITIONS, Position, Reason, Revision, Service, Violations};
use tokio::time::Instant;

use super::Ports;
use crate::encode;

/// The longest silence.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The most interactions in one message.
const MESSAGE: usize = 100;

pub(super) async fn watch_interactions(
    ports: Arc<Ports>,
    call: Call,
    body: WatchInteractionsRequest,
) -> Result<impl Stream<Item = Result<WatchInteractionsResponse, Fault>> + Send + 'static, Fault> {
    let mut wrong = Violations::new();
    let reference = wrong.take(host::decode::optional_customer("customer", body.customer)).flatten();
    let mut cursor = wrong.take(Revision::parse("cursor", &body.cursor)).unwrap_or_default();
    for (i, kind) in body.types.iter().enumerate() {
        check_key(&mut wrong, &format!("types[{i}]"), kind, KEY_MAX);
    }
    wrong.done()?;
    if cursor.is_empty() {
        let now = ports.domain.store.inner().horizon().await?;
        (0..PARTITIONS).for_each(|partition| cursor.raise(Service::Interaction, partition, now));
    }
    let from = begin(&cursor)?;
    let customer = match &reference {
        Some(reference) => {
            let found = resolve_one(&*ports.domain.customers, &call.caller, reference, &Revision::new()).await?;
            Some(found.customer)
        }
        None => None,
    };
    let watch = Watch {
        kinds: vec!["interaction.recorded".to_owned()],
        tenant: Some(call.tenant().clone()),
        heartbeat: HEARTBEAT,
        ..Watch::new(from)
    };
    let batches = ports.feed.watch(watch).await?;
    let watcher = Watcher { ports, caller: call.caller, customer, kinds: body.types, cursor, told_at: None };
    let messages = stream::unfold((watcher, batches), |(mut watcher, mut batches)| async move {
        let batch = batches.next().await?;
        let messages = match batch {
            Ok(batch) => watcher.messages(batch).await,
            Err(fault) => Err(fault),
        };
        let messages = match messages {
            Ok(messages) => messages.into_iter().map(Ok).collect(),
            Err(fault) => vec![Err(fault)],
        };
        Some((stream::iter(messages), (watcher, batches)))
    });
    Ok(messages.flatten())
}

/// Where to begin: after the cursor, which names every partition.
fn begin(cursor: &Revision) -> Result<WatchFrom, Fault> {
    let cursors: Vec<(u16, Position)> = cursor.of(Service::Interaction).collect();
    if cursors.len() == usize::from(PARTITIONS) {
        return Ok(WatchFrom::Cursors(cursors));
    }
    Err(Fault::invalid("cursor", Reason::InvalidFields, "is not a cursor that this stream gave out"))
}

struct Watcher {
    ports: Arc<Ports>,
    caller: Caller,
    customer: Option<CustomerId>,
    kinds: Vec<String>,
    /// How far each partition has been told.
    cursor: Revision,
    told_at: Option<Instant>,
}

impl Watcher {
    /// The messages that a batch makes; each carries the cursor behind what it tells.
    async fn messages(&mut self, batch: FeedBatch) -> Result<Vec<WatchInteractionsResponse>, Fault> {
        let wanted = self.wanted(&batch.entries).await?;
        let ids: Vec<InteractionId> = wanted.iter().map(|(_, id)| *id).collect();
        let mut rows: HashMap<InteractionId, Interaction> = HashMap::new();
        if !ids.is_empty() {
            let found = self.ports.domain.store.interactions(&self.caller.tenant, &ids).await?;
            rows.extend(found.into_iter().map(|i| (i.id, i)));
        }
        let mut messages = Vec::new();
        for chunk in wanted.chunks(MESSAGE) {
            // Entries before these that nobody wants are behind the cursor too.
            let end = chunk.last().map_or(0, |(place, _)| *place);
            for entry in batch.entries.iter().take(end + 1) {
                self.cursor.raise(Service::Interaction, entry.partition, entry.position);
            }
            let interactions: Vec<_> =
                chunk.iter().filter_map(|(_, id)| rows.get(id)).map(encode::interaction).collect();
            if !interactions.is_empty() {
                messages.push(WatchInteractionsResponse { interactions, cursor: self.cursor.to_string() });
            }
        }
        for (partition, position) in &batch.cursors {
            self.cursor.raise(Service::Interaction, *partition, *position);
        }
        let silent = self.told_at.is_none_or(|at| at.elapsed() >= HEARTBEAT);
        match messages.last_mut() {
            Some(last) => last.cursor = self.cursor.to_string(),
            None if silent => {
                let cursor = self.cursor.to_string();
                messages.push(WatchInteractionsResponse { interactions: Vec::new(), cursor });
            }
            None => {}
        }
        if !messages.is_empty() {
            self.told_at = Some(Instant::now());
        }
        Ok(messages)
    }

    /// The entries that are asked for, with their places in the batch.
    async fn wanted(&self, entries: &[Entry]) -> Result<Vec<(usize, InteractionId)>, Fault> {
        let mut wanted = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let (Some(Event::InteractionRecorded(recorded)), Some(customer)) = (entry.change(), entry.customer) else {
                continue;
            };
            if self.kinds.is_empty() || self.kinds.iter().any(|kind| covers(kind, &recorded.r#type)) {
                wanted.push((place, customer, recorded.interaction_id.parse().map_err(Fault::internal)?));
            }
        }
        let Some(whose) = self.customer else {
            return Ok(wanted.into_iter().map(|(place, _, id)| (place, id)).collect());
        };
        let owners = self.owners(whose, wanted.iter().map(|(_, customer, _)| *customer)).await?;
        let of_owner = wanted.into_iter().filter(|(_, customer, _)| owners.contains(customer));
        Ok(of_owner.map(|(place, _, id)| (place, id)).collect())
    }

    /// Those of `customers` who are one with `whose` now. Identity is asked: a merge that it has acknowledged may not
    /// have moved the rows here yet.
    async fn owners(
        &self,
        whose: CustomerId,
        customers: impl Iterator<Item = CustomerId>,
    ) -> Result<HashSet<CustomerId>, Fault> {
        let mut customers: HashSet<CustomerId> = customers.collect();
        if customers.iter().all(|customer| *customer == whose) {
            return Ok(customers);
        }
        customers.insert(whose);
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let refs: Vec<CustomerRef> = customers.iter().copied().map(CustomerRef::Id).collect();
        // Something is demanded of identity, so that no cache answers.
        let fresh = Revision::at(Service::Identity, 0, Position::START);
        let answers = self.ports.domain.customers.resolve(&self.caller, &refs, &fresh).await?;
        let lead = |id: CustomerId, answer: Option<Resolved>| answer.map_or(id, |answer| answer.customer);
        let leads: Vec<CustomerId> = customers.iter().zip(answers).map(|(id, answer)| lead(*id, answer)).collect();
        let owner = customers.iter().zip(&leads).find(|(id, _)| **id == whose).map_or(whose, |(_, lead)| *lead);
        Ok(customers.into_iter().zip(leads).filter(|(_, lead)| *lead == owner).map(|(id, _)| id).collect())
    }
}
