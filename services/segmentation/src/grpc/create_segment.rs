//! `CreateSegment`.

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{CreateSegmentRequest, CreateSegmentResponse};
use segmentation_domain::create_segment::{Draft, create_segment as decide};
use terms::{Fault, Violations};

use super::{Ports, decode, rpc};

pub(super) async fn create_segment(
    ports: &Ports,
    call: Call,
    body: CreateSegmentRequest,
) -> Result<CreateSegmentResponse, Fault> {
    let once = data::store::once(&call.caller, rpc!("CreateSegment"), &body.request_id, &body);
    let validate_only = body.validate_only;
    let (named, given) = checked(body)?;
    let draft = Draft { body: decode::resolve(ports, &call, given).await?, ..named };
    let (id, now) = (ports.ids.next(), ports.clock.now());
    if validate_only {
        let segment = ports.try_definition(&call, |catalog| decide(catalog, &draft, id, now)).await?;
        return Ok(CreateSegmentResponse { segment: Some(segment), revision: String::new() });
    }
    let (segment, revision) = ports.define(&call, once, move |catalog| decide(catalog, &draft, id, now)).await?;
    let segment = ports.reread(&call, &segment).await?;
    Ok(CreateSegmentResponse { segment: Some(segment), revision: revision.to_string() })
}

/// The draft, with its body apart: customers are still to be resolved. The domain checks names and the rule.
fn checked(body: CreateSegmentRequest) -> Result<(Draft, decode::Given), Fault> {
    let mut wrong = Violations::new();
    wrong.take(fields::request_id("request_id", body.request_id));
    let Some(segment) = wrong.take(fields::required("segment", body.segment)) else {
        return Err(fields::refused(wrong));
    };
    let given = match segment.kind {
        Some(kind) => decode::body(&mut wrong, kind),
        None => {
            wrong.add("segment.definition", "is required, or `segment.static_members`: how members are found");
            None
        }
    };
    let display_name = wrong.take(fields::text("segment.display_name", segment.display_name, 256));
    let description = wrong.take(fields::text("segment.description", segment.description, 4_096));
    if !wrong.is_empty() {
        // The name's fault is told along with these.
        wrong.take(segmentation_domain::segment::name("segment.name", &segment.name));
    }
    wrong.done()?;
    let draft = Draft {
        name: segment.name,
        display_name: decode::checked(display_name)?,
        description: decode::checked(description)?,
        body: segmentation_domain::definition::Body::List(Vec::new()),
    };
    Ok((draft, decode::checked(given)?))
}
