//! Request fields that several RPCs have.

use host::{Call, decode};
use rapport_proto::{segmentation::v1::segment::Kind as WireKind, r#type::v1::CustomerRef as WireRef};
use segmentation_domain::{
    definition::Body,
    segment::{MAX_LISTED, SegmentRef},
};
use terms::{CustomerId, CustomerRef, Fault, Reason, Revision, Violations};

use super::Ports;
use crate::customers;

/// The body of a definition, before the customers of a list are resolved.
pub(super) enum Given {
    Rule(String),
    List(Vec<CustomerRef>),
}

/// Reads the body of a definition; the whole request is noted as wrong where it is.
pub(super) fn body(wrong: &mut Violations, kind: WireKind) -> Option<Given> {
    match kind {
        WireKind::Definition(source) => {
            let nul = source.as_bytes().contains(&0);
            wrong.add_if(nul, "segment.definition", "contains the character U+0000");
            Some(Given::Rule(source))
        }
        WireKind::StaticMembers(members) => {
            let field = "segment.static_members.customers";
            let listed = wrong.take(decode::at_most(field, members.customers, MAX_LISTED))?;
            references(wrong, field, listed).map(Given::List)
        }
    }
}

fn references(wrong: &mut Violations, field: &str, given: Vec<WireRef>) -> Option<Vec<CustomerRef>> {
    let all = given
        .into_iter()
        .enumerate()
        .map(|(n, reference)| wrong.take(decode::customer(&format!("{field}[{n}]"), Some(reference))));
    // Every wrong one is to be told: none is skipped.
    let all: Vec<Option<CustomerRef>> = all.collect();
    all.into_iter().collect()
}

/// Resolves the customers of a list.
pub(super) async fn resolve(ports: &Ports, call: &Call, given: Given) -> Result<Body, Fault> {
    let references = match given {
        Given::Rule(source) => return Ok(Body::Rule(source)),
        Given::List(references) => references,
    };
    let found = ports.customers.find_all(call, &references, &Revision::new()).await?;
    let mut listed: Vec<CustomerId> = Vec::with_capacity(found.len());
    for (reference, found) in references.iter().zip(&found) {
        listed.push(found.ok_or_else(|| customers::not_found(reference))?);
    }
    if found.len() != references.len() {
        return Err(Fault::internal("identity answered for another number of customers than it was asked about"));
    }
    Ok(Body::List(listed))
}

/// Segments by id or name, no fewer than `least`.
pub(super) fn segments(
    wrong: &mut Violations,
    given: Vec<String>,
    (least, most): (usize, usize),
) -> Option<Vec<SegmentRef>> {
    if !(least..=most).contains(&given.len()) {
        wrong.add("segments", format!("has {} items; give {least} to {most}", given.len()));
        return None;
    }
    let all: Vec<Option<SegmentRef>> = given
        .iter()
        .enumerate()
        .map(|(n, text)| wrong.take(SegmentRef::parse(&format!("segments[{n}]"), text)))
        .collect();
    all.into_iter().collect()
}

/// What a checked request holds: it is there, or the check would have failed.
pub(super) fn checked<T>(value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::internal("a checked field is missing"))
}

/// The segment's name or id in an update.
pub(super) fn named(segment_id: &str, name: &str) -> Result<SegmentRef, Fault> {
    match (segment_id, name) {
        ("", "") => Err(Fault::invalid(
            "segment.segment_id",
            Reason::InvalidFields,
            "is required, or `segment.name`: which segment to change",
        )),
        ("", name) => SegmentRef::parse("segment.name", name),
        (id, _) => id.parse().map(SegmentRef::Id).map_err(|e: terms::id::ParseIdError| {
            Fault::invalid("segment.segment_id", Reason::InvalidFields, e.to_string())
        }),
    }
}
