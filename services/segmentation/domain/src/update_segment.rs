//! `UpdateSegment`.

use terms::{Fault, Timestamp, Violations};

use crate::{
    catalog::Catalog,
    definition::{Body, Definition, body, over, uses_itself},
    segment::{self, Kind, Segment, SegmentRef, State},
};

/// What is to change; `None`: stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// For people.
    pub display_name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// A new rule, or a new list in place of the old one.
    pub body: Option<Body>,
}

/// Changes a segment. A definition that says the same is no new version.
///
/// # Errors
/// [`Reason::SegmentNotFound`], [`Reason::EtagStale`], [`Reason::InvalidFields`], [`Reason::RuleInvalid`],
/// [`Reason::SegmentCycle`].
pub fn update_segment(
    catalog: &Catalog,
    which: &SegmentRef,
    etag: &str,
    edit: &Edit,
    now: Timestamp,
) -> Result<Definition, Fault> {
    let old = catalog.find(which)?;
    old.check_etag(etag)?;
    let mut new = Segment { edit: old.edit + 1, updated_at: now, ..(**old).clone() };
    let mut wrong = Violations::new();
    if let Some(text) = &edit.display_name {
        new.display_name.clone_from(text);
    }
    if let Some(text) = &edit.description {
        new.description.clone_from(text);
    }
    segment::texts(&mut wrong, &new.display_name, &new.description);
    let mut listed = None;
    match (&edit.body, &old.kind) {
        (None, _) => {}
        (Some(Body::List(_)), Kind::Rule(_)) => {
            wrong.add("segment.static_members", "cannot take the place of a rule; create another segment for the list");
        }
        (Some(Body::Rule(_)), Kind::List) => {
            wrong.add("segment.definition", "cannot take the place of a list; create another segment for the rule");
        }
        (Some(given), _) => (new.kind, listed) = body(&mut wrong, catalog, &old.name, given),
    }
    wrong.done()?;
    let rules_changed = new.kind != old.kind;
    let build = (rules_changed || listed.is_some()).then(|| over(&new.kind));
    if rules_changed {
        uses_itself(catalog, &old.name, &new.kind)?;
        new.version += 1;
    }
    if build.is_some() {
        new.state = State::Building;
    }
    Ok(Definition { segment: new, rules_changed, listed, build })
}
