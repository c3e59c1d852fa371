//! `DeleteTreatment`.

use customization_domain::{delete_treatment as delete, ports::Definition};
use host::Call;
use rapport_proto::customization::v1::{DeleteTreatmentRequest, DeleteTreatmentResponse};
use terms::{Fault, Violations};

use super::{Ports, define, treatments};

pub(super) async fn delete_treatment(
    ports: &Ports,
    call: Call,
    body: DeleteTreatmentRequest,
) -> Result<DeleteTreatmentResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "DeleteTreatment", &body.request_id, &body);
    super::check_which(&mut wrong, "treatment", &body.treatment);
    wrong.done()?;
    let decide = move |catalog: &_, now| delete(catalog, &body.treatment, &body.etag, now).map(Definition::Treatment);
    let written = define(ports, &call, once, body.validate_only, Box::new(decide)).await?;
    Ok(DeleteTreatmentResponse {
        treatment_id: treatments::of(written.value)?.id.to_string(),
        revision: written.revision.to_string(),
    })
}
