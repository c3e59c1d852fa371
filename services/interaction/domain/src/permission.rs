//! The permission algebra: what may be said to one customer.
//!
//! Boundary over withdrawn consent over denied consent over granted consent over another lawful basis over legitimate
//! interest over transactional purpose over nothing; expired consent is no consent. A pure function of what stands, so
//! the answer does not depend on the order in which things arrived, and on a merge (the union of what both said) the
//! strictest wins.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use terms::Timestamp;

use crate::{
    boundary::{Boundary, BoundaryId},
    consent::{Consent, ConsentId, ConsentState, LawfulBasis, standing},
    interaction::codes,
    key::covers,
};

/// The purpose that needs no consent, and those below it (`transactional.receipt`).
pub const TRANSACTIONAL: &str = "transactional";
/// The purposes of which every customer is told, also with nothing on record.
pub const PURPOSES: [&str; 4] = ["marketing", "research", "service", TRANSACTIONAL];
/// The most permissions in one answer.
pub const PERMISSIONS_MAX: usize = 1_000;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The purpose.
    pub purpose: &'a str,
    /// The channel; empty: any without an entry of its own.
    pub channel: &'a str,
    /// The topic; empty: any without an entry of its own.
    pub topic: &'a str,
    /// Tags of the treatment, if it is about one.
    pub tags: &'a [String],
    /// When.
    pub at: Timestamp,
}

codes! {
    /// The rule that decided, strongest first.
    Rule {
        /// A boundary forbids it.
        Boundary = 1 "boundary",
        /// Consent was withdrawn.
        ConsentWithdrawn = 2 "consent_withdrawn",
        /// Consent was denied.
        ConsentDenied = 3 "consent_denied",
        /// Consent was granted and holds.
        ConsentGranted = 4 "consent_granted",
        /// Contract, legal obligation or another basis beside consent.
        LawfulBasis = 5 "lawful_basis",
        /// A legitimate interest was recorded.
        LegitimateInterest = 6 "legitimate_interest",
        /// A transactional purpose needs no consent.
        Transactional = 7 "transactional",
        /// A consent was there and has expired.
        ConsentExpired = 8 "consent_expired",
        /// Nothing is on record.
        None = 9 "none",
    }
}

impl Rule {
    /// Whether what it decides is allowed.
    pub const fn allows(self) -> bool {
        matches!(self, Self::ConsentGranted | Self::LawfulBasis | Self::LegitimateInterest | Self::Transactional)
    }
}

/// Whether something may be said, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// The purpose.
    pub purpose: String,
    /// The channel; empty: any without an entry of its own.
    pub channel: String,
    /// The topic; empty: any without an entry of its own.
    pub topic: String,
    /// The rule that decided.
    pub rule: Rule,
    /// The consent that decided.
    pub consent: Option<ConsentId>,
    /// The boundary that decided.
    pub boundary: Option<BoundaryId>,
    /// When the answer may change by the clock alone.
    pub valid_until: Option<Timestamp>,
}

impl Permission {
    /// The same in one sentence.
    pub fn explanation(&self) -> String {
        let consent = || self.consent.map_or_else(String::new, |id| id.to_string());
        match self.rule {
            Rule::Boundary => {
                format!("The boundary {} forbids it.", self.boundary.map_or_else(String::new, |id| id.to_string()))
            }
            Rule::ConsentWithdrawn => format!("The consent was withdrawn ({}).", consent()),
            Rule::ConsentDenied => format!("The consent was denied ({}).", consent()),
            Rule::ConsentGranted => format!("The consent was granted and holds ({}).", consent()),
            Rule::LawfulBasis => format!("A lawful basis beside consent is on record ({}).", consent()),
            Rule::LegitimateInterest => format!("A legitimate interest is on record ({}).", consent()),
            Rule::Transactional => "A transactional purpose needs no consent.".to_owned(),
            Rule::ConsentExpired => format!("The consent has expired ({}); expired consent is no consent.", consent()),
            Rule::None => "Nothing is on record: not allowed.".to_owned(),
        }
    }
}

