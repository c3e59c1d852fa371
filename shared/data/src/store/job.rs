//! A piece of work, with its request id and whoever waits for it.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use terms::{Fault, Once, Reason, Revision, Written};
use tokio::sync::oneshot;

use super::{
    once::{self, Recorded},
    tx::{Effects, Tx},
};

/// A piece of work of any type.
pub(super) trait Job: Send {
    /// Whether nobody waits for it any more; it need not begin.
    fn is_abandoned(&self) -> bool;

    /// Does the work; the transaction can then commit.
    fn run<'t>(&'t mut self, tx: &'t Tx) -> BoxFuture<'t, Result<Effects, Fault>>;

    /// Says how it ended.
    fn finish(self: Box<Self>, outcome: Result<Revision, Fault>);
}

/// How answers are recorded.
pub(super) struct Recorder<T> {
    encode: fn(&T) -> Result<Vec<u8>, Fault>,
    decode: fn(&[u8]) -> Result<T, Fault>,
}

impl<T> Recorder<T> {
    pub(super) fn write(&self, value: &T) -> Result<Vec<u8>, Fault> {
        (self.encode)(value)
    }

    pub(super) fn read(&self, bytes: &[u8]) -> Result<T, Fault> {
        (self.decode)(bytes)
    }
}

impl<T: Serialize + DeserializeOwned> Recorder<T> {
    pub(super) fn json() -> Self {
        Self {
            encode: |value| serde_json::to_vec(value).map_err(Fault::internal),
            decode: |bytes| serde_json::from_slice(bytes).map_err(Fault::internal),
        }
    }
}

/// A call of [`Store::write`](super::Store::write).
pub(super) struct Call<T, F> {
    work: F,
    once: Option<(Once, Recorder<T>)>,
    value: Option<T>,
    /// The revision of the first call, if this one got its answer.
    replayed: Option<Revision>,
    reply: oneshot::Sender<Result<Written<T>, Fault>>,
}

impl<T, F> Call<T, F> {
    pub(super) fn new(
        work: F,
        once: Option<Once>,
        recorder: Option<Recorder<T>>,
    ) -> (Self, oneshot::Receiver<Result<Written<T>, Fault>>) {
        let (reply, waiting) = oneshot::channel();
        (Self { work, once: once.zip(recorder), value: None, replayed: None, reply }, waiting)
    }
}

impl<T, F> Job for Call<T, F>
where
    T: Send + 'static,
    F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run<'t>(&'t mut self, tx: &'t Tx) -> BoxFuture<'t, Result<Effects, Fault>> {
        async move {
            self.replayed = None;
            if let Some((once, recorder)) = &self.once
                && let Recorded::Before { reply, revision } = once::claim(tx, once).await?
            {
                self.value = Some(recorder.read(&reply)?);
                self.replayed = Some(revision);
                return Ok(Effects::default());
            }
            let value = (self.work)(tx).await?;
            let effects = tx.finish().await?;
            if let Some((once, recorder)) = &self.once {
                once::record(tx, once, &recorder.write(&value)?, &effects).await?;
            }
            self.value = Some(value);
            Ok(effects)
        }
        .boxed()
    }

    fn finish(self: Box<Self>, outcome: Result<Revision, Fault>) {
        let Self { value, replayed, reply, .. } = *self;
        let outcome = outcome.and_then(|revision| match value {
            Some(value) => Ok(Written { value, replayed: replayed.is_some(), revision: replayed.unwrap_or(revision) }),
            None => Err(Fault::internal("a write committed without an answer")),
        });
        // Whoever waited may be gone; the write stands.
        let _ = reply.send(outcome);
    }
}

/// Polls a piece of work under guard: a panic and a standstill become faults.
pub(super) async fn guarded<T>(limit: Duration, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    match tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(Fault::internal(format!("a write panicked: {text}")))
        }
        Err(_) => Err(Fault::new(Reason::StoreUnavailable, "the write took too long; retry")
            .because(format!("a piece of work was stopped after {limit:?}"))),
    }
}

/// How often a piece of work runs when it meets others.
pub(super) const ATTEMPTS: u32 = 12;

/// How long to wait before the next attempt: 1 ms, 2 ms, 4 ms, … 128 ms, each times a random factor up to 1.
pub(super) fn pause(attempt: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    // The standard library's per-map random seed: no more than a jitter is asked of it.
    let share = RandomState::new().hash_one(attempt) % 1_000;
    Duration::from_micros((1_000u64 << attempt.min(7)) * (share + 1) / 1_000)
}
