//! What an `Identify` changes: pure, but for the ids that it makes.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use terms::{CustomerId, Fault, Reason};

use super::{
    CERTAIN, Identify,
    link::{Fate, Links, link},
    sharing::sharings,
};
use crate::{
    anchors::Anchors,
    golden::Golden,
    history::{Detail, HistoryEntry, HistoryId, HistoryKind},
    identify::verdict::{Evidence, Guard, Identified, MatchReason, Refusal},
    matching::{Asked, ask::distinct},
    record::{Claim, Facts, Observed, Record, SourceKey},
    view::{Bond, Change, CustomerState, Lead, Merge, Moment, Node, View},
};

/// Decides what a command changes; `None`: nothing at all.
///
/// The survivor of a merge is the oldest customer (by time of creation, then id): the id that others hold longest
/// keeps its meaning. Confidence is the certainty of the weakest evidence that holds the customer together; identifiers
/// and source keys are certain by policy, so it is 1.
///
/// # Errors
/// When nobody is found and the command does not allow to create: [`Reason::IdentifiersRefused`] if guards refused what
/// would have led to somebody, else [`Reason::CustomerNotFound`].
pub fn decide(view: &View, command: &Identify, moment: Moment<'_>) -> Result<(Option<Change>, Identified), Fault> {
    let links = link(view, command)?;
    if links.joined.is_empty() && !command.create_if_missing {
        return Err(nobody(command, &links.refusals));
    }
    let mut found = links.joined.clone();
    found.sort_by_key(|customer| (customer.created_at, customer.id));
    let deciding = Deciding { view, command, moment, links };
    Ok(deciding.change(&found))
}

fn nobody(command: &Identify, refusals: &[Refusal]) -> Fault {
    if refusals.is_empty() {
        return Fault::new(
            Reason::CustomerNotFound,
            "none of the identifiers and no source record id leads to a customer; leave `create_if_missing` unset to \
             create one",
        );
    }
    let refused = refusals.iter().filter_map(|refusal| command.claims.get(refusal.claim?));
    let namespaces: BTreeSet<&str> = refused.map(|claim| claim.identifier.namespace.as_str()).collect();
    let message = "guards refused every identifier that leads to a customer; leave `create_if_missing` unset to create \
                   one, or ask with `validate_only` why";
    let namespaces: Vec<&str> = namespaces.into_iter().collect();
    Fault::new(Reason::IdentifiersRefused, message).with("namespaces", namespaces.join(","))
}

struct Deciding<'a> {
    view: &'a View,
    command: &'a Identify,
    moment: Moment<'a>,
    links: Links<'a>,
}

