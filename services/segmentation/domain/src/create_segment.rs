//! `CreateSegment`.

use terms::{Fault, Reason, Timestamp, Violations};

use crate::{
    catalog::Catalog,
    definition::{Body, Definition, body, over, uses_itself},
    segment::{self, MAX_SEGMENTS, Segment, SegmentId, State},
};

/// A segment to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The handle.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// How members are found.
    pub body: Body,
}

/// Creates a segment.
///
/// # Errors
/// [`Reason::InvalidFields`], [`Reason::RuleInvalid`], [`Reason::NameTaken`], [`Reason::SegmentCycle`].
pub fn create_segment(catalog: &Catalog, draft: &Draft, id: SegmentId, now: Timestamp) -> Result<Definition, Fault> {
    let mut wrong = Violations::new();
    wrong.take(segment::name("segment.name", &draft.name));
    segment::texts(&mut wrong, &draft.display_name, &draft.description);
    let (kind, listed) = body(&mut wrong, catalog, &draft.name, &draft.body);
    wrong.done()?;
    if catalog.named(&draft.name).is_some() {
        return Err(Fault::new(
            Reason::NameTaken,
            format!("there is a segment `{}` already; choose another name, or update that one", draft.name),
        )
        .with("kind", "segment")
        .with("name", draft.name.clone()));
    }
    if catalog.count() >= MAX_SEGMENTS {
        let message = format!("there are {MAX_SEGMENTS} segments already; delete some first");
        return Err(Fault::invalid("segment", Reason::InvalidFields, message));
    }
    uses_itself(catalog, &draft.name, &kind)?;
    let build = over(&kind);
    let segment = Segment {
        id,
        name: draft.name.clone(),
        display_name: draft.display_name.clone(),
        description: draft.description.clone(),
        kind,
        version: 1,
        edit: 1,
        state: State::Building,
        created_at: now,
        updated_at: now,
    };
    Ok(Definition { segment, rules_changed: true, listed, build: Some(build) })
}
