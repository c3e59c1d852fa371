//! `UpdateTreatment`.

use customization_domain::{ports::Definition, update_treatment as update, update_treatment::UpdateTreatment};
use host::{Call, decode};
use rapport_proto::customization::v1::{UpdateTreatmentRequest, UpdateTreatmentResponse};
use terms::{Fault, Violations};

use super::{Ports, define, treatments};

pub(super) async fn update_treatment(
    ports: &Ports,
    call: Call,
    body: UpdateTreatmentRequest,
) -> Result<UpdateTreatmentResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "UpdateTreatment", &body.request_id, &body);
    let given = wrong.take(decode::required("treatment", body.treatment));
    let which = given.as_ref().map(|given| super::which(&given.treatment_id, &given.name)).unwrap_or_default();
    wrong.add_if(given.is_some() && which.is_empty(), "treatment.treatment_id", "or `name` is required");
    let spec = given.map(|given| treatments::decode(&mut wrong, given));
    let (true, Some(spec)) = (wrong.is_empty(), spec) else { return Err(decode::refused(wrong)) };
    let mask = body.update_mask.unwrap_or_default().paths;
    let command = UpdateTreatment { treatment: which, mask, spec, etag: body.etag };
    let decide = move |catalog: &_, now| update(catalog, &command, now).map(Definition::Treatment);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    let treatment = treatments::of(written.value)?;
    Ok(UpdateTreatmentResponse {
        treatment: Some(treatments::encode(&treatment)),
        revision: written.revision.to_string(),
    })
}