/// Decides `ask` over the customer's boundaries and the consents that stand (see [`standing`]).
pub fn decide(ask: &Ask<'_>, boundaries: &[Boundary], standing: &[&Consent]) -> Permission {
    let about: Vec<&&Consent> = standing.iter().filter(|c| c.covers(ask)).collect();
    let limits: Vec<&Boundary> = boundaries.iter().filter(|b| b.scope.covers(ask)).collect();
    let boundary = limits.iter().find(|b| b.holds(ask.at)).map(|b| b.id);
    // Of several that say the same, the latest is named.
    let consent = |fits: &dyn Fn(&Consent) -> bool| about.iter().rev().find(|c| fits(c)).map(|c| c.id);
    let said = |state| consent(&|c: &Consent| c.state == state && c.valid(ask.at));
    let granted = |fits: fn(LawfulBasis) -> bool| {
        consent(&|c: &Consent| c.state == ConsentState::Granted && fits(c.basis) && c.valid(ask.at))
    };
    let rules = [
        (Rule::ConsentWithdrawn, said(ConsentState::Withdrawn)),
        (Rule::ConsentDenied, said(ConsentState::Denied)),
        (Rule::ConsentGranted, granted(|basis| basis == LawfulBasis::Consent)),
        (Rule::LawfulBasis, granted(|basis| !matches!(basis, LawfulBasis::Consent | LawfulBasis::LegitimateInterest))),
        (Rule::LegitimateInterest, granted(|basis| basis == LawfulBasis::LegitimateInterest)),
    ];
    let by_consent = rules.into_iter().find_map(|(rule, consent)| consent.map(|id| (rule, Some(id))));
    let (rule, consent) = if boundary.is_some() {
        (Rule::Boundary, None)
    } else if let Some(found) = by_consent {
        found
    } else if covers(TRANSACTIONAL, ask.purpose) {
        (Rule::Transactional, None)
    } else {
        match consent(&|c: &Consent| c.state == ConsentState::Granted && c.expired(ask.at)) {
            Some(id) => (Rule::ConsentExpired, Some(id)),
            None => (Rule::None, None),
        }
    };
    let turns =
        about.iter().flat_map(|c| [Some(c.valid_from), c.valid_until]).chain(limits.iter().map(|b| b.valid_until));
    Permission {
        purpose: ask.purpose.to_owned(),
        channel: ask.channel.to_owned(),
        topic: ask.topic.to_owned(),
        rule,
        consent,
        boundary,
        valid_until: turns.flatten().filter(|turn| *turn > ask.at).min(),
    }
}

/// Which permissions are wanted; an empty text asks for everything on record.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Only this purpose.
    pub purpose: &'a str,
    /// Only this channel.
    pub channel: &'a str,
    /// For this topic.
    pub topic: &'a str,
    /// When.
    pub at: Timestamp,
}

/// Every permission that is wanted: for each purpose the general one, and one for each channel, topic or pair of them
/// on record that may differ. At most [`PERMISSIONS_MAX`].
pub fn effective(wanted: &Wanted<'_>, boundaries: &[Boundary], consents: &[Consent]) -> Vec<Permission> {
    let standing = standing(consents, wanted.at);
    let limits: Vec<&Boundary> = boundaries.iter().filter(|b| b.holds(wanted.at)).collect();
    let mut purposes: BTreeSet<&str> = BTreeSet::new();
    if wanted.purpose.is_empty() {
        purposes.extend(PURPOSES);
        purposes.extend(standing.iter().map(|c| c.purpose.as_str()));
        purposes.extend(limits.iter().flat_map(|b| b.scope.purposes.iter().map(String::as_str)));
    } else {
        purposes.insert(wanted.purpose);
    }
    let places = places(wanted, &limits, &standing);
    let asks = purposes.iter().flat_map(|purpose| {
        places.iter().map(|(channel, topic)| Ask { purpose, channel, topic, tags: &[], at: wanted.at })
    });
    asks.take(PERMISSIONS_MAX).map(|ask| decide(&ask, boundaries, &standing)).collect()
}

/// The channels and topics for which there may be an answer of its own.
fn places<'a>(wanted: &Wanted<'a>, limits: &[&'a Boundary], standing: &[&'a Consent]) -> BTreeSet<(&'a str, &'a str)> {
    let mut places = BTreeSet::from([(wanted.channel, wanted.topic)]);
    let mut add = |channel: &'a str, topic: &'a str| {
        let channel = if wanted.channel.is_empty() { channel } else { wanted.channel };
        let topic = if wanted.topic.is_empty() { topic } else { wanted.topic };
        if places.len() < PERMISSIONS_MAX {
            places.extend([(channel, topic), (channel, wanted.topic), (wanted.channel, topic)]);
        }
    };
    for consent in standing {
        add(&consent.channel, &consent.topic);
    }
    for limit in limits {
        let or_any = |list: &'a [String]| {
            let any = list.is_empty().then_some("");
            list.iter().map(String::as_str).chain(any).collect::<Vec<_>>()
        };
        for channel in or_any(&limit.scope.channels) {
            for topic in or_any(&limit.scope.topics) {
                add(channel, topic);
            }
        }
    }
    places
}
