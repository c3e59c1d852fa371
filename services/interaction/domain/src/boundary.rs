//! What a customer will never accept: their own words and a scope.

use serde::{Deserialize, Serialize};
use terms::{CustomerId, Id, Timestamp, Violations, id};

use crate::{
    arrival::Arrival,
    interaction::InteractionId,
    key::{KEY_MAX, TOPIC_MAX, check_key, covers},
    permission::Ask,
    statement::{Ending, StatementId, etag},
};

/// The id of a boundary, `bnd_…`.
pub type BoundaryId = Id<id::Boundary>;

/// The most entries in one list of a scope.
pub const SCOPE_LIST_MAX: usize = 64;

/// What a boundary forbids. An empty list covers everything of its dimension; all four must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// Dotted topics; each covers those below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<String>,
    /// Channels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// Purposes; empty covers the transactional ones too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<String>,
    /// Tags of treatments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub treatment_tags: Vec<String>,
    /// Said aloud for a scope without any list: no contact and no treatment at all.
    pub everything: bool,
}

impl Scope {
    /// One topic and those below it, for every purpose and channel.
    pub fn topic(topic: &str) -> Self {
        Self { topics: vec![topic.to_owned()], ..Self::default() }
    }

    fn lists(&self) -> [(&'static str, &Vec<String>, usize); 4] {
        [
            ("topics", &self.topics, TOPIC_MAX),
            ("channels", &self.channels, KEY_MAX),
            ("purposes", &self.purposes, KEY_MAX),
            ("treatment_tags", &self.treatment_tags, KEY_MAX),
        ]
    }

    /// Notes what is wrong with it.
    pub fn check(&self, wrong: &mut Violations, field: &str) {
        for (name, list, max) in self.lists() {
            if list.len() > SCOPE_LIST_MAX {
                wrong.add(
                    format!("{field}.{name}"),
                    format!("has {} entries; at most {SCOPE_LIST_MAX} are taken", list.len()),
                );
            }
            for (i, key) in list.iter().enumerate().take(SCOPE_LIST_MAX) {
                check_key(wrong, &format!("{field}.{name}[{i}]"), key, max);
            }
        }
        let empty = self.lists().iter().all(|(_, list, _)| list.is_empty());
        if empty && !self.everything {
            wrong.add(
                field,
                "names no topic, channel, purpose or treatment tag; set `everything` to forbid all contact",
            );
        }
        if !empty && self.everything {
            wrong.add(format!("{field}.everything"), "contradicts the lists beside it; leave it or them out");
        }
    }

    /// Whether it forbids what is asked.
    pub fn covers(&self, ask: &Ask<'_>) -> bool {
        let exact = |list: &[String], key: &str| list.is_empty() || list.iter().any(|k| k == key);
        (self.topics.is_empty() || self.topics.iter().any(|topic| covers(topic, ask.topic)))
            && exact(&self.channels, ask.channel)
            && exact(&self.purposes, ask.purpose)
            && (self.treatment_tags.is_empty() || ask.tags.iter().any(|tag| self.treatment_tags.contains(tag)))
    }

    /// The topic of the statement that goes with a boundary of this scope: its first topic, or a key below `boundary`
    /// that names what it is about.
    pub fn statement_topic(&self) -> String {
        let below = |dimension: &str, list: &[String]| list.first().map(|key| format!("boundary.{dimension}.{key}"));
        self.topics
            .first()
            .cloned()
            .or_else(|| below("channel", &self.channels))
            .or_else(|| below("purpose", &self.purposes))
            .or_else(|| below("treatment", &self.treatment_tags))
            .unwrap_or_else(|| "boundary.everything".to_owned())
    }
}

/// A boundary as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boundary {
    /// Its id.
    pub id: BoundaryId,
    /// The customer to whom it belongs now.
    pub customer: CustomerId,
    /// How it came in.
    pub arrival: Arrival,
    /// The customer's own words.
    pub words: String,
    /// What it forbids.
    pub scope: Scope,
    /// The statement that goes with it.
    pub statement: Option<StatementId>,
    /// The interaction in which it was set.
    pub source_interaction: Option<InteractionId>,
    /// The system that reported it; may be empty.
    pub source: String,
    /// Event time.
    pub occurred_at: Timestamp,
    /// Record time.
    pub recorded_at: Timestamp,
    /// Until when it holds; otherwise until lifted.
    pub valid_until: Option<Timestamp>,
    /// When and why it was lifted.
    pub lifted: Option<Ending>,
}

impl Boundary {
    /// Whether it holds at `at`. One that was set before it was said (a late arrival) holds from when it was said.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.occurred_at <= at
            && self.valid_until.is_none_or(|until| at < until)
            && self.lifted.as_ref().is_none_or(|lifted| at < lifted.at)
    }

    /// An opaque tag that changes with every change.
    pub fn etag(&self) -> String {
        etag(self.lifted.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask<'a>(purpose: &'a str, channel: &'a str, topic: &'a str, tags: &'a [String]) -> Ask<'a> {
        Ask { purpose, channel, topic, tags, at: Timestamp(0) }
    }

    #[test]
    fn every_dimension_must_match_and_an_empty_one_does() {
        let alcohol = Scope::topic("alcohol");
        assert!(alcohol.covers(&ask("transactional", "email", "alcohol.wine", &[])));
        assert!(!alcohol.covers(&ask("marketing", "email", "", &[])));
        let tag = ["dark_pattern".to_owned()];
        let both =
            Scope { channels: vec!["sms".into()], treatment_tags: vec!["dark_pattern".into()], ..Scope::default() };
        assert!(both.covers(&ask("marketing", "sms", "x", &tag)));
        assert!(
            !both.covers(&ask("marketing", "sms", "x", &[])) && !both.covers(&ask("marketing", "email", "x", &tag))
        );
        assert!(Scope { everything: true, ..Scope::default() }.covers(&ask("transactional", "", "", &[])));
    }

    #[test]
    fn a_scope_says_something_and_only_one_thing() {
        let faults = |scope: &Scope| {
            let mut wrong = Violations::new();
            scope.check(&mut wrong, "scope");
            wrong.done().err().map_or(0, |fault| fault.violations().len())
        };
        assert_eq!(faults(&Scope::default()), 1);
        assert_eq!(faults(&Scope { everything: true, ..Scope::topic("x") }), 1);
        assert_eq!(faults(&Scope::topic("Not A Key")), 1);
        assert_eq!(faults(&Scope::topic("alcohol")) + faults(&Scope { everything: true, ..Scope::default() }), 0);
    }

    #[test]
    fn the_statement_beside_it_has_a_topic() {
        assert_eq!(Scope::topic("alcohol").statement_topic(), "alcohol");
        let sms = Scope { channels: vec!["sms".into()], ..Scope::default() };
        assert_eq!(sms.statement_topic(), "boundary.channel.sms");
        assert_eq!(Scope { everything: true, ..Scope::default() }.statement_topic(), "boundary.everything");
    }
}
