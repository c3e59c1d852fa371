//! The customers on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | [`migrations`] | the tables |
//! | `by_hand` | what stewards do |
//! | `load`, `whole` | the view that commands need, under locks; all of a customer |
//! | `save` | what they changed |
//! | `matching` | what the matcher keeps |
//! | `read` | reads |
//! | `history` | what happened to them |
//! | `relations` | what joins customers |
//! | `search` | what stewards find customers by |
//! | `rows`, `sealed`, `sql` | columns to values; what is sealed; where the two databases differ |

mod by_hand;
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
    Merged, Moment, Parted, Record, SplitCustomer, Verdicts,
    explain_identity::Word,
    identify_all,
    list_customers::ListQuery,
    matching::{Filing, Matcher, answer, ask, attempt, resemble},
    record::Claim,
};
use profile::{Marks, Section};
use serde::{Deserialize, Serialize};
use terms::{Caller, CustomerId, Fault, Identifier, Ids, Once, Tenant, Written};

use sea_orm::DatabaseTransaction;

use self::{
    by_hand::Hand,
    load::{Loaded, Lock, load},
    matching::{Hints, Matchers, Queue, SqlFiles},
    read::Reading,
    sealed::Sealing,
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
        ask(&loaded.view, &mut batch, &mut verdicts);
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
        matching::keep(tx.conn(), sealing, (&loaded.view, matcher), filing, tx.now()).await?;
    }
    if !batch.proposals.is_empty() {
        Queue { conn: tx.conn(), sealing }.propose(&batch.proposals, tx.now()).await?;
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
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, Hand::merge(command)).await
    }

    async fn split(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: SplitCustomer,
    ) -> Result<Written<Parted>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, Hand::split(command)).await
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

    async fn words(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Vec<Word>, Fault> {
        self.read(tenant).words(customers).await
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
