//! Guards: what keeps different people from becoming one.
//!
//! A guard is asked before two customers, or a record and a customer, are joined; it answers with what forbids it. The
//! decision lies with the caller: `Identify` leaves the link out and says so, `MergeCustomers` fails.

use std::collections::{BTreeMap, BTreeSet};

use identity_matching::{
    guard::birth_dates_conflict,
    normalize::{
        date::{self, PartialDate},
        name::{self, Generation},
    },
    record::{BirthDate, PersonName},
};
use serde_json::Value;
use terms::{Identifier, Timestamp};

use crate::{
    anchors::{Anchor, Anchors},
    customer::Kind,
    golden::Golden,
    identify::{Guard, Refusal},
    policy::{Policy, Rules},
    view::CustomerState,
};

/// Names of the trait that holds a birth date. `birth_date_verified: true` beside it says that a source has proof.
const BIRTH_DATE: [&str; 5] = ["birth_date", "date_of_birth", "birthdate", "birthday", "dob"];
/// Names of traits that hold a name, or a part of one, by part.
const GIVEN: [&str; 3] = ["given_name", "first_name", "firstname"];
const FAMILY: [&str; 4] = ["family_name", "last_name", "lastname", "surname"];
const SUFFIX: [&str; 3] = ["name_suffix", "suffix", "generation"];
const FULL: [&str; 2] = ["name", "full_name"];

/// What guards compare of one side: a customer, or a record on its way to one.
#[derive(Debug, Clone, Default)]
pub struct Party {
    /// Identifiers in unique or limited namespaces.
    pub anchors: Anchors,
    /// The sorts of party that were stated.
    kinds: BTreeSet<Kind>,
    /// Birth dates with proof.
    births: BTreeSet<PartialDate>,
    /// Senior, junior, the third.
    generations: BTreeSet<Generation>,
}

impl Party {
    /// A customer.
    pub fn of(customer: &CustomerState) -> Self {
        let Golden { traits, kind, .. } = &customer.golden;
        let said = |name: &str| traits.get(name).map(|winner| &winner.value);
        Self { anchors: customer.anchors.clone(), ..Self::saying(kind.as_ref().map(|k| k.value), said) }
    }

    /// Someone of whom a record says this.
    pub fn said(kind: Option<Kind>, traits: &BTreeMap<String, Option<Value>>) -> Self {
        Self::saying(kind, |name| traits.get(name).and_then(Option::as_ref))
    }

    fn saying<'v>(kind: Option<Kind>, said: impl Fn(&str) -> Option<&'v Value>) -> Self {
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| said(name).and_then(Value::as_str));
            found.unwrap_or_default().to_owned()
        };
        let births = BIRTH_DATE.iter().filter_map(|name| {
            let text = said(name)?.as_str()?;
            let proven = said(&format!("{name}_verified")) == Some(&Value::Bool(true));
            proven.then(|| date::normalize(&BirthDate::Text(text.to_owned())))
        });
        let parts = PersonName {
            given: text(&GIVEN),
            family: text(&FAMILY),
            suffix: text(&SUFFIX),
            full: text(&FULL),
            ..PersonName::default()
        };
        let generation = if parts == PersonName::default() { 0 } else { name::normalize(&parts).generation };
        Self {
            anchors: Anchors::default(),
            kinds: kind.into_iter().collect(),
            births: births.filter(|date| !date.is_missing()).collect(),
            generations: (generation != 0).then_some(generation).into_iter().collect(),
        }
    }

    /// Joins another side.
    pub fn absorb(&mut self, other: Self) {
        self.anchors.absorb(&other.anchors);
        self.kinds.extend(other.kinds);
        self.births.extend(other.births);
        self.generations.extend(other.generations);
    }
}

/// What forbids that two customers become one; nothing: they may. `at` is the moment (event time) to which limits with
/// a period look back. Cannot-links are no part of a customer: ask the view.
pub fn may_join(policy: &Policy, a: &CustomerState, b: &CustomerState, at: Timestamp) -> Vec<Refusal> {
    let mut refusals = forbids(policy, &Party::of(a), &Party::of(b), at);
    for refusal in &mut refusals {
        refusal.customer = Some(b.id);
    }
    refusals
}

