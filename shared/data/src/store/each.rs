//! Several calls that share a transaction: each has its own request id, its own answer and its own failure.

use std::collections::BTreeSet;

use futures::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use terms::{CustomerId, Fault, Once, Revision, Tenant, Written, partition};
use tokio::sync::oneshot;

use super::{
    job::{Job, Recorder},
    once::{self, Recorded},
    tx::{Effects, Tx},
};

/// What one of the calls came to.
#[derive(Debug)]
pub struct Part<T> {
    /// Its answer.
    pub value: T,
    /// Whom the answer speaks of.
    pub customers: BTreeSet<CustomerId>,
}

/// What the calls came to.
#[derive(Debug)]
pub struct Parts<T, A> {
    /// What concerns all of them.
    pub all: A,
    /// One for each call that was to be carried out, in order.
    pub parts: Vec<Result<Part<T>, Fault>>,
}

/// What the calls are answered.
#[derive(Debug)]
pub struct Each<T, A> {
    /// What concerns all that were carried out, with the revision of the whole; `None` if none was.
    pub all: Option<Written<A>>,
    /// One for each call, in order.
    pub answers: Vec<Result<Written<T>, Fault>>,
}

/// A call of [`Store::write_each`](super::Store::write_each).
pub(super) struct Calls<T, A, F> {
    tenant: Tenant,
    onces: Vec<Option<Once>>,
    work: F,
    recorder: Recorder<T>,
    /// What concerns all that were carried out, and the answers.
    done: Option<(Option<A>, Vec<Answer<T>>)>,
    reply: oneshot::Sender<Outcome<T, A>>,
}

type Answer<T> = Result<Written<T>, Fault>;
type Outcome<T, A> = Result<Each<T, A>, Fault>;

impl<T, A, F> Calls<T, A, F> {
    pub(super) fn new(
        tenant: Tenant,
        onces: Vec<Option<Once>>,
        work: F,
        recorder: Recorder<T>,
    ) -> (Self, oneshot::Receiver<Outcome<T, A>>) {
        let (reply, waiting) = oneshot::channel();
        (Self { tenant, onces, work, recorder, done: None, reply }, waiting)
    }
}

impl<T, A, F> Job for Calls<T, A, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    A: Send + 'static,
    F: for<'t> Fn(&'t Tx, Vec<usize>) -> BoxFuture<'t, Result<Parts<T, A>, Fault>> + Send + Sync + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run<'t>(&'t mut self, tx: &'t Tx) -> BoxFuture<'t, Result<Effects, Fault>> {
        async move {
            let mut answers: Vec<Option<Answer<T>>> = Vec::new();
            for known in once::claim_each(tx, &self.onces).await? {
                answers.push(match known {
                    Ok(Recorded::Never) => None,
                    Ok(Recorded::Before { reply, revision }) => {
                        Some(self.recorder.read(&reply).map(|value| Written { value, revision, replayed: true }))
                    }
                    Err(fault) => Some(Err(fault)),
                });
            }
            let open: Vec<usize> = (0..).zip(&answers).filter(|(_, known)| known.is_none()).map(|(at, _)| at).collect();
            if open.is_empty() {
                self.done = Some((None, answers.into_iter().flatten().collect()));
                return Ok(Effects::default());
            }
            let Parts { all, parts } = (self.work)(tx, open.clone()).await?;
            if parts.len() != open.len() {
                return Err(Fault::internal("calls were left without an answer"));
            }
            let effects = tx.finish().await?;
            let shares = shares(&self.tenant, &effects, &parts);
            let (mut recorded, mut failed) = (Vec::new(), Vec::new());
            for ((at, part), share) in open.into_iter().zip(parts).zip(shares) {
                let once = self.onces.get(at).and_then(Option::as_ref);
                let answer = match part {
                    Ok(Part { value, .. }) => {
                        if let Some(once) = once {
                            recorded.push((once, self.recorder.write(&value)?, share.clone()));
                        }
                        Ok(Written { value, revision: share.revision, replayed: false })
                    }
                    Err(fault) => {
                        failed.extend(once);
                        Err(fault)
                    }
                };
                if let Some(place) = answers.get_mut(at) {
                    *place = Some(answer);
                }
            }
            once::record_each(tx, recorded).await?;
            once::unclaim(tx, &failed).await?;
            self.done = Some((Some(all), answers.into_iter().flatten().collect()));
            Ok(effects)
        }
        .boxed()
    }

    fn finish(self: Box<Self>, outcome: Result<Revision, Fault>) {
        let Self { done, reply, .. } = *self;
        let outcome = outcome.and_then(|revision| {
            let (all, answers) = done.ok_or_else(|| Fault::internal("calls committed without answers"))?;
            let all = all.map(|value| Written { value, revision, replayed: false });
            Ok(Each { all, answers })
        });
        // Whoever waited may be gone; the writes stand.
        let _ = reply.send(outcome);
    }
}

/// What of a transaction's effects is one call's.
#[derive(Clone)]
pub(super) struct Share {
    pub(super) revision: Revision,
    pub(super) customers: BTreeSet<CustomerId>,
}

/// What each call tells of: everything but what is the others' alone.
fn shares<T>(tenant: &Tenant, effects: &Effects, parts: &[Result<Part<T>, Fault>]) -> Vec<Share> {
    let customers = |part: &Result<Part<T>, Fault>| part.as_ref().map(|p| p.customers.clone()).unwrap_or_default();
    let theirs: Vec<BTreeSet<CustomerId>> = parts.iter().map(customers).collect();
    let all: BTreeSet<CustomerId> = theirs.iter().flatten().copied().collect();
    let partitions = |customers: &BTreeSet<CustomerId>| -> BTreeSet<u16> {
        customers.iter().map(|customer| partition(tenant, *customer)).collect()
    };
    let nobodys: BTreeSet<CustomerId> = effects.customers.difference(&all).copied().collect();
    let (mut common, taken) = (partitions(&nobodys), partitions(&all));
    common.extend(effects.revision.iter().map(|(_, partition, _)| partition).filter(|p| !taken.contains(p)));
    let share = |own: &BTreeSet<CustomerId>| {
        let (mut revision, told) = (Revision::new(), partitions(own));
        for (service, partition, position) in effects.revision.iter() {
            if common.contains(&partition) || told.contains(&partition) {
                revision.raise(service, partition, position);
            }
        }
        Share { revision, customers: own.union(&nobodys).copied().collect() }
    };
    theirs.iter().map(share).collect()
}
