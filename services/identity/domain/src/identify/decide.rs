//! What an `Identify` changes: pure, but for the ids that it makes.

use std::collections::BTreeSet;

use terms::{CustomerId, Fault, Reason};

use super::{CERTAIN, Identify};
use crate::{
    anchors::Anchors,
    golden::Golden,
    history::{Detail, HistoryEntry, HistoryId, HistoryKind},
    identify::verdict::{Evidence, Guard, Identified, MatchReason, Refusal},
    record::{Claim, Facts, Observed, Record, SourceKey},
    view::{Change, CustomerState, Lead, Merge, Moment, Node, View},
};

/// Decides what a command changes; `None`: nothing at all.
///
/// The survivor of a merge is the oldest customer (by time of creation, then id): the id that others hold longest
/// keeps its meaning. Confidence is the certainty of the weakest evidence that holds the customer together; unique
/// identifiers and source keys are certain by policy, so it is 1.
///
/// # Errors
/// [`Reason::CustomerNotFound`] when nobody is found and the command does not allow to create.
pub fn decide(view: &View, command: &Identify, moment: Moment<'_>) -> Result<(Option<Change>, Identified), Fault> {
    let deciding = Deciding { view, command, moment };
    let found = deciding.found()?;
    if found.is_empty() && !command.create_if_missing {
        return Err(Fault::new(
            Reason::CustomerNotFound,
            "none of the identifiers and no source record id leads to a customer; leave `create_if_missing` unset to \
             create one",
        ));
    }
    Ok(deciding.change(&found))
}

struct Deciding<'a> {
    view: &'a View,
    command: &'a Identify,
    moment: Moment<'a>,
}

