//! Creates a treatment.

use terms::{Fault, Reason, Timestamp};

use crate::{
    catalog::Catalog,
    treatment::{Treatment, TreatmentId, TreatmentSpec},
};

/// Decides what to store.
///
/// # Errors
/// [`Reason::InvalidFields`], [`Reason::RuleInvalid`], [`Reason::NameTaken`].
pub fn create_treatment(
    catalog: &Catalog,
    spec: TreatmentSpec,
    id: TreatmentId,
    now: Timestamp,
) -> Result<Treatment, Fault> {
    spec.check().map_err(|fault| fault.within("treatment"))?;
    if catalog.treatment(&spec.name).is_ok() {
        return Err(name_taken("treatment", &spec.name));
    }
    Ok(Treatment { id, version: 1, created_at: now, updated_at: now, deleted: false, spec })
}

pub(crate) fn name_taken(kind: &'static str, name: &str) -> Fault {
    Fault::new(Reason::NameTaken, format!("there is a {kind} `{name}` already; choose another name, or update it"))
        .with("kind", kind)
        .with("name", name)
}
