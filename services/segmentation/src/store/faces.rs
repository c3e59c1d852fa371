//! Facts and memberships of customers who were seen lately, in memory.
//!
//! A face is good as long as the subject's row has the version with which it was kept, and the rules are the
//! same: every transaction that changes what a face shows raises the version, under the subject's lock.

use std::sync::Arc;

use moka::sync::Cache;
use segmentation_domain::{facts::Facts, membership::Memberships, view::Person};
use terms::{CustomerId, Tenant};

/// The faces.
#[derive(Clone)]
pub(super) struct Faces(Cache<(Tenant, CustomerId), Arc<Face>>);

/// What was known of one customer after they were settled.
pub(super) struct Face {
    rules: i64,
    version: i64,
    pub(super) facts: Facts,
    pub(super) memberships: Memberships,
}

impl Faces {
    /// At most so many events, statements and memberships together.
    pub(super) fn new(capacity: u64) -> Self {
        let weigh = |_: &(Tenant, CustomerId), face: &Arc<Face>| {
            let weight = 2 + face.facts.events.len() + face.facts.statements.len() + face.memberships.len();
            u32::try_from(weight).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(capacity).weigher(weigh).build())
    }

    pub(super) fn get(&self, tenant: &Tenant, customer: CustomerId, rules: i64, version: i64) -> Option<Arc<Face>> {
        let face = self.0.get(&(tenant.clone(), customer))?;
        (face.rules == rules && face.version == version).then_some(face)
    }

    /// Keeps what a committed transaction left.
    pub(super) fn keep(&self, tenant: &Tenant, rules: i64, settled: Vec<(CustomerId, Person)>) {
        for (customer, person) in settled {
            let (true, Some(facts)) = (person.subject.lives(), person.facts) else {
                self.0.invalidate(&(tenant.clone(), customer));
                continue;
            };
            let face = Face { rules, version: person.subject.version, facts, memberships: person.memberships };
            self.0.insert((tenant.clone(), customer), Arc::new(face));
        }
    }
}
