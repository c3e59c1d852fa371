//! One batch in one transaction; what happens when it fails.

use std::{fmt, sync::Arc};

use futures::FutureExt;
use terms::{Fault, FaultKind, Reason};

use super::{
    Consumer,
    lease::{Move, Replica},
};
use crate::{
    error::is_conflict,
    feed::Entry,
    store::{Store, Tx},
};

/// How a batch ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Its effects are committed.
    Applied,
    /// Another replica has one of the partitions now; nothing happened.
    Fenced,
    /// The store, or what the consumer needs, does not answer; nothing happened.
    Passing(Fault),
    /// The consumer cannot apply an entry; nothing happened.
    Refused(Fault),
}

/// The cause of the fault that rolls a fenced batch back.
#[derive(Debug)]
struct Fenced;

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another replica has the partition")
    }
}

impl std::error::Error for Fenced {}

/// Applies `entries` and moves the cursors, both or neither.
pub(super) async fn apply(
    store: &Store,
    replica: &Replica,
    consumer: &Arc<dyn Consumer>,
    entries: Vec<Entry>,
    moves: Vec<Move>,
) -> Outcome {
    let (replica, at_work) = (replica.clone(), consumer.clone());
    let entries: Arc<[Entry]> = entries.into();
    let applying = entries.clone();
    let written = store
        .write(move |tx: &Tx| {
            let (replica, consumer) = (replica.clone(), at_work.clone());
            let (entries, moves) = (applying.clone(), moves.clone());
            async move {
                // First the fence: it also locks the rows, so that nobody takes them over meanwhile.
                if !replica.advance(tx, &moves).await? {
                    return Err(Fault::new(Reason::WriteConflict, "fenced").because(Fenced));
                }
                if entries.is_empty() { Ok(()) } else { consumer.apply(tx, &entries).await }
            }
            .boxed()
        })
        .await;
    match written {
        Ok(written) => {
            if !entries.is_empty() {
                consumer.applied(&entries, &written.revision).await;
            }
            Outcome::Applied
        }
        Err(fault) if fault.cause().is_some_and(|cause| cause.is::<Fenced>()) => Outcome::Fenced,
        Err(fault) => match fault.kind() {
            FaultKind::Unavailable | FaultKind::Exhausted | FaultKind::Late => Outcome::Passing(fault),
            _ if is_conflict(&fault) => Outcome::Passing(fault),
            _ => Outcome::Refused(fault),
        },
    }
}

/// Cuts a batch into one part per partition.
pub(super) fn by_partition(entries: Vec<Entry>, moves: &[Move]) -> Vec<(Vec<Entry>, Move)> {
    let mut parts: Vec<(Vec<Entry>, Move)> = moves.iter().map(|step| (Vec::new(), *step)).collect();
    for entry in entries {
        if let Some((part, _)) = parts.iter_mut().find(|(_, step)| step.partition == entry.partition) {
            part.push(entry);
        }
    }
    parts
}

/// Cuts a partition's part into single entries.
pub(super) fn one_by_one(entries: Vec<Entry>, step: Move) -> Vec<(Vec<Entry>, Move)> {
    let mut from = step.from;
    let last = entries.len().saturating_sub(1);
    let steps = entries.into_iter().enumerate().map(|(i, entry)| {
        // The last one takes the cursor over what the filter skipped behind it.
        let to = if i == last { step.to.max(entry.position) } else { entry.position };
        let single = Move { partition: step.partition, from, to };
        from = to;
        (vec![entry], single)
    });
    steps.collect()
}
