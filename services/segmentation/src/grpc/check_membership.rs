//! `CheckMembership`.

use std::collections::BTreeMap;

use host::{Call, decode as fields};
use rapport_proto::segmentation::v1::{CheckMembershipRequest, CheckMembershipResponse, ClauseCheck, MembershipCheck};
use segmentation_domain::{
    catalog::Catalog,
    membership::Memberships,
    ports::Store,
    preview_segment::{Trial, actual},
    recompute::expected_exits,
    segment::{Segment, SegmentId},
    view::Person,
};
use terms::{CustomerId, Fault, Revision, Timestamp, Violations};

use super::{Ports, decode};
use crate::encode;

pub(super) async fn check_membership(
    ports: &Ports,
    call: Call,
    body: CheckMembershipRequest,
) -> Result<CheckMembershipResponse, Fault> {
    let mut wrong = Violations::new();
    let reference = wrong.take(fields::customer("customer", body.customer));
    let segments = decode::segments(&mut wrong, body.segments, (1, 100));
    let as_of = wrong.take(fields::timestamp("as_of", body.as_of));
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (reference, at_least) = (decode::checked(reference)?, decode::checked(at_least)?);
    let (customer, revision) = ports.customer(&call, &reference, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let segments = decode::checked(segments)?;
    let segments = segments.iter().map(|which| catalog.find(which)).collect::<Result<Vec<_>, _>>()?;
    let seen = Seen::read(ports, &call, &catalog, customer, as_of.flatten()).await?;
    let mut checks = Vec::with_capacity(segments.len());
    for segment in segments {
        let mut check = seen.check(&catalog, segment);
        // How it was then is not known; how it is now is worked out.
        if body.explain
            && let (Some(person), Some(definition)) = (&seen.person, segment.definition())
        {
            check.clauses = explained(ports, &call, &catalog, customer, person, definition).await?;
        }
        checks.push(check);
    }
    Ok(CheckMembershipResponse { customer_id: customer.to_string(), checks, revision: revision.to_string() })
}

/// What is known of the customer at the time.
struct Seen {
    memberships: Memberships,
    exits: BTreeMap<SegmentId, Timestamp>,
    /// Only now.
    person: Option<Person>,
}

impl Seen {
    async fn read(
        ports: &Ports,
        call: &Call,
        catalog: &Catalog,
        customer: CustomerId,
        as_of: Option<Timestamp>,
    ) -> Result<Self, Fault> {
        let tenant = call.tenant();
        if as_of.is_some() {
            let memberships = ports.segments.memberships(tenant, customer, as_of).await?;
            return Ok(Self { memberships, exits: BTreeMap::new(), person: None });
        }
        let ruleset = catalog.ruleset();
        let person = ports.segments.person(tenant, ruleset.needs(), customer).await?.unwrap_or_default();
        let exits = expected_exits(ruleset, customer, &person, ports.clock.now());
        Ok(Self { memberships: person.memberships.clone(), exits, person: Some(person) })
    }

    fn check(&self, catalog: &Catalog, segment: &Segment) -> MembershipCheck {
        let membership = self.memberships.get(&segment.id);
        let exit = self.exits.get(&segment.id).copied();
        MembershipCheck {
            segment_id: segment.id.to_string(),
            segment: segment.name.clone(),
            member: membership.is_some(),
            membership: membership.and_then(|m| encode::membership(catalog, segment.id, m, exit)),
            clauses: Vec::new(),
        }
    }
}

/// Which clauses of a definition hold.
async fn explained(
    ports: &Ports,
    call: &Call,
    catalog: &Catalog,
    customer: CustomerId,
    person: &Person,
    definition: &str,
) -> Result<Vec<ClauseCheck>, Fault> {
    let trial = Trial::new(catalog, "segments", definition)?;
    // What the rules in force read is loaded already; a definition of one of them needs no more.
    let loaded = match &person.facts {
        Some(_) => None,
        None => ports.segments.person(call.tenant(), trial.needs(), customer).await?,
    };
    let person = loaded.as_ref().unwrap_or(person);
    let fit = trial.try_on(person, ports.clock.now());
    let clauses = trial.clauses().iter().zip(fit.clauses);
    Ok(clauses
        .map(|(clause, holds)| ClauseCheck {
            clause: clause.source.clone(),
            holds,
            actual: actual(clause, person).map(|value| host::encode::json(&value.into())),
        })
        .collect())
}
