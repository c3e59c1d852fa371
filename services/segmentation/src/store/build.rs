//! Computes the members of a definition, some customers at a time. How far it has come is part of each transaction, so
//! a build that was cut off goes on where it stopped, on any replica.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use data::{Dialect, Sql, Tx};
use futures::FutureExt;
use segmentation_domain::{
    definition::BuildOver,
    ports::BuildStep,
    recompute::{build_scope, rebuild},
    ruleset::Scope,
    segment::{Segment, SegmentId, State},
    view::Person,
};
use terms::{CustomerId, Fault, Tenant, Written};
use uuid::Uuid;

use super::{
    Outcome, SqlSegments,
    catalogs::{Hold, Snapshot},
    define::{put_segment, raise_epoch},
    due::oldest_read,
    load::Loading,
    sql::{Params, column, id},
    write::Writing,
};
use crate::feed;

/// A build, as its row says.
struct Build {
    over: BuildOver,
    after: Option<CustomerId>,
}

/// What one step did.
enum Step {
    /// Another transaction works on it, or it is done.
    Taken,
    /// Some customers were computed.
    Some(usize, Outcome),
    /// There was nobody left.
    Done,
}

impl SqlSegments {
    pub(super) async fn build_some(
        &self,
        which: Option<(&Tenant, SegmentId)>,
        most: usize,
    ) -> Result<Option<BuildStep>, Fault> {
        let open = match which {
            Some((tenant, segment)) => vec![(tenant.clone(), segment)],
            None => self.read_builds().await?,
        };
        for (tenant, segment) in open {
            let (store, whose) = (self.clone(), tenant.clone());
            let written = self
                .database
                .write(move |tx: &Tx| {
                    let (store, whose) = (store.clone(), whose.clone());
                    async move { store.step(tx, &whose, segment, most).await }.boxed()
                })
                .await?;
            let (customers, done) = match written.value {
                Step::Taken => continue,
                Step::Done => (0, true),
                Step::Some(customers, outcome) => {
                    self.committed(vec![outcome], &written.revision).await;
                    (customers, false)
                }
            };
            // Fewer than were asked for: nobody is left, as the next step would find out.
            let mut revision = written.revision;
            let done = if done || customers < most {
                let finished = self.finish(&tenant, segment).await?;
                revision.merge(&finished.revision);
                finished.value
            } else {
                false
            };
            return Ok(Some(BuildStep { tenant, segment, customers, done, revision }));
        }
        Ok(None)
    }

    /// The builds of all tenants, the oldest first.
    async fn read_builds(&self) -> Result<Vec<(Tenant, SegmentId)>, Fault> {
        let sql = "SELECT tenant, segment FROM build ORDER BY created_at, tenant, segment LIMIT 100";
        let rows = self.database.reader().rows(sql, vec![]).await?;
        rows.iter().map(|row| Ok((column::<String>(row, 0)?.parse().map_err(Fault::internal)?, id(row, 1)?))).collect()
    }

    async fn step(&self, tx: &Tx, tenant: &Tenant, segment: SegmentId, most: usize) -> Result<Step, Fault> {
        let snapshot = self.catalogs.hold(tx, tenant, Hold::Share).await?;
        let Some(build) = hold_build(tx, tenant, segment).await? else { return Ok(Step::Taken) };
        let ids = candidates(tx, tenant, segment, &build, most).await?;
        let Some(last) = ids.last().copied() else { return Ok(Step::Done) };
        let people = self.people_of(tx, tenant, &snapshot, segment, &ids).await?;
        let (people, scope) = people;
        let effects = rebuild(snapshot.catalog.ruleset(), segment, build.over, &scope, people, tx.now());
        Writing { tx, tenant, catalog: &snapshot.catalog }.write(&effects).await?;
        let sql = "UPDATE build SET after = $3 WHERE tenant = $1 AND segment = $2";
        tx.conn().run(sql, vec![tenant.as_str().into(), segment.uuid().into(), last.uuid().into()]).await?;
        let mut outcome = Outcome::new(tenant, &snapshot.catalog, effects);
        if scope != Scope::All {
            // Only part of the facts was read: not what a cache must know.
            outcome.settled.clear();
        }
        Ok(Step::Some(ids.len(), outcome))
    }