/// What forbids that two sides become one; the strongest first.
pub fn forbids(policy: &Policy, a: &Party, b: &Party, at: Timestamp) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    if let (Some(one), Some(other)) = (a.kinds.first(), b.kinds.iter().find(|kind| !a.kinds.contains(kind))) {
        let detail = format!("one is known as {}, the other as {}", article(*one), article(*other));
        refusals.push(Refusal::new(Guard::KindMismatch, detail));
    }
    if a.births.iter().any(|x| b.births.iter().any(|y| birth_dates_conflict(*x, *y))) {
        let detail = "their verified birth dates are further apart than typing errors explain";
        refusals.push(Refusal::new(Guard::BirthDate, detail));
    }
    if a.generations.iter().any(|x| b.generations.iter().any(|y| x != y)) {
        let detail = "their names are of different generations, such as senior and junior";
        refusals.push(Refusal::new(Guard::Generation, detail));
    }
    for (namespace, values) in a.anchors.namespaces() {
        let (Some(rules), Some(others)) = (policy.rules(namespace), b.anchors.values(namespace)) else { continue };
        refusals.extend(too_many(namespace, rules, values, others, at));
        refusals.extend(both_proven(namespace, rules, values, others));
    }
    refusals
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Person => "a person",
        Kind::Household => "a household",
        Kind::Organization => "an organisation",
    }
}

type Values = BTreeMap<String, Anchor>;

/// Together they would have more values than the limit allows.
fn too_many(namespace: &str, rules: &Rules, a: &Values, b: &Values, at: Timestamp) -> Option<Refusal> {
    let most = rules.max_per_customer;
    let counts = |first_seen: Timestamp| rules.limit_period.is_none_or(|period| first_seen > at - period);
    let of_a = a.values().filter(|anchor| counts(anchor.first_seen)).count();
    let first = |value: &str, anchor: &Anchor| a.get(value).map_or(anchor.first_seen, |known| known.first_seen);
    let of_b_alone = b.iter().filter(|(value, anchor)| !a.contains_key(*value) && counts(first(value, anchor))).count();
    let over = most > 0 && of_a + of_b_alone > most as usize && (of_b_alone > 0);
    over.then(|| limit(namespace, rules))
}

/// The refusal of a value beyond the limit.
fn limit(namespace: &str, rules: &Rules) -> Refusal {
    let most = rules.max_per_customer;
    match rules.limit_period {
        None if most == 1 => {
            let detail = format!("a customer has one {namespace}, and this would be another");
            Refusal::new(Guard::UniqueConflict, detail)
        }
        None => Refusal::new(Guard::LimitExceeded, format!("a customer has at most {most} values of {namespace}")),
        Some(period) => {
            let detail =
                format!("a customer gets at most {most} values of {namespace} within {}", spoken(period.as_secs()));
            Refusal::new(Guard::LimitExceeded, detail)
        }
    }
}

fn spoken(seconds: u64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{} day(s)", s / 86_400),
        s if s % 3_600 == 0 => format!("{} hour(s)", s / 3_600),
        s => format!("{s} second(s)"),
    }
}

/// Both have proof of values, and share none of these.
fn both_proven(namespace: &str, rules: &Rules, a: &Values, b: &Values) -> Option<Refusal> {
    let proven = |values: &Values| {
        values.iter().filter(|(_, anchor)| anchor.proofs > 0).map(|(value, _)| value.clone()).collect::<BTreeSet<_>>()
    };
    let (a, b) = (proven(a), proven(b));
    let conflict = rules.unique && !a.is_empty() && !b.is_empty() && a.is_disjoint(&b);
    conflict.then(|| {
        let detail = format!("both have a verified {namespace}, and these differ");
        Refusal::new(Guard::VerifiedConflict, detail)
    })
}

/// What forbids that a side gets one more identifier, first seen `at`.
pub fn no_room(policy: &Policy, party: &Party, identifier: &Identifier, at: Timestamp) -> Option<Refusal> {
    let rules = policy.rules(&identifier.namespace).filter(|rules| rules.max_per_customer > 0)?;
    let values = party.anchors.values(&identifier.namespace)?;
    if values.contains_key(&identifier.value) {
        return None;
    }
    let fresh = Anchor { first_seen: at, records: 1, proofs: 0 };
    too_many(&identifier.namespace, rules, values, &BTreeMap::from([(identifier.value.clone(), fresh)]), at)
}

