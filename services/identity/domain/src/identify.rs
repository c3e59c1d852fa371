//! `Identify`: finds or creates the customer that one source record describes, and merges customers that the record
//! proves to be one.

mod decide;
mod link;
mod sharing;
#[cfg(test)]
mod tests;
mod verdict;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use terms::{Fault, Identifier, Reason, Timestamp, Violations};

pub use self::{
    decide::decide,
    verdict::{Evidence, Guard, Identified, MatchReason, Refusal},
};
use crate::{
    customer::Kind,
    name,
    normalise::read,
    policy::{Policy, Strategy},
    record::{RecordKey, SourceKey},
    view::{CustomerState, Node, View},
};

/// How many identifiers a record may carry.
pub const MAX_IDENTIFIERS: usize = 64;
/// How many traits a record may carry.
pub const MAX_TRAITS: usize = 256;
/// How many bytes the traits of a record may take, roughly as JSON.
pub const MAX_TRAIT_BYTES: usize = 64 * 1024;
/// How long a source's key may be, in bytes.
pub const MAX_SOURCE_RECORD_ID: usize = 256;
/// How far ahead a source's clock may be.
pub const MAX_AHEAD: Duration = Duration::from_secs(5 * 60);

/// A unique identifier is certain by policy.
pub const CERTAIN: f64 = 1.0;

/// An identifier as a source claims it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimInput {
    /// Its namespace.
    pub namespace: String,
    /// Its value, as the source gives it.
    pub value: String,
    /// Whether the source has proof that the customer controls it, if it says so.
    pub verified: Option<bool>,
}

/// A source record as it came.
#[derive(Debug, Clone, Default)]
pub struct IdentifyInput {
    /// The system that speaks.
    pub source: String,
    /// Its key of the record; empty if it has none.
    pub source_record_id: String,
    /// What the record claims.
    pub identifiers: Vec<ClaimInput>,
    /// What the record says; null withdraws.
    pub traits: Vec<(String, Value)>,
    /// When the source saw it; `None`: now.
    pub observed_at: Option<Timestamp>,
    /// What sort of party, if it says so.
    pub kind: Option<Kind>,
    /// Whether to create a customer when none is found.
    pub create_if_missing: bool,
    /// Whether to decide without storing.
    pub validate_only: bool,
    /// Whether the record may be compared later: see [`Identify::defer_matching`].
    pub defer_matching: bool,
}

/// A claim whose identifier is normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedClaim {
    /// The identifier.
    pub identifier: Identifier,
    /// The value as given, without surrounding space.
    pub raw_value: String,
    /// Whether it is verified, if the source says so.
    pub verified: Option<bool>,
    /// Whether the value stands for no value: it is refused, and not kept.
    pub blocked: bool,
}

/// A source record that can be decided on.
#[derive(Debug, Clone)]
pub struct Identify {
    /// How the record is known again.
    pub key: RecordKey,
    /// What it claims; no identifier twice.
    pub claims: Vec<CheckedClaim>,
    /// What it says; null withdraws.
    pub traits: BTreeMap<String, Option<Value>>,
    /// When the source saw it.
    pub observed_at: Timestamp,
    /// What sort of party, if it says so.
    pub kind: Option<Kind>,
    /// Whether to create a customer when none is found.
    pub create_if_missing: bool,
    /// Whether to decide without storing.
    pub validate_only: bool,
    /// Whether the record, if it is new, may be compared with others later: in bulk, when the load that it is of is over.
    pub defer_matching: bool,
    /// The policy under which it came.
    pub policy: Arc<Policy>,
}

impl Identify {
    /// Checks and normalises what came.
    ///
    /// # Errors
    /// [`terms::Reason::InvalidFields`] with every wrong field; [`terms::Reason::NamespaceUnknown`];
    /// [`terms::Reason::IdentifiersRefused`] where every value is blocked and nothing else names the record.
    pub fn check(input: IdentifyInput, policy: &Arc<Policy>, now: Timestamp) -> Result<Self, Fault> {
        let mut wrong = Violations::new();
        wrong.take(name::check("source", &input.source));
        check_source_record_id(&input, &mut wrong);
        let claims = check_claims(&input.identifiers, policy, &mut wrong);
        let traits = check_traits(input.traits, &mut wrong);
        let observed_at = input.observed_at.unwrap_or(now);
        wrong.add_if(
            observed_at > now + MAX_AHEAD,
            "observed_at",
            "lies more than 5 minutes ahead; give the time at which the source saw it, or none: then it is the present",
        );
        wrong.done()?;
        let key = if input.source_record_id.is_empty() {
            let usable = claims.iter().filter(|claim| !claim.blocked);
            let mut identifiers: Vec<_> = usable.map(|claim| claim.identifier.clone()).collect();
            if identifiers.is_empty() {
                return Err(nothing_left(&claims));
            }
            identifiers.sort_unstable();
            SourceKey::Identifiers(identifiers)
        } else {
            SourceKey::Given(input.source_record_id)
        };
        Ok(Self {
            key: RecordKey { source: input.source, key },
            claims,
            traits,
            observed_at,
            kind: input.kind,
            create_if_missing: input.create_if_missing,
            validate_only: input.validate_only,
            defer_matching: input.defer_matching,
            policy: policy.clone(),
        })
    }

    /// What it claims and may prove something, with its place.
    pub fn usable(&self) -> impl Iterator<Item = (usize, &CheckedClaim)> {
        self.claims.iter().enumerate().filter(|(_, claim)| !claim.blocked)
    }

