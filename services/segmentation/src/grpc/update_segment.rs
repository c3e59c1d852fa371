//! `UpdateSegment`.

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{UpdateSegmentRequest, UpdateSegmentResponse, segment::Kind};
use segmentation_domain::{
    segment::SegmentRef,
    update_segment::{Edit, update_segment as decide},
};
use terms::{Fault, Violations};

use super::{Ports, decode, rpc};

/// What can be changed.
const PATHS: [&str; 4] = ["display_name", "description", "definition", "static_members"];

pub(super) async fn update_segment(
    ports: &Ports,
    call: Call,
    body: UpdateSegmentRequest,
) -> Result<UpdateSegmentResponse, Fault> {
    let once = data::store::once(&call.caller, rpc!("UpdateSegment"), &body.request_id, &body);
    let (validate_only, etag) = (body.validate_only, body.etag.clone());
    let (which, mut edit, given) = checked(body)?;
    if let Some(given) = given {
        edit.body = Some(decode::resolve(ports, &call, given).await?);
    }
    let now = ports.clock.now();
    if validate_only {
        let segment = ports.try_definition(&call, |catalog| decide(catalog, &which, &etag, &edit, now)).await?;
        return Ok(UpdateSegmentResponse { segment: Some(segment), revision: String::new() });
    }
    let (segment, revision) =
        ports.define(&call, once, move |catalog| decide(catalog, &which, &etag, &edit, now)).await?;
    let segment = ports.reread(&call, &segment).await?;
    Ok(UpdateSegmentResponse { segment: Some(segment), revision: revision.to_string() })
}

fn checked(body: UpdateSegmentRequest) -> Result<(SegmentRef, Edit, Option<decode::Given>), Fault> {
    let mut wrong = Violations::new();
    wrong.take(fields::request_id("request_id", body.request_id));
    let mask = wrong.take(fields::mask("update_mask", body.update_mask, &PATHS));
    let Some(segment) = wrong.take(fields::required("segment", body.segment)) else {
        return Err(fields::refused(wrong));
    };
    let which = wrong.take(decode::named(&segment.segment_id, &segment.name));
    let Some(mask) = mask else { return Err(fields::refused(wrong)) };
    let mut edit = Edit::default();
    if mask.touches("display_name", !segment.display_name.is_empty()) {
        edit.display_name = wrong.take(fields::text("segment.display_name", segment.display_name, 256));
    }
    if mask.touches("description", !segment.description.is_empty()) {
        edit.description = wrong.take(fields::text("segment.description", segment.description, 4_096));
    }
    let (rule, list) = match &segment.kind {
        Some(Kind::Definition(_)) => (true, false),
        Some(Kind::StaticMembers(_)) => (false, true),
        None => (false, false),
    };
    let named = |path: &str, filled: bool| matches!(mask, fields::Mask::Paths(_)) && mask.touches(path, filled);
    wrong.add_if(named("definition", rule) && !rule, "segment.definition", "is named in `update_mask` and missing");
    wrong.add_if(
        named("static_members", list) && !list,
        "segment.static_members",
        "is named in `update_mask` and missing",
    );
    let touched = (rule && mask.touches("definition", rule)) || (list && mask.touches("static_members", list));
    let given = match segment.kind.filter(|_| touched) {
        Some(kind) => decode::body(&mut wrong, kind),
        None => None,
    };
    wrong.done()?;
    Ok((decode::checked(which)?, edit, given))
}
