//! The exam that every store sits: the same cases over memory, SQLite and PostgreSQL.
//!
//! `segmentation_domain::exams!(open)` makes one test of each case, where `open` is an async function that gives an
//! [`Exam`] over an empty store.

mod cases;
mod history;
mod segments;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use rules::Value;
use terms::{Clock, CustomerId, FixedClock, Id, Position, Tenant, Timestamp};
use uuid::Uuid;

pub use cases::*;
pub use history::*;
pub use segments::*;

use crate::{
    create_segment::{Draft, create_segment},
    definition::Body,
    delete_segment::delete_segment,
    facts::Attributes,
    membership::Reason,
    news::{Address, Event, InteractionId, News, Statement, StatementId, What},
    ports::{Stay, Store},
    recompute::from_scratch,
    segment::{Segment, SegmentId, SegmentRef},
    update_segment::{Edit, update_segment},
};

/// Where every exam begins: 2026-01-01T00:00:00Z.
pub const BEGIN: Timestamp = Timestamp::from_seconds(1_767_225_600);

/// One day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// An empty store under examination.
pub struct Exam {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The clock that the store goes by.
    pub clock: Arc<FixedClock>,
    /// Whose data it is about.
    pub tenant: Tenant,
    position: AtomicI64,
    ids: AtomicU64,
    kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Exam {
    /// Over a store that goes by `clock`, which is to stand at [`BEGIN`].
    pub fn new(store: Arc<dyn Store>, clock: Arc<FixedClock>) -> Self {
        Self::of_tenant(store, clock, "exam")
    }

    /// The same for another tenant of the same store.
    pub fn of_tenant(store: Arc<dyn Store>, clock: Arc<FixedClock>, tenant: &str) -> Self {
        let tenant = tenant.parse().expect("a tenant's name");
        Self { store, clock, tenant, position: AtomicI64::new(0), ids: AtomicU64::new(1_000), kept: None }
    }

    /// Keeps what the store needs, such as a database, until the exam is over.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept = Some(Box::new(kept));
        self
    }

