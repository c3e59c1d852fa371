//! Who is meant: references resolved by identity.

use async_trait::async_trait;
use terms::{Caller, CustomerRef, Fault, Reason, Revision, Tenant};

use crate::arrival::Resolved;

/// Resolves references; never creates a customer.
#[async_trait]
pub trait Customers: Send + Sync {
    /// One answer per reference, in order; `None` for one that identity does not know. The answers reflect `at_least`;
    /// without a demand they may come from a short-lived cache.
    async fn resolve(
        &self,
        caller: &Caller,
        refs: &[CustomerRef],
        at_least: &Revision,
    ) -> Result<Vec<Option<Resolved>>, Fault>;
}

/// Resolves one reference.
///
/// # Errors
/// [`Reason::CustomerNotFound`], and what the resolver says.
pub async fn resolve_one(
    customers: &dyn Customers,
    caller: &Caller,
    reference: &CustomerRef,
    at_least: &Revision,
) -> Result<Resolved, Fault> {
    let found = customers.resolve(caller, std::slice::from_ref(reference), at_least).await?;
    found.into_iter().next().flatten().ok_or_else(|| unknown(reference))
}

/// There is no such customer; the message names an identifier's namespace, never its value.
pub fn unknown(reference: &CustomerRef) -> Fault {
    match reference {
        CustomerRef::Id(id) => {
            Fault::not_found(Reason::CustomerNotFound, format!("customer `{id}`")).with("customer_id", id.to_string())
        }
        CustomerRef::Identifier(identifier) => Fault::not_found(
            Reason::CustomerNotFound,
            format!("customer with that identifier of the namespace `{}`", identifier.namespace),
        )
        .with("namespace", identifier.namespace.clone()),
    }
}

/// A caller for the service's own reads of a tenant.
pub fn on_own_account(tenant: &Tenant) -> Caller {
    Caller::all_powerful(tenant.clone(), "interaction")
}
