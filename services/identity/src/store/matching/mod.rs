//! What the matcher keeps: how records are filed, who is paired with whom, the review queue.
//!
//! | file | subject |
//! |---|---|
//! | `files` | what a decision asks |
//! | `blocks`, `index` | who is filed under which blocking key, in process |
//! | `keep` | what it filed |
//! | `packed` | what is compared of a record, as bytes |
//! | `queue`, `detail` | the review queue |
//! | `matchers` | the models, in process |
//! | `training` | what training reads and stores |
//! | `refile` | records that are filed anew |
//!
//! On PostgreSQL all records of a tenant that are compared are filed one transaction after the other, under an advisory
//! lock: two replicas that hear of one person under two spellings at once must not both find nobody. The lock is the
//! first that a transaction waits for. One that finds out late that it needs it takes it if it is free; otherwise it
//! ends, waits for its turn among those of this process, and starts again: so one connection of a process waits at most.

mod blocks;
mod detail;
mod files;
mod index;
mod keep;
mod matchers;
mod packed;
mod queue;
pub(crate) mod refile;
mod training;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use data::{Dialect, Sql};
use parking_lot::Mutex;
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, Fault, Reason, Tenant};

pub(super) use self::{
    blocks::Blocks,
    files::SqlFiles,
    keep::{keep, rehome},
    matchers::Matchers,
    queue::Queue,
};
use super::sql::{Params, column};

/// What a transaction learnt before it had to start again.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// It files records: it takes the tenant's lock first.
    files: AtomicBool,
    /// It concerns these customers too: they are locked with the others, in order.
    customers: Mutex<BTreeSet<CustomerId>>,
}

impl Hints {
    /// Of a transaction that is likely to file records.
    pub(super) fn filing() -> Self {
        Self { files: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether it ended because the lock was taken.
    fn must_wait(&self) -> bool {
        self.files.load(Ordering::Relaxed)
    }

    /// Customers to lock beside those that the commands name.
    pub(super) fn customers(&self) -> BTreeSet<CustomerId> {
        self.customers.lock().clone()
    }

    /// Takes the lock first, if that is known to be needed; tells whether it is held.
    pub(super) async fn lock_first(&self, conn: &DatabaseTransaction, tenant: &Tenant) -> Result<bool, Fault> {
        if conn.dialect() != Dialect::Postgres {
            return Ok(true);
        }
        if !self.files.load(Ordering::Relaxed) {
            return Ok(false);
        }
        lock(conn, tenant).await?;
        Ok(true)
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// To begin again in its turn; see [`Matchers::in_turn`].
    pub(super) async fn lock_now(&self, conn: &DatabaseTransaction, tenant: &Tenant) -> Result<(), Fault> {
        let mut params = Params::of(conn.dialect(), tenant);
        let key = params.add(LOCK);
        let sql = format!("SELECT pg_try_advisory_xact_lock({key}, hashtext($1))");
        let row = conn.row(&sql, params.values()).await?;
        if row.map(|row| column::<bool>(&row, 0)).transpose()? == Some(true) {
            return Ok(());
        }
        self.files.store(true, Ordering::Relaxed);
        Err(Fault::new(Reason::WriteConflict, "another write was faster; retry"))
    }
}

/// Waits for the tenant's lock; only whoever waits for nothing else may.
async fn lock(conn: &DatabaseTransaction, tenant: &Tenant) -> Result<(), Fault> {
    if conn.dialect() == Dialect::Postgres {
        let mut params = Params::of(conn.dialect(), tenant);
        let key = params.add(LOCK);
        let sql = format!("SELECT pg_advisory_xact_lock({key}, hashtext($1))");
        conn.rows(&sql, params.values()).await?;
    }
    Ok(())
}

/// The space of the advisory lock: "mtch".
const LOCK: i32 = 0x6d74_6368;
