//! The customers on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | [`migrations`] | the tables |
//! | `load`, `whole` | the view that commands need, under locks; all of a customer |
//! | `save` | what they changed |
//! | `matching` | what the matcher keeps |
//! | `read` | reads |
//! | `history` | what happened to them |
//! | `relations` | what joins customers |
//! | `search` | what stewards find customers by |
//! | `rows`, `sealed`, `sql` | columns to values; what is sealed; where the two databases differ |

mod history;
mod load;
pub(crate) mod matching;
pub(crate) mod migrations;
mod read;
mod relations;
mod rows;
mod save;
mod sealed;
pub(crate) mod search;
mod sql;
mod whole;

use std::sync::Arc;

use async_trait::async_trait;
use data::{Dialect, Sql, Store, Tx};
use identity_domain::{
    Batch, Customer, Customers, HistoryEntry, HistoryQuery, Identified, Identify, Kind, Lead, Merge, MergeCustomers,
    Merged, Moment, Parted, Policy, Record, SplitCustomer, Verdicts, View, identify_all,
    list_customers::ListQuery,
    matching::{Filing, Matcher, answer, attempt, resemble},
    merge_customers::merge_customers,
    record::Claim,
    split_customer::split_customer,
};
use profile::{Marks, Section};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use terms::{Caller, CustomerId, CustomerRef, Fault, Identifier, Ids, Once, Tenant, Written};

use sea_orm::DatabaseTransaction;

use self::{
    load::{Loaded, Lock, load},
    matching::{Hints, Matchers, SqlFiles},
    read::Reading,
    sealed::Sealing,
    whole::{Reach, whole},
};
use crate::{feed, reader::Reader};

/// The customers of all tenants in one [`Store`].
#[derive(Clone)]
pub struct SqlCustomers {
    store: Store,
    ids: Arc<Ids>,
    marks: Marks,
    reader: Option<Reader>,
    matchers: Matchers,
}

/// The answer to one command, as it is recorded under a request id.
#[derive(Serialize, Deserialize)]
struct Answered {
    #[serde(flatten)]
    reply: Identified,
    /// Whose sections are stale.
    changed: Vec<CustomerId>,
}

/// The answer to a command by hand, as it is recorded: sealed, for it holds customers.
#[derive(Serialize, Deserialize)]
struct ByHand {
    holder: CustomerId,
    sealed: Vec<u8>,
    changed: Vec<CustomerId>,
}

/// Decides on a view of everything.
type Decide<T> = Box<dyn Fn(&mut View, Moment<'_>) -> Result<(Batch, T), Fault> + Send + Sync>;

/// A command by hand: how to decide on it, and whom it needs.
struct Hand<T> {
    references: Vec<CustomerRef>,
    reach: Reach,
    policy: Arc<Policy>,
    decide: Decide<T>,
    /// Under whose key the answer is sealed.
    holder: fn(&T) -> CustomerId,
}

impl SqlCustomers {
    /// Over a store of this service. `marks` hears of every customer that changed.
    pub fn new(store: Store, ids: Arc<Ids>, marks: Marks) -> Self {
        Self { store, ids, marks, reader: None, matchers: Matchers::default() }
    }

    /// Tells `reader`, too, of every customer that changed.
    #[must_use]
    pub(crate) fn tell(self, reader: Reader) -> Self {
        Self { reader: Some(reader), ..self }
    }

    fn read<'a>(&'a self, tenant: &'a Tenant) -> Reading<'a> {
        Reading { conn: self.store.reader(), sealing: Sealing { sealer: self.store.sealer(), tenant } }
    }

    /// Decides without storing.
    async fn validate(&self, caller: &Caller, command: Identify) -> Result<Written<Identified>, Fault> {
        let (this, caller) = (self.clone(), caller.clone());
        let value = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: this.store.sealer(), tenant: &caller.tenant };
                let (now, commands, hints) = (this.store.clock().now(), [attempt(&command)], Hints::default());
                let moment = Moment { now, ids: &this.ids, actor: &caller.subject };
                let deciding = Deciding { conn, sealing, matchers: &this.matchers, moment, hints: &hints };
                let Decided { verdicts, batch, .. } = deciding.decide(&commands, Lock::No).await?;
                answer(&command, single(verdicts)?, &batch)
            })
        });
        Ok(Written { value: value.await?, revision: terms::Revision::new(), replayed: false })
    }

    /// Reads, decides, and, unless it is only tried, writes.
    async fn by_hand<T: Serialize + DeserializeOwned + Send + 'static>(
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
                    let mut loaded = whole(conn, sealing, &hand.references, hand.reach, &hand.policy, Lock::No).await?;
                    let moment = Moment { now: store.clock().now(), ids: &ids, actor: &who.subject };
                    (hand.decide)(&mut loaded.view, moment).map(|(_, value)| value)
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
                    let sealing = Sealing { sealer: tx.sealer(), tenant: &who.tenant };
                    // What belongs to another id is filed under another id.
                    if hand.reach == Reach::Nodes && !hints.lock_first(tx.conn(), &who.tenant).await? {
                        hints.lock_now(tx.conn(), &who.tenant).await?;
                    }
                    let mut loaded =
                        whole(tx.conn(), sealing, &hand.references, hand.reach, &hand.policy, Lock::Yes).await?;
                    let moment = Moment { now: tx.now(), ids, actor: &who.subject };
                    let (batch, value) = (hand.decide)(&mut loaded.view, moment)?;
                    if !batch.is_empty() {
                        save::save(tx.conn(), sealing, &loaded, &batch).await?;
                    }
                    if !batch.rehomed.is_empty() {
                        matching::rehome(tx.conn(), sealing, &loaded.view, &batch.rehomed).await?;
                    }
                    let holder = (hand.holder)(&value);
                    tx.act_as(&who.subject);
                    tx.concerns(holder);
                    let changed = feed::publish(tx, &who.tenant, &loaded.view, &batch)?;
                    if changed.is_empty() {
                        tx.observe(&who.tenant, holder);
                    }
                    Ok(ByHand { holder, sealed: sealing.seal(holder, &value)?, changed })
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

    async fn mark(&self, tenant: &Tenant, changed: &[CustomerId], revision: &terms::Revision) {
        if let Some(reader) = &self.reader {
            reader.changed(tenant, changed, revision);
        }
        if !changed.is_empty() {
            self.marks.mark(tenant, changed, Section::Identity, revision).await;
        }
    }
}

