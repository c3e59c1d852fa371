//! Request fields to domain values.
//!
//! Each function takes the field's name and gives a value or a fault that names the field. Gather the faults of a
//! request with [`Violations::take`], so that the caller hears of every one, and end with [`refused`]:
//!
//! ```
//! # use host::decode;
//! # use terms::{Fault, Violations};
//! # fn read(source: String, name: String) -> Result<(String, String), Fault> {
//! let mut wrong = Violations::new();
//! let source = wrong.take(decode::required_text("source", source, 63));
//! let name = wrong.take(decode::handle("name", name));
//! let (true, Some(source), Some(name)) = (wrong.is_empty(), source, name) else {
//!     return Err(decode::refused(wrong));
//! };
//! # Ok((source, name))
//! # }
//! # assert_eq!(read(String::new(), "É".into()).unwrap_err().violations().len(), 2);
//! ```

mod customer;
mod json;
mod money;
mod text;
mod time;

pub use customer::{customer, identifier, optional_customer, targeting_key};
pub use json::{JsonLimits, json, json_within, object, object_within, required_json};
pub use money::{Amount, amount, money};
pub use text::{handle, namespace, request_id, required_text, text};
pub use time::{duration, required_duration, required_timestamp, timestamp};

use prost_types::FieldMask;
use terms::{Fault, Reason, Violations};

pub(crate) fn wrong(field: &str, description: impl Into<String>) -> Fault {
    Fault::invalid(field, Reason::InvalidFields, description)
}

/// The fault of a request that was found wrong.
pub fn refused(violations: Violations) -> Fault {
    match violations.done() {
        Err(fault) => fault,
        Ok(()) => Fault::internal("a request was refused without a reason"),
    }
}

/// A field that must be there.
///
/// # Errors
/// [`Reason::InvalidFields`] when it is not.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| wrong(field, "is required"))
}

/// A value of an enum; a number that names none is refused. What 0 means is the field's own affair.
///
/// # Errors
/// [`Reason::InvalidFields`].
pub fn enumeration<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, Fault> {
    E::try_from(number).map_err(|_| wrong(field, format!("is {number}, which names no value of the enum")))
}

/// A number that is neither infinite nor NaN.
///
/// # Errors
/// [`Reason::InvalidFields`].
pub fn finite(field: &str, number: f64) -> Result<f64, Fault> {
    if number.is_finite() { Ok(number) } else { Err(wrong(field, "must be a finite number")) }
}

/// A number between 0 and 1.
///
/// # Errors
/// [`Reason::InvalidFields`].
pub fn share(field: &str, number: f64) -> Result<f64, Fault> {
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err(wrong(field, "must lie between 0 and 1")) }
}

/// No more than `most` items.
///
/// # Errors
/// [`Reason::InvalidFields`].
pub fn at_most<T>(field: &str, items: Vec<T>, most: usize) -> Result<Vec<T>, Fault> {
    match items.len() {
        n if n > most => Err(wrong(field, format!("has {n} items; at most {most} are taken at once"))),
        _ => Ok(items),
    }
}

/// Which fields an update touches (AIP-134).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mask {
    /// None were named: those that the request fills.
    Filled,
    /// `*`: all, also the empty ones.
    All,
    /// Those that were named.
    Paths(Vec<String>),
}

impl Mask {
    /// Whether `path` is touched; `filled`: whether the request has a value there.
    pub fn touches(&self, path: &str, filled: bool) -> bool {
        match self {
            Self::Filled => filled,
            Self::All => true,
            Self::Paths(paths) => paths.iter().any(|p| p == path),
        }
    }
}

/// An update mask over the fields that may be updated.
///
/// # Errors
/// [`Reason::InvalidFields`] for a path that is none of `allowed`.
pub fn mask(field: &str, mask: Option<FieldMask>, allowed: &[&str]) -> Result<Mask, Fault> {
    let paths = mask.map(|mask| mask.paths).unwrap_or_default();
    if paths.is_empty() {
        return Ok(Mask::Filled);
    }
    if paths == ["*"] {
        return Ok(Mask::All);
    }
    let mut violations = Violations::new();
    for (i, path) in paths.iter().enumerate().filter(|(_, path)| !allowed.contains(&path.as_str())) {
        let path: String = path.chars().take(64).collect();
        violations.add(
            format!("{field}.paths[{i}]"),
            format!("is `{path}`, which cannot be updated; these can: {}", allowed.join(", ")),
        );
    }
    violations.done().map(|()| Mask::Paths(paths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let of = |paths: &[&str]| Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() });
        let allowed = ["display_name", "definition"];
        assert_eq!(mask("update_mask", None, &allowed).unwrap(), Mask::Filled);
        assert_eq!(mask("update_mask", of(&["*"]), &allowed).unwrap(), Mask::All);
        let named = mask("update_mask", of(&["definition"]), &allowed).unwrap();
        assert!(named.touches("definition", false) && !named.touches("display_name", true));
        let fault = mask("update_mask", of(&["definition", "name", "*"]), &allowed).unwrap_err();
        let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
        assert_eq!(fields, ["update_mask.paths[1]", "update_mask.paths[2]"]);
    }

    #[test]
    fn numbers() {
        assert!(finite("f", f64::NAN).is_err() && finite("f", f64::INFINITY).is_err() && finite("f", -1.5).is_ok());
        assert!(share("f", f64::NAN).is_err() && share("f", 1.1).is_err() && share("f", 1.0).is_ok());
    }
}
