//! Who is meant: references to customers, resolved by identity.

use std::{sync::Arc, time::Duration};

use data::Sealer;
use host::{Call, Peers};
use moka::sync::Cache;
use profile::Profiles;
use rapport_proto::profile::v1::{ResolveRefsRequest, profile_service_client::ProfileServiceClient};
use terms::{CustomerId, CustomerRef, Fault, FaultKind, Identifier, Position, Reason, Revision, Service, Tenant};

use crate::{feed::via, known::Known};

/// Finds profiles by references.
#[derive(Clone)]
pub(crate) struct Customers {
    profiles: Profiles<Known>,
    peers: Peers,
    identifiers: Cache<(Tenant, Identifier), Lead>,
    sealer: Sealer,
}

/// Whom a reference means.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// What is known of them.
    pub(crate) known: Arc<Known>,
    /// The look-up key of the identifier that named them, however it was written.
    pub(crate) via: Option<[u8; 32]>,
}

impl Found {
    /// Someone of whom nothing is known.
    pub(crate) fn nobody() -> Self {
        Self { known: Arc::new(Known::nobody()), via: None }
    }
}

/// To whom an identifier led, and what identity's section of that customer showed then. Any change of the customer's
/// identifiers changes the section: an entry that does not match it any more is thrown away.
#[derive(Debug, Clone, Copy)]
struct Lead {
    customer: CustomerId,
    identity_at: Position,
    via: [u8; 32],
}

impl Customers {
    pub(crate) fn new(profiles: Profiles<Known>, peers: Peers, identifiers: u64, sealer: Sealer) -> Self {
        Self { profiles, peers, identifiers: Cache::new(identifiers), sealer }
    }

    /// A profile that is in process and fresh enough: no waiting.
    pub(crate) fn hot(&self, tenant: &Tenant, reference: &CustomerRef, at_least: &Revision) -> Option<Found> {
        match reference {
            CustomerRef::Id(id) => Some(Found { known: self.profiles.hot(tenant, *id, at_least)?, via: None }),
            CustomerRef::Identifier(identifier) => {
                let lead = self.identifiers.get(&(tenant.clone(), identifier.clone()))?;
                let known = self.profiles.hot(tenant, lead.customer, at_least)?;
                (known.identity_at == lead.identity_at).then_some(Found { known, via: Some(lead.via) })
            }
        }
    }

    /// What is known of whomever `reference` means; the survivor, if the customer was merged. An unknown identifier is
    /// `None`.
    ///
    /// # Errors
    /// [`Reason::CustomerNotFound`] for an unknown id, [`Reason::CustomerErased`], [`Reason::RevisionNotReached`].
    pub(crate) async fn find(
        &self,
        call: &Call,
        reference: &CustomerRef,
        at_least: &Revision,
    ) -> Result<Option<Found>, Fault> {
        let tenant = call.tenant();
        if let Some(found) = self.hot(tenant, reference, at_least) {
            return Ok(Some(found));
        }
        let (customer, via) = match reference {
            CustomerRef::Id(id) => (*id, None),
            CustomerRef::Identifier(identifier) => match self.resolve(call, identifier, at_least).await? {
                Some((customer, via)) => (customer, Some(via)),
                None => return Ok(None),
            },
        };
        let known = match call.remaining().filter(|_| !at_least.is_empty()) {
            None => self.read(tenant, customer, at_least).await?,
            Some(left) => {
                let read = self.read(tenant, customer, at_least);
                let read = tokio::time::timeout(left.saturating_sub(PARTING), read).await;
                read.unwrap_or_else(|_| Err(not_reached()))?
            }
        };
        if let (CustomerRef::Identifier(identifier), Some(via)) = (reference, via)
            && !known.profile.degraded.identity
        {
            // The survivor may be another than who was resolved: the next look-up begins with it.
            let customer = known.profile.customer.unwrap_or(customer);
            let lead = Lead { customer, identity_at: known.identity_at, via };
            self.identifiers.insert((tenant.clone(), identifier.clone()), lead);
        }
        Ok(Some(Found { known, via }))
    }

    /// The profile; without the sections whose owners are away, if need be.
    async fn read(&self, tenant: &Tenant, customer: CustomerId, at_least: &Revision) -> Result<Arc<Known>, Fault> {
        match self.profiles.get(tenant, customer, at_least).await {
            Err(fault) if is_away(&fault) => self.profiles.get_partial(tenant, customer, at_least).await,
            outcome => outcome,
        }
    }

    /// To whom an identifier leads, and its look-up key: that of the form in which identity keeps it.
    async fn resolve(
        &self,
        call: &Call,
        identifier: &Identifier,
        at_least: &Revision,
    ) -> Result<Option<(CustomerId, [u8; 32])>, Fault> {
        let peer = self.peers.get(Service::Identity).for_call(call);
        let request = ResolveRefsRequest {
            refs: vec![host::encode::customer(&CustomerRef::Identifier(identifier.clone()))],
            at_least: at_least.to_string(),
        };
        let reply = ProfileServiceClient::new(peer).resolve_refs(request).await.map_err(host::fault)?.into_inner();
        let customer = match reply.customer_ids.first().map(String::as_str) {
            None | Some("") => return Ok(None),
            Some(id) => id.parse().map_err(Fault::internal)?,
        };
        // An identity of an earlier release tells no form: then it is as given.
        let kept = reply.identifiers.into_iter().next().filter(|kept| !kept.namespace.is_empty());
        let kept = kept.map_or_else(|| identifier.clone(), |k| Identifier { namespace: k.namespace, value: k.value });
        Ok(Some((customer, via(&self.sealer, call.tenant(), &kept))))
    }
}

/// A read that demands a revision gives up so long before its caller does, so that the caller hears why.
const PARTING: Duration = Duration::from_millis(20);

fn not_reached() -> Fault {
    let message = "what the decision reads has not caught up with `at_least` within the deadline; try again";
    Fault::new(Reason::RevisionNotReached, message)
}

/// Whether a profile may be read without those who do not answer.
fn is_away(fault: &Fault) -> bool {
    fault.reason() != Reason::RevisionNotReached
        && matches!(fault.kind(), FaultKind::Unavailable | FaultKind::Late | FaultKind::Internal)
}
