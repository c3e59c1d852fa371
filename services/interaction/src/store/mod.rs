//! Interactions, statements, consents and boundaries on SQLite and PostgreSQL.
//!
//! | file | what is in it |
//! |---|---|
//! | `migrations` | the schema |
//! | `rows` | rows and nouns, both ways; what is sealed |
//! | `subjects` | pointers to survivors, and the locks on them |
//! | `view` | what a verb must know before it decides |
//! | `write` | what it decided |
//! | `read` | pages, limits, counters |
//! | `moves` | merges, splits and erasures |
//! | `sql` | lists of keys, many rows at once |

pub(crate) mod migrations;
mod moves;
mod read;
mod rows;
mod sql;
mod subjects;
mod view;
mod write;

use std::sync::Arc;

use async_trait::async_trait;
use data::Tx;
use futures::FutureExt;
use interaction_domain::{
    customers::Customers,
    get_dialogue::{Dialogue, reaches},
    interaction::{Interaction, InteractionId},
    statement::Standing,
    store::{Change, Demand, Keys, Limits, Portrait, Recorded, Stamp, Store, Timeline, Told, View},
    subject::{News, Subjects, follow},
};
use profile::{Marks, Section};
use serde::{Serialize, de::DeserializeOwned};
use terms::{
    Caller, CustomerId, Fault, Once, Page, PageRequest, Position, Reason, Revision, Tenant, Timestamp, Written,
};

use self::{moves::Moved, rows::Seal, subjects::Lock};

/// Names the cursors of what is consumed of identity's feed.
pub const CONSUMER: &str = "interaction";

/// The store of the service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqlInteractions {
    store: data::Store,
    marks: MarksOf,
}

/// Marks, as something that can be shown.
#[derive(Clone)]
struct MarksOf(Marks);

impl std::fmt::Debug for MarksOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Marks")
    }
}

impl SqlInteractions {
    /// Over a store that is migrated; `marks` hears of every customer that changes.
    pub fn new(store: data::Store, marks: Marks) -> Self {
        Self { store, marks: MarksOf(marks) }
    }

    /// The store beneath.
    pub fn inner(&self) -> &data::Store {
        &self.store
    }

    fn seal<'a>(&'a self, tenant: &'a Tenant) -> Seal<'a> {
        Seal { sealer: self.store.sealer(), tenant }
    }

    /// Applies news of one tenant in a transaction that is open already.
    pub(crate) async fn hear(
        tx: &Tx,
        tenant: &Tenant,
        news: &[(Position, News)],
        customers: &dyn Customers,
    ) -> Result<Heard, Fault> {
        let moved = moves::apply(tx, tenant, news, customers).await?;
        Ok(Heard { tenant: tenant.clone(), moved })
    }

    /// Tells the caches of what was heard, once it is committed.
    pub(crate) async fn heard(&self, heard: Heard, revision: &Revision) {
        let Heard { tenant, moved } = heard;
        let changed: Vec<CustomerId> = moved.changed.into_iter().collect();
        self.marks.0.mark(&tenant, &changed, Section::Interaction, revision).await;
        for customer in moved.erased {
            self.marks.0.bury(&tenant, customer).await;
        }
    }

    async fn mark(&self, tenant: &Tenant, changed: &[CustomerId], revision: &Revision) {
        self.marks.0.mark(tenant, changed, Section::Interaction, revision).await;
    }
}

/// What news did to one tenant.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    tenant: Tenant,
    moved: Moved,
}

/// One write: what it needs to know, and the decision.
struct Work<F> {
    caller: Caller,
    keys: Keys,
    decide: F,
}

impl<F> Work<F> {
    /// Reads, decides and writes; gives the answer and whom it changed.
    async fn run<R>(&self, tx: &Tx) -> Result<(R, Vec<CustomerId>), Fault>
    where
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync,
    {
        let tenant = &self.caller.tenant;
        tx.act_as(&self.caller.subject);
        let seal = Seal { sealer: tx.sealer(), tenant };
        let view = view::load(tx.conn(), seal, &self.keys, Lock::Share).await?;
        let (change, answer) = (self.decide)(&view)?;
        let changed = change.customers();
        // What was there already: the answer's revision shows it too.
        let there = view.interactions.values().map(|known| known.interaction.customer);
        for customer in there.chain(view.statements.values().map(|s| s.customer)) {
            tx.observe(tenant, customer);
            tx.concerns(customer);
        }
        for customer in view.boundaries.values().map(|b| b.customer) {
            tx.observe(tenant, customer);
            tx.concerns(customer);
        }
        if !change.is_empty() {
            write::write(tx, tenant, change).await?;
        }
        Ok((answer, changed))
    }
}

#[async_trait]
impl Store for SqlInteractions {
    async fn commit<R, F>(&self, caller: &Caller, keys: Keys, decide: F) -> Result<Written<R>, Fault>
    where
        R: Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static,
    {
        let work = Arc::new(Work { caller: caller.clone(), keys, decide });
        let written = self
            .store
            .write(move |tx| {
                let work = work.clone();
                async move { work.run(tx).await }.boxed()
            })
            .await?;
        self.mark(&caller.tenant, &written.value.1, &written.revision).await;
        Ok(written.map(|(answer, _)| answer))
    }

