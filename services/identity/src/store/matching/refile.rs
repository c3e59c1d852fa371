//! Filing records anew, some in each transaction: those of the time before matching, and all of them under a new matcher.
//!
//! The row of `match_refile` says how far it has come; it is written with the effects, so a step that is taken twice is
//! taken once. Whoever works on a tenant has a lease on it, so that two replicas do not do the same; nothing goes wrong
//! if they do.

use std::{sync::Arc, time::Duration};

use data::{Sql, Tx};
use identity_domain::{
    Batch, Moment, Policy, RecordId, View,
    matching::{Filing, Matcher, cluster_anew, file_anew},
};
use terms::{CustomerId, Fault, Tenant};

use super::{Hints, Queue, SqlFiles, keep, lock, matchers};
use crate::{
    feed,
    store::{
        SqlCustomers,
        load::{Loaded, Loading},
        save,
        sealed::Sealing,
        sql::{Params, column, id, optional_id},
    },
};

/// How many records one step takes: a tenth of a second in which the tenant's other records wait.
const STEP: u32 = 128;
/// For how long somebody who says nothing keeps a tenant.
const LEASE: Duration = Duration::from_secs(30);
/// Who keeps a tenant while records come of which none is compared yet.
const LOAD: &str = "load";

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Some records were done; how many in all, each counted once when it is filed and once when it is clustered.
    Done(u64),
    /// Another replica does it; how far it has come.
    Elsewhere(u64),
    /// There is nothing to do.
    Nothing,
}

/// What one transaction needs.
struct Stepping<'a> {
    tx: &'a Tx,
    this: &'a SqlCustomers,
    tenant: &'a Tenant,
    policy: &'a Policy,
    hints: &'a Hints,
}

/// The row of a tenant.
struct Todo {
    whole: bool,
    files: bool,
    after: Option<RecordId>,
    done: u64,
}

/// Asks that records be filed: those that are not, or all of them (`whole`).
pub(crate) async fn ask(tx: &Tx, tenant: &Tenant, whole: bool) -> Result<(), Fault> {
    begin_anew(tx, tenant, (whole, "", 0)).await
}

/// Asks that those records be filed that are not, some time after the last of them came.
pub(in crate::store) async fn put_off(tx: &Tx, tenant: &Tenant) -> Result<(), Fault> {
    begin_anew(tx, tenant, (false, LOAD, lease(tx))).await
}

async fn begin_anew(tx: &Tx, tenant: &Tenant, (whole, owner, until): (bool, &str, i64)) -> Result<(), Fault> {
    let mut params = Params::of(tx.dialect(), tenant);
    let (whole, owner, until) = (params.add(i32::from(whole)), params.add(owner), params.add(until));
    let sql = format!(
        "INSERT INTO match_refile (tenant, whole, stage, done, owner, lease_until) \
         VALUES ($1, {whole}, 'file', 0, {owner}, {until}) \
         ON CONFLICT (tenant) DO UPDATE SET stage = 'file', after = NULL, done = 0, owner = excluded.owner, \
         lease_until = excluded.lease_until, \
         whole = CASE WHEN excluded.whole > match_refile.whole THEN excluded.whole ELSE match_refile.whole END"
    );
    tx.conn().run(&sql, params.values()).await.map(drop)
}

/// Until when somebody who says something now keeps a tenant.
fn lease(tx: &Tx) -> i64 {
    tx.now().micros().saturating_add(i64::try_from(LEASE.as_micros()).unwrap_or(i64::MAX / 4))
}

impl SqlCustomers {
    /// The tenants whose records are to be filed.
    pub(crate) async fn to_refile(&self) -> Result<Vec<Tenant>, Fault> {
        let rows = self.store.reader().rows("SELECT tenant FROM match_refile ORDER BY tenant", vec![]).await?;
        rows.iter().map(|row| column::<String>(row, 0)?.parse().map_err(Fault::internal)).collect()
    }

