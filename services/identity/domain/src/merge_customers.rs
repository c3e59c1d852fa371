//! `MergeCustomers`: somebody says that customers are one.
//!
//! The assertion is kept as an edge between the two ids that were named: taking it away again is an exact inverse, see
//! [`crate::split_customer`].

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Fault, Reason, Violations};

use crate::{
    customer::Customer,
    golden::Golden,
    guard::may_join,
    history::{Detail, HistoryEntry, HistoryKind},
    identify::{CERTAIN, Guard, Refusal},
    identify_stream::Batch,
    lookup_customer::not_found,
    policy::Policy,
    view::{Bond, CustomerState, Merge, Moment, View},
};

/// How many customers one call merges at most.
pub const MAX_LOSERS: usize = 100;
/// How long a reason may be, in bytes.
pub const MAX_REASON: usize = 1_024;

/// A merge by hand. Identifiers in references are normalised.
#[derive(Debug, Clone)]
pub struct MergeCustomers {
    /// Who keeps the id.
    pub survivor: CustomerRef,
    /// Whom to merge into it.
    pub losers: Vec<CustomerRef>,
    /// Why, in the words of whoever merges.
    pub reason: String,
    /// Whether guards are noted only, and cannot-links between the sides lifted.
    pub override_guards: bool,
    /// The state of the survivor that was read; empty: whatever it is.
    pub etag: String,
    /// Whether to decide without storing.
    pub validate_only: bool,
    /// What the tenant has decided.
    pub policy: Arc<Policy>,
}

/// The merged customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// The survivor.
    pub customer: Customer,
    /// The ids that lead to it since this call.
    pub merged: Vec<CustomerId>,
    /// Guards that fired and were overridden.
    pub refused: Vec<Refusal>,
}

/// Checks a reason: somebody's words for the history.
pub fn check_reason(reason: &str, wrong: &mut Violations) {
    wrong.add_if(reason.trim().is_empty(), "reason", "is empty; say why, for the history");
    check_words(reason, wrong);
}

/// The same where the act says enough by itself.
pub fn check_words(reason: &str, wrong: &mut Violations) {
    wrong.add_if(reason.len() > MAX_REASON, "reason", "is too long; give at most 1024 bytes");
    wrong.add_if(reason.contains('\0'), "reason", "holds a NUL character; remove it");
}

impl MergeCustomers {
    /// Every customer that it names.
    pub fn references(&self) -> impl Iterator<Item = &CustomerRef> {
        std::iter::once(&self.survivor).chain(&self.losers)
    }
}

/// Merges in the view; what to write is in the batch. The view holds everything of the customers that are named.
///
/// A loser that is one with the survivor already is passed over, so that saying it twice is saying it once.
///
/// # Errors
/// [`Reason::CustomerNotFound`], [`Reason::EtagStale`], [`Reason::KindMismatch`], [`Reason::MergeRefused`].
pub fn merge_customers(
    view: &mut View,
    command: &MergeCustomers,
    moment: Moment<'_>,
) -> Result<(Batch, Merged), Fault> {
    let there = view.named(&command.survivor).ok_or_else(|| not_found(&command.survivor))?;
    let survivor = view.resolve(there);
    let state = view.customer(survivor).ok_or_else(|| not_found(&command.survivor))?;
    if !command.etag.is_empty() && command.etag != state.etag() {
        return Err(Fault::etag_stale(format_args!("customer `{survivor}`")));
    }
    let mut merging = Merging {
        customer: state.clone(),
        there,
        names: namespaces(view, survivor),
        batch: Batch::default(),
        merged: Vec::new(),
        refused: Vec::new(),
        command,
        moment,
    };
    for reference in &command.losers {
        let here = view.named(reference).ok_or_else(|| not_found(reference))?;
        merging.take_in(view, here)?;
    }
    merging.done(view)
}

struct Merging<'a> {
    customer: CustomerState,
    there: CustomerId,
    names: BTreeSet<String>,
    batch: Batch,
    merged: Vec<CustomerId>,
    refused: Vec<Refusal>,
    command: &'a MergeCustomers,
    moment: Moment<'a>,
}

