//! `CreateTouchpoint`.

use customization_domain::{
    create_touchpoint as create,
    ports::{Definition, Definitions},
};
use host::{Call, decode};
use rapport_proto::customization::v1::{CreateTouchpointRequest, CreateTouchpointResponse};
use terms::{Fault, Revision, Violations};

use super::{Ports, define, touchpoints};

pub(super) async fn create_touchpoint(
    ports: &Ports,
    call: Call,
    body: CreateTouchpointRequest,
) -> Result<CreateTouchpointResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "CreateTouchpoint", &body.request_id, &body);
    let spec =
        wrong.take(decode::required("touchpoint", body.touchpoint)).map(|given| touchpoints::decode(&mut wrong, given));
    if let (false, Some(spec)) = (wrong.is_empty(), &spec) {
        // Refused anyway: then with everything that is wrong.
        wrong.take(spec.check().map_err(|fault| fault.within("touchpoint")));
    }
    let (true, Some(spec)) = (wrong.is_empty(), spec) else { return Err(decode::refused(wrong)) };
    let id = ports.ids.next();
    let decide = move |catalog: &_, now| create(catalog, spec.clone(), id, now).map(Definition::Touchpoint);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    let touchpoint = touchpoints::of(written.value)?;
    let catalog = ports.store.catalog(call.tenant(), &Revision::new()).await?;
    Ok(CreateTouchpointResponse {
        touchpoint: Some(touchpoints::encode(&touchpoint, touchpoints::names(&catalog))),
        revision: written.revision.to_string(),
    })
}
