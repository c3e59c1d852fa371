//! Who is meant: by what was heard of merges, else by identity.

use host::{Call, Peers};
use rapport_proto::profile::v1::{ResolveRefsRequest, profile_service_client::ProfileServiceClient};
use segmentation_domain::ports::Store;
use terms::{CustomerId, CustomerRef, Fault, Reason, Revision, Service};

use crate::store::SqlSegments;

/// Resolves references to customers.
#[derive(Clone)]
pub(crate) struct Customers {
    store: SqlSegments,
    peers: Peers,
}

/// Most references that identity is asked about at once.
const CHUNK: usize = 1_000;

impl Customers {
    pub(crate) fn new(store: SqlSegments, peers: Peers) -> Self {
        Self { store, peers }
    }

    /// The survivor.
    ///
    /// # Errors
    /// [`Reason::CustomerNotFound`], also for one who was erased; what identity says if it has to be asked.
    pub(crate) async fn find(
        &self,
        call: &Call,
        reference: &CustomerRef,
        at_least: &Revision,
    ) -> Result<CustomerId, Fault> {
        let known = match reference {
            CustomerRef::Id(id) => self.store.locate(call.tenant(), *id).await?,
            CustomerRef::Identifier(_) => None,
        };
        match known {
            Some(located) if located.erased => Err(not_found(reference)),
            Some(located) => Ok(located.customer),
            // New, and not heard of here yet; or never heard of.
            None => {
                let found = self.find_all(call, std::slice::from_ref(reference), at_least).await?.pop().flatten();
                found.ok_or_else(|| not_found(reference))
            }
        }
    }

    /// The survivors, as identity knows them; `None` for whom it does not know.
    pub(crate) async fn find_all(
        &self,
        call: &Call,
        references: &[CustomerRef],
        at_least: &Revision,
    ) -> Result<Vec<Option<CustomerId>>, Fault> {
        let mut found = Vec::with_capacity(references.len());
        for references in references.chunks(CHUNK) {
            let peer = self.peers.get(Service::Identity).for_call(call);
            let request = ResolveRefsRequest {
                refs: references.iter().map(host::encode::customer).collect(),
                at_least: at_least.to_string(),
            };
            let reply = ProfileServiceClient::new(peer).resolve_refs(request).await.map_err(host::fault)?.into_inner();
            for id in &reply.customer_ids {
                found.push(if id.is_empty() { None } else { Some(id.parse().map_err(Fault::internal)?) });
            }
        }
        Ok(found)
    }
}

/// There is no such customer; the value of an identifier is not told.
pub(crate) fn not_found(reference: &CustomerRef) -> Fault {
    match reference {
        CustomerRef::Id(id) => Fault::not_found(Reason::CustomerNotFound, format_args!("customer `{id}`"))
            .with("customer_id", id.to_string()),
        CustomerRef::Identifier(identifier) => {
            let namespace = &identifier.namespace;
            Fault::not_found(Reason::CustomerNotFound, format_args!("customer with that `{namespace}`"))
                .with("namespace", namespace.clone())
        }
    }
}
