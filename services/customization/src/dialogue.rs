//! What was said to and fro: counted by interaction, held here against what decisions chose.

use std::collections::{HashMap, HashSet};

use customization_domain::{
    get_relationship::{Chosen, Contacts, Dialogue},
    ports::{DecisionLog, Definitions},
    report_outcome::DecisionId,
};
use host::{Call, Peers};
use rapport_proto::profile::v1::{BoundaryContacts, GetDialogueRequest, profile_service_client::ProfileServiceClient};
use terms::{CustomerId, Fault, Revision, Service, Tenant, Timestamp};

use crate::{record::Body, store::SqlStore};

/// What interaction counted since a time, and what it read of.
pub(crate) async fn dialogue(
    peers: &Peers,
    call: &Call,
    customer: CustomerId,
    since: Timestamp,
    at_least: &Revision,
) -> Result<(Dialogue, Revision), Fault> {
    let request = GetDialogueRequest {
        customer_id: customer.to_string(),
        since_micros: since.micros(),
        at_least: at_least.to_string(),
    };
    let mut interaction = ProfileServiceClient::new(peers.get(Service::Interaction).for_call(call));
    let reply = interaction.get_dialogue(request).await.map_err(host::fault)?.into_inner();
    let contacts = reply.boundaries.into_iter().filter_map(|one| Some((one.boundary_id.parse().ok()?, contacts(one))));
    let dialogue = Dialogue {
        inbound: reply.inbound_count,
        outbound: reply.outbound_count,
        organic: reply.organic_count,
        contacts: contacts.collect(),
    };
    Ok((dialogue, Revision::parse("revision", &reply.revision)?))
}

fn contacts(wire: BoundaryContacts) -> Contacts {
    let decisions = wire.decisions.into_iter().filter_map(|one| Some((one.decision_id.parse().ok()?, one.count)));
    Contacts { count: wire.count, decisions: decisions.collect() }
}

/// What the decisions in a dialogue chose, as far as the log knows: erased ones are forgotten.
pub(crate) async fn chosen(store: &SqlStore, tenant: &Tenant, dialogue: &Dialogue) -> Result<Chosen, Fault> {
    let named = dialogue.contacts.values().flat_map(|contacts| contacts.decisions.iter().map(|(id, _)| *id));
    let named: HashSet<DecisionId> = named.collect();
    let logged = store.find_all(tenant, &named.into_iter().collect::<Vec<_>>()).await?;
    let mut chosen = Chosen::with_capacity(logged.len());
    // Many decisions, few places.
    let mut places = HashMap::new();
    for logged in logged.into_iter().filter(|logged| !logged.body.is_empty()) {
        let at = (logged.touchpoint, logged.catalog_version);
        let place = match places.entry(at) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => new.insert(store.place_at(tenant, at.0, at.1).await?),
        };
        let Some(place) = place else { continue };
        let decision = Body::read(&logged.body)?.decision();
        chosen.insert(logged.id, decision.ranked.iter().filter_map(|r| r.pick.of(place).cloned()).collect());
    }
    Ok(chosen)
}
