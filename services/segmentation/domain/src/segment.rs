//! Segments: named rules, or lists by hand.

use serde::{Deserialize, Serialize};
use terms::{Fault, Id, Reason, Timestamp, Violations, id};

/// The id of a segment, `seg_…`.
pub type SegmentId = Id<id::Segment>;

/// A named set of customers who have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Stays for ever.
    pub id: SegmentId,
    /// The handle in rules; unique among the tenant's living segments; never changes.
    pub name: String,
    /// For people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// How members are found.
    pub kind: Kind,
    /// Of the definition, from 1. A list keeps 1.
    pub version: i64,
    /// Of the resource: rises with every change.
    pub edit: i64,
    /// Whether the members are those of this version.
    pub state: State,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How members are found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// By a rule, in CEL.
    Rule(String),
    /// By a list.
    List,
}

/// Whether the members are those of the present version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Being computed, customer by customer. Whoever changes meanwhile is computed at once.
    Building,
    /// Complete, and kept right.
    Live,
    /// Gone; only the id still answers.
    Deleted,
}

impl Segment {
    /// What an update must carry to be sure that nobody else was faster.
    pub fn etag(&self) -> String {
        format!("{:x}", self.edit)
    }

    /// Checks the etag of a request; an empty one passes.
    ///
    /// # Errors
    /// [`Reason::EtagStale`].
    pub fn check_etag(&self, etag: &str) -> Result<(), Fault> {
        if etag.is_empty() || etag == self.etag() {
            return Ok(());
        }
        Err(Fault::etag_stale(format_args!("segment `{}`", self.name))
            .with("resource", self.id.to_string())
            .with("etag", self.etag()))
    }

    /// The rule, if it has one.
    pub fn definition(&self) -> Option<&str> {
        match &self.kind {
            Kind::Rule(definition) => Some(definition),
            Kind::List => None,
        }
    }
}

/// How a request names a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentRef {
    /// `seg_…`.
    Id(SegmentId),
    /// By handle.
    Name(String),
}

impl SegmentRef {
    /// Reads the request field `field`: an id if it begins with `seg_`, which no handle can hold followed by 26
    /// characters, else a handle.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] when it is empty or neither.
    pub fn parse(field: &str, text: &str) -> Result<Self, Fault> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text.is_empty() {
            return Err(Fault::invalid(field, Reason::InvalidFields, "is required: the id or the name of a segment"));
        }
        name(field, text).map(|()| Self::Name(text.to_owned()))
    }

    /// There is none such.
    pub fn not_found(&self) -> Fault {
        let text = match self {
            Self::Id(id) => id.to_string(),
            Self::Name(name) => name.clone(),
        };
        Fault::not_found(Reason::SegmentNotFound, format_args!("segment `{text}`")).with("segment", text)
    }
}

/// Longest name for people, in bytes.
pub const MAX_DISPLAY_NAME: usize = 256;
/// Longest description, in bytes.
pub const MAX_DESCRIPTION: usize = 4_096;
/// Longest rule, in bytes.
pub const MAX_DEFINITION: usize = 16 << 10;
/// Most customers that one request lists by hand.
pub const MAX_LISTED: usize = 10_000;
/// Most segments of a tenant.
pub const MAX_SEGMENTS: usize = 2_000;

/// Checks a handle: 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, beginning with a letter; not of the form of an
/// id.
///
/// # Errors
/// [`Reason::InvalidFields`].
pub fn name(field: &str, text: &str) -> Result<(), Fault> {
    let fine = (1..=63).contains(&text.len())
        && text.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    if !fine {
        return Err(Fault::invalid(
            field,
            Reason::InvalidFields,
            "must be 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, beginning with a letter",
        ));
    }
    if text.parse::<SegmentId>().is_ok() {
        return Err(Fault::invalid(field, Reason::InvalidFields, "has the form of a segment's id; choose another"));
    }
    Ok(())
}

/// Checks the texts for people.
pub(crate) fn texts(wrong: &mut Violations, display_name: &str, description: &str) {
    wrong.add_if(display_name.len() > MAX_DISPLAY_NAME, "segment.display_name", "is longer than 256 bytes");
    wrong.add_if(description.len() > MAX_DESCRIPTION, "segment.description", "is longer than 4096 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_told_apart() {
        let id = "seg_01h455vb4pex5vsknk084sn02q";
        assert!(matches!(SegmentRef::parse("segment", id), Ok(SegmentRef::Id(_))));
        assert!(matches!(SegmentRef::parse("segment", "seg_lapsed"), Ok(SegmentRef::Name(_))));
        assert!(name("n", id).is_err());
        for wrong in ["", "A", "1a", "a b", "é", &"a".repeat(64)] {
            assert!(SegmentRef::parse("segment", wrong).is_err(), "{wrong}");
        }
    }
}
