//! How decisions went.

use std::sync::Arc;

use customization_domain::{
    ports::{How, Report},
    report_outcome::{DecisionId, Motivation, Outcome},
};
use data::{Sealer, Sql, Store, Tx};
use rapport_proto::{
    feed::v1::{OutcomeReported, event::Event},
    r#type::v1 as wire,
};
use sea_orm::{ConnectionTrait, QueryResult};
use terms::{CustomerId, Fault, Reason, Tenant, Written};
use uuid::Uuid;

use super::{
    block,
    catalogs::Catalogs,
    find,
    rows::{NOBODY, column},
};

pub(super) async fn all(store: &Store, tenant: &Tenant, decision: DecisionId) -> Result<Vec<Outcome>, Fault> {
    match find::line(store.reader(), tenant, decision).await? {
        Some(line) => of(store.reader(), store.sealer(), tenant, decision, line.customer()?).await,
        None => Ok(Vec::new()),
    }
}

/// The outcomes of a decision that was made for `made_for`.
async fn of<C: ConnectionTrait + Sync>(
    conn: &C,
    sealer: &Sealer,
    tenant: &Tenant,
    decision: DecisionId,
    made_for: Option<CustomerId>,
) -> Result<Vec<Outcome>, Fault> {
    let sql = "SELECT body FROM outcome WHERE tenant = $1 AND decision = $2 ORDER BY place";
    let rows = conn.rows(sql, vec![tenant.as_str().into(), decision.uuid().into()]).await?;
    let read = |row: &QueryResult| {
        let body = sealer.open(tenant, made_for.unwrap_or(NOBODY), &column::<Vec<u8>>(row, 0)?)?;
        serde_json::from_slice(&body).map_err(Fault::internal)
    };
    rows.iter().map(read).collect()
}

pub(super) async fn report(
    store: &Store,
    catalogs: Arc<Catalogs>,
    how: How,
    decision: DecisionId,
    report: Report,
) -> Result<Written<(Outcome, bool)>, Fault> {
    let report: Arc<Report> = Arc::new(report);
    let How { tenant, actor, once } = how;
    store
        .write_once(once, move |tx| {
            let (tenant, actor, catalogs) = (tenant.clone(), actor.clone(), catalogs.clone());
            let report = report.clone();
            Box::pin(async move {
                tx.act_as(&actor);
                let (customer, made_for) = owner(tx, &tenant, decision).await?;
                let known = of(tx.conn(), tx.sealer(), &tenant, decision, made_for).await?;
                let (outcome, duplicate) = report(&known, tx.now())?;
                if duplicate {
                    tx.observe(&tenant, customer);
                    return Ok((outcome, true));
                }
                insert(tx, &tenant, made_for, known.len(), &outcome).await?;
                let treatment = outcome.treatment.map_or_else(String::new, |id| {
                    let catalog = catalogs.known(&tenant);
                    catalog.treatment_by_id(id).map_or_else(|| id.to_string(), |found| found.name().to_owned())
                });
                tx.publish(&tenant, customer, Event::OutcomeReported(news(&outcome, treatment)));
                Ok((outcome, false))
            })
        })
        .await
}

/// Locks a decision against other reports of it; gives whose it is, and whose it was.
async fn owner(
    tx: &Tx,
    tenant: &Tenant,
    decision: DecisionId,
) -> Result<(Option<CustomerId>, Option<CustomerId>), Fault> {
    let Some(line) = block::find(tx.conn(), tenant, &[decision], true).await?.pop() else {
        return Err(Fault::not_found(Reason::DecisionNotFound, format!("decision `{decision}`")));
    };
    Ok((find::owner(tx.conn(), tenant, decision, &line).await?, line.customer()?))
}

async fn insert(
    tx: &Tx,
    tenant: &Tenant,
    customer: Option<CustomerId>,
    place: usize,
    outcome: &Outcome,
) -> Result<(), Fault> {
    let body = serde_json::to_vec(outcome).map_err(Fault::internal)?;
    let sql = "INSERT INTO outcome (tenant, decision, treatment, outcome, place, body) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = vec![
        tenant.as_str().into(),
        outcome.decision.uuid().into(),
        outcome.treatment.map_or(Uuid::nil(), |id| id.uuid()).into(),
        outcome.outcome.as_str().into(),
        i64::try_from(place).unwrap_or(i64::MAX).into(),
        tx.sealer().seal(tenant, customer.unwrap_or(NOBODY), &body).into(),
    ];
    tx.conn().run(sql, values).await?;
    Ok(())
}

fn news(outcome: &Outcome, treatment: String) -> OutcomeReported {
    let motivation = match outcome.motivation {
        Motivation::Organic => wire::Motivation::Organic,
        Motivation::Incentivised => wire::Motivation::Incentivised,
    };
    OutcomeReported {
        decision_id: outcome.decision.to_string(),
        outcome: outcome.outcome.clone(),
        treatment,
        reward: outcome.reward,
        value_micros: outcome.value.as_ref().map(|value| value.micros),
        currency: outcome.value.as_ref().map_or_else(String::new, |value| value.currency.clone()),
        motivation: motivation.into(),
        occurred_at: Some(host::encode::timestamp(outcome.occurred_at)),
    }
}