impl Merging<'_> {
    fn take_in(&mut self, view: &mut View, here: CustomerId) -> Result<(), Fault> {
        let loser = view.resolve(here);
        if loser == self.customer.id {
            return Ok(());
        }
        let state = view.customer(loser).cloned().ok_or_else(|| Fault::internal("a named customer is gone"))?;
        let refusals = self.forbidden(view, &state);
        if !refusals.is_empty() && !self.command.override_guards {
            return Err(refused(&refusals, &self.customer, &state));
        }
        let links: Vec<_> =
            view.cannot_links().filter(|link| joins(view, link.a, link.b, self.customer.id, loser)).cloned().collect();
        for link in links {
            view.lift(&link);
            self.batch.lifted.push(link);
        }
        let before = self.customer.golden.clone();
        let policy = &self.command.policy;
        if self.customer.golden.absorb(policy, state.golden).is_err() {
            self.customer.golden = Golden::of(policy, view.records_of(&[self.customer.id, loser]));
        }
        self.customer.anchors.absorb(&state.anchors);
        self.customer.record_count = self.customer.record_count.saturating_add(state.record_count);
        self.customer.confidence = self.customer.confidence.min(state.confidence);
        let merge = Merge {
            id: self.moment.ids.next(),
            loser,
            loser_created_at: state.created_at,
            survivor: self.customer.id,
            here,
            there: self.there,
            bond: Bond::Manual,
            certainty: CERTAIN,
            at: self.moment.now,
        };
        let news = self.batch.news.entry(self.customer.id).or_default();
        news.traits.extend(self.customer.golden.differing(&before));
        news.namespaces.extend(namespaces(view, loser).difference(&self.names).cloned());
        news.observed_at = Some(self.moment.now);
        self.batch.history.push(self.entry(&merge, refusals.first()));
        view.apply_merge(&merge);
        self.batch.merged.push(merge);
        self.merged.push(loser);
        self.refused.extend(refusals);
        Ok(())
    }

    /// What forbids that `loser` is merged in.
    fn forbidden(&self, view: &View, loser: &CustomerState) -> Vec<Refusal> {
        let mut refusals = may_join(&self.command.policy, &self.customer, loser, self.moment.now);
        refusals.extend(kept_apart(view, self.customer.id, loser.id));
        refusals
    }

    fn entry(&self, merge: &Merge, overridden: Option<&Refusal>) -> HistoryEntry {
        HistoryEntry {
            id: merge.id,
            kind: HistoryKind::Merge,
            customer: merge.survivor,
            other: Some(merge.loser),
            record: None,
            detail: Detail {
                guard: overridden.map(|refusal| refusal.guard),
                sentence: overridden.map(|refusal| format!("overridden: {}", refusal.detail)).unwrap_or_default(),
                words: self.command.reason.clone(),
                ..Detail::default()
            },
            actor: self.moment.actor.to_owned(),
            reason: "by hand".to_owned(),
            at: self.moment.now,
        }
    }

    fn done(mut self, view: &mut View) -> Result<(Batch, Merged), Fault> {
        let id = self.customer.id;
        if !self.merged.is_empty() {
            self.customer.version += 1;
            self.customer.updated_at = self.moment.now;
            view.add_customer(self.customer);
            self.batch.updated.insert(id);
        }
        let customer = view.assemble(id).ok_or_else(|| Fault::internal("the survivor of a merge is gone"))?;
        Ok((self.batch, Merged { customer, merged: self.merged, refused: self.refused }))
    }
}

/// Whether a link between two ids binds two survivors.
fn joins(view: &View, a: CustomerId, b: CustomerId, one: CustomerId, other: CustomerId) -> bool {
    let (a, b) = (view.resolve(a), view.resolve(b));
    (a, b) == (one, other) || (a, b) == (other, one)
}

/// The namespaces in which a customer has identifiers.
fn namespaces(view: &View, customer: CustomerId) -> BTreeSet<String> {
    let linked = view.claims().filter_map(|(record, claim)| {
        let record = view.record(record)?;
        (view.resolve(record.home) == customer && view.is_linked(record, &claim.identifier))
            .then(|| claim.identifier.namespace.clone())
    });
    linked.collect()
}

/// What a steward said before: that the two are two.
pub(crate) fn kept_apart(view: &View, one: CustomerId, other: CustomerId) -> Option<Refusal> {
    let link = view.cannot_link(one, other)?;
    let detail = format!("the two were taken apart by hand; cannot-link `{}` stands", link.id);
    Some(Refusal { customer: Some(other), ..Refusal::new(Guard::CannotLink, detail) })
}

/// The fault of a merge that guards forbid; the strongest comes first.
pub(crate) fn refused(refusals: &[Refusal], survivor: &CustomerState, loser: &CustomerState) -> Fault {
    let guards: Vec<&str> = refusals.iter().map(|refusal| refusal.guard.as_str()).collect();
    let details: Vec<&str> = refusals.iter().map(|refusal| refusal.detail.as_str()).collect();
    let message = format!(
        "customer `{}` cannot be merged: {}; MergeCustomers with `override_guards` (needs `identity.admin`) makes \
         the merge nonetheless",
        loser.id,
        details.join("; ")
    );
    let fault = match refusals.first().map(|refusal| refusal.guard) {
        Some(Guard::KindMismatch) => Fault::new(Reason::KindMismatch, message)
            .with("kind", loser.golden.kind().as_str())
            .with("other_kind", survivor.golden.kind().as_str()),
        _ => Fault::new(Reason::MergeRefused, message),
    };
    fault
        .with("guard", guards.join(","))
        .with("customer_id", loser.id.to_string())
        .with("other_customer_id", survivor.id.to_string())
}
