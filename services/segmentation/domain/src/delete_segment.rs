//! `DeleteSegment`.

use terms::{Fault, Reason, Timestamp};

use crate::{
    catalog::Catalog,
    definition::{BuildOver, Definition},
    segment::{Segment, SegmentRef, State},
};

/// Deletes a segment; its members leave.
///
/// # Errors
/// [`Reason::SegmentNotFound`], [`Reason::EtagStale`], [`Reason::SegmentInUse`] with the users.
pub fn delete_segment(catalog: &Catalog, which: &SegmentRef, etag: &str, now: Timestamp) -> Result<Definition, Fault> {
    let old = catalog.find(which)?;
    old.check_etag(etag)?;
    let users: Vec<String> = catalog.users(old.id).iter().map(|name| format!("segment:{name}")).collect();
    if !users.is_empty() {
        let users = users.join(",");
        return Err(Fault::new(
            Reason::SegmentInUse,
            format!("segment `{}` is used by {users}; change or delete these first", old.name),
        )
        .with("used_by", users));
    }
    let segment = Segment { state: State::Deleted, edit: old.edit + 1, updated_at: now, ..(**old).clone() };
    Ok(Definition { segment, rules_changed: true, listed: Some(Vec::new()), build: Some(BuildOver::Listed) })
}