/// Whether two sides have different values in some unique namespace: too much for evidence that proves nothing.
pub fn disagree(policy: &Policy, a: &Party, b: &Party) -> Option<String> {
    let mut unique = a.anchors.namespaces().filter(|(name, _)| policy.rules(name).is_some_and(|rules| rules.unique));
    let differ = unique.find(|(name, values)| {
        b.anchors.values(name).is_some_and(|others| values.keys().all(|value| !others.contains_key(value)))
    });
    differ.map(|(name, _)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);
    const DAY: Duration = Duration::from_secs(86_400);

    fn party(identifiers: &[(&str, &str, bool)]) -> Party {
        let mut party = Party::default();
        for (namespace, value, verified) in identifiers {
            let identifier = Identifier { namespace: (*namespace).to_owned(), value: (*value).to_owned() };
            party.anchors.add(&identifier, NOW, *verified);
        }
        party
    }

    fn said(traits: &[(&str, Value)]) -> Party {
        Party::said(None, &traits.iter().map(|(name, value)| ((*name).to_owned(), Some(value.clone()))).collect())
    }

    fn guards(a: &Party, b: &Party) -> Vec<Guard> {
        let policy = Policy::default();
        let found: Vec<Guard> = forbids(&policy, a, b, NOW).iter().map(|refusal| refusal.guard).collect();
        let back: Vec<Guard> = forbids(&policy, b, a, NOW).iter().map(|refusal| refusal.guard).collect();
        assert_eq!(found, back, "both ways");
        found
    }

    #[test]
    fn one_user_id_each() {
        let (a, b) = (party(&[("user_id", "1", false)]), party(&[("user_id", "2", false), ("email", "x", false)]));
        assert_eq!(guards(&a, &b), [Guard::UniqueConflict]);
        assert_eq!(guards(&a, &party(&[("user_id", "1", false), ("email", "x", false)])), []);
        assert_eq!(guards(&party(&[("crm", "1", false)]), &party(&[("crm", "2", false)])), []);
        assert_eq!(guards(&a, &Party::default()), []);
    }

    #[test]
    fn verified_values_must_meet() {
        let one = |value, verified| party(&[("email", value, verified)]);
        assert_eq!(guards(&one("x", true), &one("y", true)), [Guard::VerifiedConflict]);
        assert_eq!(guards(&one("x", true), &one("y", false)), []);
        let both = party(&[("email", "x", true), ("email", "y", true)]);
        assert_eq!(guards(&one("x", true), &both), []);
    }

    #[test]
    fn birth_dates_with_proof() {
        let born =
            |date: &str, verified: bool| said(&[("birth_date", json!(date)), ("birth_date_verified", json!(verified))]);
        assert_eq!(guards(&born("1980-03-01", true), &born("1955-10-17", true)), [Guard::BirthDate]);
        assert_eq!(guards(&born("1980-03-01", true), &born("1955-10-17", false)), []);
        assert_eq!(guards(&born("1980-03-01", true), &born("1980-03-02", true)), [], "a slip of the pen");
    }

    #[test]
    fn father_and_son() {
        let named = |name: &str| said(&[("name", json!(name))]);
        assert_eq!(guards(&named("John Smith Sr."), &named("John Smith, Jr.")), [Guard::Generation]);
        assert_eq!(guards(&named("John Smith"), &named("John Smith, Jr.")), []);
        let parts = said(&[("first_name", json!("John")), ("last_name", json!("Smith")), ("suffix", json!("III"))]);
        assert_eq!(guards(&named("John Smith Jr"), &parts), [Guard::Generation]);
    }

    #[test]
    fn a_person_is_no_organisation() {
        let kind = |kind| Party::said(kind, &BTreeMap::new());
        assert_eq!(guards(&kind(Some(Kind::Person)), &kind(Some(Kind::Organization))), [Guard::KindMismatch]);
        assert_eq!(guards(&kind(None), &kind(Some(Kind::Organization))), []);
    }

    #[test]
    fn a_limit_looks_back() {
        let mut policy = Policy::default();
        let limited = Rules { max_per_customer: 2, limit_period: Some(DAY), ..Rules::default() };
        policy.namespaces.insert("device".to_owned(), limited);
        let party = party(&[("device", "a", false), ("device", "b", false)]);
        let third = |value: &str| Identifier { namespace: "device".to_owned(), value: value.to_owned() };
        let refused = |value, at| no_room(&policy, &party, &third(value), at).map(|refusal| refusal.guard);
        assert_eq!(refused("c", NOW), Some(Guard::LimitExceeded));
        assert_eq!(refused("b", NOW), None, "it is there");
        assert_eq!(refused("c", NOW + DAY), None, "a day later");
    }

    #[test]
    fn weak_evidence_yields_to_any_difference() {
        let policy = Policy::default();
        let (a, b) = (party(&[("crm", "1", false)]), party(&[("crm", "2", false)]));
        assert_eq!(disagree(&policy, &a, &b).as_deref(), Some("crm"));
        assert_eq!(disagree(&policy, &a, &a.clone()), None);
        assert_eq!(disagree(&policy, &a, &Party::default()), None);
    }
}
