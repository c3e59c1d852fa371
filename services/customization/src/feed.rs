//! What customization consumes: of identity, splits and erasures. A merge needs nothing: decisions stay with the id for
//! which they were made, and readers of a survivor read of its aliases.

use async_trait::async_trait;
use data::{Consumer, Entry, Tx};
use rapport_proto::feed::v1::{CustomerErased, CustomerSplit, event::Event};
use terms::{CustomerId, Fault, Identifier, Tenant};

use crate::store::upkeep::{erase, reassign};

/// Follows identity.
#[derive(Debug)]
pub(crate) struct IdentityNews;

#[async_trait]
impl Consumer for IdentityNews {
    fn name(&self) -> &'static str {
        "customization.identity"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["customer.split", "customer.erased"]
    }

    async fn apply(&self, tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
        for entry in entries {
            match entry.change() {
                Some(Event::CustomerSplit(split)) => moved(tx, &entry.tenant, split).await?,
                Some(Event::CustomerErased(erased)) => erase(tx, &entry.tenant, &all(erased)?).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn moved(tx: &Tx, tenant: &Tenant, split: &CustomerSplit) -> Result<(), Fault> {
    let to: CustomerId = split.to_customer_id.parse().map_err(Fault::internal)?;
    let via = |wire: &rapport_proto::r#type::v1::Identifier| {
        let identifier = Identifier { namespace: wire.namespace.clone(), value: wire.value.clone() };
        via(tx.sealer(), tenant, &identifier)
    };
    let vias: Vec<[u8; 32]> = split.identifiers.iter().map(via).collect();
    reassign(tx, tenant, to, &vias).await
}

fn all(erased: &CustomerErased) -> Result<Vec<CustomerId>, Fault> {
    let ids = erased.customer_ids.iter().chain([&erased.customer_id]).filter(|id| !id.is_empty());
    let mut ids = ids.map(|id| id.parse().map_err(Fault::internal)).collect::<Result<Vec<CustomerId>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The look-up key of an identifier in the form in which identity keeps it.
pub(crate) fn via(sealer: &data::Sealer, tenant: &Tenant, identifier: &Identifier) -> [u8; 32] {
    sealer.lookup_key(tenant, &identifier.namespace, &identifier.value)
}
