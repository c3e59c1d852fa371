//! `LiftBoundary`.

use host::Call;
use interaction_domain::lift_boundary::{LiftBoundary, lift_boundary as lift};
use rapport_proto::interaction::v1::{LiftBoundaryRequest, LiftBoundaryResponse};
use terms::{Fault, Id, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn lift_boundary(
    ports: &Ports,
    call: Call,
    body: LiftBoundaryRequest,
) -> Result<LiftBoundaryResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let boundary = wrong.take(Id::parse("boundary_id", &body.boundary_id));
    wrong.add_if(body.reason.is_empty(), "reason", "is required, in the customer's words where possible");
    let reason = decode::reason(&mut wrong, body.reason);
    wrong.done()?;
    let boundary = boundary.ok_or_else(decode::incomplete)?;
    let wish = LiftBoundary { boundary, reason, etag: body.etag };
    let written = lift(&ports.domain, &call.caller, how, wish).await?;
    Ok(LiftBoundaryResponse {
        boundary: Some(encode::boundary(&written.value)),
        revision: written.revision.to_string(),
    })
}