impl<'a> Deciding<'a> {
    /// The customers that the command leads to, the survivor first.
    fn found(&self) -> Result<Vec<&'a CustomerState>, Fault> {
        let mut found: Vec<&CustomerState> = Vec::new();
        for lead in self.command.nodes().filter_map(|node| self.view.lead(&node)) {
            let id = self.view.resolve(lead.customer);
            if found.iter().all(|known| known.id != id) {
                found.push(self.view.customer(id).ok_or_else(|| Fault::internal("a lead points at no customer"))?);
            }
        }
        found.sort_by_key(|customer| (customer.created_at, customer.id));
        Ok(found)
    }

    fn change(&self, found: &[&CustomerState]) -> (Option<Change>, Identified) {
        let (survivor, losers) = match found {
            [first, rest @ ..] => (Some(*first), rest),
            [] => (None, found),
        };
        let mut customer = survivor.cloned().unwrap_or_else(|| self.fresh());
        let (record, before, lost) = self.record(customer.id);
        let (claims, edges_changed) = self.claims(&record);
        customer.anchors = self.anchors(&customer, losers, &record, &claims);
        let golden_before = customer.golden.clone();
        self.gather(&mut customer, losers, before.as_ref(), &record, found);
        let changed_traits = customer.golden.differing(&golden_before);
        let visible = before.is_none()
            || edges_changed
            || !losers.is_empty()
            || !changed_traits.is_empty()
            || customer.golden.kind() != golden_before.kind();
        if visible {
            customer.updated_at = self.moment.now;
            customer.version += 1;
        }
        let merged = self.merges(losers, customer.id);
        let reply = Identified {
            customer: Some(customer.id),
            created: survivor.is_none(),
            confidence: customer.confidence,
            matched_by: self.matches(),
            merged: merged.iter().map(|merge| merge.loser).collect(),
            refused: self.refusals(&lost),
            record: Some(record.id),
            candidates: Vec::new(),
        };
        if !visible && claims.is_empty() && before.as_ref() == Some(&record) {
            return (None, reply);
        }
        let lead = Lead { customer: customer.id, record: record.id };
        let change = Change {
            created: survivor.is_none(),
            visible,
            history: self.history(&customer, &record, before.is_none(), &merged),
            changed_namespaces: self.new_namespaces(customer.id),
            leads: self.nodes_without_lead().map(|node| (node, lead)).collect(),
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
            golden: Golden::default(),
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
        let lead = self.view.lead(&Node::Record(command.key.clone()));
        if let Some(before) = lead.and_then(|lead| self.view.record(lead.record)) {
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
                SourceKey::Identifiers(_) => None,
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

    /// The edges that are new or changed, and whether readers see a difference.
    fn claims(&self, record: &Record) -> (Vec<Claim>, bool) {
        let mut changed = Vec::new();
        let mut visible = false;
        for claim in self.command.claims.iter().filter(|claim| !claim.blocked) {
            let new = Claim {
                identifier: claim.identifier.clone(),
                raw_value: claim.raw_value.clone(),
                verified: claim.verified.map(|verified| self.observed(verified)),
                first_seen: self.command.observed_at,
                last_seen: self.command.observed_at,
                certainty: CERTAIN,
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

    /// Brings the survivor's state up to what its records, the losers' and this one say together.
    fn gather(
        &self,
        customer: &mut CustomerState,
        losers: &[&CustomerState],
        before: Option<&Record>,
        record: &Record,
        found: &[&CustomerState],
    ) {
        for loser in losers {
            customer.golden.absorb(loser.golden.clone());
            customer.record_count = customer.record_count.saturating_add(loser.record_count);
            customer.confidence = customer.confidence.min(loser.confidence);
        }
        customer.record_count = customer.record_count.saturating_add(u32::from(before.is_none()));
        let nothing = Facts::default();
        if customer.golden.update(before.map_or(&nothing, |b| &b.facts), record).is_err() {
            // The value that held was withdrawn: ask every record who is next.
            let customers: Vec<_> = found.iter().map(|customer| customer.id).collect();
            let others = self.view.records_of(&customers).filter(|other| other.id != record.id);
            customer.golden = Golden::of(others.chain(std::iter::once(record)));
        }
    }

    /// The anchors of the survivor with those of the losers and the edges that changed.
    fn anchors(&self, customer: &CustomerState, losers: &[&CustomerState], record: &Record, changed: &[Claim]) -> Anchors {
        let mut anchors = customer.anchors.clone();
        for loser in losers {
            anchors.absorb(&loser.anchors);
        }
        for claim in changed {
            anchors.follow(&self.command.policy, self.view.claim(record.id, &claim.identifier), claim);
        }
        anchors
    }

    fn merges(&self, losers: &[&CustomerState], survivor: CustomerId) -> Vec<Merge> {
        let merge = |loser: &&CustomerState| Merge {
            id: self.moment.ids.next(),
            loser: loser.id,
            loser_created_at: loser.created_at,
            survivor,
        };
        losers.iter().map(merge).collect()
    }

    /// The evidence, the source's own key first.
    fn matches(&self) -> Vec<MatchReason> {
        let reasons = self.command.nodes().enumerate().filter_map(|(i, node)| {
            let lead = self.view.lead(&node)?;
            let evidence = match (i, &self.command.key.key) {
                (0, SourceKey::Given(_)) => Evidence::SourceKey,
                // A key made of the identifiers says nothing that they do not say themselves.
                (0, SourceKey::Identifiers(_)) => return None,
                _ => {
                    let claimed = |claim: &super::CheckedClaim| Node::Identifier(claim.identifier.clone()) == node;
                    Evidence::Identifier(self.command.claims.iter().position(claimed)?)
                }
            };
            Some(MatchReason { evidence, record: lead.record, probability: CERTAIN })
        });
        reasons.collect()
    }

    fn nodes_without_lead(&self) -> impl Iterator<Item = Node> {
        self.command.nodes().filter(|node| self.view.lead(node).is_none())
    }

    /// Whether the node leads to `customer` already.
    fn leads_to(&self, node: &Node, customer: CustomerId) -> bool {
        self.view.lead(node).is_some_and(|lead| self.view.resolve(lead.customer) == customer)
    }

    /// Namespaces in which the customer has an identifier that it did not have.
    fn new_namespaces(&self, customer: CustomerId) -> Vec<String> {
        let came = self.command.nodes().filter(|node| !self.leads_to(node, customer));
        let names: BTreeSet<String> = came
            .filter_map(|node| match node {
                Node::Identifier(identifier) => Some(identifier.namespace),
                Node::Record(_) => None,
            })
            .collect();
        names.into_iter().collect()
    }

    fn history(
        &self,
        customer: &CustomerState,
        record: &Record,
        new_record: bool,
        merged: &[Merge],
    ) -> Vec<HistoryEntry> {
        let entry = |id: HistoryId, kind, other, reason| HistoryEntry {
            id,
            kind,
            customer: customer.id,
            other,
            record: Some(record.id),
            detail: Detail { occurred_at: Some(self.command.observed_at), ..Detail::default() },
            actor: self.moment.actor.to_owned(),
            reason,
            at: self.moment.now,
        };
        let mut entries = Vec::new();
        if new_record {
            let (kind, reason) = if customer.record_count == 1 {
                (HistoryKind::Create, "nothing led to a customer".to_owned())
            } else {
                (HistoryKind::Link, self.shared(customer.id))
            };
            entries.push(entry(self.moment.ids.next(), kind, None, reason));
        }
        let merges = merged.iter().map(|m| entry(m.id, HistoryKind::Merge, Some(m.loser), self.shared(m.loser)));
        entries.extend(merges);
        entries
    }

    /// Which evidence of the command leads to `customer`: in namespaces, without values.
    fn shared(&self, customer: CustomerId) -> String {
        let names: BTreeSet<String> = self
            .command
            .nodes()
            .filter(|node| self.leads_to(node, customer))
            .map(|node| match node {
                Node::Identifier(identifier) => identifier.namespace,
                Node::Record(_) => "source key".to_owned(),
            })
            .collect();
        format!("shares {}", names.into_iter().collect::<Vec<_>>().join(", "))
    }

    /// What guards refused.
    fn refusals(&self, lost: &[String]) -> Vec<Refusal> {
        let blocked = self.command.claims.iter().enumerate().filter(|(_, claim)| claim.blocked);
        let mut refusals: Vec<Refusal> = blocked
            .map(|(place, claim)| Refusal {
                claim: Some(place),
                ..Refusal::new(
                    Guard::BlockedValue,
                    format!("this value of {} stands for no value; it was not taken", claim.identifier.namespace),
                )
            })
            .collect();
        if !lost.is_empty() {
            let detail = format!(
                "a newer observation of this record is stored and keeps its values of {} trait(s); the rest was taken",
                lost.len()
            );
            refusals.push(Refusal::new(Guard::StaleRecord, detail));
        }
        refusals
    }
}
