//! Memberships computed without news: because the clock moved, or because a definition did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use terms::{CustomerId, Timestamp};

use crate::{
    cause::{Causes, Known},
    definition::BuildOver,
    membership::Reason,
    ruleset::{Ruleset, Scope},
    segment::SegmentId,
    settle::{Settling, leave_all},
    view::{Change, Effects, Person, Subject},
};

/// Settles customers whose due instant has come.
pub fn settle_due(ruleset: &Ruleset, people: BTreeMap<CustomerId, Person>, now: Timestamp) -> Effects {
    recompute(ruleset, people, &Scope::All, &Causes::default(), now)
}

/// What to compute for some customers when one segment was defined anew or deleted: that one and all that use it; or
/// everything, if any of them is due, so that what the clock did is told first and at its instant.
pub fn build_scope<'s>(
    ruleset: &Ruleset,
    segment: SegmentId,
    mut subjects: impl Iterator<Item = &'s Subject>,
    now: Timestamp,
) -> Scope {
    if subjects.any(|s| s.next_due.is_some_and(|due| due <= now)) {
        return Scope::All;
    }
    ruleset.affected(&BTreeSet::from([segment]))
}

/// Computes a scope ([`build_scope`]) because a segment was defined anew or deleted.
pub fn rebuild(
    ruleset: &Ruleset,
    segment: SegmentId,
    over: BuildOver,
    scope: &Scope,
    people: BTreeMap<CustomerId, Person>,
    now: Timestamp,
) -> Effects {
    let segments = Arc::new(BTreeSet::from([segment]));
    let known = match over {
        BuildOver::Listed if ruleset.place(segment).is_some() => Known::Lists { segments, at: now },
        _ => Known::Definitions { segments, at: now },
    };
    recompute(ruleset, people, scope, &Causes::one(known), now)
}

fn recompute(
    ruleset: &Ruleset,
    people: BTreeMap<CustomerId, Person>,
    scope: &Scope,
    causes: &Causes,
    now: Timestamp,
) -> Effects {
    let mut effects = Effects::default();
    for (customer, mut person) in people {
        let Person { subject, facts, memberships, .. } = &mut person;
        let before = (subject.next_due, memberships.len());
        let transitions = if subject.lives() {
            let Some(facts) = facts.as_ref() else { continue };
            Settling { ruleset, customer, subject, facts, memberships }.settle(scope, causes, now)
        } else {
            subject.version += 1;
            subject.next_due = None;
            subject.settled_at = now.max(subject.settled_at);
            let now = subject.settled_at;
            let reason = if subject.erased { Reason::Erasure } else { Reason::Merge };
            let with = subject.survivor.map(|id| id.to_string()).unwrap_or_default();
            leave_all(customer, memberships, reason, &with, now)
        };
        // A build that changes nothing writes nothing.
        if *scope == Scope::All || !transitions.is_empty() || before.0 != subject.next_due {
            let change = Change { subject: subject.clone(), new: false, attributes: false };
            effects.subjects.insert(customer, change);
        } else {
            subject.version -= 1;
        }
        effects.transitions.extend(transitions);
        effects.settled.push((customer, person));
    }
    effects
}

/// When memberships will end if nothing but the clock moves, for those that will within the next instants at which
/// anything can change.
pub fn expected_exits(
    ruleset: &Ruleset,
    customer: CustomerId,
    person: &Person,
    now: Timestamp,
) -> BTreeMap<SegmentId, Timestamp> {
    /// So far ahead.
    const INSTANTS: usize = 64;
    let mut exits = BTreeMap::new();
    let mut ahead = person.clone();
    let Person { subject, facts: Some(facts), memberships, .. } = &mut ahead else { return exits };
    let mut at = now;
    for _ in 0..INSTANTS {
        let settling = Settling { ruleset, customer, subject: &mut *subject, facts, memberships };
        let transitions = settling.settle(&Scope::All, &Causes::default(), at);
        for transition in transitions.iter().filter(|t| !t.entered() && t.at > now) {
            exits.entry(transition.segment).or_insert(transition.at);
        }
        match subject.next_due {
            Some(next) => at = next.max(at),
            None => break,
        }
    }
    exits.retain(|segment, _| person.memberships.contains_key(segment));
    exits
}

/// Memberships computed from nothing but facts, rules and the instant.
pub fn from_scratch(ruleset: &Ruleset, person: &Person, now: Timestamp) -> BTreeSet<SegmentId> {
    let mut fresh = person.clone();
    fresh.memberships.clear();
    fresh.subject.next_due = None;
    let Person { subject, facts: Some(facts), memberships, .. } = &mut fresh else { return BTreeSet::new() };
    if !subject.lives() {
        return BTreeSet::new();
    }
    let all = Arc::new(ruleset.entries().map(|entry| entry.id).collect());
    let causes = Causes::one(Known::Definitions { segments: all, at: now });
    let customer = CustomerId::from_uuid(uuid::Uuid::nil());
    Settling { ruleset, customer, subject, facts, memberships }.settle(&Scope::All, &causes, now);
    memberships.keys().copied().collect()
}