    async fn people_of(
        &self,
        tx: &Tx,
        tenant: &Tenant,
        snapshot: &Snapshot,
        segment: SegmentId,
        ids: &BTreeSet<CustomerId>,
    ) -> Result<(BTreeMap<CustomerId, Person>, Scope), Fault> {
        let ruleset = snapshot.catalog.ruleset();
        let loading = Loading { tx, tenant, snapshot, faces: &self.faces };
        let subjects = loading.locked(ids, "").await?;
        let scope = build_scope(ruleset, segment, subjects.iter().map(|(_, subject)| subject), tx.now());
        let needs = ruleset.needs_of(&scope);
        let since = oldest_read(&needs, subjects.iter().map(|(_, subject)| subject), tx.now());
        let mut people: BTreeMap<CustomerId, Person> = subjects
            .into_iter()
            .map(|(id, subject)| (id, Person { subject, stored: true, ..Person::default() }))
            .collect();
        let found = people.keys().copied().collect();
        loading.faces(&mut people, &found, &needs, since).await?;
        Ok((people, scope))
    }

    /// Ends a build; false if there is more to do, because customers came or the definition has changed again.
    async fn finish(&self, tenant: &Tenant, segment: SegmentId) -> Result<Written<bool>, Fault> {
        let (store, tenant) = (self.clone(), Arc::new(tenant.clone()));
        self.database
            .write(move |tx: &Tx| {
                let (store, tenant) = (store.clone(), tenant.clone());
                async move {
                    let snapshot = store.catalogs.hold(tx, &tenant, Hold::Alone).await?;
                    let Some(build) = hold_build(tx, &tenant, segment).await? else { return Ok(false) };
                    if !candidates(tx, &tenant, segment, &build, 1).await?.is_empty() {
                        return Ok(false);
                    }
                    let sql = "DELETE FROM build WHERE tenant = $1 AND segment = $2";
                    tx.conn().run(sql, vec![tenant.as_str().into(), segment.uuid().into()]).await?;
                    let Some(built) = snapshot.catalog.get(segment) else { return Ok(true) };
                    if built.state == State::Building {
                        let live = Segment { state: State::Live, ..(**built).clone() };
                        put_segment(tx, &tenant, &live).await?;
                        feed::publish_definition(tx, &tenant, &live);
                    }
                    raise_epoch(tx, &tenant, false).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }
}

/// The build's row, locked; `None` if another transaction has it, or if it is done.
async fn hold_build(tx: &Tx, tenant: &Tenant, segment: SegmentId) -> Result<Option<Build>, Fault> {
    let lock = if tx.dialect() == Dialect::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    let sql = format!("SELECT over, after FROM build WHERE tenant = $1 AND segment = $2 {lock}");
    let row = tx.conn().row(&sql, vec![tenant.as_str().into(), segment.uuid().into()]).await?;
    let Some(row) = row else { return Ok(None) };
    let code: i64 = column(&row, 0)?;
    let over = i32::try_from(code).ok().and_then(BuildOver::from_code);
    let over = over.ok_or_else(|| Fault::internal(format!("a build goes over the unknown set {code}")))?;
    let after = column::<Option<Uuid>>(&row, 1)?.map(CustomerId::from_uuid);
    Ok(Some(Build { over, after }))
}

/// The next customers, by id.
async fn candidates(
    tx: &Tx,
    tenant: &Tenant,
    segment: SegmentId,
    build: &Build,
    most: usize,
) -> Result<BTreeSet<CustomerId>, Fault> {
    let mut params = Params::new(tx.dialect(), tenant);
    let after = build.after.map(|after| format!("AND customer > {}", params.add(after.uuid()))).unwrap_or_default();
    let from = match build.over {
        BuildOver::Everyone => {
            format!("SELECT customer FROM subject WHERE tenant = $1 {after} AND survivor IS NULL AND NOT erased")
        }
        BuildOver::Listed => {
            let segment = params.add(segment.uuid());
            let of = format!("WHERE tenant = $1 AND segment = {segment} {after}");
            format!("SELECT customer FROM listed {of} UNION SELECT customer FROM membership {of}")
        }
    };
    let most = params.add(i64::try_from(most).unwrap_or(i64::MAX));
    let rows = tx.conn().rows(&format!("{from} ORDER BY customer LIMIT {most}"), params.values()).await?;
    rows.iter().map(|row| id(row, 0)).collect()
}

impl SqlSegments {
    /// Over whom a segment is being built; `None` if it is not.
    pub(crate) async fn building(&self, tenant: &Tenant, segment: SegmentId) -> Result<Option<BuildOver>, Fault> {
        let sql = "SELECT over FROM build WHERE tenant = $1 AND segment = $2";
        let values = vec![tenant.as_str().into(), segment.uuid().into()];
        let row = self.database.reader().row(sql, values).await?;
        let code: Option<i64> = row.as_ref().map(|row| column(row, 0)).transpose()?;
        Ok(code.and_then(|code| i32::try_from(code).ok()).and_then(BuildOver::from_code))
    }
}