/// What a group of commands leads to.
struct Decided {
    loaded: Loaded,
    verdicts: Verdicts,
    batch: Batch,
    filed: Option<(Matcher, Filing)>,
}

/// One transaction, up to the decision.
struct Deciding<'a> {
    conn: &'a DatabaseTransaction,
    sealing: Sealing<'a>,
    matchers: &'a Matchers,
    moment: Moment<'a>,
    hints: &'a Hints,
}

impl Deciding<'_> {
    async fn decide(&self, commands: &[Identify], lock: Lock) -> Result<Decided, Fault> {
        let Self { conn, sealing, moment, hints, .. } = *self;
        let held = lock == Lock::No || hints.lock_first(conn, sealing.tenant).await?;
        let mut loaded = load(conn, sealing, commands, &hints.customers(), lock).await?;
        let (mut verdicts, mut batch) = identify_all(&mut loaded.view, commands, moment);
        let mut filed = None;
        let policy = commands.first().map(|command| &*command.policy);
        if let Some(policy) = policy.filter(|policy| !policy.thresholds.probabilistic_disabled)
            && !resemble::subjects(&loaded.view, &batch).is_empty()
        {
            if !held {
                hints.lock_now(conn, sealing.tenant).await?;
            }
            let matcher = self.matchers.current(conn, sealing).await?;
            let lock = lock == Lock::Yes && conn.dialect() == Dialect::Postgres;
            let mut files = SqlFiles { conn, sealing, lock, hints, policy };
            let about = (&mut batch, &mut verdicts);
            let filing = resemble::resemble(&mut files, &matcher, policy, &mut loaded.view, about, moment).await?;
            filed = filing.map(|filing| (matcher, filing));
        }
        Ok(Decided { loaded, verdicts, batch, filed })
    }
}

/// Reads, decides, writes: the whole of one transaction.
async fn commit(
    tx: &Tx,
    (ids, matchers, hints): (&Ids, &Matchers, &Hints),
    caller: &Caller,
    commands: &[Identify],
) -> Result<Committed, Fault> {
    let sealing = Sealing { sealer: tx.sealer(), tenant: &caller.tenant };
    let moment = Moment { now: tx.now(), ids, actor: &caller.subject };
    let deciding = Deciding { conn: tx.conn(), sealing, matchers, moment, hints };
    let Decided { loaded, verdicts, batch, filed } = deciding.decide(commands, Lock::Yes).await?;
    if !batch.is_empty() {
        save::save(tx.conn(), sealing, &loaded, &batch).await?;
    }
    if let Some((matcher, filing)) = &filed {
        let about = (filing, batch.proposals.as_slice());
        matching::keep(tx.conn(), sealing, (&loaded.view, matcher), about, tx.now()).await?;
    }
    load::release(tx.conn(), sealing, &loaded).await?;
    tx.act_as(&caller.subject);
    let changed = feed::publish(tx, &caller.tenant, &loaded.view, &batch)?;
    // A call that changed nothing still answers with a revision that contains what it saw.
    for reply in verdicts.iter().flatten() {
        if let Some(customer) = reply.customer {
            tx.concerns(customer);
            if !batch.news.contains_key(&customer) {
                tx.observe(&caller.tenant, customer);
            }
        }
    }
    Ok(Committed { verdicts, batch, changed })
}

