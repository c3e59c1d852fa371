//! Where customers' rows belong after merges and splits: one pointer per id, one hop to the survivor.
//!
//! Identity tells of a merge or a split in each partition of its feed that is concerned, and partitions are read each
//! at its own pace: news comes twice, late, and out of order between partitions. So news only says *whom* to look at;
//! where they belong is asked of identity, whose answer is at least as new as the news. Every answer carries the place
//! in the feed up to which it is right, and an older answer never overwrites a newer one.

use std::collections::{BTreeSet, HashMap};

use terms::{CustomerId, Id, Position, id};

use crate::arrival::{Arrival, Resolved};

/// What is known of one customer id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The customer to whom its rows belong, if merged away. Never itself merged away.
    pub survivor: Option<CustomerId>,
    /// Up to where in identity's feed that is right.
    pub moved_at: Position,
    /// The last news that took something out of this customer: references resolved before it may mean the other one.
    pub split_at: Position,
    /// Erased: takes nothing any more.
    pub erased: bool,
}

/// News from identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// `loser` belongs to `survivor`.
    Merged {
        /// The id that leads to the survivor.
        loser: CustomerId,
        /// The customer who remains.
        survivor: CustomerId,
        /// Identity's id of the merge.
        cause: String,
    },
    /// Part of `from` belongs to `to`.
    Split(Split),
    /// Forget all of these ids.
    Erased {
        /// Every id that led to the customer, its own included.
        customers: Vec<CustomerId>,
    },
}

/// Part of a customer became another customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The customer who was taken from.
    pub from: CustomerId,
    /// The customer who was taken out.
    pub to: CustomerId,
    /// Source records that moved.
    pub records: Vec<Id<id::Record>>,
    /// Former ids that lead to `to` from now on.
    pub customers: Vec<CustomerId>,
    /// Identity's id of the split.
    pub cause: String,
}

/// The pointers of some customer ids.
pub type Subjects = HashMap<CustomerId, Subject>;

impl News {
    /// The ids about which identity must be asked.
    pub fn named(&self) -> Vec<CustomerId> {
        match self {
            Self::Merged { loser, survivor, .. } => vec![*loser, *survivor],
            Self::Split(split) => [split.from, split.to].into_iter().chain(split.customers.iter().copied()).collect(),
            Self::Erased { customers } => customers.clone(),
        }
    }
}

/// The ids that `news` names, each once, in order.
pub fn named(news: &[(Position, News)]) -> Vec<CustomerId> {
    let ids: BTreeSet<CustomerId> = news.iter().flat_map(|(_, news)| news.named()).collect();
    ids.into_iter().collect()
}

/// The customer to whom rows of `customer` belong.
pub fn follow(subjects: &Subjects, customer: CustomerId) -> CustomerId {
    subjects.get(&customer).and_then(|subject| subject.survivor).unwrap_or(customer)
}

/// The ids that are one customer with `survivor`, itself first.
pub fn origins(subjects: &Subjects, survivor: CustomerId) -> Vec<CustomerId> {
    let mut losers: Vec<CustomerId> =
        subjects.iter().filter(|(_, s)| s.survivor == Some(survivor)).map(|(id, _)| *id).collect();
    losers.sort_unstable();
    losers.insert(0, survivor);
    losers
}

/// Points `customer` where identity says that it belongs, unless something newer is known. Whoever identity names
/// stands, as of the same place in the feed.
pub fn point(subjects: &mut Subjects, customer: CustomerId, answer: Resolved) {
    set(subjects, answer.customer, None, answer.at);
    let target = follow(subjects, answer.customer);
    if customer != answer.customer {
        set(subjects, customer, Some(target).filter(|target| *target != customer), answer.at);
    }
}

fn set(subjects: &mut Subjects, customer: CustomerId, survivor: Option<CustomerId>, at: Position) {
    let subject = subjects.entry(customer).or_default();
    if at > subject.moved_at && !subject.erased {
        subject.survivor = survivor;
        subject.moved_at = at;
    }
}

/// Notes that something was taken out of `from`; gives everyone on whom rows may lie that belong elsewhere: also those
/// who were taken out, if the merge that had brought them together was never seen here.
pub fn open(subjects: &mut Subjects, split: &Split, at: Position) -> Vec<CustomerId> {
    let named = [split.from, split.to].into_iter().chain(split.customers.iter().copied());
    let mut sources: Vec<CustomerId> = named.flat_map(|id| [id, follow(subjects, id)]).collect();
    sources.sort_unstable();
    sources.dedup();
    for source in &sources {
        let subject = subjects.entry(*source).or_default();
        subject.split_at = subject.split_at.max(at);
    }
    sources
}

/// What decides where a row of a customer who was split belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Thread {
    /// The source record: it moves if the news names it.
    Record(Id<id::Record>),
    /// The reference with which it arrived: it goes where identity says that this leads.
    Reference,
}

impl Thread {
    /// By which thread a row hangs.
    pub const fn of(arrival: &Arrival) -> Self {
        match arrival.record {
            Some(record) => Self::Record(record),
            None => Self::Reference,
        }
    }
}

/// The ids whose rows lie elsewhere than where they belong, with where they belong.
pub fn strays(subjects: &Subjects) -> Vec<(CustomerId, CustomerId)> {
    let mut strays: Vec<_> = subjects.iter().filter_map(|(id, s)| s.survivor.map(|to| (*id, to))).collect();
    strays.sort_unstable();
    strays
}

/// The newest place in the feed that `news` comes from.
pub fn newest(news: &[(Position, News)]) -> Position {
    news.iter().map(|(at, _)| *at).max().unwrap_or_default()
}
