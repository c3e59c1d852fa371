//! Segmentation on SQLite and PostgreSQL.
//!
//! | file | subject |
//! |---|---|
//! | `migrations` | the schema |
//! | `load`, `write` | what news concern, and what they did |
//! | `hear`, `due`, `build` | memberships computed: by news, by the clock, by definitions |
//! | `define`, `catalogs` | definitions, and their compiled form in memory |
//! | `faces` | facts of customers seen lately, in memory |
//! | `read` | memberships and members; `people`: customers with facts, purchases |
//! | `rows`, `sql` | rows and what they mean; statements over many rows |

mod build;
mod catalogs;
mod define;
mod due;
mod faces;
mod hear;
mod load;
pub(crate) mod migrations;
mod people;
mod read;
mod rows;
mod sql;
mod write;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use data::Store as Database;
use profile::{Marks, Section};
use segmentation_domain::{
    catalog::Catalog,
    membership::Memberships,
    news::News,
    ports::{BuildStep, Decide, Located, Pass, Stay, Store},
    rfm::{Purchase, Tally},
    ruleset::Needs,
    segment::{Segment, SegmentId},
    view::{Effects, Person},
};
use terms::{CustomerId, Fault, Once, Revision, Tenant, Timestamp, Written};

use self::{catalogs::Catalogs, faces::Faces};
use crate::wake::Wake;

pub(crate) use self::rows::{details, raw_details};

/// Segmentation on one database. Cheap to clone.
#[derive(Clone)]
pub struct SqlSegments {
    pub(crate) database: Database,
    catalogs: Arc<Catalogs>,
    faces: Faces,
    marks: Marks,
    wake: Wake,
}

/// What one transaction did for one tenant, for when it is committed.
pub(crate) struct Outcome {
    tenant: Tenant,
    /// Of the rules by which memberships were computed.
    rules: i64,
    customers: Vec<CustomerId>,
    erased: Vec<CustomerId>,
    next_due: Option<Timestamp>,
    settled: Vec<(CustomerId, Person)>,
    /// Whether anything of value was heard.
    pub(crate) valued: bool,
}

impl Outcome {
    fn new(tenant: &Tenant, catalog: &Catalog, effects: Effects) -> Self {
        let erased = effects.subjects.iter().filter(|(_, c)| c.subject.erased).map(|(id, _)| *id).collect();
        Self {
            tenant: tenant.clone(),
            rules: catalog.rules,
            customers: effects.customers().into_iter().collect(),
            erased,
            next_due: effects.next_due(),
            valued: effects.events.iter().any(|(_, event)| event.micros.is_some()),
            settled: effects.settled,
        }
    }

    /// Whose.
    pub(crate) fn tenant(&self) -> &Tenant {
        &self.tenant
    }
}

impl SqlSegments {
    /// Over a database that is migrated. `marks` hears of every customer whose section changes; up to `remembered`
    /// facts are kept in memory.
    pub fn new(database: Database, marks: Marks, remembered: u64) -> Self {
        Self { database, catalogs: Arc::default(), faces: Faces::new(remembered), marks, wake: Wake::default() }
    }

    /// When the clock matters next.
    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }

    fn now(&self) -> Timestamp {
        self.database.clock().now()
    }

    /// After the commit: caches hear of it, and the clock.
    pub(crate) async fn committed(&self, outcomes: Vec<Outcome>, revision: &Revision) {
        for outcome in outcomes {
            self.faces.keep(&outcome.tenant, outcome.rules, outcome.settled);
            if let Some(due) = outcome.next_due {
                self.wake.earlier(due);
            }
            self.marks.mark(&outcome.tenant, &outcome.customers, Section::Segmentation, revision).await;
            for customer in outcome.erased {
                self.marks.bury(&outcome.tenant, customer).await;
            }
        }
    }
}

#[async_trait]
impl Store for SqlSegments {
    async fn catalog(&self, tenant: &Tenant) -> Result<Arc<Catalog>, Fault> {
        Ok(self.catalogs.read(self.database.reader(), tenant).await?.catalog)
    }

    async fn define(&self, tenant: &Tenant, once: Option<Once>, decide: Decide) -> Result<Written<Segment>, Fault> {
        self.define_one(tenant, once, decide).await
    }

    async fn version(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        version: i64,
    ) -> Result<Option<(String, Timestamp)>, Fault> {
        self.read_version(tenant, segment, version).await
    }

    async fn hear(&self, tenant: &Tenant, news: Vec<News>) -> Result<Revision, Fault> {
        self.hear_news(tenant, news).await
    }

    async fn settle_due(&self, most: usize) -> Result<Pass, Fault> {
        self.settle_some(most).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, Fault> {
        self.read_next_due().await
    }

    async fn build(&self, which: Option<(&Tenant, SegmentId)>, most: usize) -> Result<Option<BuildStep>, Fault> {
        self.build_some(which, most).await
    }

    async fn locate(&self, tenant: &Tenant, customer: CustomerId) -> Result<Option<Located>, Fault> {
        self.read_located(tenant, customer).await
    }

    async fn memberships(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        as_of: Option<Timestamp>,
    ) -> Result<Memberships, Fault> {
        self.read_memberships(tenant, customer, as_of).await
    }

    async fn stays(&self, tenant: &Tenant, customer: CustomerId) -> Result<Vec<Stay>, Fault> {
        self.read_stays(tenant, customer).await
    }

    async fn members(
        &self,
        tenant: &Tenant,
        segment: SegmentId,
        as_of: Option<Timestamp>,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Timestamp)>, Fault> {
        self.read_members(tenant, segment, as_of, after, most).await
    }

    async fn count_members(
        &self,
        tenant: &Tenant,
        segment: Option<SegmentId>,
        as_of: Option<Timestamp>,
    ) -> Result<BTreeMap<SegmentId, i64>, Fault> {
        self.read_counts(tenant, segment, as_of).await
    }

    async fn population(&self, tenant: &Tenant) -> Result<i64, Fault> {
        self.read_population(tenant).await
    }

    async fn people(
        &self,
        tenant: &Tenant,
        needs: &Needs,
        after: Option<CustomerId>,
        most: usize,
    ) -> Result<Vec<(CustomerId, Person)>, Fault> {
        self.read_people(tenant, needs, after, most).await
    }

    async fn person(&self, tenant: &Tenant, needs: &Needs, customer: CustomerId) -> Result<Option<Person>, Fault> {
        self.read_person(tenant, needs, customer).await
    }

    async fn purchases(&self, tenant: &Tenant, customer: CustomerId, kind: &str) -> Result<Vec<Purchase>, Fault> {
        self.read_purchases(tenant, customer, kind).await
    }

    async fn tallies(&self, tenant: &Tenant, kind: &str) -> Result<Vec<Tally>, Fault> {
        self.read_tallies(tenant, kind).await
    }
}
