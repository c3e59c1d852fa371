//! Versions of treatments and touchpoints. Never changed once written; the newest is marked.

use std::{collections::HashMap, sync::Arc};

use customization_domain::{
    catalog::{Candidate, Place},
    ports::{Define, Definition, How},
    touchpoint::{Touchpoint, TouchpointId},
    treatment::{Treatment, TreatmentId},
};
use data::{Dialect, Sql, Store, Tx};
use rapport_proto::feed::v1::{DefinitionChanged, event::Event};
use sea_orm::Value;
use terms::{Fault, Tenant, Written};
use uuid::Uuid;

use super::{
    catalogs::Catalogs,
    rows::{column, ids, list},
};

const TREATMENT: i64 = 1;
const TOUCHPOINT: i64 = 2;

pub(super) async fn define(
    store: &Store,
    catalogs: Arc<Catalogs>,
    how: How,
    decide: Define,
) -> Result<Written<Definition>, Fault> {
    let decide: Arc<Define> = Arc::new(decide);
    let How { tenant, actor, once } = how;
    store
        .write_once(once, move |tx| {
            let (tenant, actor) = (tenant.clone(), actor.clone());
            let (catalogs, decide) = (catalogs.clone(), decide.clone());
            Box::pin(async move {
                tx.act_as(&actor);
                let version = lock(tx, &tenant).await?;
                let catalog = catalogs.standing(tx.conn(), &tenant, version).await?;
                let definition = decide(&catalog, tx.now())?;
                insert(tx, &tenant, version + 1, &definition).await?;
                tx.publish(&tenant, None, Event::DefinitionChanged(news(&definition)));
                Ok(definition)
            })
        })
        .await
}

/// Locks the tenant's definitions; gives their version.
async fn lock(tx: &Tx, tenant: &Tenant) -> Result<i64, Fault> {
    let conn = tx.conn();
    let sql = "INSERT INTO catalog (tenant, version) VALUES ($1, 0) ON CONFLICT (tenant) DO NOTHING";
    conn.run(sql, vec![tenant.as_str().into()]).await?;
    let sql = match tx.dialect() {
        Dialect::Postgres => "SELECT version FROM catalog WHERE tenant = $1 FOR UPDATE",
        Dialect::Sqlite => "SELECT version FROM catalog WHERE tenant = $1",
    };
    match conn.row(sql, vec![tenant.as_str().into()]).await? {
        Some(row) => column(&row, 0),
        None => Err(Fault::internal("the row of the catalog is gone")),
    }
}

async fn insert(tx: &Tx, tenant: &Tenant, catalog: i64, definition: &Definition) -> Result<(), Fault> {
    let (kind, id, version) = key(definition);
    let conn = tx.conn();
    let sql = "UPDATE definition SET latest = FALSE WHERE tenant = $1 AND kind = $2 AND id = $3 AND latest";
    conn.run(sql, vec![tenant.as_str().into(), kind.into(), id.into()]).await?;
    let body = serde_json::to_string(definition).map_err(Fault::internal)?;
    let sql = "INSERT INTO definition (tenant, kind, id, version, catalog_version, latest, body) \
               VALUES ($1, $2, $3, $4, $5, TRUE, $6)";
    let version = i64::try_from(version).map_err(Fault::internal)?;
    let values = vec![tenant.as_str().into(), kind.into(), id.into(), version.into(), catalog.into(), body.into()];
    conn.run(sql, values).await?;
    let sql = "UPDATE catalog SET version = $2 WHERE tenant = $1";
    conn.run(sql, vec![tenant.as_str().into(), catalog.into()]).await?;
    Ok(())
}

fn key(definition: &Definition) -> (i64, Uuid, u64) {
    match definition {
        Definition::Treatment(treatment) => (TREATMENT, treatment.id.uuid(), treatment.version),
        Definition::Touchpoint(touchpoint) => (TOUCHPOINT, touchpoint.id.uuid(), touchpoint.version),
    }
}

fn news(definition: &Definition) -> DefinitionChanged {
    let (kind, id, name, version, deleted) = match definition {
        Definition::Treatment(t) => ("treatment", t.id.to_string(), t.spec.name.clone(), t.version, t.deleted),
        Definition::Touchpoint(t) => ("touchpoint", t.id.to_string(), t.spec.name.clone(), t.version, t.deleted),
    };
    DefinitionChanged { kind: kind.to_owned(), id, name, version: i64::try_from(version).unwrap_or(i64::MAX), deleted }
}

