//! Writes what a verb decided, and publishes it.

use data::{Sql, Tx};
use interaction_domain::{boundary::Boundary, statement::Statement, store::Change};
use sea_orm::Value;
use terms::{Fault, Tenant};

use super::{
    rows::{
        BOUNDARY, CONSENT, INTERACTION, STATEMENT, Seal, boundary_row, consent_row, ending, interaction_row,
        statement_row,
    },
    sql::{Table, uuid},
};
use crate::feed;

/// Everything of `change`, in the transaction.
pub(super) async fn write(tx: &Tx, tenant: &Tenant, change: Change) -> Result<(), Fault> {
    let seal = Seal { sealer: tx.sealer(), tenant };
    let interactions = change.interactions.iter().map(|i| interaction_row(seal, i)).collect::<Result<_, _>>()?;
    let statements = change.statements.iter().map(|s| statement_row(seal, &s.statement)).collect::<Result<_, _>>()?;
    let boundaries = change.boundaries.iter().map(|b| boundary_row(seal, b)).collect::<Result<_, _>>()?;
    let consents = change.consents.iter().map(|c| consent_row(seal, c)).collect();
    fresh(tx, &INTERACTION, interactions).await?;
    fresh(tx, &STATEMENT, statements).await?;
    fresh(tx, &BOUNDARY, boundaries).await?;
    CONSENT.insert(tx.conn(), consents, "").await?;
    for statement in &change.retracted {
        retract(tx, seal, statement).await?;
    }
    for boundary in &change.lifted {
        lift(tx, seal, boundary).await?;
    }
    feed::publish(tx, tenant, change);
    Ok(())
}

/// Inserts rows of which none was there when the verb decided. One that is there now was written by another transaction
/// meanwhile: everything is decided again.
async fn fresh(tx: &Tx, table: &Table, rows: Vec<Vec<Value>>) -> Result<(), Fault> {
    let expected = rows.len() as u64;
    let written = table.insert(tx.conn(), rows, "ON CONFLICT (tenant, id) DO NOTHING").await?;
    if written == expected { Ok(()) } else { Err(data::retry(format!("another {} took the id", table.name))) }
}

/// Verbs take back one statement at a time.
async fn retract(tx: &Tx, seal: Seal<'_>, statement: &Statement) -> Result<(), Fault> {
    let sql = "UPDATE statement SET retracted_at = $3, retract_reason = $4 WHERE tenant = $1 AND id = $2";
    let mut values = vec![seal.tenant.as_str().into(), uuid(statement.id)];
    values.extend(ending(seal, statement.arrival.addressed, statement.retraction.as_ref()));
    tx.conn().run(sql, values).await.map(drop)
}

/// Verbs lift one boundary at a time.
async fn lift(tx: &Tx, seal: Seal<'_>, boundary: &Boundary) -> Result<(), Fault> {
    let sql = "UPDATE boundary SET lifted_at = $3, lift_reason = $4 WHERE tenant = $1 AND id = $2";
    let mut values = vec![seal.tenant.as_str().into(), uuid(boundary.id)];
    values.extend(ending(seal, boundary.arrival.addressed, boundary.lifted.as_ref()));
    tx.conn().run(sql, values).await.map(drop)
}
