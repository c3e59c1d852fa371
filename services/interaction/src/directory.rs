//! Who is meant: references resolved by identity, with a small cache.
//!
//! The cache cannot lose a merge: rows follow the local pointer in the transaction that writes them. Nor a split: each
//! answer carries the place in identity's feed up to which it is right, and a customer who was split after it makes the
//! transaction ask again. That a reference is unknown is never kept.

use async_trait::async_trait;
use host::Peers;
use interaction_domain::{arrival::Resolved, customers::Customers};
use moka::sync::Cache;
use rapport_proto::profile::v1::{ResolveRefsRequest, profile_service_client::ProfileServiceClient};
use terms::{Caller, CustomerId, CustomerRef, Fault, Revision, Service, Tenant, partition};

use crate::config::InteractionConfig;

/// How many references identity takes at once.
const CHUNK: usize = 10_000;

/// Asks identity, wherever it lives.
#[derive(Debug, Clone)]
pub struct Directory {
    peers: Peers,
    known: Option<Cache<(Tenant, CustomerRef), Resolved>>,
}

impl Directory {
    /// Over the peers of the process.
    pub fn new(peers: Peers, config: &InteractionConfig) -> Self {
        let known = (config.reference_cache > 0).then(|| {
            Cache::builder()
                .max_capacity(config.reference_cache)
                .time_to_live(std::time::Duration::from_secs(config.reference_cache_seconds.max(1)))
                .build()
        });
        Self { peers, known }
    }

    async fn ask(
        &self,
        caller: &Caller,
        refs: &[&CustomerRef],
        at_least: &Revision,
    ) -> Result<Vec<Option<Resolved>>, Fault> {
        let mut identity = ProfileServiceClient::new(self.peers.get(Service::Identity).on_behalf_of(caller))
            .max_decoding_message_size(16 << 20)
            .max_encoding_message_size(16 << 20);
        // A read that began after these were known shows everything up to the newest of them.
        let floor = at_least.of(Service::Identity).map(|(_, at)| at).max().unwrap_or_default();
        let mut found = Vec::with_capacity(refs.len());
        for chunk in refs.chunks(CHUNK) {
            let request = ResolveRefsRequest {
                refs: chunk.iter().map(|reference| host::encode::customer(reference)).collect(),
                at_least: at_least.to_string(),
            };
            let answer = identity.resolve_refs(request).await.map_err(host::fault)?.into_inner();
            if answer.customer_ids.len() != chunk.len() {
                return Err(Fault::internal(format!(
                    "{} references had {} answers",
                    chunk.len(),
                    answer.customer_ids.len()
                )));
            }
            let revision: Revision = answer.revision.parse().map_err(Fault::internal)?;
            for id in &answer.customer_ids {
                found.push(resolved(caller, id, &revision)?.map(|r| Resolved { at: r.at.max(floor), ..r }));
            }
        }
        Ok(found)
    }
}

/// Reads one answer; empty: unknown.
fn resolved(caller: &Caller, id: &str, revision: &Revision) -> Result<Option<Resolved>, Fault> {
    if id.is_empty() {
        return Ok(None);
    }
    let customer: CustomerId = id.parse().map_err(Fault::internal)?;
    let at = revision.position(Service::Identity, partition(&caller.tenant, customer)).unwrap_or_default();
    Ok(Some(Resolved { customer, at }))
}

#[async_trait]
impl Customers for Directory {
    async fn resolve(
        &self,
        caller: &Caller,
        refs: &[CustomerRef],
        at_least: &Revision,
    ) -> Result<Vec<Option<Resolved>>, Fault> {
        let key = |reference: &CustomerRef| (caller.tenant.clone(), reference.clone());
        // Whoever demands something of identity is answered by identity.
        let demanding = at_least.of(Service::Identity).next().is_some();
        let mut found: Vec<Option<Resolved>> = match &self.known {
            Some(known) if !demanding => refs.iter().map(|reference| known.get(&key(reference))).collect(),
            _ => vec![None; refs.len()],
        };
        let mut missing: Vec<&CustomerRef> = Vec::new();
        let mut places: std::collections::HashMap<&CustomerRef, usize> = std::collections::HashMap::new();
        for (reference, _) in refs.iter().zip(&found).filter(|(_, found)| found.is_none()) {
            places.entry(reference).or_insert_with(|| {
                missing.push(reference);
                missing.len() - 1
            });
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let answers = self.ask(caller, &missing, at_least).await?;
        if let Some(known) = &self.known {
            for (reference, answer) in missing.iter().zip(&answers) {
                if let Some(answer) = answer {
                    known.insert(key(reference), *answer);
                }
            }
        }
        for (reference, slot) in refs.iter().zip(&mut found).filter(|(_, slot)| slot.is_none()) {
            *slot = places.get(reference).and_then(|place| answers.get(*place).copied().flatten());
        }
        Ok(found)
    }
}
