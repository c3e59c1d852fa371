//! `UpdateTouchpoint`.

use customization_domain::{
    ports::{Definition, Definitions},
    update_touchpoint as update,
    update_touchpoint::UpdateTouchpoint,
};
use host::{Call, decode};
use rapport_proto::customization::v1::{UpdateTouchpointRequest, UpdateTouchpointResponse};
use terms::{Fault, Revision, Violations};

use super::{Ports, define, touchpoints};

pub(super) async fn update_touchpoint(
    ports: &Ports,
    call: Call,
    body: UpdateTouchpointRequest,
) -> Result<UpdateTouchpointResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "UpdateTouchpoint", &body.request_id, &body);
    let given = wrong.take(decode::required("touchpoint", body.touchpoint));
    let which = given.as_ref().map(|given| super::which(&given.touchpoint_id, &given.name)).unwrap_or_default();
    wrong.add_if(given.is_some() && which.is_empty(), "touchpoint.touchpoint_id", "or `name` is required");
    let spec = given.map(|given| touchpoints::decode(&mut wrong, given));
    let (true, Some(spec)) = (wrong.is_empty(), spec) else { return Err(decode::refused(wrong)) };
    let mask = body.update_mask.unwrap_or_default().paths;
    let command = UpdateTouchpoint { touchpoint: which, mask, spec, etag: body.etag };
    let decide = move |catalog: &_, now| update(catalog, &command, now).map(Definition::Touchpoint);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    let touchpoint = touchpoints::of(written.value)?;
    let catalog = ports.store.catalog(call.tenant(), &Revision::new()).await?;
    Ok(UpdateTouchpointResponse {
        touchpoint: Some(touchpoints::encode(&touchpoint, touchpoints::names(&catalog))),
        revision: written.revision.to_string(),
    })
}
