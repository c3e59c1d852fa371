//! `GetTouchpoint`.

use customization_domain::{catalog::Place, ports::Definitions, update_touchpoint::written};
use host::Call;
use rapport_proto::customization::v1::{GetTouchpointRequest, GetTouchpointResponse};
use terms::{Fault, Reason, Revision, Violations};

use super::{Ports, touchpoints, treatments};

pub(super) async fn get_touchpoint(
    ports: &Ports,
    call: Call,
    body: GetTouchpointRequest,
) -> Result<GetTouchpointResponse, Fault> {
    let mut wrong = Violations::new();
    super::check_which(&mut wrong, "touchpoint", &body.touchpoint);
    let version = treatments::wanted_version(&mut wrong, body.version);
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let catalog = ports.store.catalog(call.tenant(), &at_least).await?;
    let place = match version {
        None => catalog.place_of(&body.touchpoint)?.clone(),
        // A deleted one is found by its id.
        Some(version) => {
            let id = catalog
                .place_of(&body.touchpoint)
                .map(|found| found.touchpoint.id)
                .or_else(|fault| body.touchpoint.parse().map_err(|_| fault))?;
            ports.store.touchpoint(call.tenant(), id, version).await?.ok_or_else(|| {
                let what = format!("version {version} of touchpoint `{}`", body.touchpoint);
                Fault::not_found(Reason::TouchpointNotFound, what)
            })?
        }
    };
    Ok(GetTouchpointResponse { touchpoint: Some(encode(&place)), revision: at_least.to_string() })
}

/// A touchpoint with the names that its candidates have, or had then.
pub(super) fn encode(place: &Place) -> rapport_proto::customization::v1::Touchpoint {
    let spec = written(place);
    let mut touchpoint = touchpoints::encode(&place.touchpoint, |_| None);
    touchpoint.treatments = spec.treatments;
    touchpoint.default_treatment = spec.default_treatment;
    touchpoint
}
