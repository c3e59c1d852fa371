//! What is known of one customer, as a decision reads it.

use std::{collections::BTreeMap, sync::Arc};

use rules::Value;
use terms::{CustomerId, Id, Timestamp};

use crate::key::covers;

/// The id of a statement, `stmt_…`.
pub type StatementId = Id<terms::id::Statement>;
/// The id of a boundary, `bnd_…`.
pub type BoundaryId = Id<terms::id::Boundary>;
/// The id of a consent, `cns_…`.
pub type ConsentId = Id<terms::id::Consent>;
/// The id of a promise, `prm_…`.
pub type PromiseId = Id<terms::id::Promise>;

/// Everything that a decision may know of one customer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// Who it is; `None` for someone of whom nothing is known.
    pub customer: Option<CustomerId>,
    /// What identity knows.
    pub identity: Identity,
    /// What interaction knows.
    pub interaction: Interaction,
    /// What segmentation knows.
    pub segmentation: Segmentation,
    /// What could not be read.
    pub degraded: Degraded,
}

/// Which sections could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Degraded {
    /// Identity did not answer.
    pub identity: bool,
    /// Interaction did not answer.
    pub interaction: bool,
    /// Segmentation did not answer.
    pub segmentation: bool,
}

/// What identity knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Identity {
    /// Golden traits: a map.
    pub traits: Value,
    /// Namespaces of the identifiers.
    pub namespaces: Vec<String>,
    /// Of these, those with a verified identifier.
    pub verified_namespaces: Vec<String>,
    /// How sure it is that all of this is one party, 0 to 1.
    pub confidence: f64,
    /// Whether a match of this customer waits for review.
    pub contested: bool,
    /// Ids that lead to this customer.
    pub aliases: Vec<CustomerId>,
}

/// How sure of a contested identity one can be at most: a coin's toss.
pub const CONTESTED_CONFIDENCE: f64 = 0.5;

impl Identity {
    /// How sure the identity is, the review queue considered.
    pub fn confidence(&self) -> f64 {
        if self.contested { self.confidence.min(CONTESTED_CONFIDENCE) } else { self.confidence }
    }
}

/// What interaction knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Interaction {
    /// Current statements, sorted by topic.
    pub statements: Vec<Statement>,
    /// Boundaries.
    pub boundaries: Vec<Boundary>,
    /// Consents that stand, oldest first.
    pub consents: Vec<Consent>,
    /// Promises that are open or broken.
    pub promises: Vec<Promise>,
    /// Contact caps in use.
    pub budgets: Vec<Budget>,
    /// Interactions in all.
    pub count: i64,
    /// Of these, organic ones.
    pub organic_count: i64,
    /// Of these, inbound ones.
    pub inbound_count: i64,
    /// Of these, outbound ones.
    pub outbound_count: i64,
    /// The latest inbound one (event time).
    pub last_inbound_at: Option<Timestamp>,
}

impl Interaction {
    /// The statement on a topic, expired or not, by its place.
    pub fn statement(&self, topic: &str) -> Option<(usize, &Statement)> {
        let place = self.statements.binary_search_by(|s| (*s.topic).cmp(topic)).ok()?;
        Some((place, self.statements.get(place)?))
    }
}

/// What sort of thing a customer told us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementKind {
    /// A fact about them.
    #[default]
    Fact,
    /// What they like better.
    Preference,
    /// A job they want done, or an outcome by which they judge it.
    Need,
    /// What went wrong.
    Complaint,
    /// What went well.
    Praise,
    /// What they are going to do.
    Intent,
    /// What they will never accept.
    Boundary,
}

/// What a customer told us.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// Dotted topic.
    pub topic: Arc<str>,
    /// What they said.
    pub value: Value,
    /// What sort.
    pub kind: StatementKind,
    /// How sure, above 0 and up to 1.
    pub confidence: f64,
    /// From when on it no longer holds.
    pub valid_until: Option<Timestamp>,
    /// When it was said (event time).
    pub occurred_at: Timestamp,
    /// The interaction in which it was said, `int_…`; empty if none.
    pub source_interaction: String,
}

impl Statement {
    /// Whether it holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }
}

