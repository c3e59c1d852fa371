//! The segmentation section of the hot profile.

use std::time::Duration;

use async_trait::async_trait;
use data::Store as Database;
use profile::{Section, Sections, Versioned};
use prost::Message;
use rapport_proto::profile::v1::{ProfileMembership, ProfileValue, SegmentationSection};
use segmentation_domain::{
    ports::Store,
    rfm::{Rfm, Scores},
    ruleset::Needs,
};
use terms::{CustomerId, Fault, Revision, Service, Tenant, partition};

use crate::{reach::Reach, store::SqlSegments, values::Values};

/// Reads the section from the store. What segmentation has consumed shows, and the section says how far that is.
#[derive(Clone)]
pub struct SegmentationReader {
    store: SqlSegments,
    database: Database,
    values: Values,
    reach: Reach,
}

/// How long a section waits for what it has to contain.
const PATIENCE: Duration = Duration::from_secs(5);

impl SegmentationReader {
    pub(crate) fn new(store: SqlSegments, values: Values, reach: Reach) -> Self {
        Self { database: store.database.clone(), store, values, reach }
    }

    async fn section(&self, tenant: &Tenant, asked: CustomerId) -> Result<SegmentationSection, Fault> {
        let mut section = SegmentationSection { customer_id: asked.to_string(), ..SegmentationSection::default() };
        // Events are not asked for: memberships say what came of them.
        let person = self.store.person(tenant, &Needs::default(), asked).await?;
        let Some(person) = person else { return Ok(section) };
        if !person.subject.lives() {
            // What belonged to an id that was merged away is in the section of the survivor.
            section.erased = person.subject.erased;
            return Ok(section);
        }
        let catalog = self.store.catalog(tenant).await?;
        section.memberships = person
            .memberships
            .iter()
            .filter_map(|(id, membership)| {
                Some(ProfileMembership {
                    segment_id: id.to_string(),
                    segment: catalog.get(*id)?.name.clone(),
                    since_micros: membership.since.micros(),
                })
            })
            .collect();
        section.memberships.sort_unstable_by(|a, b| a.segment.cmp(&b.segment));
        section.next_change_at_micros = person.subject.next_due.map_or(0, |due| due.micros());
        let now = self.database.clock().now();
        section.value = self.values.of(tenant, asked, now).await?.map(|(rfm, scores)| value(&rfm, scores));
        Ok(section)
    }
}

const DAY: f64 = 86_400e6;

fn value(rfm: &Rfm, scores: Scores) -> ProfileValue {
    ProfileValue {
        frequency: rfm.frequency(),
        recency_days: rfm.recency() as f64 / DAY,
        age_days: rfm.age as f64 / DAY,
        monetary: rfm.monetary.unwrap_or(0) as f64 / 1e6,
        total: rfm.total as f64 / 1e6,
        recency_score: scores.recency,
        frequency_score: scores.frequency,
        monetary_score: scores.monetary,
        currency: rfm.currency.clone(),
        ..ProfileValue::default()
    }
}

/// How far segmentation has come in a customer's partition: what it has consumed, and its own feed.
pub(crate) async fn stamp(database: &Database, tenant: &Tenant, customer: CustomerId) -> Result<Revision, Fault> {
    let partition = partition(tenant, customer);
    let mut stamp = database.progress_of(partition).await?;
    stamp.raise(Service::Segmentation, partition, database.horizon().await?);
    Ok(stamp)
}

#[async_trait]
impl Sections for SegmentationReader {
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        at_least: &Revision,
    ) -> Result<Versioned, Fault> {
        if section != Section::Segmentation {
            return Err(Fault::internal(format!("segmentation does not own the section {section}")));
        }
        self.reach.of(tenant, customer, at_least, PATIENCE).await?;
        // Before the rows are read: what is committed in between may show, and is not promised.
        let partition = partition(tenant, customer);
        let partitions = [partition];
        let newest = self.database.newest(&partitions);
        let (revision, newest) = tokio::try_join!(stamp(&self.database, tenant, customer), newest)?;
        let version = newest.position(Service::Segmentation, partition);
        let bytes = self.section(tenant, customer).await?.encode_to_vec().into();
        Ok(Versioned { revision, version, bytes })
    }
}
