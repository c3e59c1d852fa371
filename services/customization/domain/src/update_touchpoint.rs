//! Changes a touchpoint: makes a new version.

use terms::{Fault, Timestamp};

use crate::{
    catalog::{Catalog, Place},
    create_touchpoint::resolve,
    touchpoint::{Touchpoint, TouchpointSpec},
    update_treatment::{check_etag, fields},
};

/// What is to change.
#[derive(Debug, Clone)]
pub struct UpdateTouchpoint {
    /// Which: id or name.
    pub touchpoint: String,
    /// The fields to take from `spec`, as in update masks; `*` is all of them. Empty: those in which `spec` says
    /// something.
    pub mask: Vec<String>,
    /// New values.
    pub spec: TouchpointSpec,
    /// The etag that was read; empty: no check.
    pub etag: String,
}

/// Decides what to store.
///
/// # Errors
/// [`terms::Reason::TouchpointNotFound`], [`terms::Reason::EtagStale`], [`terms::Reason::InvalidFields`],
/// [`terms::Reason::TreatmentNotFound`].
pub fn update_touchpoint(catalog: &Catalog, command: &UpdateTouchpoint, now: Timestamp) -> Result<Touchpoint, Fault> {
    let place = catalog.place_of(&command.touchpoint)?;
    check_etag("the touchpoint", place.touchpoint.version, &command.etag)?;
    let mut spec = written(place);
    for field in fields(&command.mask, TouchpointSpec::FIELDS, || command.spec.set_fields())? {
        spec.take(field, &command.spec);
    }
    spec.check().map_err(|fault| fault.within("touchpoint"))?;
    let (candidates, default) = resolve(catalog, &spec)?;
    let current = (*place.touchpoint).clone();
    Ok(Touchpoint { version: current.version + 1, updated_at: now, candidates, default, spec, ..current })
}

/// What a touchpoint says, with its treatments by name.
pub fn written(place: &Place) -> TouchpointSpec {
    TouchpointSpec {
        treatments: place.candidates.iter().map(|candidate| candidate.name().to_owned()).collect(),
        default_treatment: place.default.as_ref().map_or_else(String::new, |default| default.name().to_owned()),
        ..place.touchpoint.spec.clone()
    }
}
