//! News taken in: whatever the order in which two feeds bring them, the same facts come out.
//!
//! Everything that arrives is addressed to an id, and keeps that address. Whoever the id leads to has it: a merge makes
//! an id lead elsewhere, a split makes it lead back, and what had been addressed to it goes along. So an interaction
//! that comes before the merge and one that comes after end in the same hands.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use terms::{CustomerId, Position, Timestamp};
use uuid::Uuid;

use crate::{
    cause::{Causes, Known},
    facts::{Attributes, Facts},
    lineage::Link,
    membership::{Reason, Transition},
    news::{Address, Event, InteractionId, News, Statement, StatementId, What},
    ruleset::{Ruleset, Scope},
    settle::{Settling, leave_all},
    view::{Change, Effects, Person, Relocation, View},
};

/// Takes in news of one tenant and computes the memberships of all whom they concern.
///
/// `view` holds what [`View::mentioned`], [`View::survivors`] and [`View::involved`] asked for.
pub fn hear(ruleset: &Ruleset, view: View, news: &[News], now: Timestamp) -> Effects {
    let mut hearing = Hearing::new(ruleset, view);
    for item in news {
        hearing.take_in(item);
    }
    hearing.done(now)
}

/// What moves.
struct Moving<'n> {
    interactions: &'n [InteractionId],
    statements: &'n [StatementId],
}

struct Hearing<'a> {
    ruleset: &'a Ruleset,
    view: View,
    relocations: Vec<Relocation>,
    events: Vec<Event>,
    statements: BTreeMap<StatementId, Statement>,
    links: Vec<(CustomerId, Position, Link)>,
    forwards: BTreeMap<Uuid, Address>,
    causes: BTreeMap<CustomerId, Causes>,
    changed: BTreeMap<CustomerId, /* attributes: */ bool>,
}

