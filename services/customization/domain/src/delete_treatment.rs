//! Deletes a treatment; its versions stay for replay.

use terms::{Fault, Reason, Timestamp};

use crate::{catalog::Catalog, treatment::Treatment, update_treatment::check_etag};

/// Decides what to store.
///
/// # Errors
/// [`Reason::TreatmentNotFound`], [`Reason::EtagStale`], [`Reason::TreatmentInUse`] while a touchpoint names it.
pub fn delete_treatment(catalog: &Catalog, treatment: &str, etag: &str, now: Timestamp) -> Result<Treatment, Fault> {
    let current = &catalog.treatment(treatment)?.treatment;
    check_etag("the treatment", current.version, etag)?;
    let users = catalog.users_of(current.id).join(",");
    if !users.is_empty() {
        let message = format!("touchpoints use the treatment: {users}; take it out of them first");
        return Err(Fault::new(Reason::TreatmentInUse, message).with("used_by", users));
    }
    Ok(Treatment { version: current.version + 1, updated_at: now, deleted: true, ..current.clone() })
}
