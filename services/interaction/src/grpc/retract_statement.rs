//! `RetractStatement`.

use host::Call;
use interaction_domain::retract_statement::{RetractStatement, retract_statement as retract};
use rapport_proto::interaction::v1::{RetractStatementRequest, RetractStatementResponse};
use terms::{Fault, Id, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn retract_statement(
    ports: &Ports,
    call: Call,
    body: RetractStatementRequest,
) -> Result<RetractStatementResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let statement = wrong.take(Id::parse("statement_id", &body.statement_id));
    let reason = decode::reason(&mut wrong, body.reason);
    wrong.done()?;
    let statement = statement.ok_or_else(decode::incomplete)?;
    let wish = RetractStatement { statement, reason, etag: body.etag };
    let written = retract(&ports.domain, &call.caller, how, wish).await?;
    Ok(RetractStatementResponse {
        statement: Some(encode::statement(&written.value.statement)),
        restored: written.value.restored.as_ref().map(encode::statement),
        revision: written.revision.to_string(),
    })
}
