//! The customers on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | [`migrations`] | the tables |
//! | `load` | the view that commands need, under locks |
//! | `save` | what they changed |
//! | `read` | reads |
//! | `history` | what happened to them |
//! | `relations` | what joins customers |
//! | `search` | what stewards find customers by |
//! | `rows`, `sealed`, `sql` | columns to values; what is sealed; where the two databases differ |

mod history;
mod load;
pub(crate) mod migrations;
mod read;
mod relations;
mod rows;
mod save;
mod sealed;
pub(crate) mod search;
mod sql;

use std::sync::Arc;

use async_trait::async_trait;
use data::{Store, Tx};
use identity_domain::{
    Customer, Customers, HistoryEntry, HistoryQuery, Identified, Identify, Kind, Lead, Moment, Record, Verdicts,
    identify_all, list_customers::ListQuery, record::Claim,
};
use profile::{Marks, Section};
use serde::{Deserialize, Serialize};
use terms::{Caller, CustomerId, Fault, Identifier, Ids, Once, Tenant, Written};

use self::{
    load::{Lock, load},
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
        Self { store, ids, marks, reader: None }
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
        let (store, ids, caller) = (self.store.clone(), self.ids.clone(), caller.clone());
        let value = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: store.sealer(), tenant: &caller.tenant };
                let commands = [command];
                let mut loaded = load(conn, sealing, &commands, Lock::No).await?;
                let moment = Moment { now: store.clock().now(), ids: &ids, actor: &caller.subject };
                single(identify_all(&mut loaded.view, &commands, moment).0)
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

/// Reads, decides, writes: the whole of one transaction. Gives the verdicts, and whose sections are stale.
async fn commit(
    tx: &Tx,
    ids: &Ids,
    caller: &Caller,
    commands: &[Identify],
) -> Result<(Verdicts, Vec<CustomerId>), Fault> {
    let sealing = Sealing { sealer: tx.sealer(), tenant: &caller.tenant };
    let mut loaded = load(tx.conn(), sealing, commands, Lock::Yes).await?;
    let moment = Moment { now: tx.now(), ids, actor: &caller.subject };
    let (verdicts, batch) = identify_all(&mut loaded.view, commands, moment);
    if !batch.is_empty() {
        save::save(tx.conn(), sealing, &loaded, &batch, tx.now()).await?;
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
    Ok((verdicts, changed))
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
        let (ids, who, commands) = (self.ids.clone(), caller.clone(), Arc::new([command]));
        let written = self.store.write_once(once, move |tx| {
            let (ids, who, commands) = (ids.clone(), who.clone(), commands.clone());
            Box::pin(async move {
                let (verdicts, changed) = commit(tx, &ids, &who, &*commands).await?;
                Ok(Answered { reply: single(verdicts)?, changed })
            })
        });
        let written = written.await?;
        if !written.replayed {
            self.mark(&caller.tenant, &written.value.changed, &written.revision).await;
        }
        Ok(written.map(|answered| answered.reply))
    }

    async fn identify_many(&self, caller: &Caller, commands: Vec<Identify>) -> Result<Written<Verdicts>, Fault> {
        let (ids, who, commands) = (self.ids.clone(), caller.clone(), Arc::new(commands));
        let written = self.store.write(move |tx| {
            let (ids, who, commands) = (ids.clone(), who.clone(), commands.clone());
            Box::pin(async move { commit(tx, &ids, &who, &commands).await })
        });
        let written = written.await?;
        self.mark(&caller.tenant, &written.value.1, &written.revision).await;
        Ok(written.map(|(verdicts, _)| verdicts))
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
