//! `CreateTreatment`.

use customization_domain::{create_treatment as create, ports::Definition};
use host::{Call, decode};
use rapport_proto::customization::v1::{CreateTreatmentRequest, CreateTreatmentResponse};
use terms::{Fault, Violations};

use super::{Ports, define, treatments};

pub(super) async fn create_treatment(
    ports: &Ports,
    call: Call,
    body: CreateTreatmentRequest,
) -> Result<CreateTreatmentResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "CreateTreatment", &body.request_id, &body);
    let spec =
        wrong.take(decode::required("treatment", body.treatment)).map(|given| treatments::decode(&mut wrong, given));
    if let (false, Some(spec)) = (wrong.is_empty(), &spec) {
        // Refused anyway: then with everything that is wrong.
        wrong.take(spec.check().map_err(|fault| fault.within("treatment")));
    }
    let (true, Some(spec)) = (wrong.is_empty(), spec) else { return Err(decode::refused(wrong)) };
    let id = ports.ids.next();
    let decide = move |catalog: &_, now| create(catalog, spec.clone(), id, now).map(Definition::Treatment);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    let treatment = treatments::of(written.value)?;
    Ok(CreateTreatmentResponse {
        treatment: Some(treatments::encode(&treatment)),
        revision: written.revision.to_string(),
    })
}
