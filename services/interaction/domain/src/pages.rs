//! Pages of lists: the keys by which they go on, the same in every store.

use terms::{Fault, Page, PageRequest, Reason, Timestamp};

use crate::{
    interaction::Interaction,
    key::covers,
    statement::{Standing, Statement, StatementState},
    store::{StatementOrder, TimelineOrder, Told},
};

/// A place in a list: a time, an id, and a topic where the list is ordered by one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The topic; empty where the list is not ordered by one.
    pub topic: String,
    /// Event time or record time.
    pub time: Timestamp,
    /// The id.
    pub id: u128,
}

impl Place {
    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.time.micros().to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.id.to_be_bytes());
        bytes.extend_from_slice(self.topic.as_bytes());
        bytes
    }

    /// Where a page begins; `None` at the start.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a token that no list gave out.
    pub fn after(page: &PageRequest) -> Result<Option<Self>, Fault> {
        if page.after.is_empty() {
            return Ok(None);
        }
        let place = || {
            let (time, rest) = page.after.split_first_chunk::<8>()?;
            let (id, topic) = rest.split_first_chunk::<16>()?;
            let topic = std::str::from_utf8(topic).ok()?.to_owned();
            Some(Self { topic, time: Timestamp(i64::from_be_bytes(*time)), id: u128::from_be_bytes(*id) })
        };
        let foreign = || Fault::invalid("page_token", Reason::InvalidFields, "is not a token that this list gave out");
        place().map(Some).ok_or_else(foreign)
    }
}

/// The place of an interaction in a timeline.
pub fn interaction_place(interaction: &Interaction, order: TimelineOrder) -> Place {
    let time = match order {
        TimelineOrder::Newest | TimelineOrder::Oldest => interaction.occurred_at,
        TimelineOrder::Recorded => interaction.recorded_at,
    };
    Place { topic: String::new(), time, id: interaction.id.uuid().as_u128() }
}

/// The place of a statement in a list.
pub fn statement_place(statement: &Statement, order: StatementOrder) -> Place {
    let topic = if order == StatementOrder::Topic { statement.topic.clone() } else { String::new() };
    Place { topic, time: statement.occurred_at, id: statement.id.uuid().as_u128() }
}

/// A statement as it was known at `as_of`: a later retraction was not.
pub fn as_known(mut statement: Statement, as_of: Timestamp) -> Statement {
    statement.retraction = statement.retraction.filter(|retraction| retraction.at <= as_of);
    statement
}

/// Whether a list shows a statement.
pub fn wanted(standing: &Standing, which: &Told) -> bool {
    (which.history || standing.state == StatementState::Current)
        && (which.topic.is_empty() || covers(&which.topic, &standing.statement.topic))
}

/// Cuts a page out of all rows of a timeline.
///
/// # Errors
/// [`Reason::InvalidFields`] for a foreign token.
pub fn timeline(
    mut rows: Vec<Interaction>,
    order: TimelineOrder,
    page: &PageRequest,
) -> Result<Page<Interaction>, Fault> {
    rows.sort_by_key(|i| interaction_place(i, order));
    if order == TimelineOrder::Newest {
        rows.reverse();
    }
    if let Some(after) = Place::after(page)? {
        rows.retain(|i| match order {
            TimelineOrder::Newest => interaction_place(i, order) < after,
            TimelineOrder::Oldest | TimelineOrder::Recorded => interaction_place(i, order) > after,
        });
    }
    Ok(Page::cut(rows, page.size, |i| interaction_place(i, order).to_bytes()))
}

/// Cuts a page out of all rows of a list of statements.
///
/// # Errors
/// [`Reason::InvalidFields`] for a foreign token.
pub fn statements(mut rows: Vec<Standing>, order: StatementOrder, page: &PageRequest) -> Result<Page<Standing>, Fault> {
    let place = |s: &Standing| statement_place(&s.statement, order);
    // Topics rise; within a topic, and without, the newest comes first, unless the oldest is wanted.
    let before = |a: &Place, b: &Place| {
        let times = (a.time, a.id).cmp(&(b.time, b.id));
        a.topic.cmp(&b.topic).then(if order == StatementOrder::Oldest { times } else { times.reverse() })
    };
    rows.sort_by(|a, b| before(&place(a), &place(b)));
    if let Some(after) = Place::after(page)? {
        rows.retain(|s| before(&after, &place(s)).is_lt());
    }
    Ok(Page::cut(rows, page.size, |s| place(s).to_bytes()))
}
