//! The tables, and what is done to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use terms::{CustomerId, Position, Timestamp};
use uuid::Uuid;

use crate::{
    catalog::Catalog,
    definition::BuildOver,
    facts::Facts,
    lineage::Link,
    membership::{Membership, Memberships, Step, Transition},
    news::{Address, Event, InteractionId, News, Statement, StatementId},
    ports::Stay,
    segment::{Segment, SegmentId},
    view::{Effects, Person, Relocation, Subject, View},
};

/// One tenant's tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) epoch: i64,
    pub(super) segments: BTreeMap<SegmentId, Segment>,
    pub(super) versions: BTreeMap<(SegmentId, i64), (String, Timestamp)>,
    pub(super) builds: BTreeMap<SegmentId, (BuildOver, Option<CustomerId>)>,
    pub(super) subjects: BTreeMap<CustomerId, Subject>,
    pub(super) events: HashMap<InteractionId, (CustomerId, Event)>,
    pub(super) statements: HashMap<StatementId, (CustomerId, Statement)>,
    pub(super) links: BTreeMap<(CustomerId, Position), Link>,
    /// Addresses of what did not come yet.
    pub(super) forwards: HashMap<Uuid, Address>,
    /// Segment and address, with the owner.
    pub(super) listed: BTreeMap<(SegmentId, CustomerId), CustomerId>,
    pub(super) memberships: BTreeMap<CustomerId, Memberships>,
    pub(super) stays: BTreeMap<CustomerId, Vec<Stay>>,
    pub(super) answers: HashMap<(String, String), ([u8; 32], Segment)>,
}

impl Tables {
    pub(super) fn catalog(&self) -> Catalog {
        Catalog::new(self.epoch, self.epoch, self.segments.values().cloned().collect())
    }

    pub(super) fn facts(&self, customer: CustomerId) -> Facts {
        let mut facts = Facts::default();
        self.events.values().filter(|(owner, _)| *owner == customer).for_each(|(_, e)| facts.add_event(e.clone()));
        for (_, statement) in self.statements.values().filter(|(owner, _)| *owner == customer) {
            facts.tell(statement.clone());
        }
        facts.lists = self.listed.iter().filter(|(_, owner)| **owner == customer).map(|(key, _)| *key).collect();
        facts
    }

    pub(super) fn person(&self, customer: CustomerId) -> Option<Person> {
        Some(Person {
            subject: self.subjects.get(&customer)?.clone(),
            stored: true,
            facts: Some(self.facts(customer)),
            memberships: self.memberships.get(&customer).cloned().unwrap_or_default(),
        })
    }

    pub(super) fn view(&self, catalog: &Catalog, news: &[News]) -> View {
        let mut view = View::default();
        for id in View::events(news) {
            match self.events.get(&id) {
                Some((_, known)) => drop(view.known_events.insert(id, known.address)),
                None => drop(self.forwards.get(&id.uuid()).map(|f| view.forwards.insert(id.uuid(), *f))),
            }
        }
        for id in View::statements(news) {
            match self.statements.get(&id) {
                Some((_, known)) => drop(view.known_statements.insert(id, known.address)),
                None => drop(self.forwards.get(&id.uuid()).map(|f| view.forwards.insert(id.uuid(), *f))),
            }
        }
        let mut asked = BTreeSet::new();
        let mut ask = View::relinked(news);
        while !ask.is_empty() {
            let concerns = |id: &CustomerId, link: &Link| ask.contains(id) || ask.contains(&link.other());
            for ((id, at), link) in self.links.iter().filter(|((id, _), link)| concerns(id, link)) {
                view.lineage.add(*id, *at, *link);
            }
            asked.extend(ask);
            ask = view.lineage.ids().difference(&asked).copied().collect();
        }
        let mentioned = view.mentioned(news);
        for ids in [mentioned.clone(), BTreeSet::new()] {
            let ids = if ids.is_empty() { view.survivors() } else { ids };
            for id in ids {
                if let Some(subject) = self.subjects.get(&id) {
                    view.people.insert(id, Person { subject: subject.clone(), stored: true, ..Person::default() });
                }
            }
        }
        view.fill(&mentioned);
        for id in view.involved(news, catalog.ruleset()) {
            let read = self.person(id);
            if let (Some(person), Some(read)) = (view.people.get_mut(&id), read) {
                *person = read;
            }
        }
        view
    }

