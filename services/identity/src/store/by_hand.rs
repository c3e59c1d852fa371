//! What stewards do: read everything of the customers concerned, decide, and write, in one transaction.

use std::sync::Arc;

use identity_domain::{
    Batch, DecideMatchCandidate, Decided, MergeCustomers, Merged, Moment, Parted, Policy, SplitCustomer, View,
    decide_match_candidate::decide_match_candidate,
    matching::{Candidate, CandidateId},
    merge_customers::merge_customers,
    split_customer::split_customer,
};
use sea_orm::DatabaseTransaction;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use terms::{Caller, CustomerId, CustomerRef, Fault, Ids, Once, Written};

use super::{
    SqlCustomers,
    load::{Loaded, Lock},
    matching::{self, Hints, Queue},
    save,
    sealed::Sealing,
    whole::{Reach, whole},
};
use crate::feed;

/// The answer to a command by hand, as it is recorded: sealed, for it holds customers.
#[derive(Serialize, Deserialize)]
struct ByHand {
    holder: CustomerId,
    sealed: Vec<u8>,
    changed: Vec<CustomerId>,
}

/// Decides on a view of everything, and on the pair of the review queue that it is about.
type Decide<T> = Box<dyn Fn(&mut View, Option<Candidate>, Moment<'_>) -> Result<(Batch, T), Fault> + Send + Sync>;

/// A command by hand: how to decide on it, and whom it needs.
pub(super) struct Hand<T> {
    references: Vec<CustomerRef>,
    candidate: Option<CandidateId>,
    reach: Reach,
    policy: Arc<Policy>,
    decide: Decide<T>,
    /// Under whose key the answer is sealed.
    holder: fn(&T) -> CustomerId,
}

impl Hand<Merged> {
    pub(super) fn merge(command: MergeCustomers) -> Self {
        Self {
            references: command.references().cloned().collect(),
            candidate: None,
            reach: Reach::Customers,
            policy: command.policy.clone(),
            holder: |merged| merged.customer.id,
            decide: Box::new(move |view, _, moment| merge_customers(view, &command, moment)),
        }
    }
}

impl Hand<Parted> {
    pub(super) fn split(command: SplitCustomer) -> Self {
        Self {
            references: vec![command.customer.clone()],
            candidate: None,
            reach: Reach::Nodes,
            policy: command.policy.clone(),
            holder: |parted| parted.remaining.id,
            decide: Box::new(move |view, _, moment| split_customer(view, &command, moment)),
        }
    }
}

impl Hand<Decided> {
    pub(super) fn decide(command: DecideMatchCandidate) -> Self {
        Self {
            references: Vec::new(),
            candidate: Some(command.candidate),
            reach: Reach::Customers,
            policy: command.policy.clone(),
            holder: |decided| decided.customer.unwrap_or(decided.candidate.proposal.left),
            decide: Box::new(move |view, candidate, moment| decide_match_candidate(view, candidate, &command, moment)),
        }
    }
}

impl<T> Hand<T> {
    /// Whether no record may be compared meanwhile: what belongs to another id is filed under another id, and whoever
    /// clusters must know of every cannot-link.
    fn stops_matching(&self) -> bool {
        self.reach == Reach::Nodes || self.candidate.is_some()
    }

    /// Everything of the customers concerned, and the pair as it is stored once nobody else can decide on it.
    async fn load(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
        lock: Lock,
    ) -> Result<(Loaded, Option<Candidate>), Fault> {
        let queue = Queue { conn, sealing };
        let mut references = self.references.clone();
        if let Some(candidate) = self.candidate {
            references.extend(queue.homes(candidate).await?.into_iter().map(CustomerRef::Id));
        }
        let loaded = whole(conn, sealing, &references, self.reach, &self.policy, lock).await?;
        let candidate = match self.candidate {
            Some(candidate) => queue.one(candidate).await?,
            None => None,
        };
        Ok((loaded, candidate))
    }

    /// The whole of one transaction.
    async fn carry_out(&self, tx: &data::Tx, ids: &Ids, caller: &Caller, hints: &Hints) -> Result<ByHand, Fault>
    where
        T: Serialize,
    {
        let sealing = Sealing { sealer: tx.sealer(), tenant: &caller.tenant };
        if self.stops_matching() && !hints.lock_first(tx.conn(), &caller.tenant).await? {
            hints.lock_now(tx.conn(), &caller.tenant).await?;
        }
        let (mut loaded, candidate) = self.load(tx.conn(), sealing, Lock::Yes).await?;
        let moment = Moment { now: tx.now(), ids, actor: &caller.subject };
        let (batch, value) = (self.decide)(&mut loaded.view, candidate, moment)?;
        if !batch.is_empty() {
            save::save(tx.conn(), sealing, &loaded, &batch).await?;
        }
        if !batch.rehomed.is_empty() {
            matching::rehome(tx.conn(), sealing, &loaded.view, &batch.rehomed).await?;
        }
        if let Some(decided) = &batch.reviewed {
            Queue { conn: tx.conn(), sealing }.decided(decided).await?;
        }
        let holder = (self.holder)(&value);
        tx.act_as(&caller.subject);
        tx.concerns(holder);
        let changed = feed::publish(tx, &caller.tenant, &loaded.view, &batch)?;
        if changed.is_empty() {
            tx.observe(&caller.tenant, holder);
        }
        Ok(ByHand { holder, sealed: sealing.seal(holder, &value)?, changed })
    }
}

impl SqlCustomers {
    /// Reads, decides, and, unless it is only tried, writes.
    pub(super) async fn by_hand<T: Serialize + DeserializeOwned + Send + 'static>(
        &self,
        caller: &Caller,
        once: Option<Once>,
        validate_only: bool,
        hand: Hand<T>,
    ) -> Result<Written<T>, Fault> {
        let (ids, who, store) = (self.ids.clone(), caller.clone(), self.store.clone());
        if validate_only {
            let value = self.store.snapshot(move |conn| {
                Box::pin(async move {
                    let sealing = Sealing { sealer: store.sealer(), tenant: &who.tenant };
                    let (mut loaded, candidate) = hand.load(conn, sealing, Lock::No).await?;
                    let moment = Moment { now: store.clock().now(), ids: &ids, actor: &who.subject };
                    (hand.decide)(&mut loaded.view, candidate, moment).map(|(_, value)| value)
                })
            });
            return Ok(Written { value: value.await?, revision: terms::Revision::new(), replayed: false });
        }
        let work = Arc::new((ids, who, hand, Hints::default()));
        let write = || {
            let work = work.clone();
            self.store.write_once(once.clone(), move |tx| {
                let work = work.clone();
                Box::pin(async move {
                    let (ids, who, hand, hints) = &*work;
                    hand.carry_out(tx, ids, who, hints).await
                })
            })
        };
        let written = self.matchers.in_turn(&caller.tenant, &work.3, write).await?;
        if !written.replayed {
            self.mark(&caller.tenant, &written.value.changed, &written.revision).await;
        }
        let sealing = Sealing { sealer: self.store.sealer(), tenant: &caller.tenant };
        let value = sealing.open(written.value.holder, &written.value.sealed)?;
        Ok(Written { value, revision: written.revision, replayed: written.replayed })
    }
}
