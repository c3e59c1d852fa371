//! `GetRelationship`.

use std::time::Duration;

use customization_domain::{
    get_relationship as judge,
    get_relationship::{Changed, Honoured, Part},
    ports::DecisionLog,
    profile::{Promise, Statement, StatementKind},
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
use crate::{
    dialogue::{chosen, dialogue},
    values,
};

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
    let found = ports.customers.find(&call, &customer, &at_least).await?.ok_or_else(|| unknown(&customer))?;
    let profile = &found.known.profile;
    if profile.degraded.identity || profile.degraded.interaction {
        return Err(away());
    }
    let customer = profile.customer.ok_or_else(|| unknown(&customer))?;
    let everyone: Vec<CustomerId> = [customer].into_iter().chain(profile.identity.aliases.iter().copied()).collect();
    let now = ports.clock.now();
    let since = now - period;
    let (effects, (dialogue, read)) = tokio::try_join!(
        ports.store.effects(call.tenant(), &everyone, since),
        dialogue(&ports.peers, &call, customer, since, &at_least)
    )?;
    let chosen = chosen(&ports.store, call.tenant(), &dialogue).await?;
    let relationship = judge(profile, &effects, &dialogue, &chosen, now);
    let mut revision = at_least;
    revision.merge(&read);
    Ok(GetRelationshipResponse {
        customer_id: customer.to_string(),
        identified: Some(part(&relationship.identified)),
        in_dialogue: Some(part(&relationship.in_dialogue)),
        customised: Some(part(&relationship.customised)),
        relationship: relationship.holds(),
        statements: relationship.statements.iter().map(|(said, changed)| statement(said, changed)).collect(),
        unheard_statement_ids: relationship.unheard().map(|id| id.to_string()).collect(),
        boundaries: relationship.boundaries.iter().map(boundary).collect(),
        promises: relationship.promises.iter().map(|(made, broken)| promise(made, *broken)).collect(),
        // Known once interaction keeps the ledger of questions.
        asked_twice_count: None,
        interaction_count: dialogue.inbound + dialogue.outbound,
        organic_interaction_count: dialogue.organic,
        decision_count: effects.decision_count,
        changed_decision_count: effects.changed_decision_count,
        revision: revision.to_string(),
    })
}

/// Nothing is guessed in the place of who says who it is, and what was said.
fn away() -> Fault {
    Fault::new(Reason::PeerUnavailable, "identity or interaction does not answer; try again")
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

fn boundary(honoured: &Honoured<'_>) -> BoundaryHonoured {
    let boundary = honoured.boundary;
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
        exclusion_count: honoured.exclusions,
        violation_count: honoured.violations,
        unjudged_count: honoured.unjudged,
        occurred_at: Some(encode::timestamp(boundary.occurred_at)),
    }
}

fn promise(promise: &Promise, broken: bool) -> PromiseStanding {
    PromiseStanding {
        promise_id: promise.id.to_string(),
        text: promise.text.clone(),
        state: if broken { "broken" } else { "open" }.to_owned(),
        due_time: promise.due_at.map(encode::timestamp),
    }
}
