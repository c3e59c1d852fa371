//! `GetMemberships`.

use std::collections::BTreeMap;

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{GetMembershipsRequest, GetMembershipsResponse};
use segmentation_domain::{ports::Store, recompute::expected_exits};
use terms::{Fault, Revision, Violations};

use super::{Ports, decode};
use crate::encode;

pub(super) async fn get_memberships(
    ports: &Ports,
    call: Call,
    body: GetMembershipsRequest,
) -> Result<GetMembershipsResponse, Fault> {
    let mut wrong = Violations::new();
    let reference = wrong.take(fields::customer("customer", body.customer));
    let as_of = wrong.take(fields::timestamp("as_of", body.as_of));
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (reference, at_least) = (decode::checked(reference)?, decode::checked(at_least)?);
    let (customer, revision) = ports.customer(&call, &reference, &at_least).await?;
    let tenant = call.tenant();
    let catalog = ports.segments.catalog(tenant).await?;
    let memberships = match as_of.flatten() {
        Some(at) => {
            let memberships = ports.segments.memberships(tenant, customer, Some(at)).await?;
            encode::memberships(&catalog, &memberships, &BTreeMap::new())
        }
        None => {
            let ruleset = catalog.ruleset();
            let person = ports.segments.person(tenant, ruleset.needs(), customer).await?.unwrap_or_default();
            let exits = expected_exits(ruleset, customer, &person, ports.clock.now());
            encode::memberships(&catalog, &person.memberships, &exits)
        }
    };
    Ok(GetMembershipsResponse { customer_id: customer.to_string(), memberships, revision: revision.to_string() })
}