impl<'a> Hearing<'a> {
    fn new(ruleset: &'a Ruleset, view: View) -> Self {
        Self {
            ruleset,
            view,
            relocations: Vec::new(),
            events: Vec::new(),
            statements: BTreeMap::new(),
            links: Vec::new(),
            forwards: BTreeMap::new(),
            causes: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    fn take_in(&mut self, news: &News) {
        match &news.what {
            What::Changed { customer, attributes } => self.changed(*customer, attributes, news),
            What::Merged { loser, survivor } => self.merged(*loser, *survivor, news),
            What::Split { from, to, ids } => self.split(*from, *to, ids, news),
            What::Erased { ids } => self.erased(ids),
            What::Interaction { customer, event } => self.happened(*customer, event),
            What::Moved { from, to, interactions, statements } => {
                self.moved((*from, *to), Moving { interactions, statements }, news);
            }
            What::Statement { customer, statement } => self.told(*customer, statement),
        }
    }

    fn person(&mut self, id: CustomerId) -> &mut Person {
        let new = || Person { facts: Some(Facts::default()), ..Person::default() };
        self.view.people.entry(id).or_insert_with(new)
    }

    fn facts(&mut self, id: CustomerId) -> Option<&mut Facts> {
        self.person(id).facts.as_mut()
    }

    fn is_erased(&self, id: CustomerId) -> bool {
        self.view.people.get(&id).is_some_and(|p| p.subject.erased)
    }

    fn because(&mut self, customer: CustomerId, known: Known) {
        self.causes.entry(customer).or_default().add(known);
    }

    fn touch(&mut self, id: CustomerId, attributes: bool) {
        *self.changed.entry(id).or_default() |= attributes;
    }

    fn changed(&mut self, customer: CustomerId, changes: &Attributes, news: &News) {
        let subject = &mut self.person(customer).subject;
        if subject.erased || news.position <= subject.changed_at {
            return;
        }
        subject.changed_at = news.position;
        let attributes = Arc::make_mut(&mut subject.attributes);
        for (name, value) in changes {
            match value {
                rules::Value::Null => attributes.remove(name),
                value => attributes.insert(name.clone(), value.clone()),
            };
        }
        let lives = subject.lives();
        self.touch(customer, true);
        if lives {
            let names = changes.keys().cloned().collect();
            self.because(customer, Known::Attributes { names, at: news.at });
        }
    }

    fn happened(&mut self, customer: CustomerId, event: &Event) {
        if self.view.known_events.contains_key(&event.id) {
            return;
        }
        let address = self.view.forwards.get(&event.id.uuid()).copied().unwrap_or(Address::first(customer));
        let owner = self.view.resolve(address.id);
        if self.is_erased(address.id) {
            return;
        }
        self.view.known_events.insert(event.id, address);
        let event = Event { address, ..event.clone() };
        let new = !self.person(owner).stored;
        let reads = self.ruleset.reads_event(&event.kind);
        if reads && let Some(facts) = self.facts(owner) {
            facts.add_event(event.clone());
        }
        if reads || new {
            self.touch(owner, false);
            self.because(owner, Known::Event { kind: event.kind.clone(), id: event.id, at: event.at });
        }
        self.person(address.id);
        self.events.push(event);
    }

    fn told(&mut self, customer: CustomerId, statement: &Statement) {
        let forward = self.view.forwards.get(&statement.id.uuid()).copied().unwrap_or(Address::first(customer));
        let address = self.view.known_statements.get(&statement.id).copied().unwrap_or(forward);
        let owner = self.view.resolve(address.id);
        if self.is_erased(address.id) {
            return;
        }
        self.view.known_statements.insert(statement.id, address);
        let statement = Statement { address, ..statement.clone() };
        let new = !self.person(owner).stored;
        self.person(address.id);
        let reads = self.ruleset.reads_topic(&statement.topic);
        let news = reads && self.facts(owner).is_some_and(|facts| facts.tell(statement.clone()));
        if news || new {
            self.touch(owner, false);
            let Statement { topic, id, at, .. } = statement.clone();
            self.because(owner, Known::Statement { topic, id, at });
        }
        let latest = self.statements.entry(statement.id).or_insert_with(|| statement.clone());
        if latest.told_at < statement.told_at {
            *latest = statement;
        }
    }

    fn merged(&mut self, loser: CustomerId, survivor: CustomerId, news: &News) {
        if loser != survivor {
            self.link(loser, news.position, Link::Merged(survivor));
            self.follow_links(news.at, |with, at| Known::Merged { with, at });
        }
    }

    fn split(&mut self, from: CustomerId, to: CustomerId, ids: &[CustomerId], news: &News) {
        // Both are known to have been parted.
        self.link(from, news.position, Link::Split(from));
        for id in std::iter::once(&to).chain(ids) {
            self.link(*id, news.position, Link::Split(to));
        }
        self.follow_links(news.at, |with, at| Known::Split { with, at });
    }

    fn link(&mut self, id: CustomerId, at: Position, link: Link) {
        self.person(id);
        self.person(link.other());
        if self.view.lineage.add(id, at, link) {
            self.links.push((id, at, link));
        }
    }

    /// Makes every id lead where its lineage says, with all that was addressed to it.
    fn follow_links(&mut self, at: Timestamp, known: impl Fn(CustomerId, Timestamp) -> Known) {
        let mut moves: BTreeMap<(CustomerId, CustomerId), BTreeSet<CustomerId>> = BTreeMap::new();
        for id in self.view.lineage.ids() {
            let (before, after) = (self.view.resolve(*id), self.view.lineage.lead(*id));
            if before != after && !self.is_erased(*id) {
                moves.entry((before, after)).or_default().insert(*id);
            }
        }
        for ((before, after), ids) in moves {
            self.person(after);
            for id in &ids {
                let subject = &mut self.person(*id).subject;
                subject.survivor = (after != *id).then_some(after);
                if after != *id {
                    subject.next_due = None;
                }
                self.touch(*id, false);
            }
            self.because(before, known(after, at));
            self.because(after, known(before, at));
            self.rehome(before, after, ids);
        }
    }

    /// Of what belonged to one customer, what was addressed to some ids belongs to another.
    fn rehome(&mut self, from: CustomerId, to: CustomerId, ids: BTreeSet<CustomerId>) {
        let taken = self.facts(from).map(|facts| facts.take(|id| ids.contains(&id)));
        if let (Some(taken), Some(facts)) = (taken, self.facts(to)) {
            facts.absorb(taken);
        }
        self.relocations.push(Relocation::Rehome { from, to, addressed_to: ids });
    }

    /// Interactions and statements get another address; what is not known yet gets it when it comes.
    fn moved(&mut self, (from, to): (CustomerId, CustomerId), moving: Moving<'_>, news: &News) {
        let address = Address { id: to, at: news.position };
        self.person(to);
        let taker = self.view.resolve(to);
        let mut interactions = Vec::new();
        for id in moving.interactions {
            match self.view.known_events.get_mut(id) {
                Some(known) if known.at < address.at => {
                    let before = std::mem::replace(known, address);
                    interactions.push(*id);
                    self.hand_over((self.view.resolve(before.id), taker), address, id.uuid(), news.at);
                }
                Some(_) => {}
                None => self.forward(id.uuid(), address),
            }
        }
        let mut statements = Vec::new();
        for id in moving.statements {
            match self.view.known_statements.get_mut(id) {
                Some(known) if known.at < address.at => {
                    let before = std::mem::replace(known, address);
                    statements.push(*id);
                    self.hand_over((self.view.resolve(before.id), taker), address, id.uuid(), news.at);
                }
                Some(_) => {}
                None => self.forward(id.uuid(), address),
            }
        }
        if interactions.is_empty() && statements.is_empty() {
            return;
        }
        // What came in this very batch is not stored yet: it gets its new address here.
        for event in self.events.iter_mut().filter(|e| interactions.contains(&e.id)) {
            event.address = address;
        }
        for id in &statements {
            if let Some(statement) = self.statements.get_mut(id) {
                statement.address = address;
            }
        }
        self.relocations.push(Relocation::Readdress { to: taker, address, interactions, statements });
        self.because(taker, Known::Split { with: from, at: news.at });
    }

    fn forward(&mut self, id: Uuid, address: Address) {
        for known in
            [&mut self.forwards.entry(id).or_insert(address), &mut self.view.forwards.entry(id).or_insert(address)]
        {
            if known.at < address.at {
                **known = address;
            }
        }
    }

    /// One interaction or statement goes from hand to hand.
    fn hand_over(&mut self, (from, to): (CustomerId, CustomerId), address: Address, id: Uuid, at: Timestamp) {
        if from != to {
            self.because(from, Known::Split { with: to, at });
        }
        let Some(facts) = self.facts(from) else { return };
        let mut taken = Facts::default();
        if let Some(place) = facts.events.iter().position(|e| e.id.uuid() == id) {
            taken.events.push(Event { address, ..facts.events.remove(place) });
        }
        if let Some(place) = facts.statements.iter().position(|s| s.id.uuid() == id) {
            taken.statements.push(Statement { address, ..facts.statements.remove(place) });
        }
        if let Some(facts) = self.facts(to) {
            facts.absorb(taken);
        }
    }

    /// Forgets what was addressed to some ids. What the customer has by other ids, it has because a split is still on
    /// its way: it stays for whom these will lead to.
    fn erased(&mut self, ids: &[CustomerId]) {
        let mut owners: BTreeMap<CustomerId, BTreeSet<CustomerId>> = BTreeMap::new();
        for id in ids.iter().filter(|id| !self.is_erased(**id)) {
            owners.entry(self.view.resolve(*id)).or_default().insert(*id);
        }
        for (owner, gone) in owners {
            for id in &gone {
                let subject = &mut self.person(*id).subject;
                subject.erased = true;
                subject.attributes = Arc::default();
                subject.next_due = None;
                self.touch(*id, true);
            }
            if let Some(facts) = self.facts(owner) {
                drop(facts.take(|id| gone.contains(&id)));
            }
            self.relocations.push(Relocation::Erase { owner, addressed_to: gone });
        }
    }

    fn done(mut self, now: Timestamp) -> Effects {
        let mut effects = Effects {
            relocations: std::mem::take(&mut self.relocations),
            links: std::mem::take(&mut self.links),
            forwards: std::mem::take(&mut self.forwards),
            ..Effects::default()
        };
        for event in std::mem::take(&mut self.events) {
            let owner = self.view.resolve(event.address.id);
            if !self.is_erased(event.address.id) {
                effects.events.push((owner, event));
            }
        }
        for statement in std::mem::take(&mut self.statements).into_values() {
            let owner = self.view.resolve(statement.address.id);
            if !self.is_erased(statement.address.id) {
                effects.statements.push((owner, statement));
            }
        }
        for (id, person) in &mut self.view.people {
            let mut causes = self.causes.remove(id).unwrap_or_default();
            if causes.is_empty() && !person.stored {
                // Somebody of whom nothing is known belongs to some segments, too.
                causes.add(Known::Attributes { names: Vec::new(), at: now });
            }
            let attributes = self.changed.get(id).copied();
            let transitions = settle_one(self.ruleset, *id, person, &causes, now);
            let settled = transitions.is_some();
            effects.transitions.extend(transitions.unwrap_or_default());
            if settled || attributes.is_some() || !person.stored {
                let change = Change {
                    subject: person.subject.clone(),
                    new: !person.stored,
                    attributes: attributes.unwrap_or(false),
                };
                effects.subjects.insert(*id, change);
            }
            if settled {
                person.stored = true;
                effects.settled.push((*id, std::mem::take(person)));
            }
        }
        effects
    }
}

/// Settles one whom the news concern; `None` for one whom they do not.
fn settle_one(
    ruleset: &Ruleset,
    customer: CustomerId,
    person: &mut Person,
    causes: &Causes,
    now: Timestamp,
) -> Option<Vec<Transition>> {
    let Person { subject, facts, memberships, .. } = person;
    if !subject.lives() {
        if memberships.is_empty() {
            return None;
        }
        let reason = if subject.erased { Reason::Erasure } else { Reason::Merge };
        let with = subject.survivor.filter(|_| !subject.erased).map(|id| id.to_string()).unwrap_or_default();
        let now = now.max(subject.settled_at);
        let at = causes.last_at().filter(|at| *at > subject.settled_at && *at <= now).unwrap_or(now);
        subject.version += 1;
        subject.settled_at = now;
        return Some(leave_all(customer, memberships, reason, &with, at));
    }
    let facts = facts.as_ref()?;
    if causes.is_empty() {
        return None;
    }
    let settling = Settling { ruleset, customer, subject, facts, memberships };
    Some(settling.settle(&Scope::All, causes, now))
}
