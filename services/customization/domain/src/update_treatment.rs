//! Changes a treatment: makes a new version.

use terms::{Fault, Reason, Timestamp};

use crate::{
    catalog::Catalog,
    treatment::{Treatment, TreatmentSpec, etag},
};

/// What is to change.
#[derive(Debug, Clone)]
pub struct UpdateTreatment {
    /// Which: id or name.
    pub treatment: String,
    /// The fields to take from `spec`, as in update masks; `*` is all of them. Empty: those in which `spec` says
    /// something.
    pub mask: Vec<String>,
    /// New values.
    pub spec: TreatmentSpec,
    /// The etag that was read; empty: no check.
    pub etag: String,
}

/// Decides what to store.
///
/// # Errors
/// [`Reason::TreatmentNotFound`], [`Reason::EtagStale`], [`Reason::InvalidFields`], [`Reason::RuleInvalid`].
pub fn update_treatment(catalog: &Catalog, command: &UpdateTreatment, now: Timestamp) -> Result<Treatment, Fault> {
    let current = &catalog.treatment(&command.treatment)?.treatment;
    check_etag("the treatment", current.version, &command.etag)?;
    let mut spec = current.spec.clone();
    for field in fields(&command.mask, TreatmentSpec::FIELDS, || command.spec.set_fields())? {
        spec.take(field, &command.spec);
    }
    spec.check().map_err(|fault| fault.within("treatment"))?;
    Ok(Treatment { version: current.version + 1, updated_at: now, spec, ..current.clone() })
}

pub(crate) fn check_etag(what: &str, version: u64, given: &str) -> Result<(), Fault> {
    if given.is_empty() || given == etag(version) {
        return Ok(());
    }
    Err(Fault::etag_stale(what).with("etag", etag(version)))
}

/// The fields that a mask names.
pub(crate) fn fields<'f>(
    mask: &'f [String],
    known: &'static [&'static str],
    set: impl FnOnce() -> Vec<&'static str>,
) -> Result<Vec<&'f str>, Fault> {
    if mask.is_empty() {
        return Ok(set());
    }
    if mask.iter().any(|field| field == "*") {
        return Ok(known.to_vec());
    }
    match mask.iter().find(|field| !known.contains(&field.as_str())) {
        None => Ok(mask.iter().map(String::as_str).collect()),
        Some(unknown) => Err(Fault::invalid(
            "update_mask",
            Reason::InvalidFields,
            format!("names `{unknown}`, which cannot be changed; these can: {}", known.join(", ")),
        )),
    }
}
