//! How requests name customers.

use rapport_proto::r#type::v1 as wire;
use terms::{CustomerId, CustomerRef, Fault, Identifier, Reason, Violations};

use super::{namespace, required_text, text, wrong};

/// The customer that a request names.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] when none is named, or the id or the identifier is malformed.
pub fn customer(field: &str, value: Option<wire::CustomerRef>) -> Result<CustomerRef, Fault> {
    match value.and_then(|value| value.r#ref) {
        None => Err(wrong(field, "is required: a `customer_id` or an `identifier`")),
        Some(wire::customer_ref::Ref::CustomerId(id)) => {
            CustomerId::parse(&format!("{field}.customer_id"), &id).map(CustomerRef::Id)
        }
        Some(wire::customer_ref::Ref::Identifier(value)) => {
            identifier(&format!("{field}.identifier"), value).map(CustomerRef::Identifier)
        }
    }
}

/// The same, where naming one is a choice.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] when the id or the identifier is malformed.
pub fn optional_customer(field: &str, value: Option<wire::CustomerRef>) -> Result<Option<CustomerRef>, Fault> {
    match value {
        Some(value) if value.r#ref.is_some() => customer(field, Some(value)).map(Some),
        _ => Ok(None),
    }
}

/// An identifier, as given: a namespace and a value of 1 to 512 bytes. The fault never quotes the value.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn identifier(field: &str, value: wire::Identifier) -> Result<Identifier, Fault> {
    let mut violations = Violations::new();
    let name = violations.take(namespace(&format!("{field}.namespace"), value.namespace));
    let path = format!("{field}.value");
    let given = required_text(&path, value.value, 512);
    let given = violations.take(given.and_then(|given| match given.len() {
        n if n > 512 => Err(wrong(&path, format!("has {n} bytes; at most 512 are taken"))),
        _ => Ok(given),
    }));
    match (name, given) {
        (Some(namespace), Some(value)) => Ok(Identifier { namespace, value }),
        _ => Err(super::refused(violations)),
    }
}

/// `customer_id` or `namespace:value`, as one text: how flags are targeted.
///
/// # Errors
/// [`terms::Reason::InvalidFields`].
pub fn targeting_key(field: &str, key: &str) -> Result<CustomerRef, Fault> {
    if let Ok(id) = key.parse::<CustomerId>() {
        return Ok(CustomerRef::Id(id));
    }
    let Some((name, value)) = key.split_once(':') else {
        return Err(Fault::invalid(field, Reason::InvalidFields, "is neither a customer's id nor `namespace:value`"));
    };
    let namespace = namespace(field, name.to_owned())?;
    Ok(CustomerRef::Identifier(Identifier {
        namespace,
        value: required_text(field, text(field, value.to_owned(), 512)?, 512)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_identifier(namespace: &str, value: &str) -> Option<wire::CustomerRef> {
        let identifier = wire::Identifier { namespace: namespace.to_owned(), value: value.to_owned() };
        Some(wire::CustomerRef { r#ref: Some(wire::customer_ref::Ref::Identifier(identifier)) })
    }

    #[test]
    fn both_parts_of_an_identifier_are_told() {
        let fault = customer("customer", by_identifier("E-Mail!", "")).unwrap_err();
        let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["customer.identifier.namespace", "customer.identifier.value"]);
        assert!(customer("customer", by_identifier("email", "jane@example.org")).is_ok());
        assert!(customer("customer", None).is_err());
        assert!(optional_customer("customer", Some(wire::CustomerRef::default())).unwrap().is_none());
    }

    #[test]
    fn targeting_keys() {
        assert!(matches!(targeting_key("k", "email:a:b").unwrap(), CustomerRef::Identifier(i) if i.value == "a:b"));
        assert!(matches!(targeting_key("k", "cust_01h455vb4pex5vsknk084sn02q").unwrap(), CustomerRef::Id(_)));
        assert!(targeting_key("k", "nobody").is_err());
    }
}
