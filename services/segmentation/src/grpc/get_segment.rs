//! `GetSegment`.

use host::Call;
use rapport_proto::segmentation::v1::{GetSegmentRequest, GetSegmentResponse};
use segmentation_domain::{
    ports::Store,
    segment::{Kind, Segment, SegmentRef, State},
};
use terms::{Fault, Revision, Violations};

use super::{Ports, decode};
use crate::encode;

pub(super) async fn get_segment(
    ports: &Ports,
    call: Call,
    body: GetSegmentRequest,
) -> Result<GetSegmentResponse, Fault> {
    let mut wrong = Violations::new();
    let which = wrong.take(SegmentRef::parse("segment", &body.segment));
    wrong.add_if(body.version < 0, "version", "is negative; give 0 for the latest");
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (which, at_least) = (decode::checked(which)?, decode::checked(at_least)?);
    ports.reach(&call, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let segment = match catalog.find(&which) {
        Ok(segment) => (**segment).clone(),
        Err(fault) => deleted(ports, &call, &which).await?.ok_or(fault)?,
    };
    let count = ports.count(&call, segment.id).await?;
    let mut reply = encode::segment(&catalog, &segment, count);
    if body.version > 0 && body.version != segment.version {
        let earlier = ports.segments.version(call.tenant(), segment.id, body.version).await?;
        let (definition, _) = earlier.ok_or_else(|| {
            let name = &segment.name;
            Fault::not_found(
                terms::Reason::SegmentNotFound,
                format_args!("version {} of segment `{name}`; the latest is {}", body.version, segment.version),
            )
            .with("segment", segment.id.to_string())
        })?;
        let earlier = Segment { kind: Kind::Rule(definition), version: body.version, ..segment };
        reply.kind = encode::segment(&catalog, &earlier, count).kind;
        reply.version = body.version;
    }
    Ok(GetSegmentResponse { segment: Some(reply), revision: at_least.to_string() })
}

/// A deleted segment still answers by its id.
async fn deleted(ports: &Ports, call: &Call, which: &SegmentRef) -> Result<Option<Segment>, Fault> {
    let SegmentRef::Id(id) = which else { return Ok(None) };
    let segment = ports.segments.read_segment(call.tenant(), *id).await?;
    Ok(segment.filter(|segment| segment.state == State::Deleted))
}
