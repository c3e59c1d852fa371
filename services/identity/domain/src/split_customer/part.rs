//! Which records and identifiers are taken out.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Fault, Identifier, Reason};

use super::{
    SplitCustomer,
    tree::{Side, beyond},
};
use crate::{
    record::RecordId,
    view::{Node, View},
};

/// Every record and every linked identifier of the customer, and on which side it is.
pub(super) struct Part {
    pub(super) records: BTreeMap<RecordId, Side>,
    pub(super) identifiers: BTreeMap<Identifier, Side>,
    /// Ids that were asked for by name, with all that came with them.
    pub(super) ids: BTreeSet<CustomerId>,
}

/// Who carries what: the linked identifiers of a customer with the records that claim them.
type Carriers = BTreeMap<Identifier, BTreeSet<RecordId>>;

pub(super) fn parted(view: &View, id: CustomerId, command: &SplitCustomer) -> Result<Part, Fault> {
    let own = [id];
    let records: BTreeSet<RecordId> = view.records_of(&own).map(|record| record.id).collect();
    let carriers = carriers(view, &records);
    let ids = match command.alias {
        None => BTreeSet::new(),
        Some(alias) => beyond(view, id, alias)?,
    };
    let mut leaving: BTreeSet<RecordId> =
        view.records_of(&own).filter(|record| ids.contains(&record.home)).map(|record| record.id).collect();
    for record in &command.records {
        if !records.contains(record) {
            return Err(Fault::not_found(Reason::RecordNotFound, format_args!("record `{record}` of customer `{id}`"))
                .with("record_id", record.to_string()));
        }
        leaving.insert(*record);
    }
    let named: BTreeSet<Identifier> = command.identifiers.iter().cloned().collect();
    for (place, identifier) in command.identifiers.iter().enumerate() {
        if !carriers.contains_key(identifier) {
            let what =
                format!("identifier `identifiers[{place}]` of namespace `{}` of customer `{id}`", identifier.namespace);
            return Err(
                Fault::not_found(Reason::IdentifierNotFound, what).with("namespace", identifier.namespace.clone())
            );
        }
    }
    leaving.extend(carried_off(&carriers, &named));
    if leaving.is_empty() || leaving.len() == records.len() {
        return Err(empty(id, leaving.is_empty()));
    }
    Ok(Part::divide(view, &records, &carriers, &leaving, (named, ids)))
}

impl Part {
    /// The records that arrived at some of the customer's ids, with what they carry.
    pub(super) fn of(view: &View, id: CustomerId, ids: BTreeSet<CustomerId>) -> Self {
        let own = [id];
        let records: BTreeSet<RecordId> = view.records_of(&own).map(|record| record.id).collect();
        let leaving = view.records_of(&own).filter(|record| ids.contains(&record.home));
        let leaving = leaving.map(|record| record.id).collect();
        Self::divide(view, &records, &carriers(view, &records), &leaving, (BTreeSet::new(), ids))
    }

    /// Records are `leaving`, the others stay; an identifier that both sides carry leaves if it is named, or belongs to
    /// one of `ids`.
    fn divide(
        view: &View,
        records: &BTreeSet<RecordId>,
        carriers: &Carriers,
        leaving: &BTreeSet<RecordId>,
        (named, ids): (BTreeSet<Identifier>, BTreeSet<CustomerId>),
    ) -> Self {
        let side = |record: &RecordId| if leaving.contains(record) { Side::Leaves } else { Side::Stays };
        let identifiers = carriers.iter().map(|(identifier, by)| {
            let goes = if by.iter().all(|record| side(record) == Side::Leaves) {
                true
            } else if by.iter().all(|record| side(record) == Side::Stays) {
                false
            } else {
                // Both sides carry it: it was asked for, or it came with an id that was.
                let lead = view.lead(&Node::Identifier(identifier.clone()));
                named.contains(identifier) || lead.is_some_and(|lead| ids.contains(&lead.customer))
            };
            (identifier.clone(), if goes { Side::Leaves } else { Side::Stays })
        });
        Self { identifiers: identifiers.collect(), records: records.iter().map(|r| (*r, side(r))).collect(), ids }
    }
}

fn carriers(view: &View, records: &BTreeSet<RecordId>) -> Carriers {
    let mut carriers = Carriers::new();
    for (id, claim) in view.claims().filter(|(record, _)| records.contains(record)) {
        let Some(record) = view.record(id) else { continue };
        let shared = view.sharing(&claim.identifier).is_some_and(|sharing| sharing.shared);
        if claim.links() && !shared && view.is_linked(record, &claim.identifier) {
            carriers.entry(claim.identifier.clone()).or_default().insert(id);
        }
    }
    carriers
}

/// The records that go along with the identifiers that are named: those that carry one.
///
/// But nothing that was not named is to lose its last record: a record that alone carries another identifier stays, if
/// the named ones have other records to go with.
fn carried_off(carriers: &Carriers, named: &BTreeSet<Identifier>) -> BTreeSet<RecordId> {
    let all: BTreeSet<RecordId> = named.iter().filter_map(|i| carriers.get(i)).flatten().copied().collect();
    let needed = |record: &RecordId| {
        let others = carriers.iter().filter(|(identifier, by)| !named.contains(identifier) && by.contains(record));
        others.map(|(_, by)| by).any(|by| by.is_subset(&all))
    };
    let (stay, mut go): (BTreeSet<RecordId>, BTreeSet<RecordId>) = all.iter().copied().partition(needed);
    for by in named.iter().filter_map(|identifier| carriers.get(identifier)) {
        if by.iter().all(|record| stay.contains(record)) {
            go.extend(by);
        }
    }
    go
}

fn empty(id: CustomerId, nothing_leaves: bool) -> Fault {
    let what = if nothing_leaves {
        "nothing would be taken out"
    } else {
        "nothing would remain: every record carries what is to be taken out; name single records in `record_ids`"
    };
    Fault::new(Reason::SplitEmpty, format!("customer `{id}` cannot be split so: {what}"))
        .with("customer_id", id.to_string())
}
