//! Reads that are to contain an earlier write wait here.
//!
//! Segmentation hears of a split from identity, and from interaction what of its own moved with it: interaction hears
//! of the split first. Whoever is to see the split is to see both, so for a customer who was ever split the wait goes on
//! until interaction's word on what `at_least` demands of identity is here, too.

use std::{sync::Arc, time::Duration};

use data::Store as Database;
use profile::{Section, Sections};
use terms::{CustomerId, Fault, Revision, Service, Tenant, partition};
use tokio::time::Instant;

use crate::{consumer::CONSUMER, store::SqlSegments};

/// Waits for what was heard. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reach {
    store: SqlSegments,
    interaction: Arc<dyn Sections>,
}

impl Reach {
    /// `interaction` reads the section that interaction owns.
    pub(crate) fn new(store: SqlSegments, interaction: Arc<dyn Sections>) -> Self {
        Self { store, interaction }
    }

    fn database(&self) -> &Database {
        &self.store.database
    }

    /// Waits until everything is here that `at_least` says of identity and interaction, whoever it concerns.
    pub(crate) async fn all(&self, at_least: &Revision, patience: Duration) -> Result<(), Fault> {
        let mut demand = Revision::new();
        for service in HEARD {
            at_least.of(service).for_each(|(partition, position)| demand.raise(service, partition, position));
        }
        self.database().reach(CONSUMER, &demand, patience).await
    }

    /// Waits until everything is here that `at_least` says of one customer, and what follows from it.
    pub(crate) async fn of(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        at_least: &Revision,
        patience: Duration,
    ) -> Result<(), Fault> {
        let until = Instant::now() + patience;
        let partition = partition(tenant, customer);
        let demand = only(at_least, partition);
        self.database().reach(CONSUMER, &demand, patience).await?;
        if demand.position(Service::Identity, partition).is_none() || !self.store.was_split(tenant, customer).await? {
            return Ok(());
        }
        let word = self.interaction.load(tenant, customer, Section::Interaction, &demand).await?.version;
        let Some(word) = word.map(|position| Revision::at(Service::Interaction, partition, position)) else {
            return Ok(());
        };
        self.database().reach(CONSUMER, &word, until.saturating_duration_since(Instant::now())).await
    }
}

/// The feeds that segmentation follows.
const HEARD: [Service; 2] = [Service::Identity, Service::Interaction];

/// What a revision says of one partition of these feeds: the rest says nothing about the customers in it.
fn only(revision: &Revision, partition: u16) -> Revision {
    let mut some = Revision::new();
    for service in HEARD {
        if let Some(position) = revision.position(service, partition) {
            some.raise(service, partition, position);
        }
    }
    some
}
