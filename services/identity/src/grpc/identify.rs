//! `Identify`.

use std::sync::Arc;

use data::once;
use host::{Call, decode};
use identity_domain::{ClaimInput, Identify, IdentifyInput, Policy};
use rapport_proto::{
    identity::v1::{IdentifierClaim, IdentifyRequest, IdentifyResponse},
    r#type::v1::CustomerKind,
};
use terms::{Fault, Identifier, Once, Violations};

use super::Ports;
use crate::encode;

pub(super) async fn identify(ports: &Ports, call: Call, body: IdentifyRequest) -> Result<IdentifyResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let policy = ports.policies.get(call.tenant()).await?;
    let (command, claims, once) = checked(ports, &policy, body, once)?;
    let written = ports.customers.identify(&call.caller, once, command).await?;
    Ok(encode::identified(&written.value, &claims, &written.revision))
}

/// The command, the identifiers that it claims, and the idempotency key where it counts.
pub(super) fn checked(
    ports: &Ports,
    policy: &Arc<Policy>,
    body: IdentifyRequest,
    once: Option<Once>,
) -> Result<(Identify, Vec<Identifier>, Option<Once>), Fault> {
    let command = command(ports, policy, body)?;
    let claims = command.claims.iter().map(|claim| claim.identifier.clone()).collect();
    // What is only tried is not recorded.
    let once = once.filter(|_| !command.validate_only);
    Ok((command, claims, once))
}

fn command(ports: &Ports, policy: &Arc<Policy>, body: IdentifyRequest) -> Result<Identify, Fault> {
    let mut wrong = Violations::new();
    wrong.take(decode::request_id("request_id", body.request_id));
    let observed_at = wrong.take(decode::timestamp("observed_at", body.observed_at)).flatten();
    let kind = wrong.take(decode::enumeration::<CustomerKind>("kind", body.kind)).and_then(encode::kind_of);
    let traits = wrong.take(decode::object("traits", body.traits)).unwrap_or_default();
    let input = IdentifyInput {
        source: body.source,
        source_record_id: body.source_record_id,
        identifiers: body.identifiers.into_iter().map(claim).collect(),
        traits: traits.into_iter().collect(),
        observed_at,
        kind,
        create_if_missing: body.create_if_missing.unwrap_or(true),
        validate_only: body.validate_only,
        defer_matching: false,
    };
    let command = wrong.take(Identify::check(input, policy, ports.clock.now()));
    wrong.done()?;
    command.ok_or_else(|| Fault::internal("a checked command is missing"))
}

/// An identifier that is absent is one without namespace and value: both are then found wrong.
fn claim(claim: IdentifierClaim) -> ClaimInput {
    let identifier = claim.identifier.unwrap_or_default();
    ClaimInput { namespace: identifier.namespace, value: identifier.value, verified: claim.verified }
}
