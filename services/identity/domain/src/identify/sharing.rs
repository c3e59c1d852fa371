//! With whom the values of a record were seen: what moves, what becomes shared, and who loses it.

use std::collections::{BTreeMap, BTreeSet};

use terms::{CustomerId, Identifier, Timestamp};

use super::{
    Identify,
    link::{Fate, Links},
};
use crate::view::{CustomerState, Node, Sharing, Touched, View};

/// With whom values were seen, where that changed; and the customers who lost one by it.
pub(super) fn sharings(
    view: &View,
    command: &Identify,
    links: &Links<'_>,
    now: Timestamp,
    customer: CustomerId,
) -> (Vec<(Identifier, Sharing)>, Vec<Touched>) {
    let (mut changed, mut touched) = (Vec::new(), BTreeMap::new());
    for (place, claim) in command.usable() {
        let identifier = &claim.identifier;
        let Some(rules) = command.policy.rules(&identifier.namespace) else { continue };
        let known = view.sharing(identifier);
        let lead = view.lead(&Node::Identifier(identifier.clone()));
        let holder = lead.map(|lead| view.resolve(lead.customer));
        let mut sharing = known.cloned().unwrap_or_default();
        let elsewhere = holder.is_some_and(|holder| holder != customer);
        let mut lost = false;
        match links.fates.get(place).copied().unwrap_or(Fate::Dropped) {
            Fate::Moves => {
                sharing.epoch += 1;
                sharing.last_seen = command.observed_at;
                lost = true;
            }
            Fate::Links if rules.moves() => sharing.last_seen = sharing.last_seen.max(command.observed_at),
            Fate::Links if rules.unique && rules.max_customers_per_value > 0 && links.joined.len() > 1 => {
                sharing.seen = lead.map(|lead| links.touched(view, identifier, lead)).unwrap_or_default();
            }
            Fate::Refused if links.hubs.contains(&place) => {
                (sharing.shared, sharing.epoch) = (true, sharing.epoch + 1);
                lost = true;
            }
            Fate::Refused if !sharing.shared && rules.max_customers_per_value > 0 && elsewhere => {
                sharing.seen.insert(customer);
                // The holder is one of those with whom it was seen.
                if sharing.seen.len() >= rules.max_customers_per_value as usize {
                    (sharing.shared, sharing.epoch) = (true, sharing.epoch + 1);
                    lost = true;
                }
            }
            Fate::Links | Fate::Refused | Fate::Dropped => {}
        }
        if known != Some(&sharing) && sharing != Sharing::default() {
            changed.push((identifier.clone(), sharing));
        }
        if let Some(loser) = holder.filter(|id| lost && *id != customer).and_then(|id| view.customer(id)) {
            let state = || CustomerState { updated_at: now, version: loser.version + 1, ..loser.clone() };
            let entry = touched.entry(loser.id);
            let entry = entry.or_insert_with(|| Touched { customer: state(), namespaces: BTreeSet::new() });
            entry.namespaces.insert(identifier.namespace.clone());
        }
    }
    (changed, touched.into_values().collect())
}
