//! A customer as all sources together describe them.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use terms::{CustomerId, Identifier, Timestamp};

use crate::{
    golden::Golden,
    record::{Claim, RecordId},
    view::CustomerState,
};

/// What sort of party a customer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A natural person.
    #[default]
    Person,
    /// People who live and decide together.
    Household,
    /// A company, an authority or an association.
    Organization,
}

impl Kind {
    /// The name in filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Household => "household",
            Self::Organization => "organization",
        }
    }
}

/// A golden trait with its provenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraitValue {
    /// The trait.
    pub name: String,
    /// The value that holds.
    pub value: Value,
    /// The source that said it.
    pub source: String,
    /// The record that said it.
    pub record: RecordId,
    /// When the source saw it (event time).
    pub observed_at: Timestamp,
    /// The survivorship rule that chose it, with what it beat.
    pub why_it_won: String,
}

/// An identifier of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerIdentifier {
    /// Namespace and normalised value.
    pub identifier: Identifier,
    /// The value as the source gave it.
    pub raw_value: String,
    /// Whether some source has proof that the customer controls it.
    pub verified: bool,
    /// The earliest observation (event time).
    pub first_seen: Timestamp,
    /// The latest observation (event time).
    pub last_seen: Timestamp,
    /// The source that brought it.
    pub source: String,
    /// Whether it is shared, and so leads to nobody by itself.
    pub shared: bool,
    /// Whether it does not lead to this customer: a guard refused the link, or it moved to another one.
    pub demoted: bool,
}

/// An edge of one of the customer's records, with what is to be known of both its ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced {
    /// The record's source.
    pub source: String,
    /// The edge.
    pub claim: Claim,
    /// Whether the identifier leads to the customer.
    pub leads: bool,
    /// Whether it is shared.
    pub shared: bool,
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// What sort of party.
    pub kind: Kind,
    /// Golden traits by name.
    pub traits: Vec<TraitValue>,
    /// By namespace, then value.
    pub identifiers: Vec<CustomerIdentifier>,
    /// Ids that were merged into this one, oldest first.
    pub aliases: Vec<CustomerId>,
    /// How sure it is that all of this is one party, 0 to 1.
    pub confidence: f64,
    /// Number of records behind it.
    pub record_count: u32,
    /// When it was created (record time).
    pub created_at: Timestamp,
    /// When it last changed (record time).
    pub updated_at: Timestamp,
    /// Counts its changes.
    pub version: i64,
}

impl Customer {
    /// Puts a customer together from its state, the edges of its records and its aliases.
    pub fn assemble(state: CustomerState, claims: Vec<Sourced>, mut aliases: Vec<CustomerId>) -> Self {
        aliases.sort_unstable();
        let Golden { traits, kind, .. } = state.golden;
        let traits = traits
            .into_iter()
            .map(|(name, winner)| TraitValue {
                why_it_won: winner.why(),
                name,
                value: winner.value,
                source: winner.origin.source,
                record: winner.origin.record,
                observed_at: winner.origin.observed_at,
            })
            .collect();
        Self {
            id: state.id,
            kind: kind.map_or(Kind::default(), |k| k.value),
            traits,
            identifiers: identifiers(claims),
            aliases,
            confidence: state.confidence,
            record_count: state.record_count,
            created_at: state.created_at,
            updated_at: state.updated_at,
            version: state.version,
        }
    }

    /// The etag of this state.
    pub fn etag(&self) -> String {
        etag(self.version, self.updated_at)
    }
}

/// Tells states of one customer apart.
pub(crate) fn etag(version: i64, updated_at: Timestamp) -> String {
    format!("{version:x}-{:x}", updated_at.micros())
}

/// Joins the claims of several records on one identifier: seen first and last by any, verified by any, brought by the
/// record that claimed it first; of those that came in one transaction, by the one that was observed first.
fn identifiers(mut claims: Vec<Sourced>) -> Vec<CustomerIdentifier> {
    fn order(of: &Sourced) -> impl Ord + '_ {
        (&of.claim.identifier, of.claim.created_at, of.claim.first_seen, &of.source)
    }
    claims.sort_by(|a, b| order(a).cmp(&order(b)));
    let mut joined: Vec<CustomerIdentifier> = Vec::with_capacity(claims.len());
    for Sourced { source, claim, leads, shared } in claims {
        let verified = claim.is_verified();
        match joined.last_mut() {
            Some(known) if known.identifier == claim.identifier => {
                known.verified |= verified;
                known.first_seen = known.first_seen.min(claim.first_seen);
                known.last_seen = known.last_seen.max(claim.last_seen);
            }
            _ => joined.push(CustomerIdentifier {
                identifier: claim.identifier,
                raw_value: claim.raw_value,
                verified,
                first_seen: claim.first_seen,
                last_seen: claim.last_seen,
                source,
                shared,
                demoted: !leads,
            }),
        }
    }
    joined
}
