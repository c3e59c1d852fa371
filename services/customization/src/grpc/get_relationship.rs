//! `GetRelationship`.

use std::time::Duration;

use customization_domain::{
    get_relationship as judge,
    get_relationship::{Changed, Part},
    ports::DecisionLog,
    profile::{Boundary, Promise, Statement, StatementKind},
};
use host::{Call, decode, encode};
use rapport_proto::{
    customization::v1::{
        BoundaryHonoured, GetRelationshipRequest, GetRelationshipResponse, PromiseStanding, RelationshipTest,
        StatementEffect,
    },
    r#type::v1 as wire,
};
use terms::{CustomerId, CustomerRef, Fault, Reason, Revision, Violations};

use super::Ports;
use crate::values;

/// How far to look back where the request says nothing.
const PERIOD: Duration = Duration::from_secs(365 * 86_400);

pub(super) async fn get_relationship(
    ports: &Ports,
    call: Call,
    body: GetRelationshipRequest,
) -> Result<GetRelationshipResponse, Fault> {
    let mut wrong = Violations::new();
    let customer = wrong.take(decode::customer("customer", body.customer));
    let period = wrong.take(decode::duration("period", body.period)).flatten().unwrap_or(PERIOD);
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    let (true, Some(customer)) = (wrong.is_empty(), customer) else { return Err(decode::refused(wrong)) };
    let known = ports.customers.find(&call, &customer, &at_least).await?.ok_or_else(|| unknown(&customer))?;
    let profile = &known.profile;
    let customer = profile.customer.ok_or_else(|| unknown(&customer))?;
    let everyone: Vec<CustomerId> = [customer].into_iter().chain(profile.identity.aliases.iter().copied()).collect();
    let now = ports.clock.now();
    let effects = ports.store.effects(call.tenant(), &everyone, now - period).await?;
    let relationship = judge(profile, &effects, now);
    Ok(GetRelationshipResponse {
        customer_id: customer.to_string(),
        identified: Some(part(&relationship.identified)),
        in_dialogue: Some(part(&relationship.in_dialogue)),
        customised: Some(part(&relationship.customised)),
        relationship: relationship.holds(),
        statements: relationship.statements.iter().map(|(said, changed)| statement(said, changed)).collect(),
        unheard_statement_ids: relationship.unheard().map(|id| id.to_string()).collect(),
        boundaries: relationship.boundaries.iter().map(|(set, exclusions)| boundary(set, *exclusions)).collect(),
        promises: relationship.promises.iter().map(|(made, broken)| promise(made, *broken)).collect(),
        // The ask ledger refuses to ask twice.
        asked_twice_count: 0,
        interaction_count: profile.interaction.count,
        organic_interaction_count: profile.interaction.organic_count,
        decision_count: effects.decision_count,
        changed_decision_count: effects.changed_decision_count,
        revision: at_least.to_string(),
    })
}

fn unknown(customer: &CustomerRef) -> Fault {
    match customer {
        CustomerRef::Id(id) => {
            Fault::not_found(Reason::CustomerNotFound, format!("customer `{id}`")).with("customer_id", id.to_string())
        }
        // Never the value: it is personal data.
        CustomerRef::Identifier(identifier) => {
            let what = format!("customer with this identifier in `{}`", identifier.namespace);
            Fault::not_found(Reason::CustomerNotFound, what).with("namespace", identifier.namespace.clone())
        }
    }
}

fn part(part: &Part) -> RelationshipTest {
    RelationshipTest {
        holds: part.holds,
        evidence: part.evidence.clone(),
        evidence_ids: part.evidence_ids.clone(),
        confidence: part.confidence,
    }
}

fn statement(statement: &Statement, changed: &Changed) -> StatementEffect {
    let kind = match statement.kind {
        StatementKind::Fact => wire::StatementKind::Fact,
        StatementKind::Preference => wire::StatementKind::Preference,
        StatementKind::Need => wire::StatementKind::Need,
        StatementKind::Complaint => wire::StatementKind::Complaint,
        StatementKind::Praise => wire::StatementKind::Praise,
        StatementKind::Intent => wire::StatementKind::Intent,
        StatementKind::Boundary => wire::StatementKind::Boundary,
    };
    StatementEffect {
        statement_id: statement.id.to_string(),
        topic: statement.topic.to_string(),
        value: Some(values::wire(&statement.value)),
        kind: kind.into(),
        source_interaction: statement.source_interaction.clone(),
        decision_ids: changed.latest.iter().map(ToString::to_string).collect(),
        decision_count: changed.count,
        first_changed_at: changed.first_at.map(encode::timestamp),
        heard: changed.count > 0,
        occurred_at: Some(encode::timestamp(statement.occurred_at)),
    }
}

fn boundary(boundary: &Boundary, exclusions: i64) -> BoundaryHonoured {
    let scope = boundary.scope.clone();
    BoundaryHonoured {
        boundary_id: boundary.id.to_string(),
        statement: boundary.words.clone(),
        scope: Some(wire::BoundaryScope {
            topics: scope.topics,
            channels: scope.channels,
            purposes: scope.purposes,
            treatment_tags: scope.treatment_tags,
            everything: scope.everything,
        }),
        exclusion_count: exclusions,
        // A guard rules out what is forbidden before anything is chosen.
        violation_count: 0,
        occurred_at: Some(encode::timestamp(boundary.occurred_at)),
    }
}

fn promise(promise: &Promise, broken: bool) -> PromiseStanding {
    PromiseStanding {
        promise_id: promise.id.to_string(),
        text: String::new(),
        state: if broken { "broken" } else { "open" }.to_owned(),
        due_time: promise.due_at.map(encode::timestamp),
    }
}
