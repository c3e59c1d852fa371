//! A customer's memberships, brought up to an instant.
//!
//! Membership at an instant is a pure function of the facts, the rules and the instant. Between two computations
//! nothing but the clock moves, and rules say until when their results stand: so the instants at which anything can
//! change are known ([`Subject::next_due`]). Settling walks through those that have passed, each at its own time, and
//! ends at the present with what has become known since. A transition that the clock made carries the due instant,
//! however late it is noticed.

use terms::{CustomerId, Timestamp};

use crate::{
    cause::{Cause, Causes},
    eyes::Eyes,
    facts::Facts,
    membership::{Membership, Memberships, Reason, Step, Transition},
    ruleset::{Ruleset, Scope},
    segment::SegmentId,
    view::Subject,
};

/// So many due instants are walked through one by one; beyond, the present is computed at once.
const MOST_STEPS: usize = 4_096;

/// One customer, about to be settled.
pub(crate) struct Settling<'a> {
    pub(crate) ruleset: &'a Ruleset,
    pub(crate) customer: CustomerId,
    pub(crate) subject: &'a mut Subject,
    pub(crate) facts: &'a Facts,
    pub(crate) memberships: &'a mut Memberships,
}

impl Settling<'_> {
    /// Computes every segment of `scope`. `causes` is what became known since the last time.
    ///
    /// A transaction that began earlier may come to a customer later: time does not go back for the customer.
    pub(crate) fn settle(self, scope: &Scope, causes: &Causes, now: Timestamp) -> Vec<Transition> {
        let now = now.max(self.subject.settled_at);
        let eyes = Eyes::new(self.ruleset, &self.subject.attributes, self.facts, self.memberships);
        let mut pen = Pen {
            ruleset: self.ruleset,
            customer: self.customer,
            memberships: self.memberships,
            transitions: Vec::new(),
        };
        pen.leave_the_gone(now);
        if let Scope::Only(places) = scope {
            // Others stand as they were: nobody is due (see `build_scope`).
            let until = pen.step(&eyes, places.iter().copied(), now, |place| causes.of(self.ruleset, place, now, now));
            self.subject.next_due = earlier(self.subject.next_due, until);
            self.subject.settled_at = now;
        } else {
            let mut floor = self.subject.settled_at;
            let mut due = self.subject.next_due.filter(|due| *due <= now);
            for _ in 0..MOST_STEPS {
                let Some(at) = due else { break };
                let until = pen.step(&eyes, 0..self.ruleset.len(), at, |_| Cause::clock(at));
                floor = floor.max(at);
                due = until.filter(|next| *next <= now);
                self.subject.next_due = until;
            }
            if due.is_some() || !causes.is_empty() {
                let last = Cause::clock(now);
                let of =
                    |place| if causes.is_empty() { last.clone() } else { causes.of(self.ruleset, place, floor, now) };
                self.subject.next_due = pen.step(&eyes, 0..self.ruleset.len(), now, of);
            }
            self.subject.settled_at = now;
        }
        self.subject.version += 1;
        pen.transitions
    }
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Notes who enters and who leaves.
struct Pen<'a> {
    ruleset: &'a Ruleset,
    customer: CustomerId,
    memberships: &'a mut Memberships,
    transitions: Vec<Transition>,
}

impl Pen<'_> {
    /// Computes segments at an instant, those that are used before those that use them; gives the next due instant.
    fn step(
        &mut self,
        eyes: &Eyes<'_>,
        places: impl Iterator<Item = usize>,
        at: Timestamp,
        cause_of: impl Fn(usize) -> Cause,
    ) -> Option<Timestamp> {
        let begin = self.transitions.len();
        let mut next = None;
        for place in places {
            let (holds, until) = eyes.holds_until(place, at);
            next = earlier(next, until);
            if holds != eyes.inside(place) {
                eyes.put_inside(place, holds);
                let used = self.changed_dependency(place, begin);
                let cause = cause_of(place);
                let cause = match used {
                    Some(used) => cause.through(used),
                    None => cause,
                };
                self.note(place, holds, cause);
            }
        }
        next
    }

    /// A segment that this one uses and that changed in the same step.
    fn changed_dependency(&self, place: usize, begin: usize) -> Option<SegmentId> {
        let uses = &self.ruleset.entry(place)?.uses;
        self.transitions.get(begin..)?.iter().map(|t| t.segment).find(|segment| uses.contains(segment))
    }

    fn note(&mut self, place: usize, holds: bool, cause: Cause) {
        let Some(entry) = self.ruleset.entry(place) else { return };
        let (segment, version) = (entry.id, entry.version);
        let step = if holds {
            self.memberships.insert(segment, Membership { since: cause.at, reason: cause.reason, version });
            Step::Entered
        } else {
            let Some(left) = self.memberships.remove(&segment) else { return };
            Step::Left(left)
        };
        let Cause { reason, id: cause_id, at, .. } = cause;
        self.transitions.push(Transition { customer: self.customer, segment, step, reason, cause_id, at, version });
    }

    /// Ends memberships of segments that are no more.
    fn leave_the_gone(&mut self, now: Timestamp) {
        let gone: Vec<_> = self.memberships.keys().filter(|id| self.ruleset.place(**id).is_none()).copied().collect();
        for segment in gone {
            if let Some(left) = self.memberships.remove(&segment) {
                self.transitions.push(Transition {
                    customer: self.customer,
                    segment,
                    version: left.version,
                    step: Step::Left(left),
                    reason: Reason::Definition,
                    cause_id: String::new(),
                    at: now,
                });
            }
        }
    }
}

/// Ends every membership of a customer who is no more one.
pub(crate) fn leave_all(
    customer: CustomerId,
    memberships: &mut Memberships,
    reason: Reason,
    cause_id: &str,
    at: Timestamp,
) -> Vec<Transition> {
    let left = std::mem::take(memberships).into_iter();
    left.map(|(segment, left)| Transition {
        customer,
        segment,
        version: left.version,
        at: at.max(left.since),
        step: Step::Left(left),
        reason,
        cause_id: cause_id.to_owned(),
    })
    .collect()
}
