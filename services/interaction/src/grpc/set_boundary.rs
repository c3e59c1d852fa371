//! `SetBoundary`.

use host::Call;
use interaction_domain::{
    draft::{LABEL_MAX, UTTERANCE_MAX},
    set_boundary::{SetBoundary, set_boundary as set},
};
use rapport_proto::interaction::v1::{SetBoundaryRequest, SetBoundaryResponse};
use terms::{Fault, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn set_boundary(
    ports: &Ports,
    call: Call,
    body: SetBoundaryRequest,
) -> Result<SetBoundaryResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let wish = SetBoundary {
        customer: decode::customer(&mut wrong, "customer", body.customer),
        words: decode::plain(&mut wrong, "statement", body.statement, UTTERANCE_MAX),
        scope: decode::scope(body.scope.unwrap_or_default()),
        source_interaction: decode::source_interaction(&mut wrong, &body.source_interaction),
        occurred_at: decode::time(&mut wrong, "occurred_at", body.occurred_at),
        valid_until: decode::time(&mut wrong, "valid_until", body.valid_until),
        source: decode::plain(&mut wrong, "source", body.source, LABEL_MAX),
    };
    wish.check(&mut wrong, ports.domain.clock.now());
    wrong.done()?;
    let written = set(&ports.domain, &call.caller, how, &wish).await?;
    Ok(SetBoundaryResponse {
        boundary: Some(encode::boundary(&written.value.boundary)),
        statement: Some(encode::statement(&written.value.statement)),
        revision: written.revision.to_string(),
    })
}