    fn next_id(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.ids.fetch_add(1, Ordering::Relaxed)))
    }

    /// A later place in a feed.
    pub fn position(&self) -> Position {
        Position { xid: 0, seq: self.position.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// News of now.
    pub fn news(&self, what: What) -> News {
        News { position: self.position(), at: self.clock.now(), what }
    }

    /// Takes in news of now.
    pub async fn hear(&self, what: What) {
        let news = self.news(what);
        self.hear_all(vec![news]).await;
    }

    /// Takes in news.
    pub async fn hear_all(&self, news: Vec<News>) {
        self.store.hear(&self.tenant, news).await.expect("news are taken in");
    }

    /// Somebody is new, or changes.
    pub async fn meet(&self, customer: CustomerId, attributes: &[(&str, Value)]) {
        let attributes: Attributes = attributes.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        self.hear(What::Changed { customer, attributes }).await;
    }

    /// An event that happens now; gives its id.
    pub async fn happen(&self, customer: CustomerId, kind: &str) -> InteractionId {
        self.happen_at(customer, kind, self.clock.now()).await
    }

    /// An event of some time.
    pub async fn happen_at(&self, customer: CustomerId, kind: &str, at: Timestamp) -> InteractionId {
        let event = self.event(customer, kind, at);
        let id = event.id;
        self.hear(What::Interaction { customer, event }).await;
        id
    }

    /// An event, not yet told.
    pub fn event(&self, customer: CustomerId, kind: &str, at: Timestamp) -> Event {
        Event {
            id: Id::from_uuid(self.next_id()),
            kind: kind.into(),
            at,
            micros: None,
            currency: "".into(),
            incentivised: false,
            details: Arc::default(),
            raw: Arc::default(),
            address: Address::first(customer),
        }
    }

    /// A statement, not yet told.
    pub fn statement(&self, customer: CustomerId, topic: &str, value: impl Into<Value>) -> Statement {
        Statement {
            id: StatementId::from_uuid(self.next_id()),
            topic: topic.into(),
            value: value.into(),
            at: self.clock.now(),
            valid_until: None,
            retracted: false,
            told_at: self.position(),
            address: Address::first(customer),
        }
    }

    /// Creates a rule and computes its members.
    pub async fn rule(&self, name: &str, source: &str) -> Segment {
        let segment = self.draft(name, Body::Rule(source.to_owned())).await;
        self.build().await;
        segment
    }

    /// Creates a segment; its members are still to be computed.
    pub async fn draft(&self, name: &str, body: Body) -> Segment {
        let draft = Draft { name: name.to_owned(), display_name: String::new(), description: String::new(), body };
        let (id, now) = (SegmentId::from_uuid(self.next_id()), self.clock.now());
        let decide = Arc::new(move |catalog: &crate::catalog::Catalog| create_segment(catalog, &draft, id, now));
        self.store.define(&self.tenant, None, decide).await.expect("a segment is created").value
    }

    /// Changes a segment; its members are still to be computed.
    pub async fn edit(&self, name: &str, body: Body) -> Segment {
        let (which, now) = (SegmentRef::Name(name.to_owned()), self.clock.now());
        let edit = Edit { body: Some(body), ..Edit::default() };
        let decide = Arc::new(move |catalog: &crate::catalog::Catalog| update_segment(catalog, &which, "", &edit, now));
        self.store.define(&self.tenant, None, decide).await.expect("a segment is changed").value
    }

    /// Deletes a segment; its members are still to leave.
    pub async fn delete(&self, name: &str) -> Segment {
        let (which, now) = (SegmentRef::Name(name.to_owned()), self.clock.now());
        let decide = Arc::new(move |catalog: &crate::catalog::Catalog| delete_segment(catalog, &which, "", now));
        self.store.define(&self.tenant, None, decide).await.expect("a segment is deleted").value
    }

    /// Computes all builds to their ends, in small steps.
    pub async fn build(&self) {
        while self.store.build(None, 3).await.expect("a build goes on").is_some() {}
    }

    /// Moves the clock and settles whoever is due.
    pub async fn wait(&self, time: Duration) {
        self.clock.advance(time);
        self.settle().await;
    }

    /// Settles whoever is due.
    pub async fn settle(&self) {
        let now = self.clock.now();
        while self.store.next_due().await.expect("a due instant").is_some_and(|due| due <= now) {
            self.store.settle_due(3).await.expect("customers are settled");
        }
    }

    /// The names of the segments to which a customer belongs.
    pub async fn inside(&self, customer: CustomerId) -> BTreeSet<String> {
        self.inside_at(customer, None).await
    }

    /// The same, as of a time.
    pub async fn inside_at(&self, customer: CustomerId, as_of: Option<Timestamp>) -> BTreeSet<String> {
        let catalog = self.store.catalog(&self.tenant).await.expect("the catalog");
        let memberships = self.store.memberships(&self.tenant, customer, as_of).await.expect("memberships");
        let name = |id: &SegmentId| catalog.get(*id).map(|segment| segment.name.clone());
        memberships.keys().filter_map(name).collect()
    }

    /// When and why a customer entered a segment; `None` if they are not inside.
    pub async fn since(&self, customer: CustomerId, segment: &Segment) -> Option<(Timestamp, Reason)> {
        let memberships = self.store.memberships(&self.tenant, customer, None).await.expect("memberships");
        memberships.get(&segment.id).map(|m| (m.since, m.reason))
    }

    /// A customer's ended memberships of a segment.
    pub async fn stays(&self, customer: CustomerId, segment: &Segment) -> Vec<Stay> {
        let stays = self.store.stays(&self.tenant, customer).await.expect("stays");
        stays.into_iter().filter(|stay| stay.segment == segment.id).collect()
    }

    /// Fails unless every membership is what facts, rules and the instant say, and all ways to ask agree.
    pub async fn audit(&self) {
        self.build().await;
        self.settle().await;
        let now = self.clock.now();
        let catalog = self.store.catalog(&self.tenant).await.expect("the catalog");
        let ruleset = catalog.ruleset();
        let mut members: BTreeMap<SegmentId, BTreeSet<CustomerId>> = BTreeMap::new();
        let mut after = None;
        let mut population = 0;
        loop {
            let page = self.store.people(&self.tenant, ruleset.needs(), after, 4).await.expect("people");
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            population += page.len() as i64;
            for (customer, person) in page {
                let inside: BTreeSet<SegmentId> = person.memberships.keys().copied().collect();
                let fresh = from_scratch(ruleset, &person, now);
                assert_eq!(inside, fresh, "{customer} at {now:?}: memberships are not those of a full computation");
                let kept = self.store.memberships(&self.tenant, customer, None).await.expect("memberships");
                assert_eq!(kept, person.memberships);
                inside.iter().for_each(|id| assert!(members.entry(*id).or_default().insert(customer)));
                self.check_stays(customer, &kept).await;
            }
        }
        assert_eq!(self.store.population(&self.tenant).await.expect("the population"), population);
        let counts = self.store.count_members(&self.tenant, None, None).await.expect("counts");
        for segment in catalog.living() {
            let inside = members.remove(&segment.id).unwrap_or_default();
            assert_eq!(counts.get(&segment.id).copied().unwrap_or(0), inside.len() as i64, "{}", segment.name);
            let listed = self.store.members(&self.tenant, segment.id, None, None, 1_000).await.expect("members");
            assert_eq!(listed.into_iter().map(|(id, _)| id).collect::<BTreeSet<_>>(), inside, "{}", segment.name);
        }
        assert!(members.is_empty(), "members of no segment: {members:?}");
    }

    /// Stays of one segment never overlap, nor reach into the present membership.
    async fn check_stays(&self, customer: CustomerId, present: &crate::membership::Memberships) {
        let mut ends: BTreeMap<SegmentId, Timestamp> = BTreeMap::new();
        for stay in self.store.stays(&self.tenant, customer).await.expect("stays") {
            let end = ends.entry(stay.segment).or_insert(Timestamp::MIN);
            assert!(*end <= stay.membership.since && stay.membership.since < stay.until, "{customer}: {stay:?}");
            *end = stay.until;
        }
        for (segment, membership) in present {
            let end = ends.get(segment).copied().unwrap_or(Timestamp::MIN);
            assert!(end <= membership.since, "{customer} was inside {segment} until {end:?}, since {membership:?}");
        }
    }
}

/// Customer number `n`.
pub fn customer(n: u128) -> CustomerId {
    CustomerId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n))
}

/// The names as a set.
pub fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// One test of each case, on a multi-threaded runtime: `exams!(open)`.
#[macro_export]
macro_rules! exams {
    ($open:path) => {
        $crate::exams!(@each $open:
            windows_open_and_close_by_the_clock
            one_to_two_events_between_two_instants
            absence_begins_when_the_customer_is_known
            an_answer_that_does_not_come
            traits_and_statements_count
            a_statement_ends_by_the_clock
            late_and_double_events
            an_event_and_a_merge_in_any_order
            a_split_gives_back_what_had_arrived
            interactions_that_were_moved
            a_later_merge_heard_first
            an_erased_customer_stays_erased
            memberships_as_of_a_time
            tenants_are_apart
            purchases_in_the_terms_of_fader_and_hardie
            diamonds_are_accepted_and_circles_refused
            names_etags_and_request_ids
            versions_are_kept
            lists_by_hand
            a_list_follows_a_merge
            a_build_goes_on_while_news_come
            segments_of_segments
            random_histories
        );
    };
    (@each $open:path: $($case:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let Some(exam) = $open().await else { return };
            $crate::contract::$case(exam).await;
        }
    )*};
}
