//! `GetTreatment`.

use customization_domain::ports::Definitions;
use host::Call;
use rapport_proto::customization::v1::{GetTreatmentRequest, GetTreatmentResponse};
use terms::{Fault, Reason, Revision, Violations};

use super::{Ports, treatments};

pub(super) async fn get_treatment(
    ports: &Ports,
    call: Call,
    body: GetTreatmentRequest,
) -> Result<GetTreatmentResponse, Fault> {
    let mut wrong = Violations::new();
    super::check_which(&mut wrong, "treatment", &body.treatment);
    let version = treatments::wanted_version(&mut wrong, body.version);
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let catalog = ports.store.catalog(call.tenant(), &at_least).await?;
    let treatment = match version {
        None => catalog.treatment(&body.treatment)?.treatment.clone(),
        // A deleted one is found by its id.
        Some(version) => {
            let id = catalog
                .treatment(&body.treatment)
                .map(|found| found.treatment.id)
                .or_else(|fault| body.treatment.parse().map_err(|_| fault))?;
            ports.store.treatment(call.tenant(), id, version).await?.ok_or_else(|| {
                let what = format!("version {version} of treatment `{}`", body.treatment);
                Fault::not_found(Reason::TreatmentNotFound, what)
            })?
        }
    };
    Ok(GetTreatmentResponse { treatment: Some(treatments::encode(&treatment)), revision: at_least.to_string() })
}