    pub(super) fn write(&mut self, effects: Effects) {
        for relocation in effects.relocations {
            self.relocate(relocation);
        }
        for (owner, event) in effects.events {
            self.events.entry(event.id).or_insert((owner, event));
        }
        for (owner, statement) in effects.statements {
            let known = self.statements.entry(statement.id).or_insert((owner, statement.clone()));
            if known.1.told_at < statement.told_at {
                known.1 = Statement { address: known.1.address, ..statement };
            }
        }
        for (id, at, link) in effects.links {
            self.links.insert((id, at), link);
        }
        for (id, address) in effects.forwards {
            let known = self.forwards.entry(id).or_insert(address);
            if known.at < address.at {
                *known = address;
            }
        }
        for (id, change) in effects.subjects {
            self.subjects.insert(id, change.subject);
        }
        for transition in effects.transitions {
            self.step(transition);
        }
    }

    pub(super) fn relocate(&mut self, relocation: Relocation) {
        match relocation {
            Relocation::Rehome { from, to, addressed_to } => {
                let moves = |owner: CustomerId, address: CustomerId| owner == from && addressed_to.contains(&address);
                self.events.values_mut().filter(|(o, e)| moves(*o, e.address.id)).for_each(|(o, _)| *o = to);
                self.statements.values_mut().filter(|(o, s)| moves(*o, s.address.id)).for_each(|(o, _)| *o = to);
                self.listed.iter_mut().filter(|((_, id), o)| moves(**o, *id)).for_each(|(_, o)| *o = to);
            }
            Relocation::Readdress { to, address, interactions, statements } => {
                for id in interactions {
                    if let Some((o, event)) = self.events.get_mut(&id).filter(|(_, e)| e.address.at < address.at) {
                        (*o, event.address) = (to, address);
                    }
                }
                for id in statements {
                    let known = self.statements.get_mut(&id);
                    if let Some((o, statement)) = known.filter(|(_, s)| s.address.at < address.at) {
                        (*o, statement.address) = (to, address);
                    }
                }
            }
            Relocation::Erase { owner, addressed_to } => {
                let gone = |o: CustomerId, address: CustomerId| o == owner && addressed_to.contains(&address);
                self.events.retain(|_, (o, e)| !gone(*o, e.address.id));
                self.statements.retain(|_, (o, s)| !gone(*o, s.address.id));
                self.listed.retain(|(_, id), o| !gone(*o, *id));
                addressed_to.iter().for_each(|id| drop(self.stays.remove(id)));
            }
        }
    }

    pub(super) fn step(&mut self, transition: Transition) {
        let Transition { customer, segment, step, reason, at, version, .. } = transition;
        let memberships = self.memberships.entry(customer).or_default();
        match step {
            Step::Entered => {
                memberships.insert(segment, Membership { since: at, reason, version });
            }
            Step::Left(membership) => {
                memberships.remove(&segment);
                let erased = self.subjects.get(&customer).is_some_and(|s| s.erased);
                if membership.since < at && !erased {
                    let stay = Stay { segment, membership, until: at, left: reason };
                    self.stays.entry(customer).or_default().push(stay);
                }
            }
        }
    }

    pub(super) fn list(&mut self, segment: SegmentId, customers: &[CustomerId]) {
        self.listed.retain(|(other, _), _| *other != segment);
        for id in customers {
            let owner = self.subjects.entry(*id).or_default().survivor.unwrap_or(*id);
            if !self.subjects.get(&owner).is_some_and(|s| s.erased) {
                self.listed.insert((segment, *id), owner);
            }
        }
    }

    pub(super) fn candidates(
        &self,
        segment: SegmentId,
        over: BuildOver,
        after: Option<CustomerId>,
    ) -> BTreeSet<CustomerId> {
        let all: BTreeSet<CustomerId> = match over {
            BuildOver::Everyone => self.subjects.keys().copied().collect(),
            BuildOver::Listed => {
                let listed = self.listed.iter().filter(|((of, _), _)| *of == segment).map(|(_, owner)| *owner);
                let members = self.memberships.iter().filter(|(_, m)| m.contains_key(&segment)).map(|(id, _)| *id);
                listed.chain(members).collect()
            }
        };
        all.into_iter().filter(|id| after.is_none_or(|after| *id > after)).collect()
    }
}
