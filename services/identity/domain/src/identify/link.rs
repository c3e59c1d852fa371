//! To whom a record's identifiers lead, in the order of their priority, and what guards refuse.

use std::{cmp::Reverse, collections::BTreeSet};

use terms::{CustomerId, Fault, Identifier};

use super::{
    CheckedClaim, Identify,
    verdict::{Guard, Refusal},
};
use crate::{
    guard::{Party, disagree, forbids, no_room},
    matching::ask::must_ask,
    policy::{Rules, default_rules},
    record::SourceKey,
    view::{CustomerState, Lead, Node, View},
};

/// What becomes of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Its value stands for no value: it is not kept.
    Dropped,
    /// It leads to the record's customer.
    Links,
    /// It led to another customer, and leads to the record's from now on: a session.
    Moves,
    /// It is kept, and leads elsewhere or to nobody.
    Refused,
}

/// The customers that a record belongs to, and why not to others.
pub(super) struct Links<'a> {
    /// The node by which the record is known again.
    pub(super) record_node: Node,
    /// Where that leads.
    pub(super) record_lead: Option<Lead>,
    /// The customers that the record makes one, in the order in which they were found.
    pub(super) joined: Vec<&'a CustomerState>,
    /// By claim.
    pub(super) fates: Vec<Fate>,
    /// What guards refused, by claim.
    pub(super) refusals: Vec<Refusal>,
    /// Places of claims whose values were found to be hubs: by them too many customers would become one.
    pub(super) hubs: BTreeSet<usize>,
    /// Whether the record carries shared identifiers and nothing else: then it is of whoever stands for these.
    pub(super) anonymous: bool,
}

struct Linking<'a> {
    view: &'a View,
    command: &'a Identify,
    links: Links<'a>,
    /// Everything that the record was joined to so far, itself included.
    party: Party,
}

/// Follows the record's key, then its identifiers.
///
/// The record's own key is certain: a record stays with its customer. The identifiers come in the order of their
/// priority, of equal ones the oldest customer's first; each is asked whether the customer to whom it leads may be joined to what was found before. So the higher
/// priority wins, and what loses is kept as a fact that leads elsewhere.
///
/// Where a value of a unique namespace would make one of more customers than its rules allow, it is a hub: it is left
/// out, and the rest decides.
pub(super) fn link<'a>(view: &'a View, command: &'a Identify) -> Result<Links<'a>, Fault> {
    let mut links = link_without(view, command, BTreeSet::new())?;
    loop {
        let more = hubs(view, command, &links);
        if more.is_empty() {
            return Ok(links);
        }
        let all = links.hubs.union(&more).copied().collect();
        links = link_without(view, command, all)?;
    }
}

/// Claims that would make one of too many customers.
fn hubs(view: &View, command: &Identify, links: &Links<'_>) -> BTreeSet<usize> {
    if links.joined.len() < 2 {
        return BTreeSet::new();
    }
    let linking = command.usable().filter(|(place, _)| links.fates.get(*place) == Some(&Fate::Links));
    let hubs = linking.filter(|(_, claim)| {
        let rules = rules(command, claim);
        let lead = view.lead(&Node::Identifier(claim.identifier.clone()));
        let most = rules.max_customers_per_value as usize;
        rules.unique && most > 0 && lead.is_some_and(|lead| links.touched(view, &claim.identifier, lead).len() >= most)
    });
    hubs.map(|(place, _)| place).collect()
}

impl Links<'_> {
    /// With whom a value was or is now seen, beside the customer to whom it leads.
    pub(super) fn touched(&self, view: &View, identifier: &Identifier, lead: Lead) -> BTreeSet<CustomerId> {
        let holder = view.resolve(lead.customer);
        let mut touched = view.sharing(identifier).map(|sharing| sharing.seen.clone()).unwrap_or_default();
        touched.extend(self.joined.iter().map(|customer| customer.id).filter(|id| *id != holder));
        touched
    }
}

