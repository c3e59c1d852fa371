//! What a split and an erasure do to the log.

use std::collections::{BTreeSet, HashSet};

use customization_domain::report_outcome::DecisionId;
use data::{Sql, Tx};
use sea_orm::Value;
use terms::{CustomerId, Fault, Tenant, Timestamp};
use uuid::Uuid;

use super::{
    block,
    index::{self, CHUNK, Made},
    rows::{NOBODY, ids, list},
};

/// Decisions that named their customer by one of these identifiers are `to`'s.
pub(crate) async fn reassign(tx: &Tx, tenant: &Tenant, to: CustomerId, vias: &[[u8; 32]]) -> Result<(), Fault> {
    let vias: Vec<&[u8]> = vias.iter().map(|via| via.as_slice()).collect();
    let moving = index::made(tx.conn(), tenant, &vias, Timestamp::EPOCH).await?;
    index::move_to(tx, tenant, to, &moving).await?;
    for chunk in decisions(&moving).chunks(CHUNK) {
        let sql = format!(
            "UPDATE decision_effect SET customer = $2 WHERE tenant = $1 AND decision IN ({})",
            list(3, chunk.len())
        );
        let mut values: Vec<Value> = vec![tenant.as_str().into(), to.uuid().into()];
        values.extend(ids(chunk));
        tx.conn().run(&sql, values).await?;
    }
    Ok(())
}

/// Forgets what is known of customers. That there were decisions stays, without what they were made of: nobody's.
pub(crate) async fn erase(tx: &Tx, tenant: &Tenant, customers: &[CustomerId]) -> Result<(), Fault> {
    let theirs = index::owned(tx.conn(), tenant, customers, Timestamp::EPOCH).await?;
    let decisions = decisions(&theirs);
    for table in ["outcome", "decision_effect"] {
        for chunk in decisions.chunks(CHUNK) {
            let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND decision IN ({})", list(2, chunk.len()));
            let mut values: Vec<Value> = vec![tenant.as_str().into()];
            values.extend(ids(chunk));
            tx.conn().run(&sql, values).await?;
        }
    }
    // What was known is shared by all decisions of whomever they were made for.
    let made_for: BTreeSet<CustomerId> =
        theirs.iter().filter_map(|made| made.made_for).chain(customers.iter().copied()).collect();
    for customer in made_for {
        let sql = "DELETE FROM decision_input WHERE tenant = $1 AND customer = $2";
        tx.conn().run(sql, vec![tenant.as_str().into(), customer.uuid().into()]).await?;
    }
    let gone: HashSet<&[u8]> = decisions.iter().map(|id| id.as_bytes().as_slice()).collect();
    let blocks: BTreeSet<Uuid> = theirs.iter().map(|made| made.block).collect();
    let blocks: Vec<Uuid> = blocks.into_iter().collect();
    block::change(tx, tenant, &blocks, |line| {
        if gone.contains(&*line.id) {
            line.via.clear();
            line.inputs.clear();
            line.body.clear();
        }
    })
    .await?;
    index::move_to(tx, tenant, NOBODY, &theirs).await?;
    for customer in customers {
        tx.purge(tenant, *customer).await?;
    }
    Ok(())
}

fn decisions(made: &[Made]) -> Vec<DecisionId> {
    made.iter().map(|made| made.decision).collect()
}
