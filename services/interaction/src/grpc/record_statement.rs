//! `RecordStatement`.

use host::Call;
use interaction_domain::{
    draft::LABEL_MAX,
    record_statement::{RecordStatement, record_statement as record},
};
use rapport_proto::interaction::v1::{RecordStatementRequest, RecordStatementResponse};
use terms::{Fault, Violations};

use super::{Ports, how};
use crate::{decode, encode};

pub(super) async fn record_statement(
    ports: &Ports,
    call: Call,
    body: RecordStatementRequest,
) -> Result<RecordStatementResponse, Fault> {
    let mut wrong = Violations::new();
    let how = how(&mut wrong, &call, &body.request_id, body.validate_only, &body);
    let customer = decode::customer(&mut wrong, "customer", body.customer);
    let statement = decode::statement(&mut wrong, "statement", body.statement, ports.domain.clock.now());
    let source_interaction = decode::source_interaction(&mut wrong, &body.source_interaction);
    let source = decode::plain(&mut wrong, "source", body.source, LABEL_MAX);
    wrong.done()?;
    let statement = statement.ok_or_else(decode::incomplete)?;
    let told = RecordStatement { customer, statement, source_interaction, source };
    let written = record(&ports.domain, &call.caller, how, &told).await?;
    let recorded = written.value;
    Ok(RecordStatementResponse {
        statement: Some(encode::statement(&recorded.statement)),
        superseded: recorded.superseded.iter().map(ToString::to_string).collect(),
        boundary: recorded.boundary.as_ref().map(encode::boundary),
        duplicate: recorded.duplicate,
        revision: written.revision.to_string(),
    })
}
