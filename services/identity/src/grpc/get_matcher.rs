//! `GetMatcher`.

use host::{Call, decode};
use rapport_proto::{
    identity::v1::{GetMatcherRequest, GetMatcherResponse},
    r#type::v1::CustomerKind,
};
use terms::{Fault, Reason, Revision, Violations};

use super::Ports;
use crate::evidence;

pub(super) async fn get_matcher(
    ports: &Ports,
    call: Call,
    body: GetMatcherRequest,
) -> Result<GetMatcherResponse, Fault> {
    let mut wrong = Violations::new();
    // One matcher serves all sorts of parties; they are never compared with each other.
    wrong.take(decode::enumeration::<CustomerKind>("kind", body.kind));
    let id = &body.matcher_id;
    wrong.add_if(
        id.len() > 128 || id.contains(char::is_control),
        "matcher_id",
        "give at most 128 bytes, no control characters",
    );
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let trained = ports.matches.matcher(call.tenant(), &body.matcher_id).await?.ok_or_else(|| {
        let id = &body.matcher_id;
        Fault::not_found(Reason::MatcherNotFound, format_args!("matcher `{id}`")).with("matcher_id", id.clone())
    })?;
    Ok(GetMatcherResponse { matcher: Some(evidence::matcher(&trained)), revision: at_least.to_string() })
}