/// What the customer will never accept.
#[derive(Debug, Clone, PartialEq)]
pub struct Boundary {
    /// Its id.
    pub id: BoundaryId,
    /// What it forbids.
    pub scope: Scope,
    /// From when on it no longer holds.
    pub valid_until: Option<Timestamp>,
    /// The customer's own words.
    pub words: String,
    /// The statement that goes with it.
    pub statement: Option<StatementId>,
    /// When it was set (event time).
    pub occurred_at: Timestamp,
}

/// What a boundary forbids. An empty list covers everything of that dimension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Dotted topics; each covers those below it.
    pub topics: Vec<String>,
    /// Channels.
    pub channels: Vec<String>,
    /// Purposes.
    pub purposes: Vec<String>,
    /// Tags of treatments.
    pub treatment_tags: Vec<String>,
    /// All contact and every treatment.
    pub everything: bool,
}

/// What something is about, to be held against scopes and consents.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// Why.
    pub purpose: &'a str,
    /// How; empty: on no channel that needs permission.
    pub channel: &'a str,
    /// Of what.
    pub topics: &'a [String],
    /// Marked how.
    pub tags: &'a [String],
}

impl Scope {
    /// Whether it forbids this.
    pub fn covers(&self, about: &About<'_>) -> bool {
        let exact = |list: &[String], key: &str| list.is_empty() || list.iter().any(|k| k == key);
        let topic = |own: &String| about.topics.iter().any(|topic| covers(own, topic));
        let limited = !(self.topics.is_empty()
            && self.channels.is_empty()
            && self.purposes.is_empty()
            && self.treatment_tags.is_empty());
        (limited || self.everything)
            && (self.topics.is_empty() || self.topics.iter().any(topic))
            && exact(&self.channels, about.channel)
            && exact(&self.purposes, about.purpose)
            && (self.treatment_tags.is_empty() || about.tags.iter().any(|tag| self.treatment_tags.contains(tag)))
    }
}

/// What was said about a purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentState {
    /// Agreed.
    Granted,
    /// An agreement was taken back.
    Withdrawn,
    /// Said no.
    Denied,
}

/// The basis of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Consent.
    Consent,
    /// Contract, legal obligation, vital interest, public task.
    Other,
    /// A legitimate interest.
    LegitimateInterest,
}

/// A consent.
#[derive(Debug, Clone, PartialEq)]
pub struct Consent {
    /// Its id.
    pub id: ConsentId,
    /// For what.
    pub purpose: String,
    /// On which channel; empty: every one.
    pub channel: String,
    /// On which topic; empty: every one.
    pub topic: String,
    /// What was said.
    pub state: ConsentState,
    /// On what basis.
    pub basis: Basis,
    /// From when it holds.
    pub valid_from: Option<Timestamp>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
}

impl Consent {
    /// Whether it is about this purpose, channel and topic.
    pub fn covers(&self, purpose: &str, channel: &str, topic: &str) -> bool {
        self.purpose == purpose
            && (self.channel.is_empty() || self.channel == channel)
            && (self.topic.is_empty() || covers(&self.topic, topic))
    }

    /// Whether it holds: expired consent is no consent.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.valid_from.is_none_or(|from| from <= now) && self.valid_until.is_none_or(|until| now < until)
    }
}

/// A promise that is open or was broken.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// Its id.
    pub id: PromiseId,
    /// When it is due; an open one past this is broken.
    pub due_at: Option<Timestamp>,
    /// Whether it was broken.
    pub broken: bool,
    /// Dotted topic.
    pub topic: String,
    /// What was promised.
    pub text: String,
}

impl Promise {
    /// Whether it is broken by now.
    pub fn is_broken(&self, now: Timestamp) -> bool {
        self.broken || self.due_at.is_some_and(|due| due <= now)
    }
}

/// How much of one contact cap is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Channel; empty: all together.
    pub channel: String,
    /// Purpose; empty: all together.
    pub purpose: String,
    /// Most contacts within the window.
    pub max_contacts: i32,
    /// The sliding window, in microseconds.
    pub window_micros: i64,
    /// When contacts were sent or reserved, oldest first.
    pub used_at: Vec<Timestamp>,
}

