//! `DeleteTouchpoint`.

use customization_domain::{delete_touchpoint as delete, ports::Definition};
use host::Call;
use rapport_proto::customization::v1::{DeleteTouchpointRequest, DeleteTouchpointResponse};
use terms::{Fault, Violations};

use super::{Ports, define, touchpoints};

pub(super) async fn delete_touchpoint(
    ports: &Ports,
    call: Call,
    body: DeleteTouchpointRequest,
) -> Result<DeleteTouchpointResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "DeleteTouchpoint", &body.request_id, &body);
    super::check_which(&mut wrong, "touchpoint", &body.touchpoint);
    wrong.done()?;
    let decide = move |catalog: &_, now| delete(catalog, &body.touchpoint, &body.etag, now).map(Definition::Touchpoint);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    Ok(DeleteTouchpointResponse {
        touchpoint_id: touchpoints::of(written.value)?.id.to_string(),
        revision: written.revision.to_string(),
    })
}
