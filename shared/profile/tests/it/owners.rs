//! Owners in memory: one feed for all three services, rows that say at which write they were made.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use profile::{FromSections, Section, SectionSet, Sections, Versioned};
use terms::{CustomerId, Fault, Position, Reason, Revision, Tenant, partition};
use tokio::sync::Notify;

/// What a reader sees: for each section the write that it shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Values {
    pub(crate) customer: CustomerId,
    pub(crate) shown: [i64; 3],
}

impl FromSections for Values {
    fn customer(identity: &[u8]) -> Result<CustomerId, Fault> {
        let id = identity.first_chunk::<16>().ok_or_else(|| Fault::internal("too short"))?;
        Ok(CustomerId::from_uuid(uuid::Uuid::from_bytes(*id)))
    }

    fn from_sections(_: &Tenant, customer: CustomerId, sections: &SectionSet) -> Result<Self, Fault> {
        let shown = Section::ALL.map(|section| match sections.bytes(section).last_chunk::<8>() {
            Some(number) => i64::from_be_bytes(*number),
            None => {
                assert!(sections.is_missing(section));
                -1
            }
        });
        Ok(Self { customer, shown })
    }
}

#[derive(Default)]
pub(crate) struct Owners {
    seq: AtomicI64,
    rows: Mutex<HashMap<(CustomerId, Section), i64>>,
    survivors: Mutex<HashMap<CustomerId, CustomerId>>,
    erased: Mutex<Vec<CustomerId>>,
    pub(crate) loads: AtomicU64,
    /// How often a load gives way before and after it reads.
    pub(crate) yields: AtomicU64,
    held: AtomicBool,
    release: Notify,
    /// Sections whose owner is away.
    pub(crate) away: Mutex<Vec<Section>>,
}

impl Owners {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Commits a write; returns its number and its token.
    pub(crate) fn write(&self, tenant: &Tenant, customer: CustomerId, section: Section) -> (i64, Revision) {
        let mut rows = self.rows.lock();
        let seq = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
        rows.insert((customer, section), seq);
        let position = Position { xid: 0, seq };
        (seq, Revision::at(section.service(), partition(tenant, customer), position))
    }

    pub(crate) fn merge(&self, tenant: &Tenant, loser: CustomerId, survivor: CustomerId) -> Revision {
        self.survivors.lock().insert(loser, survivor);
        self.write(tenant, loser, Section::Identity).1
    }

    pub(crate) fn erase(&self, customer: CustomerId) {
        self.erased.lock().push(customer);
    }

    /// Makes loads wait before they read.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::SeqCst);
        self.release.notify_waiters();
    }

    async fn give_way(&self) {
        for _ in 0..self.yields.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Sections for Owners {
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        _: &Revision,
    ) -> Result<Versioned, Fault> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let released = self.release.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        if self.held.load(Ordering::SeqCst) {
            released.await;
        }
        if self.away.lock().contains(&section) {
            return Err(Fault::new(Reason::PeerUnavailable, "away"));
        }
        if self.erased.lock().contains(&customer) {
            return Err(Fault::new(Reason::CustomerErased, "erased"));
        }
        // The order that owners keep: the stamp first, then the rows.
        let stamp = Position { xid: 0, seq: self.seq.load(Ordering::SeqCst) };
        self.give_way().await;
        let shown = self.rows.lock().get(&(customer, section)).copied().unwrap_or_default();
        let survivor = self.survivors.lock().get(&customer).copied().unwrap_or(customer);
        self.give_way().await;
        let mut revision = Revision::new();
        for source in Section::ALL {
            revision.raise(source.service(), partition(tenant, customer), stamp);
        }
        let bytes = [survivor.as_bytes().as_slice(), &shown.to_be_bytes()].concat();
        Ok(Versioned { revision, version: Some(stamp), bytes: Bytes::from(bytes) })
    }
}

pub(crate) fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(uuid::Uuid::from_u128(n))
}

/// A tenant that no other test run uses.
pub(crate) fn tenant() -> Tenant {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = terms::Clock::now(&terms::SystemClock).micros();
    format!("t{}-{now}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}