impl Deciding<'_> {
    fn change(&self, found: &[&CustomerState]) -> (Option<Change>, Identified) {
        let (survivor, losers) = match found {
            [first, rest @ ..] => (Some(*first), rest),
            [] => (None, found),
        };
        let mut customer = survivor.cloned().unwrap_or_else(|| self.fresh());
        let (record, before, lost) = self.record(self.origin(None).unwrap_or(customer.id));
        let (claims, edges_changed) = self.claims(&record);
        customer.anchors = self.anchors(&customer, losers, &record, &claims);
        let golden_before = customer.golden.clone();
        self.gather(&mut customer, losers, before.as_ref(), &record, found);
        let changed_traits = customer.golden.differing(&golden_before);
        let (sharings, touched) = sharings(self.view, self.command, &self.links, self.moment.now, customer.id);
        let leads = self.leads(Lead { customer: record.home, record: record.id });
        let visible = before.is_none()
            || edges_changed
            || !losers.is_empty()
            || !changed_traits.is_empty()
            || self.moves()
            || customer.golden.mark != golden_before.mark
            || customer.golden.kind() != golden_before.kind();
        if visible {
            customer.updated_at = self.moment.now;
            customer.version += 1;
        }
        // The record comes first in the history, then what it merged.
        let first = before.is_none().then(|| self.moment.ids.next());
        let merged = self.merges(losers, customer.id);
        let refused = self.refused(&lost);
        let reply = Identified {
            customer: Some(customer.id),
            created: survivor.is_none(),
            confidence: customer.confidence,
            matched_by: self.matches(),
            merged: merged.iter().map(|merge| merge.loser).collect(),
            refused: refused.clone(),
            record: Some(record.id),
            candidates: Vec::new(),
        };
        let nothing = !visible && claims.is_empty() && sharings.is_empty() && leads.is_empty();
        if nothing && before.as_ref() == Some(&record) && survivor == Some(&customer) {
            return (None, reply);
        }
        let change = Change {
            created: survivor.is_none(),
            visible,
            history: self.history(&customer, &record, first, &merged, &refused),
            asked: self.asked(&record),
            changed_namespaces: self.new_namespaces(customer.id),
            leads,
            sharings,
            touched,
            observed_at: self.command.observed_at,
            customer,
            merged,
            record,
            claims,
            changed_traits,
        };
        (Some(change), reply)
    }

    fn fresh(&self) -> CustomerState {
        CustomerState {
            id: self.moment.ids.next(),
            golden: Golden::new(&self.command.policy),
            anchors: Anchors::default(),
            record_count: 0,
            confidence: CERTAIN,
            created_at: self.moment.now,
            updated_at: self.moment.now,
            version: 0,
        }
    }

    /// The record as it is after the command, as it was before, and the traits that a newer observation kept.
    fn record(&self, customer: CustomerId) -> (Record, Option<Record>, Vec<String>) {
        let command = self.command;
        let traits = command.traits.iter().map(|(name, value)| (name.clone(), self.observed(value.clone())));
        let said = Facts { traits: traits.collect(), kind: command.kind.map(|kind| self.observed(kind)) };
        if let Some(before) = self.links.record_lead.and_then(|lead| self.view.record(lead.record)) {
            let mut record = before.clone();
            let lost = record.facts.absorb(said);
            record.observed_at = record.observed_at.max(command.observed_at);
            return (record, Some(before.clone()), lost);
        }
        let record = Record {
            id: self.moment.ids.next(),
            source: command.key.source.clone(),
            source_record_id: match &command.key.key {
                SourceKey::Given(key) => Some(key.clone()),
                SourceKey::Identifiers(_) | SourceKey::Later(..) => None,
            },
            home: customer,
            facts: said,
            observed_at: command.observed_at,
            created_at: self.moment.now,
        };
        (record, None, Vec::new())
    }

    fn observed<T>(&self, value: T) -> Observed<T> {
        Observed { value, observed_at: self.command.observed_at, record_time: self.moment.now }
    }

    fn fate(&self, place: usize) -> Fate {
        self.links.fates.get(place).copied().unwrap_or(Fate::Dropped)
    }

    /// The edges that are new or changed, and whether readers see a difference.
    fn claims(&self, record: &Record) -> (Vec<Claim>, bool) {
        let mut changed = Vec::new();
        let mut visible = false;
        for (place, claim) in self.command.usable() {
            let new = Claim {
                identifier: claim.identifier.clone(),
                raw_value: claim.raw_value.clone(),
                verified: claim.verified.map(|verified| self.observed(verified)),
                first_seen: self.command.observed_at,
                last_seen: self.command.observed_at,
                certainty: if self.fate(place) == Fate::Refused { 0.0 } else { CERTAIN },
                actor: self.moment.actor.to_owned(),
                created_at: self.moment.now,
            };
            let Some(known) = self.view.claim(record.id, &claim.identifier) else {
                visible = true;
                changed.push(new);
                continue;
            };
            let mut joined = known.clone();
            visible |= joined.absorb(&new);
            if joined != *known {
                changed.push(joined);
            }
        }
        (changed, visible)
    }

    /// Where nodes lead for the first time, or from now on.
    fn leads(&self, lead: Lead) -> Vec<(Node, Lead)> {
        let mut leads = Vec::new();
        if self.links.record_lead.is_none() {
            leads.push((self.links.record_node.clone(), lead));
        }
        for (place, claim) in self.command.usable() {
            let node = Node::Identifier(claim.identifier.clone());
            match self.fate(place) {
                Fate::Links if self.view.lead(&node).is_none() => leads.push((node, lead)),
                Fate::Moves => leads.push((node, lead)),
                Fate::Links | Fate::Refused | Fate::Dropped => {}
            }
            let shared = Node::Shared(claim.identifier.clone());
            if self.links.anonymous && self.view.lead(&shared).is_none() {
                leads.push((shared, lead));
            }
        }
        leads
    }

    /// Whether a value leaves another customer for this one.
    fn moves(&self) -> bool {
        self.links.fates.contains(&Fate::Moves)
    }

    /// Brings the survivor's state up to what its records, the losers' and this one say together.
    fn gather(
        &self,
        customer: &mut CustomerState,
        losers: &[&CustomerState],
        before: Option<&Record>,
        record: &Record,
        found: &[&CustomerState],
    ) {
        let policy = &self.command.policy;
        let mut known = Ok(());
        for loser in losers {
            known = known.and(customer.golden.absorb(policy, loser.golden.clone()));
            customer.record_count = customer.record_count.saturating_add(loser.record_count);
            customer.confidence = customer.confidence.min(loser.confidence);
        }
        customer.record_count = customer.record_count.saturating_add(u32::from(before.is_none()));
        let nothing = Facts::default();
        let known = known.and_then(|()| customer.golden.update(policy, before.map_or(&nothing, |b| &b.facts), record));
        if known.is_err() {
            // The value that held was withdrawn, or another strategy holds: ask every record who is next.
            let customers: Vec<_> = found.iter().map(|customer| customer.id).collect();
            let others = self.view.records_of(&customers).filter(|other| other.id != record.id);
            customer.golden = Golden::of(policy, others.chain(std::iter::once(record)));
        }
    }

    /// The anchors of the survivor with those of the losers and the edges that changed.
    fn anchors(
        &self,
        customer: &CustomerState,
        losers: &[&CustomerState],
        record: &Record,
        changed: &[Claim],
    ) -> Anchors {
        let mut anchors = customer.anchors.clone();
        for loser in losers {
            anchors.absorb(&loser.anchors);
        }
        for claim in changed {
            anchors.follow(&self.command.policy, self.view.claim(record.id, &claim.identifier), claim);
        }
        anchors
    }

    /// The id by which the command leads to `customer`, or to whoever becomes one by it: that of the record; else that to
    /// which the identifier of the highest priority belongs, the oldest of several. Whatever ids mean now, this is the
    /// same: so what arrives at an alias is where it would be had there been no merge.
    fn origin(&self, customer: Option<CustomerId>) -> Option<CustomerId> {
        let of = |id: &CustomerId| customer.is_none_or(|customer| self.view.resolve(*id) == customer);
        let own = self.links.record_lead.map(|lead| lead.customer).filter(of);
        let shared = self.command.usable().filter_map(|(place, claim)| {
            let node = match self.fate(place) {
                Fate::Links => Node::Identifier(claim.identifier.clone()),
                Fate::Refused if self.links.anonymous => Node::Shared(claim.identifier.clone()),
                Fate::Refused | Fate::Moves | Fate::Dropped => return None,
            };
            let priority = self.command.policy.rules(&claim.identifier.namespace).map_or(0, |rules| rules.priority);
            Some((Reverse(priority), self.view.lead(&node)?.customer))
        });
        own.or_else(|| shared.filter(|(_, id)| of(id)).min().map(|(_, id)| id))
    }

    fn merges(&self, losers: &[&CustomerState], survivor: CustomerId) -> Vec<Merge> {
        let merge = |loser: &&CustomerState| Merge {
            id: self.moment.ids.next(),
            loser: loser.id,
            loser_created_at: loser.created_at,
            survivor,
            here: self.origin(Some(loser.id)).unwrap_or(loser.id),
            there: self.origin(Some(survivor)).unwrap_or(survivor),
            bond: Bond::Identifier,
            certainty: CERTAIN,
            at: self.moment.now,
        };
        losers.iter().map(merge).collect()
    }

    /// The evidence, the source's own key first.
    fn matches(&self) -> Vec<MatchReason> {
        let reason = |evidence, lead: Lead| MatchReason { evidence, record: lead.record, probability: CERTAIN };
        // A key made of the identifiers says nothing that they do not say themselves.
        let given = matches!(self.command.key.key, SourceKey::Given(_));
        let own = self.links.record_lead.filter(|_| given).map(|lead| reason(Evidence::SourceKey, lead));
        let shared = self.command.usable().filter_map(|(place, claim)| {
            let node = match self.fate(place) {
                Fate::Links => Node::Identifier(claim.identifier.clone()),
                Fate::Refused if self.links.anonymous => Node::Shared(claim.identifier.clone()),
                Fate::Refused | Fate::Moves | Fate::Dropped => return None,
            };
            self.view.lead(&node).map(|lead| reason(Evidence::Identifier(place), lead))
        });
        own.into_iter().chain(shared).collect()
    }

    /// The nodes of the command that lead to `customer`, by what they are called in a history.
    fn evidence_of(&self, customer: CustomerId) -> BTreeSet<String> {
        let leads_there = |lead: Option<Lead>| lead.is_some_and(|lead| self.view.resolve(lead.customer) == customer);
        let own = leads_there(self.links.record_lead).then(|| "source key".to_owned());
        let shared = self.command.usable().filter(|(place, claim)| {
            let shared = self.links.anonymous && leads_there(self.view.lead(&Node::Shared(claim.identifier.clone())));
            let lead = self.view.lead(&Node::Identifier(claim.identifier.clone()));
            shared || (self.fate(*place) == Fate::Links && leads_there(lead))
        });
        own.into_iter().chain(shared.map(|(_, claim)| claim.identifier.namespace.clone())).collect()
    }

    /// Namespaces in which the customer has an identifier that it did not have.
    fn new_namespaces(&self, customer: CustomerId) -> Vec<String> {
        let came = self.command.usable().filter(|(place, claim)| {
            let lead = self.view.lead(&Node::Identifier(claim.identifier.clone()));
            let known = lead.is_some_and(|lead| self.view.resolve(lead.customer) == customer);
            matches!(self.fate(*place), Fate::Links | Fate::Moves) && !known
        });
        let names: BTreeSet<String> = came.map(|(_, claim)| claim.identifier.namespace.clone()).collect();
        names.into_iter().collect()
    }

    fn history(
        &self,
        customer: &CustomerState,
        record: &Record,
        first: Option<HistoryId>,
        merged: &[Merge],
        refused: &[Refusal],
    ) -> Vec<HistoryEntry> {
        let entry = |id: HistoryId, kind, other, reason, detail: Detail| HistoryEntry {
            id,
            kind,
            customer: customer.id,
            other,
            record: Some(record.id),
            detail: Detail { occurred_at: Some(self.command.observed_at), ..detail },
            actor: self.moment.actor.to_owned(),
            reason,
            at: self.moment.now,
        };
        let mut entries = Vec::new();
        if let Some(first) = first {
            let (kind, reason) = if customer.record_count == 1 {
                (HistoryKind::Create, "nothing led to a customer".to_owned())
            } else {
                (HistoryKind::Link, self.shared(customer.id))
            };
            entries.push(entry(first, kind, None, reason, Detail::default()));
        }
        let merges = merged
            .iter()
            .map(|m| entry(m.id, HistoryKind::Merge, Some(m.loser), self.shared(m.loser), Detail::default()));
        entries.extend(merges);
        for refusal in refused.iter().filter(|refusal| self.is_news(refusal, record, first.is_some())) {
            let claim = refusal.claim.and_then(|place| self.command.claims.get(place));
            let namespace = claim.map_or("", |claim| claim.identifier.namespace.as_str());
            let detail = Detail {
                identifier: claim.map(|claim| claim.identifier.clone()),
                guard: Some(refusal.guard),
                sentence: refusal.detail.clone(),
                in_review: refusal.in_review,
                ..Detail::default()
            };
            let reason = format!("refused by {} {namespace}", refusal.guard.as_str()).trim_end().to_owned();
            let other = refusal.customer.filter(|id| *id != customer.id);
            entries.push(entry(self.moment.ids.next(), HistoryKind::Refuse, other, reason, detail));
        }
        entries
    }

    /// The customers to whom the record was not joined although it shares an identifier with them, where a person is to
    /// judge. Asked once, as it stands in the history once.
    fn asked(&self, record: &Record) -> Vec<Asked> {
        let mut asked: BTreeMap<CustomerId, Asked> = BTreeMap::new();
        let refusals = self.links.refusals.iter().filter(|r| r.in_review && self.is_news(r, record, true));
        for refusal in refusals {
            let claim = refusal.claim.and_then(|place| self.command.claims.get(place));
            let lead = claim.and_then(|claim| self.view.lead(&Node::Identifier(claim.identifier.clone())));
            let (Some(holder), Some(lead)) = (refusal.customer, lead) else { continue };
            let fresh = Asked { record: record.id, other: lead.record, holder, guards: Vec::new() };
            asked.entry(holder).or_insert(fresh).guards.push(refusal.clone());
        }
        let once = |asked: Asked| Asked { guards: distinct(asked.guards.into_iter()), ..asked };
        asked.into_values().map(once).collect()
    }

    /// Whether the history does not know a refusal yet: a record that is seen again is refused again, and tells nothing
    /// new.
    fn is_news(&self, refusal: &Refusal, record: &Record, new_record: bool) -> bool {
        match refusal.claim.and_then(|place| self.command.claims.get(place)) {
            Some(claim) if !claim.blocked => self.view.claim(record.id, &claim.identifier).is_none(),
            Some(_) => new_record,
            None => true,
        }
    }

    /// Which evidence of the command leads to `customer`: in namespaces, without values.
    fn shared(&self, customer: CustomerId) -> String {
        format!("shares {}", self.evidence_of(customer).into_iter().collect::<Vec<_>>().join(", "))
    }

    /// What guards refused, and what a newer observation kept.
    fn refused(&self, lost: &[String]) -> Vec<Refusal> {
        let mut refused = self.links.refusals.clone();
        if !lost.is_empty() {
            let detail = format!(
                "a newer observation of this record is stored and keeps its values of {} trait(s); the rest was taken",
                lost.len()
            );
            refused.push(Refusal::new(Guard::StaleRecord, detail));
        }
        refused
    }
}