impl Budget {
    /// Whether nothing is left for this purpose and channel.
    pub fn is_spent(&self, purpose: &str, channel: &str, now: Timestamp) -> bool {
        let mine = (self.channel.is_empty() || self.channel == channel)
            && (self.purpose.is_empty() || self.purpose == purpose);
        let from = Timestamp(now.0.saturating_sub(self.window_micros));
        let used = self.used_at.iter().filter(|at| **at > from).count();
        mine && used >= usize::try_from(self.max_contacts).unwrap_or(0)
    }
}

/// What segmentation knows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Segmentation {
    /// Names of the segments, sorted.
    pub segments: Vec<String>,
    /// Computed traits: a map.
    pub traits: Value,
    /// What the customer is worth: a map.
    pub value: Value,
    /// What the customer needs, the greatest opportunity first.
    pub needs: Vec<Need>,
    /// The same as rules read it: a map.
    pub needs_attributes: Value,
}

/// A need as segmentation worked it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// Key of the job.
    pub job: String,
    /// Key of the outcome; empty: the job as a whole.
    pub outcome: String,
    /// Importance + max(importance − satisfaction, 0), 0 to 20.
    pub opportunity: f64,
}

/// Finds what lies at `parts` below a map. A name may itself hold dots: golden traits have dotted keys.
pub fn look_up<'v>(value: &'v Value, parts: &[Arc<str>]) -> Option<&'v Value> {
    let Value::Map(map) = value else { return None };
    look_up_in(map, parts)
}

fn look_up_in<'v>(map: &'v BTreeMap<Arc<str>, Value>, parts: &[Arc<str>]) -> Option<&'v Value> {
    let (first, rest) = parts.split_first()?;
    if rest.is_empty() {
        return map.get(first);
    }
    if let Some(Value::Map(inner)) = map.get(first)
        && let Some(found) = look_up_in(inner, rest)
    {
        return Some(found);
    }
    let joined = parts.iter().map(|part| &**part).collect::<Vec<_>>().join(".");
    map.get(joined.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about<'a>(topics: &'a [String], tags: &'a [String]) -> About<'a> {
        About { purpose: "marketing", channel: "email", topics, tags }
    }

    #[test]
    fn a_scope_covers_where_all_its_dimensions_do() {
        let (topics, tags) = (vec!["alcohol.wine".to_owned()], vec!["loud".to_owned()]);
        let list = |text: &str| vec![text.to_owned()];
        let covers = |scope: Scope| scope.covers(&about(&topics, &tags));
        assert!(covers(Scope { topics: list("alcohol"), ..Scope::default() }));
        assert!(!covers(Scope { topics: list("alcohol.beer"), ..Scope::default() }));
        assert!(covers(Scope { treatment_tags: list("loud"), channels: list("email"), ..Scope::default() }));
        assert!(!covers(Scope { treatment_tags: list("loud"), channels: list("sms"), ..Scope::default() }));
        assert!(covers(Scope { everything: true, ..Scope::default() }));
        assert!(!covers(Scope::default()), "a scope of nothing forbids nothing");
    }

    #[test]
    fn traits_may_have_dotted_keys() {
        let inner: Value = [("city", "Oslo")].into_iter().collect();
        let traits: Value = [("address", inner), ("a.b", Value::from(1.0))].into_iter().collect();
        let parts = |text: &str| text.split('.').map(Arc::from).collect::<Vec<_>>();
        assert_eq!(look_up(&traits, &parts("address.city")), Some(&"Oslo".into()));
        assert_eq!(look_up(&traits, &parts("a.b")), Some(&1.0.into()));
        assert_eq!(look_up(&traits, &parts("address.street")), None);
    }

    #[test]
    fn a_budget_slides() {
        let budget = Budget {
            channel: "email".into(),
            purpose: String::new(),
            max_contacts: 2,
            window_micros: 10,
            used_at: vec![Timestamp(1), Timestamp(5), Timestamp(9)],
        };
        assert!(budget.is_spent("marketing", "email", Timestamp(14)));
        assert!(!budget.is_spent("marketing", "email", Timestamp(15)), "that of 5 has left the window");
        assert!(!budget.is_spent("marketing", "sms", Timestamp(10)));
    }
}
