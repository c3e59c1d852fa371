//! `GetPermissions`.

use host::Call;
use interaction_domain::get_permissions::{GetPermissions, get_permissions as get};
use rapport_proto::interaction::v1::{GetPermissionsRequest, GetPermissionsResponse};
use terms::{Fault, Violations};

use super::Ports;
use crate::{decode, encode};

pub(super) async fn get_permissions(
    ports: &Ports,
    call: Call,
    body: GetPermissionsRequest,
) -> Result<GetPermissionsResponse, Fault> {
    let mut wrong = Violations::new();
    let wish = GetPermissions {
        customer: decode::customer(&mut wrong, "customer", body.customer),
        purpose: body.purpose,
        channel: body.channel,
        topic: body.topic,
        as_of: decode::time(&mut wrong, "as_of", body.as_of),
        at_least: ports.demand(&mut wrong, &call, &body.at_least),
    };
    wish.check(&mut wrong);
    wrong.done()?;
    let found = get(&ports.domain, &call.caller, &wish).await?;
    Ok(GetPermissionsResponse {
        customer_id: found.customer.to_string(),
        permissions: found.permissions.iter().map(encode::permission).collect(),
        boundaries: found.boundaries.iter().map(encode::boundary).collect(),
        consents: found.consents.iter().map(encode::consent).collect(),
        revision: found.revision.to_string(),
    })
}
