//! `GetIdentityPolicy`.

use host::Call;
use rapport_proto::identity::v1::{GetIdentityPolicyRequest, GetIdentityPolicyResponse};
use terms::{Fault, Revision, Violations};

use super::{Ports, identity_policy::encode};

pub(super) async fn get_identity_policy(
    ports: &Ports,
    call: Call,
    body: GetIdentityPolicyRequest,
) -> Result<GetIdentityPolicyResponse, Fault> {
    let mut wrong = Violations::new();
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    // The store is read, so every write that was acknowledged shows: `at_least` asks for no more.
    let policy = ports.policies.stored(call.tenant()).await?;
    Ok(GetIdentityPolicyResponse { policy: Some(encode(&policy)), revision: at_least.to_string() })
}
