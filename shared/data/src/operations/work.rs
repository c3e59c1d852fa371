//! Kinds of work, and one operation in the hands of its work.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use terms::{Access, Fault, Reason, Tenant, Written};
use tokio_util::sync::CancellationToken;

use super::{OperationId, Progress, cancelled, rows, rows::Claim};
use crate::store::{Store, Tx};

/// A kind of long work.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// The RPC that starts it, as in `TrainMatcher`; never changes.
    fn kind(&self) -> &'static str;

    /// What that RPC needs: what it takes to cancel or delete an operation of this kind. Everybody who may read the
    /// service may see them.
    fn access(&self) -> Access;

    /// What a unit of its progress is: `records`, `pairs`, `iterations`.
    fn unit(&self) -> &'static str;

    /// The full name of the message that it yields, as in `rapport.identity.v1.TrainMatcherResponse`.
    fn response(&self) -> &'static str;

    /// Does the work, or goes on with it from [`Run::checkpoint`]; gives the encoded response.
    ///
    /// It saves from time to time ([`Run::save`], [`Run::write`]), and returns soon after [`Run::stopping`] is
    /// cancelled, with any fault: what it saved is kept, unless somebody asked to cancel. A long computation belongs on
    /// a thread for blocking work.
    ///
    /// # Errors
    /// `UNAVAILABLE` and write conflicts are tried again later, from the last checkpoint; with anything else the
    /// operation ends.
    async fn run(&self, run: &Run) -> Result<Vec<u8>, Fault>;
}

/// One operation in the hands of its work. Cheap to clone.
#[derive(Clone)]
pub struct Run {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) claim: Claim,
    pub(super) latest: Mutex<Latest>,
    /// Cancelled when the work is to return.
    pub(super) stop: CancellationToken,
    pub(super) why: Mutex<Option<Stop>>,
}

/// What the work has told last.
pub(super) struct Latest {
    pub(super) progress: Progress,
    pub(super) checkpoint: Option<Arc<[u8]>>,
}

/// Why work is to return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Somebody cancelled the operation.
    Cancelled,
    /// Another replica has it.
    Lost,
    /// The process ends.
    Leaving,
}

impl Run {
    pub(super) fn new(store: Store, claim: Claim) -> Self {
        let latest = Latest { progress: claim.progress.clone(), checkpoint: claim.checkpoint.clone() };
        Self {
            shared: Arc::new(Shared {
                store,
                claim,
                latest: Mutex::new(latest),
                stop: CancellationToken::new(),
                why: Mutex::new(None),
            }),
        }
    }

    /// Whose.
    pub fn tenant(&self) -> &Tenant {
        &self.shared.claim.tenant
    }

    /// Which.
    pub fn id(&self) -> OperationId {
        self.shared.claim.id
    }

    /// Who asked for it: for histories.
    pub fn actor(&self) -> &str {
        &self.shared.claim.actor
    }

    /// What was asked.
    pub fn request(&self) -> &[u8] {
        &self.shared.claim.request
    }

    /// What was saved last; `None` at the beginning.
    pub fn checkpoint(&self) -> Option<Arc<[u8]>> {
        self.shared.latest.lock().checkpoint.clone()
    }

    /// Cancelled when the work is to return: somebody cancelled it, another replica has it, or the process ends.
    pub fn stopping(&self) -> &CancellationToken {
        &self.shared.stop
    }

    /// `?` on this between two steps ends work that is to return.
    ///
    /// # Errors
    /// Why it is to return.
    pub fn check(&self) -> Result<(), Fault> {
        match *self.shared.why.lock() {
            None => Ok(()),
            Some(Stop::Cancelled) => Err(cancelled()),
            Some(Stop::Leaving) => Err(Fault::new(Reason::ShuttingDown, "the process ends; the operation goes on")),
            Some(Stop::Lost) => Err(lost()),
        }
    }

    /// Says how far it has come. Costs nothing: it is written within a second, with whatever is told last.
    pub fn progress(&self, progress: Progress) {
        self.shared.latest.lock().progress = progress;
    }

    /// Saves a checkpoint: whoever takes over goes on from here.
    ///
    /// # Errors
    /// As [`Run::check`]; see also [`fault`](crate::fault).
    pub async fn save(&self, checkpoint: Vec<u8>) -> Result<(), Fault> {
        self.write(checkpoint, |_| Box::pin(async { Ok(()) })).await.map(drop)
    }

    /// Writes effects and the checkpoint that includes them, in one transaction, if the operation is still in these
    /// hands: the effects are there once.
    ///
    /// # Errors
    /// As [`Run::check`]; what `work` says; as [`Store::write`].
    pub async fn write<T, F>(&self, checkpoint: Vec<u8>, work: F) -> Result<Written<T>, Fault>
    where
        T: Send + 'static,
        F: for<'t> Fn(&'t Tx) -> BoxFuture<'t, Result<T, Fault>> + Send + Sync + 'static,
    {
        self.check()?;
        let checkpoint: Arc<[u8]> = checkpoint.into();
        let (shared, saved) = (self.shared.clone(), checkpoint.clone());
        let written = self.shared.store.write(move |tx| {
            let (shared, checkpoint) = (shared.clone(), saved.clone());
            // Made here, and awaited after the fence: `work` is not carried across an await.
            let effects = work(tx);
            Box::pin(async move {
                let progress = shared.latest.lock().progress.clone();
                if !rows::save(tx, &shared.claim, &progress, &checkpoint).await? {
                    return Err(lost());
                }
                effects.await
            })
        });
        match written.await {
            Ok(written) => {
                self.shared.latest.lock().checkpoint = Some(checkpoint);
                Ok(written)
            }
            Err(fault) => {
                if fault.cause().is_some_and(|cause| cause.is::<Lost>()) {
                    self.stop(Stop::Lost);
                }
                Err(fault)
            }
        }
    }

    /// Tells the work to return. The first reason stands, but for a lost lease, after which nothing can be written.
    pub(super) fn stop(&self, why: Stop) {
        let mut stands = self.shared.why.lock();
        if stands.is_none() || why == Stop::Lost {
            *stands = Some(why);
        }
        drop(stands);
        self.shared.stop.cancel();
    }
}

/// Marks the fault of a write by a replica that no longer has the operation.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("another replica has the operation")
    }
}

impl std::error::Error for Lost {}

fn lost() -> Fault {
    Fault::new(Reason::WriteConflict, "another replica has the operation").because(Lost)
}