fn link_without<'a>(view: &'a View, command: &'a Identify, hubs: BTreeSet<usize>) -> Result<Links<'a>, Fault> {
    let record_node = command.record_node(view);
    let record_lead = view.lead(&record_node);
    let fates = command.claims.iter().map(|claim| if claim.blocked { Fate::Dropped } else { Fate::Refused }).collect();
    let links = Links {
        record_node,
        record_lead,
        joined: Vec::new(),
        fates,
        refusals: blocked(command),
        hubs,
        anonymous: false,
    };
    let mut linking = Linking { view, command, links, party: Party::default() };
    match record_lead {
        Some(lead) => linking.join(linking.customer(lead)?),
        None => linking.party = Party::said(command.kind, &command.traits),
    }
    let mut order: Vec<usize> = command.usable().map(|(place, _)| place).collect();
    order.sort_by_cached_key(|place| {
        let claim = command.claims.get(*place);
        let priority = claim.map(|claim| Reverse(rules(command, claim).priority));
        let lead = claim.and_then(|claim| view.lead(&Node::Identifier(claim.identifier.clone())));
        (priority, lead.is_none(), lead.map(|lead| lead.customer), *place)
    });
    for place in order {
        linking.claim(place)?;
    }
    linking.anonymous()?;
    linking.links.refusals.sort_by_key(|refusal| refusal.claim);
    Ok(linking.links)
}

/// The rules of a claim's namespace. It was taken, so there are some.
fn rules<'a>(command: &'a Identify, claim: &CheckedClaim) -> &'a Rules {
    let namespace = &claim.identifier.namespace;
    command.policy.rules(namespace).unwrap_or_else(|| default_rules(namespace))
}

fn blocked(command: &Identify) -> Vec<Refusal> {
    let blocked = command.claims.iter().enumerate().filter(|(_, claim)| claim.blocked);
    let refusal = |(place, claim): (usize, &CheckedClaim)| {
        let detail = format!("this value of {} stands for no value; it was not taken", claim.identifier.namespace);
        Refusal { claim: Some(place), ..Refusal::new(Guard::BlockedValue, detail) }
    };
    blocked.map(refusal).collect()
}