/// What a transaction did.
struct Committed {
    verdicts: Verdicts,
    batch: Batch,
    /// Whose sections are stale.
    changed: Vec<CustomerId>,
}

fn single(verdicts: Verdicts) -> Result<Identified, Fault> {
    verdicts.into_iter().next().unwrap_or_else(|| Err(Fault::internal("a command had no verdict")))
}

#[async_trait]
impl Customers for SqlCustomers {
    async fn identify(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: Identify,
    ) -> Result<Written<Identified>, Fault> {
        if command.validate_only {
            return self.validate(caller, command).await;
        }
        let work = Arc::new((self.ids.clone(), self.matchers.clone(), caller.clone(), command, Hints::default()));
        let write = || {
            let work = work.clone();
            self.store.write_once(once.clone(), move |tx| {
                let work = work.clone();
                Box::pin(async move {
                    let (ids, matchers, who, command, hints) = &*work;
                    let done = commit(tx, (ids, matchers, hints), who, &[attempt(command)]).await?;
                    Ok(Answered { reply: answer(command, single(done.verdicts)?, &done.batch)?, changed: done.changed })
                })
            })
        };
        let written = self.matchers.in_turn(&caller.tenant, &work.4, write).await?;
        if !written.replayed {
            self.mark(&caller.tenant, &written.value.changed, &written.revision).await;
        }
        Ok(written.map(|answered| answered.reply))
    }

    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
        let work = Arc::new((self.ids.clone(), self.matchers.clone(), caller.clone(), commands, Hints::default()));
        let write = || {
            let work = work.clone();
            self.store.write(move |tx| {
                let work = work.clone();
                Box::pin(async move {
                    let (ids, matchers, who, commands, hints) = &*work;
                    let done = commit(tx, (ids, matchers, hints), who, commands).await?;
                    Ok((done.verdicts, done.changed))
                })
            })
        };
        let written = self.matchers.in_turn(&caller.tenant, &work.4, write).await?;
        self.mark(&caller.tenant, &written.value.1, &written.revision).await;
        Ok(written.map(|(verdicts, _)| verdicts))
    }

    async fn merge(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: MergeCustomers,
    ) -> Result<Written<Merged>, Fault> {
        let hand = Hand {
            references: command.references().cloned().collect(),
            reach: Reach::Customers,
            policy: command.policy.clone(),
            holder: |merged: &Merged| merged.customer.id,
            decide: {
                let command = command.clone();
                Box::new(move |view, moment| merge_customers(view, &command, moment))
            },
        };
        self.by_hand(caller, once, command.validate_only, hand).await
    }

    async fn split(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: SplitCustomer,
    ) -> Result<Written<Parted>, Fault> {
        let hand = Hand {
            references: vec![command.customer.clone()],
            reach: Reach::Nodes,
            policy: command.policy.clone(),
            holder: |parted: &Parted| parted.remaining.id,
            decide: {
                let command = command.clone();
                Box::new(move |view, moment| split_customer(view, &command, moment))
            },
        };
        self.by_hand(caller, once, command.validate_only, hand).await
    }

    async fn leads(&self, tenant: &Tenant, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault> {
        self.read(tenant).leads(identifiers).await
    }

    async fn resolve(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault> {
        self.read(tenant).resolve(ids).await
    }

    async fn get(&self, tenant: &Tenant, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault> {
        self.read(tenant).get(ids).await
    }

    async fn list(&self, tenant: &Tenant, query: ListQuery) -> Result<Vec<Customer>, Fault> {
        self.read(tenant).list(query).await
    }

    async fn records(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault> {
        self.read(tenant).records(customer).await
    }

    async fn merges(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Merge>, Fault> {
        self.read(tenant).merges(customer).await
    }

    async fn history(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        query: HistoryQuery,
    ) -> Result<Vec<HistoryEntry>, Fault> {
        self.read(tenant).history(customer, query).await
    }
}

/// How a sort of party is stored.
fn kind_code(kind: Kind) -> i32 {
    match kind {
        Kind::Person => 1,
        Kind::Household => 2,
        Kind::Organization => 3,
    }
}