    async fn commit_once<R, F>(
        &self,
        caller: &Caller,
        once: Option<Once>,
        keys: Keys,
        decide: F,
    ) -> Result<Written<R>, Fault>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&View) -> Result<(Change, R), Fault> + Send + Sync + 'static,
    {
        let work = Arc::new(Work { caller: caller.clone(), keys, decide });
        let written = self
            .store
            .write_once(once, move |tx| {
                let work = work.clone();
                async move { work.run(tx).await }.boxed()
            })
            .await?;
        self.mark(&caller.tenant, &written.value.1, &written.revision).await;
        Ok(written.map(|(answer, _)| answer))
    }

    async fn view(&self, tenant: &Tenant, keys: Keys) -> Result<View, Fault> {
        view::load(self.store.reader(), self.seal(tenant), &keys, Lock::None).await
    }

    async fn apply(
        &self,
        tenant: &Tenant,
        news: Vec<(Position, News)>,
        customers: Arc<dyn Customers>,
    ) -> Result<Written<()>, Fault> {
        let (tenant, news) = (tenant.clone(), Arc::new(news));
        let written = self
            .store
            .write(move |tx| {
                let (tenant, news, customers) = (tenant.clone(), news.clone(), customers.clone());
                async move { Self::hear(tx, &tenant, &news, &*customers).await }.boxed()
            })
            .await?;
        self.heard(written.value.clone(), &written.revision).await;
        Ok(written.map(drop))
    }

    async fn subjects(&self, tenant: &Tenant, customers: &[CustomerId]) -> Result<Subjects, Fault> {
        view::subjects_of(self.store.reader(), tenant, customers).await
    }

    async fn interaction(&self, tenant: &Tenant, id: InteractionId, now: Timestamp) -> Result<Option<Recorded>, Fault> {
        Ok(view::recorded(self.store.reader(), self.seal(tenant), &[id], now).await?.pop())
    }

    async fn interactions(&self, tenant: &Tenant, ids: &[InteractionId]) -> Result<Vec<Interaction>, Fault> {
        view::interactions(self.store.reader(), self.seal(tenant), ids).await
    }

    async fn timeline(
        &self,
        tenant: &Tenant,
        which: &Timeline,
        page: &PageRequest,
    ) -> Result<Page<Interaction>, Fault> {
        read::timeline(self.store.reader(), self.seal(tenant), which, page).await
    }

    async fn statements(&self, tenant: &Tenant, which: &Told, page: &PageRequest) -> Result<Page<Standing>, Fault> {
        read::statements(self.store.reader(), self.seal(tenant), which, page).await
    }

    async fn limits(&self, tenant: &Tenant, customer: CustomerId) -> Result<Limits, Fault> {
        read::limits(self.store.reader(), self.seal(tenant), customer).await
    }

    async fn portrait(&self, tenant: &Tenant, customer: CustomerId) -> Result<Portrait, Fault> {
        let (conn, seal) = (self.store.reader(), self.seal(tenant));
        let mut customer = customer;
        // Again of the survivor, if the rows moved there while they were read.
        for _ in 0..4 {
            let (statements, limits, counters) = tokio::try_join!(
                read::heads(conn, seal, customer),
                read::limits(conn, seal, customer),
                read::counters(conn, seal, customer, Timestamp::MIN),
            )?;
            let subjects = view::subjects_of(conn, tenant, &[customer]).await?;
            let owner = follow(&subjects, customer);
            if owner == customer {
                let erased = subjects.get(&customer).is_some_and(|subject| subject.erased);
                return Ok(Portrait { customer, erased, statements, limits, counters });
            }
            customer = owner;
        }
        Err(Fault::new(Reason::WriteConflict, "the customer is being merged over and over; retry"))
    }

    async fn dialogue(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Dialogue, Fault> {
        let (conn, seal) = (self.store.reader(), self.seal(tenant));
        let limits = read::limits(conn, seal, customer).await?;
        let reaches = reaches(&limits.boundaries, since, now);
        let (counters, outbound) = tokio::try_join!(
            read::counters(conn, seal, customer, since),
            read::outbound(conn, seal, customer, &reaches)
        )?;
        Ok(Dialogue::new(&counters, &reaches, &outbound))
    }

    async fn reach(&self, at_least: &Demand) -> Result<(), Fault> {
        self.store.reach(CONSUMER, &at_least.revision, at_least.patience).await
    }

    async fn stamp(&self, partition: Option<u16>) -> Result<Stamp, Fault> {
        let own = self.store.horizon().await?;
        let followed = match partition {
            Some(partition) => self.store.progress_of(partition).await?,
            None => self.store.progress().await?,
        };
        Ok(Stamp { own, followed })
    }
}
