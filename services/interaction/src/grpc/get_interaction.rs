//! `GetInteraction`.

use host::Call;
use interaction_domain::lists;
use rapport_proto::interaction::v1::{GetInteractionRequest, GetInteractionResponse};
use terms::{Fault, Id, Violations};

use super::Ports;
use crate::{decode, encode};

pub(super) async fn get_interaction(
    ports: &Ports,
    call: Call,
    body: GetInteractionRequest,
) -> Result<GetInteractionResponse, Fault> {
    let mut wrong = Violations::new();
    let id = wrong.take(Id::parse("interaction_id", &body.interaction_id));
    let demand = ports.demand(&mut wrong, &call, &body.at_least);
    wrong.done()?;
    let id = id.ok_or_else(decode::incomplete)?;
    let (found, revision) = lists::get_interaction(&ports.domain, &call.caller, id, &demand).await?;
    Ok(GetInteractionResponse {
        interaction: Some(encode::interaction(&found.interaction)),
        statements: encode::statements(&found.statements),
        revision: revision.to_string(),
    })
}
