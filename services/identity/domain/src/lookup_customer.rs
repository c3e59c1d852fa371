//! `LookupCustomer`: finds the customer to whom identifiers lead; never creates, links or records anything.

use terms::{CustomerId, CustomerRef, Fault, Identifier, Reason, Tenant, Violations};

use crate::{identify::MAX_IDENTIFIERS, normalise::normalise, policy::Policy, ports::Customers, record::RecordId};

/// An identifier that leads to the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The identifier, normalised.
    pub identifier: Identifier,
    /// The record that first claimed it.
    pub record: RecordId,
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The customer; the survivor.
    pub customer: CustomerId,
    /// Which identifiers led there, in the order of their priority.
    pub matched_by: Vec<Match>,
    /// Other customers to whom the remaining identifiers lead.
    pub others: Vec<CustomerId>,
}

/// Checks a reference: an identifier is normalised, an id stays.
///
/// # Errors
/// [`Reason::InvalidFields`] below `identifier`.
pub fn check_ref(reference: CustomerRef, policy: &Policy) -> Result<CustomerRef, Fault> {
    match reference {
        CustomerRef::Id(id) => Ok(CustomerRef::Id(id)),
        CustomerRef::Identifier(Identifier { namespace, value }) => normalise(&namespace, &value, policy)
            .map(CustomerRef::Identifier)
            .map_err(|fault| fault.within("identifier")),
    }
}

/// Checks the identifiers of a look-up, and puts those of higher priority first.
///
/// # Errors
/// [`Reason::InvalidFields`] with every wrong field.
pub fn check_identifiers(given: &[Identifier], policy: &Policy) -> Result<Vec<Identifier>, Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(given.is_empty(), "customer", "is unset, and `identifiers` is empty; give one of them");
    wrong.add_if(given.len() > MAX_IDENTIFIERS, "identifiers", "has too many entries; give at most 64");
    let checked = given.iter().take(MAX_IDENTIFIERS).enumerate().filter_map(|(i, identifier)| {
        let normal = normalise(&identifier.namespace, &identifier.value, policy);
        wrong.take(normal.map_err(|fault| fault.within(&format!("identifiers[{i}]"))))
    });
    let mut checked: Vec<Identifier> = checked.collect();
    wrong.done()?;
    let priority = |i: &Identifier| policy.rules(&i.namespace).map(|rules| std::cmp::Reverse(rules.priority));
    checked.sort_by_key(priority);
    Ok(checked)
}

/// Follows identifiers, already normalised: the first that leads anywhere names the customer.
///
/// # Errors
/// [`Reason::CustomerNotFound`], or what the store says.
pub async fn lookup_customer(
    customers: &dyn Customers,
    tenant: &Tenant,
    identifiers: Vec<Identifier>,
) -> Result<Found, Fault> {
    let leads = customers.leads(tenant, &identifiers).await?;
    let mut found: Option<Found> = None;
    for (identifier, lead) in identifiers.into_iter().zip(leads) {
        let Some(lead) = lead else { continue };
        let matched = Match { identifier, record: lead.record };
        match &mut found {
            None => {
                found = Some(Found { customer: lead.customer, matched_by: vec![matched], others: Vec::new() });
            }
            Some(known) if known.customer == lead.customer => known.matched_by.push(matched),
            Some(known) if !known.others.contains(&lead.customer) => known.others.push(lead.customer),
            Some(_) => {}
        }
    }
    found.ok_or_else(|| Fault::new(Reason::CustomerNotFound, "none of the identifiers leads to a customer"))
}

/// Resolves references to survivors, in order; `None` where there is no such customer. Identifiers are normalised
/// already.
///
/// # Errors
/// What the store says.
pub async fn resolve(
    customers: &dyn Customers,
    tenant: &Tenant,
    references: &[CustomerRef],
) -> Result<Vec<Option<CustomerId>>, Fault> {
    let mut ids = Vec::new();
    let mut identifiers = Vec::new();
    for reference in references {
        match reference {
            CustomerRef::Id(id) => ids.push(*id),
            CustomerRef::Identifier(identifier) => identifiers.push(identifier.clone()),
        }
    }
    let by_id = if ids.is_empty() { Vec::new() } else { customers.resolve(tenant, &ids).await? };
    let by_identifier = if identifiers.is_empty() { Vec::new() } else { customers.leads(tenant, &identifiers).await? };
    let (mut by_id, mut by_identifier) = (by_id.into_iter(), by_identifier.into_iter());
    Ok(references
        .iter()
        .map(|reference| match reference {
            CustomerRef::Id(_) => by_id.next().flatten(),
            CustomerRef::Identifier(_) => by_identifier.next().flatten().map(|lead| lead.customer),
        })
        .collect())
}

/// There is no such customer. Names an id, or the namespace of an identifier; never its value.
pub fn not_found(reference: &CustomerRef) -> Fault {
    match reference {
        CustomerRef::Id(id) => Fault::not_found(Reason::CustomerNotFound, format_args!("customer `{id}`"))
            .with("customer_id", id.to_string()),
        CustomerRef::Identifier(identifier) => Fault::not_found(
            Reason::CustomerNotFound,
            format_args!("customer with that identifier of namespace `{}`", identifier.namespace),
        )
        .with("namespace", identifier.namespace.clone()),
    }
}
