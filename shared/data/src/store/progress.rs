//! What was consumed of other services' feeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use parking_lot::Mutex;
use sea_orm::Value;
use terms::{Fault, Position, Reason, Revision, Service};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use super::{Shared, Store};
use crate::{
    follow::Following,
    sql::{Sql, column},
};

/// What this process knows of its consumers.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    known: Mutex<Known>,
    moved: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    /// How far each consumer has come, as far as this process has seen. Cursors never go back.
    reached: BTreeMap<String, Revision>,
    /// The consumers that run in this process.
    following: BTreeMap<(String, Service), Following>,
}

impl Progress {
    /// Notes a consumer that starts.
    pub(crate) fn begin(&self, consumer: &str, service: Service) {
        let following = Following::new(consumer, service);
        self.known.lock().following.insert((consumer.to_owned(), service), following);
    }

    /// Changes what is told of a consumer.
    pub(crate) fn update(&self, consumer: &str, service: Service, change: impl FnOnce(&mut Following)) {
        if let Some(following) = self.known.lock().following.get_mut(&(consumer.to_owned(), service)) {
            change(following);
        }
    }

    /// Notes cursors that were committed.
    pub(crate) fn reached(&self, consumer: &str, service: Service, cursors: &[(u16, Position)]) {
        {
            let mut known = self.known.lock();
            let reached = known.reached.entry(consumer.to_owned()).or_default();
            for (partition, position) in cursors {
                reached.raise(service, *partition, *position);
            }
        }
        self.moved.send_modify(|n| *n = n.wrapping_add(1));
    }

    pub(crate) fn following(&self) -> Vec<Following> {
        self.known.lock().following.values().cloned().collect()
    }

    fn covers(&self, consumer: &str, demanded: &Revision) -> bool {
        self.known.lock().reached.get(consumer).is_some_and(|reached| reached.covers(demanded))
    }

    /// The consumers that run in this process.
    fn consumers(&self) -> BTreeSet<String> {
        self.known.lock().following.keys().map(|(consumer, _)| consumer.clone()).collect()
    }

    /// The services that `consumer` follows in this process.
    fn services(&self, consumer: &str) -> Vec<Service> {
        self.known.lock().following.keys().filter(|(c, _)| c == consumer).map(|(_, service)| *service).collect()
    }
}

/// One row of `feed_cursor`.
struct Cursor {
    consumer: String,
    service: Service,
    partition: u16,
    position: Position,
}

async fn cursors(shared: &Shared, filter: &str, values: Vec<Value>) -> Result<Vec<Cursor>, Fault> {
    let sql = format!("SELECT consumer, service, partition, xid, seq FROM feed_cursor {filter}");
    let rows = shared.reader().rows(&sql, values).await?;
    rows.iter()
        .map(|row| {
            Ok(Cursor {
                consumer: column(row, 0)?,
                service: column::<String>(row, 1)?.parse().map_err(Fault::internal)?,
                partition: u16::try_from(column::<i32>(row, 2)?).map_err(Fault::internal)?,
                position: Position { xid: column(row, 3)?, seq: column(row, 4)? },
            })
        })
        .collect()
}

pub(super) async fn progress(shared: &Shared, partition: Option<u16>) -> Result<Revision, Fault> {
    let rows = match partition {
        Some(partition) => cursors(shared, "WHERE partition = $1", vec![i32::from(partition).into()]).await?,
        None => cursors(shared, "", vec![]).await?,
    };
    // Every replica runs every consumer; a row of any other is left over from an earlier version.
    let current = shared.progress.consumers();
    let mut least: BTreeMap<(Service, u16), Position> = BTreeMap::new();
    for row in rows.into_iter().filter(|row| current.is_empty() || current.contains(&row.consumer)) {
        let place = least.entry((row.service, row.partition)).or_insert(row.position);
        *place = (*place).min(row.position);
    }
    let mut revision = Revision::new();
    for ((service, partition), position) in least {
        revision.raise(service, partition, position);
    }
    Ok(revision)
}

/// How often to look where hints do not reach: another replica may consume the partition.
const LOOK: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(25)];

pub(super) async fn reach(
    shared: &Shared,
    consumer: &str,
    demanded: &Revision,
    deadline: Duration,
) -> Result<(), Fault> {
    if demanded.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + deadline;
    let mut moved = shared.progress.moved.subscribe();
    let mut pause = LOOK[0];
    let mut services = shared.progress.services(consumer);
    loop {
        let relevant = only(demanded, &services);
        if !relevant.is_empty() && shared.progress.covers(consumer, &relevant) {
            return Ok(());
        }
        let rows = cursors(shared, "WHERE consumer = $1", vec![consumer.into()]).await?;
        for service in rows.iter().map(|row| row.service) {
            if !services.contains(&service) {
                services.push(service);
            }
        }
        let relevant = only(demanded, &services);
        let mut reached = Revision::new();
        for row in rows.iter().filter(|row| row.consumer == consumer) {
            reached.raise(row.service, row.partition, row.position);
        }
        if reached.covers(&relevant) {
            return Ok(());
        }
        let wait = async {
            tokio::select! {
                _ = moved.changed() => {}
                () = sleep(pause) => {}
            }
        };
        if timeout_at(until, wait).await.is_err() {
            return Err(not_reached());
        }
        pause = (pause * 2).min(LOOK[1]);
    }
}

fn only(demanded: &Revision, services: &[Service]) -> Revision {
    let mut relevant = Revision::new();
    for (service, partition, position) in demanded.iter() {
        if services.contains(&service) {
            relevant.raise(service, partition, position);
        }
    }
    relevant
}

fn not_reached() -> Fault {
    Fault::new(Reason::RevisionNotReached, "`at_least` is not reached yet; retry, or give the call more time")
        .retry_after(Duration::from_millis(50))
}

pub(super) async fn settle(store: &Store, demanded: &Revision, deadline: Duration) -> Result<Position, Fault> {
    let until = Instant::now() + deadline;
    let wanted = demanded.of(store.service()).map(|(_, position)| position).max().unwrap_or_default();
    let mut pause = Duration::from_millis(1);
    loop {
        let horizon = store.horizon().await?;
        if horizon >= wanted {
            return Ok(horizon);
        }
        if timeout_at(until, sleep(pause)).await.is_err() {
            return Err(not_reached());
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