/// What was read of a row: the definition and the catalog's version that it made.
type Found = (i64, Definition);

async fn version_of(store: &Store, tenant: &Tenant, kind: i64, id: Uuid, version: u64) -> Result<Option<Found>, Fault> {
    let sql = "SELECT catalog_version, body FROM definition \
               WHERE tenant = $1 AND kind = $2 AND id = $3 AND version = $4";
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let values = vec![tenant.as_str().into(), kind.into(), id.into(), version.into()];
    store.reader().row(sql, values).await?.map(|row| found(&row)).transpose()
}

fn found(row: &sea_orm::QueryResult) -> Result<Found, Fault> {
    let body = serde_json::from_str(&column::<String>(row, 1)?).map_err(Fault::internal)?;
    Ok((column(row, 0)?, body))
}

pub(super) async fn treatment(
    store: &Store,
    tenant: &Tenant,
    id: TreatmentId,
    version: u64,
) -> Result<Option<Treatment>, Fault> {
    Ok(version_of(store, tenant, TREATMENT, id.uuid(), version).await?.and_then(|(_, found)| as_treatment(found)))
}

fn as_treatment(definition: Definition) -> Option<Treatment> {
    match definition {
        Definition::Treatment(treatment) => Some(treatment),
        Definition::Touchpoint(_) => None,
    }
}

fn as_touchpoint(definition: Definition) -> Option<Touchpoint> {
    match definition {
        Definition::Touchpoint(touchpoint) => Some(touchpoint),
        Definition::Treatment(_) => None,
    }
}

pub(super) async fn touchpoint(
    store: &Store,
    tenant: &Tenant,
    id: TouchpointId,
    version: u64,
) -> Result<Option<Place>, Fault> {
    let found = version_of(store, tenant, TOUCHPOINT, id.uuid(), version).await?;
    let Some((catalog, touchpoint)) = found.and_then(|(at, found)| Some((at, as_touchpoint(found)?))) else {
        return Ok(None);
    };
    place(store, tenant, touchpoint, catalog).await.map(Some)
}

pub(super) async fn place_at(
    store: &Store,
    tenant: &Tenant,
    id: TouchpointId,
    catalog: i64,
) -> Result<Option<Place>, Fault> {
    let sql = "SELECT catalog_version, body FROM definition \
               WHERE tenant = $1 AND kind = $2 AND id = $3 AND catalog_version <= $4 \
               ORDER BY catalog_version DESC LIMIT 1";
    let values = vec![tenant.as_str().into(), TOUCHPOINT.into(), id.uuid().into(), catalog.into()];
    let row = store.reader().row(sql, values).await?.map(|row| found(&row)).transpose()?;
    match row.and_then(|(_, found)| as_touchpoint(found)) {
        Some(touchpoint) => place(store, tenant, touchpoint, catalog).await.map(Some),
        None => Ok(None),
    }
}

/// A touchpoint with its candidates as they stood at a version of the catalog.
async fn place(store: &Store, tenant: &Tenant, touchpoint: Touchpoint, catalog: i64) -> Result<Place, Fault> {
    let mut needed: Vec<TreatmentId> = touchpoint.candidates.clone();
    needed.extend(touchpoint.default);
    let mut candidates: HashMap<TreatmentId, Arc<Candidate>> = HashMap::with_capacity(needed.len());
    for chunk in needed.chunks(500) {
        let sql = format!(
            "SELECT d.catalog_version, d.body FROM definition d \
             WHERE d.tenant = $1 AND d.kind = $2 AND d.id IN ({}) AND d.catalog_version = (\
             SELECT MAX(o.catalog_version) FROM definition o WHERE o.tenant = $1 AND o.kind = $2 AND o.id = d.id \
             AND o.catalog_version <= $3)",
            list(4, chunk.len())
        );
        let mut values: Vec<Value> = vec![tenant.as_str().into(), TREATMENT.into(), catalog.into()];
        values.extend(ids(chunk));
        for row in store.reader().rows(&sql, values).await? {
            if let (_, Definition::Treatment(treatment)) = found(&row)? {
                candidates.insert(treatment.id, Arc::new(Candidate::new(treatment)?));
            }
        }
    }
    Place::new(Arc::new(touchpoint), catalog, |id| candidates.get(&id).cloned())
}
