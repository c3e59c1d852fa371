//! Deletes a touchpoint; its versions stay for replay.

use terms::{Fault, Timestamp};

use crate::{catalog::Catalog, touchpoint::Touchpoint, update_treatment::check_etag};

/// Decides what to store.
///
/// # Errors
/// [`terms::Reason::TouchpointNotFound`], [`terms::Reason::EtagStale`].
pub fn delete_touchpoint(catalog: &Catalog, touchpoint: &str, etag: &str, now: Timestamp) -> Result<Touchpoint, Fault> {
    let current = &catalog.place_of(touchpoint)?.touchpoint;
    check_etag("the touchpoint", current.version, etag)?;
    Ok(Touchpoint { version: current.version + 1, updated_at: now, deleted: true, ..(**current).clone() })
}
