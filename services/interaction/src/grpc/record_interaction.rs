//! `RecordInteraction`.

use host::Call;
use interaction_domain::record_interaction::record_interaction as record;
use rapport_proto::interaction::v1::{RecordInteractionRequest, RecordInteractionResponse};
use terms::{Fault, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn record_interaction(
    ports: &Ports,
    call: Call,
    body: RecordInteractionRequest,
) -> Result<RecordInteractionResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let draft = decode::interaction(&mut wrong, "interaction", body.interaction, ports.domain.clock.now());
    wrong.done()?;
    let draft = draft.ok_or_else(decode::incomplete)?;
    let written = record(&ports.domain, &call.caller, how, &draft).await?;
    Ok(encode::recorded(&written.value, written.revision.to_string()))
}