impl<'a> Linking<'a> {
    fn customer(&self, lead: Lead) -> Result<&'a CustomerState, Fault> {
        let id = self.view.resolve(lead.customer);
        self.view.customer(id).ok_or_else(|| Fault::internal("a lead points at no customer"))
    }

    fn has(&self, id: CustomerId) -> bool {
        self.links.joined.iter().any(|known| known.id == id)
    }

    fn join(&mut self, customer: &'a CustomerState) {
        self.party.absorb(Party::of(customer));
        self.links.joined.push(customer);
    }

    fn claim(&mut self, place: usize) -> Result<(), Fault> {
        let command = self.command;
        let Some(claim) = command.claims.get(place) else { return Ok(()) };
        let rules = rules(command, claim);
        let identifier = &claim.identifier;
        let sharing = self.view.sharing(identifier);
        if sharing.is_some_and(|sharing| sharing.shared) {
            let detail = format!("this {} is shared by several customers and leads to none", identifier.namespace);
            self.refuse(place, None, vec![Refusal::new(Guard::SharedIdentifier, detail)]);
            return Ok(());
        }
        if self.links.hubs.contains(&place) {
            let most = rules.max_customers_per_value;
            let detail = format!(
                "this {} would make one of more than {most} customers: it is shared from now on",
                identifier.namespace
            );
            self.refuse(place, None, vec![Refusal::new(Guard::SharedIdentifier, detail)]);
            return Ok(());
        }
        let holder = match self.view.lead(&Node::Identifier(identifier.clone())) {
            Some(lead) => Some(self.customer(lead)?),
            None => None,
        };
        let mut refusals = match holder {
            None => no_room(&command.policy, &self.party, identifier, command.observed_at).into_iter().collect(),
            Some(holder) if self.has(holder.id) => Vec::new(),
            Some(holder) if rules.unique => self.forbidden(holder),
            Some(holder) => self.not_outweighed(identifier, holder),
        };
        if rules.unique && holder.is_some() && must_ask(&refusals) {
            refusals.iter_mut().for_each(|refusal| refusal.in_review = true);
        }
        let moves = rules.moves() && holder.is_some();
        match holder.filter(|_| !refusals.is_empty()) {
            None if refusals.is_empty() => {
                if let Some(holder) = holder.filter(|holder| !self.has(holder.id)) {
                    self.join(holder);
                }
                self.take(place, claim, rules, Fate::Links);
            }
            None => self.refuse(place, self.links.joined.first().map(|customer| customer.id), refusals),
            Some(_) if moves && sharing.is_none_or(|sharing| sharing.last_seen <= command.observed_at) => {
                self.take(place, claim, rules, Fate::Moves);
            }
            Some(holder) => self.refuse(place, Some(holder.id), refusals),
        }
        Ok(())
    }

    fn take(&mut self, place: usize, claim: &CheckedClaim, rules: &Rules, fate: Fate) {
        if let Some(slot) = self.links.fates.get_mut(place) {
            *slot = fate;
        }
        if rules.anchors() {
            let verified = claim.verified == Some(true);
            self.party.anchors.add(&claim.identifier, self.command.observed_at, verified);
        }
    }

    fn refuse(&mut self, place: usize, customer: Option<CustomerId>, refusals: Vec<Refusal>) {
        let refusals = refusals.into_iter().map(|refusal| Refusal { claim: Some(place), customer, ..refusal });
        self.links.refusals.extend(refusals);
    }

    /// What forbids to join `holder` to what was found so far.
    fn forbidden(&self, holder: &CustomerState) -> Vec<Refusal> {
        let mut refusals = forbids(&self.command.policy, &self.party, &Party::of(holder), self.command.observed_at);
        if self.links.joined.iter().any(|known| self.view.cannot_link(known.id, holder.id).is_some()) {
            let detail = "the two customers were taken apart by hand, and a cannot-link between them stands";
            refusals.insert(0, Refusal::new(Guard::CannotLink, detail));
        }
        refusals
    }

    /// The same where an identifier that is not unique leads there: it never makes one of two customers, and yields to
    /// any difference between the record and the customer.
    fn not_outweighed(&self, identifier: &Identifier, holder: &CustomerState) -> Vec<Refusal> {
        let namespace = &identifier.namespace;
        if !self.links.joined.is_empty() {
            let detail =
                format!("{namespace} is not unique, and something of higher priority leads to another customer");
            return vec![Refusal::new(Guard::LowerPriority, detail)];
        }
        let theirs = Party::of(holder);
        let mut refusals = forbids(&self.command.policy, &self.party, &theirs, self.command.observed_at);
        if refusals.is_empty()
            && let Some(other) = disagree(&self.command.policy, &self.party, &theirs)
        {
            let detail = format!("{namespace} is not unique, and the customer to whom it leads has another {other}");
            refusals.push(Refusal::new(Guard::UniqueConflict, detail));
        }
        refusals
    }

    /// A record that carries shared identifiers and nothing else is of the customer who stands for these.
    fn anonymous(&mut self) -> Result<(), Fault> {
        let shared = |identifier: &Identifier| self.view.sharing(identifier).is_some_and(|sharing| sharing.shared);
        let mut usable = self.command.usable().peekable();
        // A record with a key of its own stays where it is, and stands for nothing.
        let settled = !self.links.joined.is_empty();
        if (settled && matches!(self.command.key.key, SourceKey::Given(_))) || usable.peek().is_none() {
            return Ok(());
        }
        if !usable.all(|(_, claim)| shared(&claim.identifier)) {
            return Ok(());
        }
        self.links.anonymous = true;
        if settled {
            return Ok(());
        }
        for (_, claim) in self.command.usable() {
            let Some(lead) = self.view.lead(&Node::Shared(claim.identifier.clone())) else { continue };
            let holder = self.customer(lead)?;
            if self.forbidden(holder).is_empty() {
                self.join(holder);
                break;
            }
        }
        Ok(())
    }
}
