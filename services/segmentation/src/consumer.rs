//! Hears the feeds of identity and interaction: entries become news, in the transaction that moves the cursors.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use data::{Consumer, Entry, Tx};
use parking_lot::Mutex;
use terms::{Fault, Revision, Tenant};

use crate::{
    feed,
    store::{Outcome, SqlSegments},
    values::Values,
};

/// Names the cursors, of both feeds.
pub(crate) const CONSUMER: &str = "segmentation";

/// The one consumer of both feeds.
pub(crate) struct Hearer {
    store: SqlSegments,
    values: Values,
    /// What transactions did that are not known to be committed, by the place of their entries in memory.
    pending: Mutex<HashMap<usize, Vec<Outcome>>>,
}

impl Hearer {
    pub(crate) fn new(store: SqlSegments, values: Values) -> Self {
        Self { store, values, pending: Mutex::default() }
    }
}

fn place(entries: &[Entry]) -> usize {
    entries.as_ptr().addr()
}

#[async_trait]
impl Consumer for Hearer {
    fn name(&self) -> &'static str {
        CONSUMER
    }

    fn kinds(&self) -> &'static [&'static str] {
        feed::KINDS
    }

    async fn apply(&self, tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
        let mut by_tenant: BTreeMap<&Tenant, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            by_tenant.entry(&entry.tenant).or_default().push(entry);
        }
        let mut outcomes = Vec::with_capacity(by_tenant.len());
        for (tenant, entries) in by_tenant {
            let read = |open: bool| {
                let news = entries.iter().filter_map(|entry| feed::news(entry, open).transpose());
                news.collect::<Result<Vec<_>, _>>()
            };
            outcomes.push(self.store.hear_in(tx, tenant, read).await?);
        }
        self.pending.lock().insert(place(entries), outcomes);
        Ok(())
    }

    async fn applied(&self, entries: &[Entry], revision: &Revision) {
        let outcomes = self.pending.lock().remove(&place(entries)).unwrap_or_default();
        for outcome in outcomes.iter().filter(|outcome| outcome.valued) {
            self.values.stale(outcome.tenant());
        }
        self.store.committed(outcomes, revision).await;
    }
}
