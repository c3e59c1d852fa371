//! `GetDifferentiation`: what purchases say. Predictions and needs come with their models.

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{GetDifferentiationRequest, GetDifferentiationResponse};
use terms::{Fault, Revision, Violations};

use super::{Ports, decode};
use crate::encode;

pub(super) async fn get_differentiation(
    ports: &Ports,
    call: Call,
    body: GetDifferentiationRequest,
) -> Result<GetDifferentiationResponse, Fault> {
    let mut wrong = Violations::new();
    let reference = wrong.take(fields::customer("customer", body.customer));
    wrong.take(fields::duration("horizon", body.horizon));
    wrong.take(fields::share("level", body.level));
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (reference, at_least) = (decode::checked(reference)?, decode::checked(at_least)?);
    let (customer, revision) = ports.customer(&call, &reference, &at_least).await?;
    let now = ports.clock.now();
    let value = ports.values.of(call.tenant(), customer, now).await?;
    Ok(GetDifferentiationResponse {
        customer_id: customer.to_string(),
        value: value.map(|(rfm, scores)| encode::value(&rfm, scores, now)),
        needs: None,
        revision: revision.to_string(),
    })
}
