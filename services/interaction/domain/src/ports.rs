//! What every verb works with, and the way that every write takes.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use terms::{Caller, Clock, CustomerId, CustomerRef, Fault, Ids, Once, Reason, Revision, Tenant, Written, partition};

use crate::{
    arrival::Resolved,
    customers::{Customers, resolve_one},
    record::stale_since,
    store::{Change, Demand, Keys, Stamp, Store, View},
    subject::follow,
};

/// The ports of the domain.
pub struct Ports<S> {
    /// Where everything is kept.
    pub store: S,
    /// Who is meant.
    pub customers: Arc<dyn Customers>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: Arc<Ids>,
}

impl<S> fmt::Debug for Ports<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}

/// How a write is to be carried out.
#[derive(Debug, Clone, Default)]
pub struct How {
    /// Its idempotency key.
    pub once: Option<Once>,
    /// Check and answer, but store nothing.
    pub dry: bool,
}

/// How often a reference that was split under way is resolved anew.
pub(crate) const ATTEMPTS: usize = 4;

/// A decision: pure, and run again when the store must.
pub(crate) type Decide<R> = Box<dyn Fn(&View) -> Result<(Change, R), Fault> + Send + Sync>;

impl<S: Store> Ports<S> {
    /// Runs one write.
    pub(crate) async fn write<R>(
        &self,
        caller: &Caller,
        how: &How,
        keys: Keys,
        decide: Decide<R>,
    ) -> Result<Written<R>, Fault>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        if how.dry {
            let (_, value) = decide(&self.store.view(&caller.tenant, keys).await?)?;
            return Ok(Written { value, revision: Revision::new(), replayed: false });
        }
        self.store.commit_once(caller, how.once.clone(), keys, decide).await
    }

    /// Resolves `reference` and runs the write that `build` makes of it; once more when the customer was split in
    /// between.
    pub(crate) async fn write_for<R>(
        &self,
        caller: &Caller,
        how: &How,
        reference: &CustomerRef,
        build: impl Fn(Resolved) -> (Keys, Decide<R>) + Send + Sync,
    ) -> Result<Written<R>, Fault>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let mut seen = Revision::new();
        let mut attempt = 1;
        loop {
            let resolved = resolve_one(&*self.customers, caller, reference, &seen).await?;
            let (keys, decide) = build(resolved);
            match self.write(caller, how, keys, decide).await {
                Err(fault) => match stale_since(&fault) {
                    Some(since) if attempt < ATTEMPTS => {
                        seen.merge(&since);
                        attempt += 1;
                    }
                    _ => return Err(fault),
                },
                done => return done,
            }
        }
    }

    /// Begins to read of whomever `reference` means, once what `at_least` demands can be seen. Read, then ask
    /// [`Ports::settled`] whether that was the right customer.
    ///
    /// # Errors
    /// [`Reason::CustomerNotFound`], [`Reason::RevisionNotReached`].
    pub(crate) async fn reading(
        &self,
        caller: &Caller,
        reference: &CustomerRef,
        at_least: &Demand,
    ) -> Result<Reading, Fault> {
        let customer = resolve_one(&*self.customers, caller, reference, &at_least.revision).await?.customer;
        self.store.reach(at_least).await?;
        let stamp = self.store.stamp(Some(partition(&caller.tenant, customer))).await?;
        Ok(Reading { customer, stamp, left: ATTEMPTS })
    }

    /// Whether the rows that were read are all that there is of the customer. If they had moved to a survivor
    /// meanwhile, `reading` is of the survivor from here on.
    ///
    /// # Errors
    /// [`Reason::WriteConflict`] when that happens over and over.
    pub(crate) async fn settled(&self, tenant: &Tenant, reading: &mut Reading) -> Result<bool, Fault> {
        let asked = [reading.customer];
        let owner = follow(&self.store.subjects(tenant, &asked).await?, reading.customer);
        if owner == reading.customer {
            return Ok(true);
        }
        if reading.left == 0 {
            return Err(Fault::new(Reason::WriteConflict, "the customer is being merged over and over; retry"));
        }
        let stamp = self.store.stamp(Some(partition(tenant, owner))).await?;
        *reading = Reading { customer: owner, stamp, left: reading.left - 1 };
        Ok(false)
    }
}

/// A read under way: of whom, and what it shows.
pub(crate) struct Reading {
    pub(crate) customer: CustomerId,
    pub(crate) stamp: Stamp,
    left: usize,
}

impl Reading {
    /// What the read shows, with what was demanded of it.
    pub(crate) fn revision(&self, tenant: &Tenant, at_least: &Demand) -> Revision {
        self.stamp.of(tenant, self.customer, &at_least.revision)
    }
}
