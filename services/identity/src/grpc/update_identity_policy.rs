//! `UpdateIdentityPolicy`.

use data::once;
use host::{Call, decode as fields};
use identity_domain::update_identity_policy::Edit;
use rapport_proto::identity::v1::{UpdateIdentityPolicyRequest, UpdateIdentityPolicyResponse};
use terms::{Fault, Violations};

use super::{
    Ports,
    identity_policy::{PATHS, edit, encode},
};

pub(super) async fn update_identity_policy(
    ports: &Ports,
    call: Call,
    body: UpdateIdentityPolicyRequest,
) -> Result<UpdateIdentityPolicyResponse, Fault> {
    let once = once(&call.caller, call.rpc, &body.request_id, &body).filter(|_| !body.validate_only);
    let (etag, validate_only) = (body.etag.clone(), body.validate_only);
    let mut wrong = Violations::new();
    wrong.take(fields::request_id("request_id", body.request_id));
    let mask = wrong.take(fields::mask("update_mask", body.update_mask, &PATHS));
    let policy = wrong.take(fields::required("policy", body.policy));
    let edit = mask
        .zip(policy)
        .and_then(|(mask, policy)| wrong.take(edit(policy, &mask).map_err(|fault| fault.within("policy"))));
    wrong.add_if(
        edit == Some(Edit::default()),
        "policy",
        "sets nothing; give what is to be changed, or name in `update_mask` what is to be emptied",
    );
    let (true, Some(edit)) = (wrong.is_empty(), edit) else { return Err(fields::refused(wrong)) };
    let written = ports.policies.update(&call.caller, once, etag, edit, validate_only).await?;
    Ok(UpdateIdentityPolicyResponse { policy: Some(encode(&written.value)), revision: written.revision.to_string() })
}
