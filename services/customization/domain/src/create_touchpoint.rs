//! Creates a touchpoint.

use terms::{Fault, Timestamp};

use crate::{
    catalog::Catalog,
    create_treatment::name_taken,
    touchpoint::{Touchpoint, TouchpointId, TouchpointSpec},
    treatment::TreatmentId,
};

/// Decides what to store.
///
/// # Errors
/// [`terms::Reason::InvalidFields`], [`terms::Reason::NameTaken`], [`terms::Reason::TreatmentNotFound`],
/// [`terms::Reason::NotYetServed`] for a policy of a later release.
pub fn create_touchpoint(
    catalog: &Catalog,
    spec: TouchpointSpec,
    id: TouchpointId,
    now: Timestamp,
) -> Result<Touchpoint, Fault> {
    spec.check().map_err(|fault| fault.within("touchpoint"))?;
    if catalog.place_of(&spec.name).is_ok() {
        return Err(name_taken("touchpoint", &spec.name));
    }
    let (candidates, default) = resolve(catalog, &spec)?;
    Ok(Touchpoint { id, version: 1, created_at: now, updated_at: now, deleted: false, candidates, default, spec })
}

/// The treatments that a touchpoint names, each once, in order; and its default.
pub(crate) fn resolve(
    catalog: &Catalog,
    spec: &TouchpointSpec,
) -> Result<(Vec<TreatmentId>, Option<TreatmentId>), Fault> {
    let mut candidates: Vec<TreatmentId> = Vec::with_capacity(spec.treatments.len());
    for treatment in &spec.treatments {
        let id = catalog.treatment(treatment)?.treatment.id;
        if !candidates.contains(&id) {
            candidates.push(id);
        }
    }
    let default = match spec.default_treatment.as_str() {
        "" => None,
        treatment => Some(catalog.treatment(treatment)?.treatment.id),
    };
    Ok((candidates, default))
}
