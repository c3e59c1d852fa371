//! What a customer agreed to, took back or refused, and on what other basis they may be addressed.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use terms::{CustomerId, Id, Timestamp, id};

use crate::{
    arrival::Arrival,
    interaction::{InteractionId, codes},
    key::covers,
    permission::Ask,
};

/// The id of a consent, `cns_…`.
pub type ConsentId = Id<id::Consent>;

codes! {
    /// What was said about a purpose.
    ConsentState {
        /// The customer agreed, or another basis applies.
        Granted = 1 "granted",
        /// The customer took it back, or objected.
        Withdrawn = 2 "withdrawn",
        /// The customer was asked and said no.
        Denied = 3 "denied",
    }
}

codes! {
    /// Lawful bases of processing (GDPR, article 6).
    LawfulBasis {
        /// Consent.
        Consent = 1 "consent",
        /// Performance of a contract.
        Contract = 2 "contract",
        /// Legal obligation.
        LegalObligation = 3 "legal obligation",
        /// Vital interest.
        VitalInterest = 4 "vital interest",
        /// Public task.
        PublicTask = 5 "public task",
        /// Legitimate interest.
        LegitimateInterest = 6 "legitimate interest",
    }
}

/// A consent, a withdrawal or another lawful basis, as recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    /// Its id.
    pub id: ConsentId,
    /// The customer to whom it belongs now.
    pub customer: CustomerId,
    /// How it came in.
    pub arrival: Arrival,
    /// The purpose; matched exactly.
    pub purpose: String,
    /// The channel; empty: every channel.
    pub channel: String,
    /// The dotted topic; covers those below it. Empty: every topic.
    pub topic: String,
    /// What was said.
    pub state: ConsentState,
    /// On what basis.
    pub basis: LawfulBasis,
    /// Where it was given.
    pub source: String,
    /// Proof: the wording shown, or where it is kept; may be empty.
    pub evidence: String,
    /// The interaction in which it was given.
    pub source_interaction: Option<InteractionId>,
    /// From when it holds.
    pub valid_from: Timestamp,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
    /// Event time.
    pub occurred_at: Timestamp,
    /// Record time.
    pub recorded_at: Timestamp,
    /// The ids that were one customer when it was recorded: for whom it spoke. It supersedes what came in under these,
    /// so that an old denial of a customer who was merged in later still counts (the strictest wins), while the same
    /// person can change their mind after the merge.
    pub speaks_for: Vec<CustomerId>,
}

impl Consent {
    /// Whether it is about what is asked.
    pub fn covers(&self, ask: &Ask<'_>) -> bool {
        self.purpose == ask.purpose
            && (self.channel.is_empty() || self.channel == ask.channel)
            && (self.topic.is_empty() || covers(&self.topic, ask.topic))
    }

    /// Whether `at` lies within its validity: expired consent is no consent.
    pub fn valid(&self, at: Timestamp) -> bool {
        self.valid_from <= at && self.valid_until.is_none_or(|until| at < until)
    }

    /// Whether its validity was over before `at`.
    pub fn expired(&self, at: Timestamp) -> bool {
        self.valid_until.is_some_and(|until| until <= at)
    }

    /// Whether it says no.
    pub fn refuses(&self) -> bool {
        self.state != ConsentState::Granted
    }

    fn key(&self) -> (&str, &str, &str) {
        (&self.purpose, &self.channel, &self.topic)
    }

    /// Whether `self` takes the place of `older`, once it holds: said later, by someone who then spoke for whoever said
    /// `older`, about the same purpose, channel and topic. Only the customer's own consent lifts a refusal: another
    /// lawful basis that the enterprise records does not.
    fn supersedes(&self, older: &Self) -> bool {
        (self.occurred_at, self.id) > (older.occurred_at, older.id)
            && self.key() == older.key()
            && (self.arrival.addressed == older.arrival.addressed || self.speaks_for.contains(&older.arrival.addressed))
            && (self.refuses() || self.basis == LawfulBasis::Consent || (!older.refuses() && older.basis == self.basis))
    }
}

/// The consents of one customer that stand at `at`: said by then, and not superseded by one that holds from then or
/// before. In the order of event time. Several may stand on one purpose, channel and topic: the strictest decides.
pub fn standing(consents: &[Consent], at: Timestamp) -> Vec<&Consent> {
    let mut by_key: HashMap<(&str, &str, &str), Vec<&Consent>> = HashMap::new();
    for consent in consents.iter().filter(|c| c.occurred_at <= at) {
        by_key.entry(consent.key()).or_default().push(consent);
    }
    let mut standing: Vec<&Consent> = by_key
        .values()
        .flat_map(|said| {
            said.iter().filter(|older| !said.iter().any(|newer| newer.valid_from <= at && newer.supersedes(older)))
        })
        .copied()
        .collect();
    standing.sort_by_key(|c| (c.occurred_at, c.id));
    standing
}
