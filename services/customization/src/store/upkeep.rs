//! What a split and an erasure do to the log.

use data::{Sql, Tx};
use sea_orm::Value;
use terms::{CustomerId, Fault, Tenant};

use super::rows::{ids, list};

/// Decisions that named their customer by one of these identifiers are `to`'s.
pub(crate) async fn reassign(tx: &Tx, tenant: &Tenant, to: CustomerId, vias: &[[u8; 32]]) -> Result<(), Fault> {
    if vias.is_empty() {
        return Ok(());
    }
    let named = format!("arrived_via IN ({})", list(3, vias.len()));
    let mut values: Vec<Value> = vec![tenant.as_str().into(), to.uuid().into()];
    values.extend(vias.iter().map(|via| via.to_vec().into()));
    let sql = format!(
        "UPDATE decision_effect SET customer = $2 WHERE tenant = $1 AND decision IN (\
         SELECT id FROM decision WHERE tenant = $1 AND {named})"
    );
    tx.conn().run(&sql, values.clone()).await?;
    tx.conn().run(&format!("UPDATE decision SET customer = $2 WHERE tenant = $1 AND {named}"), values).await?;
    Ok(())
}

/// Forgets what is known of customers. That there were decisions stays, without what they were made of.
pub(crate) async fn erase(tx: &Tx, tenant: &Tenant, customers: &[CustomerId]) -> Result<(), Fault> {
    if customers.is_empty() {
        return Ok(());
    }
    let theirs = format!("customer IN ({})", list(2, customers.len()));
    let mut values: Vec<Value> = vec![tenant.as_str().into()];
    values.extend(ids(customers));
    let mine = format!("SELECT id FROM decision WHERE tenant = $1 AND {theirs}");
    for sql in [
        format!("DELETE FROM outcome WHERE tenant = $1 AND decision IN ({mine})"),
        format!("DELETE FROM decision_effect WHERE tenant = $1 AND decision IN ({mine})"),
        format!(
            "DELETE FROM decision_input WHERE tenant = $1 AND customer IN (SELECT arrived_as FROM decision WHERE tenant = $1 AND {theirs})"
        ),
        format!("DELETE FROM decision_input WHERE tenant = $1 AND {theirs}"),
        format!("UPDATE decision SET body = $B, inputs = NULL, arrived_via = NULL WHERE tenant = $1 AND {theirs}"),
    ] {
        let empty = format!("${}", customers.len() + 2);
        let mut values = values.clone();
        if sql.contains("$B") {
            values.push(Vec::<u8>::new().into());
        }
        tx.conn().run(&sql.replace("$B", &empty), values).await?;
    }
    for customer in customers {
        tx.purge(tenant, *customer).await?;
    }
    Ok(())
}
