//! The identity section of the hot profile, and references resolved for the other services.

use std::sync::Arc;

use async_trait::async_trait;
use data::Store;
use host::Context;
use identity_domain::{Customer, Customers, lookup_customer};
use profile::{Marks, Section, Sections, Versioned};
use prost::Message;
use rapport_proto::profile::v1::IdentitySection;
use terms::{CustomerId, CustomerRef, Fault, Identifier, Revision, Service, Tenant, partition};

use crate::{config::IdentityConfig, encode, policies::Policies, settings, store::SqlCustomers};

/// What identity answers to `rapport.profile.v1.ProfileService`. Reads the store, so every write that was
/// acknowledged shows, on whichever replica it was made.
#[derive(Clone)]
pub struct IdentityReader {
    customers: Arc<dyn Customers>,
    store: Store,
    policies: Policies,
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The survivor; `None` where there is no such customer.
    pub customer: Option<CustomerId>,
    /// The identifier as identity keeps and compares it; `None` for an id, and for one that nobody can have.
    pub identifier: Option<Identifier>,
}

impl IdentityReader {
    /// Over the store of identity.
    ///
    /// # Errors
    /// [`terms::Reason::InvalidFields`] for a configuration that cannot work.
    pub fn new(context: &Context, store: Store) -> Result<Self, Fault> {
        let config: IdentityConfig = settings(context)?;
        let policies = Policies::new(store.clone(), config.policy()?);
        let hearer = policies.clone();
        // It ends with the process, which waits for nothing of it.
        let _tail = data::tail(Arc::new(store.feed()), move |batch| hearer.hear(batch), context.shutdown.clone());
        // It writes nothing, so it has nothing to mark.
        let customers = Arc::new(SqlCustomers::new(store.clone(), context.ids.clone(), Marks::in_process()));
        Ok(Self { customers, store, policies })
    }

    /// Resolves references to survivors, in order. Never creates anything. The revision says up to where the answers
    /// are right: every change up to it shows.
    ///
    /// # Errors
    /// What the store says.
    pub async fn resolve_refs(
        &self,
        tenant: &Tenant,
        references: Vec<CustomerRef>,
    ) -> Result<(Vec<Resolved>, Revision), Fault> {
        let stamp = self.store.horizon().await?;
        let policy = self.policies.get(tenant).await?;
        // An identifier that cannot be normalised is one that nobody can have.
        let checked = references.into_iter().map(|reference| lookup_customer::check_ref(reference, &policy).ok());
        let checked: Vec<Option<CustomerRef>> = checked.collect();
        let known: Vec<CustomerRef> = checked.iter().flatten().cloned().collect();
        let mut resolved = lookup_customer::resolve(&*self.customers, tenant, &known).await?.into_iter();
        let found = checked.into_iter().map(|reference| Resolved {
            customer: reference.as_ref().and_then(|_| resolved.next().flatten()),
            identifier: reference.and_then(|reference| match reference {
                CustomerRef::Identifier(identifier) => Some(identifier),
                CustomerRef::Id(_) => None,
            }),
        });
        let found: Vec<Resolved> = found.collect();
        let mut revision = Revision::new();
        for customer in found.iter().filter_map(|resolved| resolved.customer) {
            revision.raise(Service::Identity, partition(tenant, customer), stamp);
        }
        Ok((found, revision))
    }

    /// The section of a customer, and whose it is: the survivor's, if the id was merged away.
    ///
    /// # Errors
    /// [`terms::Reason::CustomerNotFound`]; what the store says.
    pub async fn section(&self, tenant: &Tenant, id: CustomerId) -> Result<(CustomerId, Versioned), Fault> {
        // Before the rows are read: what is committed in between may show, and is not promised.
        let partition = partition(tenant, id);
        let partitions = [partition];
        let (stamp, newest) = tokio::try_join!(self.store.horizon(), self.store.newest(&partitions))?;
        let customer = self.customers.get(tenant, &[id]).await?.pop().flatten();
        let customer = customer.ok_or_else(|| lookup_customer::not_found(&CustomerRef::Id(id)))?;
        let bytes = encode_section(&customer, id).encode_to_vec().into();
        let revision = Revision::at(Service::Identity, partition, stamp);
        let version = newest.position(Service::Identity, partition);
        Ok((customer.id, Versioned { revision, version, bytes }))
    }
}

#[async_trait]
impl Sections for IdentityReader {
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        _at_least: &Revision,
    ) -> Result<Versioned, Fault> {
        match section {
            Section::Identity => self.section(tenant, customer).await.map(|(_, versioned)| versioned),
            other => Err(Fault::internal(format!("identity does not own the section {other}"))),
        }
    }
}

fn encode_section(customer: &Customer, asked: CustomerId) -> IdentitySection {
    if customer.id != asked {
        let (customer_id, merged_into) = (asked.to_string(), customer.id.to_string());
        return IdentitySection { customer_id, merged_into, ..IdentitySection::default() };
    }
    // What leads elsewhere does not reach this customer.
    let own = || customer.identifiers.iter().filter(|identifier| !identifier.demoted);
    let mut namespaces: Vec<String> = own().map(|i| i.identifier.namespace.clone()).collect();
    namespaces.dedup();
    let verified = own().filter(|i| i.verified);
    let mut verified_namespaces: Vec<String> = verified.map(|i| i.identifier.namespace.clone()).collect();
    verified_namespaces.dedup();
    IdentitySection {
        customer_id: customer.id.to_string(),
        merged_into: String::new(),
        kind: encode::kind(customer.kind).into(),
        traits: Some(encode::traits(customer.traits.iter().map(|t| (&t.name, &t.value)))),
        namespaces,
        verified_namespaces,
        confidence: customer.confidence,
        contested: false,
        erased: false,
        created_at_micros: customer.created_at.micros(),
        aliases: customer.aliases.iter().map(ToString::to_string).collect(),
    }
}