    /// The node by which the record is known again.
    ///
    /// A source's own key says so. Without one, the record is known by its identifiers; if all of these can change
    /// hands, by how often they did as well: what a session did under one customer stays with that one.
    pub fn record_node(&self, view: &View) -> Node {
        let SourceKey::Identifiers(identifiers) = &self.key.key else { return Node::Record(self.key.clone()) };
        let mut epochs: u32 = 0;
        for (_, claim) in self.usable() {
            let sharing = view.sharing(&claim.identifier);
            let unique = self.policy.rules(&claim.identifier.namespace).is_none_or(|rules| rules.unique);
            if unique && !sharing.is_some_and(|sharing| sharing.shared) {
                return Node::Record(self.key.clone());
            }
            epochs = epochs.saturating_add(sharing.map_or(0, |sharing| sharing.epoch));
        }
        if epochs == 0 {
            return Node::Record(self.key.clone());
        }
        let key = SourceKey::Later(identifiers.clone(), epochs);
        Node::Record(RecordKey { source: self.key.source.clone(), key })
    }

    /// What the decision looks up beside [`Identify::nodes`], once it is known which identifiers are shared or changed
    /// hands.
    pub fn later_nodes(&self, view: &View) -> Vec<Node> {
        let record = self.record_node(view);
        let shared = self.usable().filter(|(_, claim)| view.sharing(&claim.identifier).is_some_and(|s| s.shared));
        let mut nodes: Vec<Node> = shared.map(|(_, claim)| Node::Shared(claim.identifier.clone())).collect();
        if record != Node::Record(self.key.clone()) {
            nodes.push(record);
        }
        nodes
    }

    /// What the decision looks up: the record first, then its identifiers in order.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        std::iter::once(Node::Record(self.key.clone()))
            .chain(self.usable().map(|(_, claim)| Node::Identifier(claim.identifier.clone())))
    }

    /// Whether the decision may need every record of the customers that were found: because something is taken back,
    /// because votes must be counted or lengths compared, or because another policy chose their golden values.
    pub fn needs_records<'c>(&self, found: impl Iterator<Item = &'c CustomerState>) -> bool {
        let searches = |(name, value): (&String, &Option<Value>)| {
            value.is_none() || matches!(self.policy.strategy(name), Strategy::Longest | Strategy::MostFrequent)
        };
        let mark = self.policy.survivorship_mark();
        let (mut count, mut foreign) = (0, false);
        for customer in found {
            count += 1;
            foreign |= customer.golden.mark != mark;
        }
        foreign || (count > 1 && self.policy.follows(Strategy::MostFrequent)) || self.traits.iter().any(searches)
    }
}

/// All that would name the record stands for no value.
fn nothing_left(claims: &[CheckedClaim]) -> Fault {
    let mut namespaces: Vec<&str> = claims.iter().map(|claim| claim.identifier.namespace.as_str()).collect();
    namespaces.dedup();
    let message = "every identifier is blocked, such as `n/a` or zeros alone, and there is no `source_record_id`; give \
                   an identifier or a key by which the record can be found again";
    Fault::new(Reason::IdentifiersRefused, message).with("namespaces", namespaces.join(","))
}

fn check_source_record_id(input: &IdentifyInput, wrong: &mut Violations) {
    let id = &input.source_record_id;
    wrong.add_if(id.len() > MAX_SOURCE_RECORD_ID, "source_record_id", "is too long; give at most 256 bytes");
    wrong.add_if(id.contains('\0'), "source_record_id", "holds a NUL character; remove it");
    wrong.add_if(
        id.is_empty() && input.identifiers.is_empty(),
        "identifiers",
        "is empty, and so is `source_record_id`; give one of them, or nothing could ever find this record again",
    );
}

fn check_claims(given: &[ClaimInput], policy: &Policy, wrong: &mut Violations) -> Vec<CheckedClaim> {
    wrong.add_if(given.len() > MAX_IDENTIFIERS, "identifiers", "has too many entries; give at most 64");
    let mut claims: Vec<CheckedClaim> = Vec::with_capacity(given.len().min(MAX_IDENTIFIERS));
    for (i, claim) in given.iter().take(MAX_IDENTIFIERS).enumerate() {
        let checked = read(&claim.namespace, &claim.value, policy).map(|(identifier, _)| identifier);
        let checked = checked.map_err(|fault| fault.within(&format!("identifiers[{i}].identifier")));
        let Some(known) = wrong.take(checked) else { continue };
        let blocked = known.is_none();
        let identifier = known
            .unwrap_or_else(|| Identifier { namespace: claim.namespace.clone(), value: claim.value.trim().to_owned() });
        match claims.iter_mut().find(|known| known.identifier == identifier) {
            // The same identifier twice, perhaps written differently: proof in either place is proof.
            Some(known) => known.verified = known.verified.max(claim.verified),
            None => claims.push(CheckedClaim {
                identifier,
                raw_value: claim.value.trim().to_owned(),
                verified: claim.verified,
                blocked,
            }),
        }
    }
    claims
}

fn check_traits(given: Vec<(String, Value)>, wrong: &mut Violations) -> BTreeMap<String, Option<Value>> {
    wrong.add_if(given.len() > MAX_TRAITS, "traits", "has too many entries; give at most 256");
    let bytes: usize = given.iter().map(|(name, value)| name.len() + weight(value)).sum();
    wrong.add_if(bytes > MAX_TRAIT_BYTES, "traits", "is too large; give at most 64 KiB");
    if given.iter().any(|(name, _)| !name::is_trait_name(name)) {
        wrong.add(
            "traits",
            "has a malformed name; give 1 to 128 letters, digits, `_`, `-` and `.` of ASCII, beginning with a letter or `_`",
        );
    }
    given.into_iter().map(|(name, value)| (name, if value.is_null() { None } else { Some(value) })).collect()
}

/// About as many bytes as the value takes in JSON.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| weight(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => fields.iter().map(|(name, v)| name.len() + weight(v) + 4).sum::<usize>() + 2,
    }
}