    /// How many records a tenant has.
    pub(crate) async fn record_count(&self, tenant: &Tenant) -> Result<u64, Fault> {
        let params = Params::of(self.store.dialect(), tenant);
        let sql = "SELECT COUNT(*) FROM record WHERE tenant = $1";
        let row = self.store.reader().row(sql, params.values()).await?;
        row.map_or(Ok(0), |row| Ok(column::<i64>(&row, 0)?.max(0).unsigned_abs()))
    }

    /// Files or clusters the next records of a tenant, in the name of `owner`.
    pub(crate) async fn refile(&self, tenant: &Tenant, policy: Arc<Policy>, owner: &str) -> Result<Step, Fault> {
        self.blocks.ready(tenant).await?;
        let work = Arc::new((self.clone(), tenant.clone(), policy, owner.to_owned(), Hints::default()));
        let written = self.store.write(move |tx| {
            let work = work.clone();
            Box::pin(async move {
                let (this, tenant, policy, owner, hints) = &*work;
                Stepping { tx, this, tenant, policy, hints }.step(owner).await
            })
        });
        let written = written.await?;
        let (step, changed) = written.value;
        self.mark(tenant, &changed, &written.revision).await;
        Ok(step)
    }
}

impl Stepping<'_> {
    fn params(&self) -> Params {
        Params::of(self.tx.dialect(), self.tenant)
    }

    fn sealing(&self) -> Sealing<'_> {
        Sealing { sealer: self.tx.sealer(), tenant: self.tenant }
    }

    async fn step(&self, owner: &str) -> Result<(Step, Vec<CustomerId>), Fault> {
        lock(self.tx.conn(), self.tenant).await?;
        // Who puts it off does not hold the tenant's lock.
        let lock = if self.tx.dialect() == data::Dialect::Postgres { " FOR UPDATE" } else { "" };
        let sql =
            format!("SELECT whole, stage, after, done, owner, lease_until FROM match_refile WHERE tenant = $1{lock}");
        let Some(row) = self.tx.conn().row(&sql, self.params().values()).await? else {
            return Ok((Step::Nothing, Vec::new()));
        };
        let done = column::<i64>(&row, 3)?.max(0).unsigned_abs();
        if column::<String>(&row, 4)? != owner && column::<i64>(&row, 5)? > self.tx.now().micros() {
            return Ok((Step::Elsewhere(done), Vec::new()));
        }
        let stage: String = column(&row, 1)?;
        let whole = column::<i32>(&row, 0)? != 0;
        let todo = Todo { whole, files: stage == "file", after: optional_id(&row, 2)?, done };
        let records = self.next(&todo).await?;
        let Some((last, _)) = records.last().copied() else { return self.end_stage(&todo, owner).await };
        let changed = match todo.files {
            true => {
                let wanted = records.iter().filter(|(_, filed)| todo.whole || !filed).map(|(record, _)| *record);
                self.file(&wanted.collect::<Vec<_>>()).await?;
                Vec::new()
            }
            false => self.cluster(&records.iter().map(|(record, _)| *record).collect::<Vec<_>>()).await?,
        };
        let done = todo.done + records.len() as u64;
        self.note(owner, &stage, Some(last), done).await?;
        Ok((Step::Done(done), changed))
    }

    /// The next records, and whether each is filed.
    async fn next(&self, todo: &Todo) -> Result<Vec<(RecordId, bool)>, Fault> {
        let mut params = self.params();
        let after = |column: &str, params: &mut Params| {
            todo.after.map(|after| format!(" AND {column} > {}", params.add(after.uuid()))).unwrap_or_default()
        };
        let sql = if todo.files {
            format!(
                "SELECT w.id, EXISTS \
                 (SELECT 1 FROM match_record m WHERE m.tenant = $1 AND m.record = w.id AND m.number IS NOT NULL) FROM \
                 (SELECT r.id FROM record r WHERE r.tenant = $1{} ORDER BY r.id LIMIT {STEP}) w ORDER BY w.id",
                after("r.id", &mut params)
            )
        } else {
            format!(
                "SELECT m.record, m.tenant = $1 FROM match_record m WHERE m.tenant = $1{} ORDER BY m.record LIMIT {STEP}",
                after("m.record", &mut params)
            )
        };
        let rows = self.tx.conn().rows(&sql, params.values()).await?;
        rows.iter().map(|row| Ok((id(row, 0)?, column(row, 1)?))).collect()
    }

    async fn end_stage(&self, todo: &Todo, owner: &str) -> Result<(Step, Vec<CustomerId>), Fault> {
        if todo.files {
            matchers::retire(self.tx, self.tenant).await?;
            self.note(owner, "cluster", None, todo.done).await?;
        } else {
            let sql = "DELETE FROM match_refile WHERE tenant = $1";
            self.tx.conn().run(sql, self.params().values()).await?;
        }
        Ok((Step::Done(todo.done), Vec::new()))
    }

    async fn note(&self, owner: &str, stage: &str, after: Option<RecordId>, done: u64) -> Result<(), Fault> {
        let until = lease(self.tx);
        let mut params = self.params();
        let (stage, after) = (params.add(stage), params.add(after.map(RecordId::uuid)));
        let (done, owner) = (params.add(i64::try_from(done).unwrap_or(i64::MAX)), params.add(owner));
        let until = params.add(until);
        let sql = format!(
            "UPDATE match_refile SET stage = {stage}, after = {after}, done = {done}, owner = {owner}, \
             lease_until = {until} WHERE tenant = $1"
        );
        self.tx.conn().run(&sql, params.values()).await.map(drop)
    }

    /// A view of some records, and of customers that are known to be concerned.
    async fn view(&self, records: &[RecordId]) -> Result<View, Fault> {
        let loading = Loading { conn: self.tx.conn(), sealing: self.sealing(), lock: true };
        let loading = Loading { lock: loading.lock && self.tx.dialect() == data::Dialect::Postgres, ..loading };
        let mut view = View::new();
        let customers = self.hints.customers();
        if !customers.is_empty() {
            let bare = loading.customers(&Default::default(), &customers, &mut view).await?;
            loading.anchors(&bare, self.policy, &mut view).await?;
        }
        loading.records(&records.iter().copied().collect(), &mut view).await?;
        Ok(view)
    }

    fn files(&self) -> SqlFiles<'_> {
        let lock = self.tx.dialect() == data::Dialect::Postgres;
        let (conn, sealing, blocks) = (self.tx.conn(), self.sealing(), &self.this.blocks);
        SqlFiles { conn, sealing, lock, hints: self.hints, blocks, policy: self.policy }
    }

    async fn file(&self, records: &[RecordId]) -> Result<(), Fault> {
        let matcher = self.this.matchers.current(self.tx.conn(), self.sealing()).await?;
        let view = self.view(records).await?;
        let filing = file_anew(&mut self.files(), &matcher, self.policy, &view, records).await?;
        self.keep(&view, &matcher, &filing).await
    }

    async fn cluster(&self, records: &[RecordId]) -> Result<Vec<CustomerId>, Fault> {
        let matcher = self.this.matchers.current(self.tx.conn(), self.sealing()).await?;
        let mut view = self.view(records).await?;
        let mut batch = Batch::default();
        let moment = Moment { now: self.tx.now(), ids: &self.this.ids, actor: "identity" };
        let about = (&mut batch, records);
        let filing = cluster_anew(&mut self.files(), &matcher, self.policy, &mut view, about, moment).await?;
        let loaded = Loaded { view, ..Loaded::default() };
        if !batch.is_empty() {
            save::save(self.tx.conn(), self.sealing(), &loaded, &batch).await?;
        }
        self.keep(&loaded.view, &matcher, &filing).await?;
        if !batch.proposals.is_empty() {
            let queue = Queue { conn: self.tx.conn(), sealing: self.sealing() };
            queue.propose(&batch.proposals, self.tx.now()).await?;
        }
        self.tx.act_as("identity");
        feed::publish(self.tx, self.tenant, &loaded.view, &batch)
    }

    async fn keep(&self, view: &View, matcher: &Matcher, filing: &Filing) -> Result<(), Fault> {
        keep(self.tx.conn(), self.sealing(), (view, matcher), filing, self.tx.now()).await
    }
}
