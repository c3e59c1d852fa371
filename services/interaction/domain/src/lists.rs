//! Reading what was recorded: one interaction, timelines, statements.

use terms::{Caller, CustomerRef, Fault, Page, PageRequest, Reason, Revision, Timestamp, Violations};

use crate::{
    filter::{InteractionFilter, StatementFilter},
    interaction::{Interaction, InteractionId},
    key::{TOPIC_MAX, check_optional_key},
    pages::{interaction_place, statement_place},
    ports::Ports,
    statement::Standing,
    store::{Demand, Recorded, StatementOrder, Store, Timeline, Told},
};

/// How many rows one request looks at for a filter: a page may come out short, or empty, and still have a next one.
pub const SCAN_MAX: usize = 10_000;

/// Reads one interaction with what was said in it.
///
/// # Errors
/// [`Reason::InteractionNotFound`], [`Reason::RevisionNotReached`].
pub async fn get_interaction<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    id: InteractionId,
    at_least: &Demand,
) -> Result<(Recorded, Revision), Fault> {
    ports.store.reach(at_least).await?;
    let stamp = ports.store.stamp(None).await?;
    let found = ports.store.interaction(&caller.tenant, id, ports.clock.now()).await?;
    let found = found.ok_or_else(|| {
        Fault::not_found(Reason::InteractionNotFound, format!("interaction `{id}`"))
            .with("interaction_id", id.to_string())
    })?;
    let revision = stamp.of(&caller.tenant, found.interaction.customer, &at_least.revision);
    Ok((found, revision))
}

/// Which interactions.
#[derive(Clone)]
pub struct ListInteractions {
    /// Whose; otherwise the tenant's.
    pub customer: Option<CustomerRef>,
    /// Which of them; the customer is filled in here.
    pub which: Timeline,
    /// What passes.
    pub filter: Option<InteractionFilter>,
    /// What the answer must contain.
    pub at_least: Demand,
}

/// Reads a page of a timeline.
///
/// # Errors
/// [`Reason::CustomerNotFound`], [`Reason::RevisionNotReached`].
pub async fn list_interactions<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    wish: &ListInteractions,
    page: &PageRequest,
) -> Result<(Page<Interaction>, Revision), Fault> {
    let tenant = &caller.tenant;
    match &wish.customer {
        Some(reference) => {
            let mut reading = ports.reading(caller, reference, &wish.at_least).await?;
            let found = loop {
                let which = Timeline { customer: Some(reading.customer), ..wish.which.clone() };
                let found = interactions(ports, caller, &which, wish.filter.as_ref(), page).await?;
                if ports.settled(tenant, &mut reading).await? {
                    break found;
                }
            };
            Ok((found, reading.revision(tenant, &wish.at_least)))
        }
        None => {
            ports.store.reach(&wish.at_least).await?;
            let stamp = ports.store.stamp(None).await?;
            let found = interactions(ports, caller, &wish.which, wish.filter.as_ref(), page).await?;
            Ok((found, stamp.whole(&wish.at_least.revision)))
        }
    }
}

async fn interactions<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    which: &Timeline,
    filter: Option<&InteractionFilter>,
    page: &PageRequest,
) -> Result<Page<Interaction>, Fault> {
    let Some(filter) = filter else { return ports.store.timeline(&caller.tenant, which, page).await };
    let now = ports.clock.now();
    let mut sieve = Sieve::new(page);
    while let Some(next) = sieve.next() {
        let rows = ports.store.timeline(&caller.tenant, which, &next).await?;
        sieve.take(rows, |i| filter.passes(i, now));
    }
    Ok(sieve.page(|i| interaction_place(i, which.order).to_bytes()))
}

/// Which statements.
#[derive(Clone)]
pub struct ListStatements {
    /// Whose.
    pub customer: CustomerRef,
    /// Only this topic and those below it; empty: all.
    pub topic: String,
    /// Also those that do not hold.
    pub history: bool,
    /// As known at this record time; otherwise now.
    pub as_of: Option<Timestamp>,
    /// In which order.
    pub order: StatementOrder,
    /// What passes.
    pub filter: Option<StatementFilter>,
    /// What the answer must contain.
    pub at_least: Demand,
}

/// Reads a page of what a customer told us.
///
/// # Errors
/// [`Reason::InvalidFields`], [`Reason::CustomerNotFound`], [`Reason::RevisionNotReached`].
pub async fn list_statements<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    wish: &ListStatements,
    page: &PageRequest,
) -> Result<(Page<Standing>, Revision), Fault> {
    let mut wrong = Violations::new();
    check_optional_key(&mut wrong, "topic", &wish.topic, TOPIC_MAX);
    wrong.done()?;
    let tenant = &caller.tenant;
    let as_of = wish.as_of.unwrap_or_else(|| ports.clock.now());
    let mut reading = ports.reading(caller, &wish.customer, &wish.at_least).await?;
    let found = loop {
        let customer = reading.customer;
        let which = Told { customer, topic: wish.topic.clone(), history: wish.history, as_of, order: wish.order };
        let found = statements(ports, caller, &which, wish.filter.as_ref(), page).await?;
        if ports.settled(tenant, &mut reading).await? {
            break found;
        }
    };
    Ok((found, reading.revision(tenant, &wish.at_least)))
}

async fn statements<S: Store>(
    ports: &Ports<S>,
    caller: &Caller,
    which: &Told,
    filter: Option<&StatementFilter>,
    page: &PageRequest,
) -> Result<Page<Standing>, Fault> {
    let Some(filter) = filter else { return ports.store.statements(&caller.tenant, which, page).await };
    let now = ports.clock.now();
    let mut sieve = Sieve::new(page);
    while let Some(next) = sieve.next() {
        let rows = ports.store.statements(&caller.tenant, which, &next).await?;
        sieve.take(rows, |s| filter.passes(s, now));
    }
    Ok(sieve.page(|s| statement_place(&s.statement, which.order).to_bytes()))
}

/// Reads pages until enough rows have passed, or enough have been looked at.
struct Sieve<T> {
    size: u32,
    passed: Vec<T>,
    looked: usize,
    /// Where to read on.
    next: Option<Vec<u8>>,
}

impl<T> Sieve<T> {
    fn new(page: &PageRequest) -> Self {
        Self { size: page.size, passed: Vec::new(), looked: 0, next: Some(page.after.clone()) }
    }

    /// The next page to look at; `None` when that was enough.
    fn next(&self) -> Option<PageRequest> {
        // One more than fits: there is a next page.
        let enough = self.passed.len() > self.size as usize || self.looked >= SCAN_MAX;
        self.next.clone().filter(|_| !enough).map(|after| PageRequest { size: PageRequest::MAX_SIZE, after })
    }

    fn take(&mut self, rows: Page<T>, passes: impl Fn(&T) -> bool) {
        self.looked += rows.items.len();
        self.passed.extend(rows.items.into_iter().filter(passes));
        self.next = rows.next;
    }

    fn page(self, key: impl Fn(&T) -> Vec<u8>) -> Page<T> {
        if self.passed.len() > self.size as usize {
            return Page::cut(self.passed, self.size, key);
        }
        Page { items: self.passed, next: self.next }
    }
}
