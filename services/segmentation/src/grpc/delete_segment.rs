//! `DeleteSegment`.

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{DeleteSegmentRequest, DeleteSegmentResponse};
use segmentation_domain::{delete_segment::delete_segment as decide, segment::SegmentRef};
use terms::{Fault, Violations};

use super::{Ports, decode, rpc};

pub(super) async fn delete_segment(
    ports: &Ports,
    call: Call,
    body: DeleteSegmentRequest,
) -> Result<DeleteSegmentResponse, Fault> {
    let once = data::store::once(&call.caller, rpc!("DeleteSegment"), &body.request_id, &body);
    let mut wrong = Violations::new();
    wrong.take(fields::request_id("request_id", body.request_id));
    let which = wrong.take(SegmentRef::parse("segment", &body.segment));
    wrong.done()?;
    let (which, etag, now) = (decode::checked(which)?, body.etag, ports.clock.now());
    if body.validate_only {
        let segment = ports.try_definition(&call, |catalog| decide(catalog, &which, &etag, now)).await?;
        return Ok(DeleteSegmentResponse { segment_id: segment.segment_id, revision: String::new() });
    }
    let (segment, revision) = ports.define(&call, once, move |catalog| decide(catalog, &which, &etag, now)).await?;
    Ok(DeleteSegmentResponse { segment_id: segment.id.to_string(), revision: revision.to_string() })
}
