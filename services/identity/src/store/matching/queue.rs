//! The review queue, and what is told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use data::Sql;
use identity_domain::{
    Policy, RecordId,
    matching::{
        Candidate, CandidateId, CandidateState, Dossier, Files, Matches, Proposal, Trained,
        candidate::{CandidateOrder, CandidateQuery},
    },
};
use identity_matching::weight::Weight;
use sea_orm::{DatabaseTransaction, QueryResult};
use terms::{CustomerId, Fault, Tenant};

use super::{Hints, SqlFiles, detail::Detail};
use crate::store::{
    SqlCustomers,
    load::homes,
    sealed::Sealing,
    sql::{CHUNK, Params, column, id, resolved, time},
};

const CANDIDATE: &str = "q.id, q.left_customer, q.right_customer, q.left_record, q.right_record, q.score, q.matcher, \
                         q.state, q.detail, q.decided_by, q.created_at, q.updated_at, q.version";

/// The queue of one tenant, in one transaction.
pub(in crate::store) struct Queue<'a> {
    pub(in crate::store) conn: &'a DatabaseTransaction,
    pub(in crate::store) sealing: Sealing<'a>,
}

impl Queue<'_> {
    fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    fn candidate(&self, row: &QueryResult) -> Result<Candidate, Fault> {
        let left = id(row, 1)?;
        let state: String = column(row, 7)?;
        let Detail { guards, reason } = Detail::open(self.sealing, left, column(row, 8)?)?;
        Ok(Candidate {
            id: id(row, 0)?,
            proposal: Proposal {
                left,
                right: id(row, 2)?,
                left_record: id(row, 3)?,
                right_record: id(row, 4)?,
                score: Weight(column(row, 5)?),
                model: column(row, 6)?,
                guards,
            },
            state: CandidateState::parse(&state)
                .ok_or_else(|| Fault::internal(format!("the review queue holds the unknown state {state}")))?,
            decided_by: column(row, 9)?,
            reason,
            created_at: time(row, 10)?,
            updated_at: time(row, 11)?,
            version: column(row, 12)?,
        })
    }

    /// One pair, as it is stored.
    pub(in crate::store) async fn one(&self, candidate: CandidateId) -> Result<Option<Candidate>, Fault> {
        let mut params = self.params();
        let place = params.add(candidate.uuid());
        let sql = format!("SELECT {CANDIDATE} FROM match_candidate q WHERE q.tenant = $1 AND q.id = {place}");
        self.conn.row(&sql, params.values()).await?.map(|row| self.candidate(&row)).transpose()
    }

    async fn part(&self, query: &CandidateQuery) -> Result<Vec<Candidate>, Fault> {
        let CandidateOrder { by_time, ascending } = query.order;
        let by = if by_time { "q.created_at" } else { "q.score" };
        let (than, direction) = if ascending { (">", "ASC") } else { ("<", "DESC") };
        let mut params = self.params();
        let mut with = format!(" AND q.state = {}", params.add(query.state.as_str()));
        if let Some(customer) = query.customer {
            let among = params.ids([customer]);
            let ids = homes(&among);
            with += &format!(
                " AND (q.left_customer IN (SELECT h.home FROM ({ids}) h) \
                 OR q.right_customer IN (SELECT h.home FROM ({ids}) h))"
            );
        }
        if let Some(after) = query.after {
            let (at, id) = (params.add(after.at), params.add(after.id.uuid()));
            with += &format!(" AND ({by}, q.id) {than} ({at}, {id})");
        }
        let limit = params.add(i64::from(query.limit));
        let sql = format!(
            "SELECT {CANDIDATE} FROM match_candidate q WHERE q.tenant = $1{with} \
             ORDER BY {by} {direction}, q.id {direction} LIMIT {limit}"
        );
        self.conn.rows(&sql, params.values()).await?.iter().map(|row| self.candidate(row)).collect()
    }

    /// The pairs as they stand now.
    pub(in crate::store) async fn standing(&self, candidates: Vec<Candidate>) -> Result<Vec<Candidate>, Fault> {
        let records: BTreeSet<RecordId> =
            candidates.iter().flat_map(|c| [c.proposal.left_record, c.proposal.right_record]).collect();
        let records: Vec<RecordId> = records.into_iter().collect();
        let mut owners: HashMap<RecordId, CustomerId> = HashMap::new();
        for records in records.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(records.iter().copied());
            let sql = format!(
                "SELECT r.id, r.home, (SELECT a.customer FROM alias a WHERE a.tenant = $1 AND a.id = r.home) \
                 FROM record r WHERE r.tenant = $1 AND r.id {among}"
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                owners.insert(id(&row, 0)?, resolved(&row, 1, 2)?);
            }
        }
        let customers: BTreeSet<CustomerId> =
            candidates.iter().flat_map(|c| [c.proposal.left, c.proposal.right]).collect();
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let mut now: BTreeMap<CustomerId, CustomerId> = BTreeMap::new();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!("SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                now.insert(id(&row, 0)?, id(&row, 1)?);
            }
        }
        let now = |customer: CustomerId| now.get(&customer).copied().unwrap_or(customer);
        Ok(candidates.into_iter().map(|c| c.standing(now, |record| owners.get(&record).copied())).collect())
    }
}

#[async_trait]
impl Matches for SqlCustomers {
    async fn candidates(&self, tenant: &Tenant, query: CandidateQuery) -> Result<Vec<Candidate>, Fault> {
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let reading = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let queue = Queue { conn, sealing: Sealing { sealer: store.sealer(), tenant: &tenant } };
                let part = queue.part(&query).await?;
                queue.standing(part).await
            })
        });
        reading.await
    }

    async fn candidate(&self, tenant: &Tenant, candidate: CandidateId) -> Result<Option<Candidate>, Fault> {
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let reading = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let queue = Queue { conn, sealing: Sealing { sealer: store.sealer(), tenant: &tenant } };
                let found = queue.one(candidate).await?;
                Ok(queue.standing(found.into_iter().collect()).await?.pop())
            })
        });
        reading.await
    }

    async fn matcher(&self, tenant: &Tenant, version: &str) -> Result<Option<Trained>, Fault> {
        let (this, tenant, version) = (self.clone(), tenant.clone(), version.to_owned());
        let reading = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: this.store.sealer(), tenant: &tenant };
                this.matchers.find(conn, sealing, &version).await
            })
        });
        reading.await
    }

    async fn dossier(&self, tenant: &Tenant, records: &[RecordId]) -> Result<Dossier, Fault> {
        let (this, tenant, records) = (self.clone(), tenant.clone(), records.to_vec());
        let reading = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: this.store.sealer(), tenant: &tenant };
                let matcher = this.matchers.current(conn, sealing).await?;
                let hints = Hints::default();
                let policy = Policy::default();
                let mut files = SqlFiles { conn, sealing, lock: false, hints: &hints, policy: &policy };
                let known = files.filed(&records).await?;
                let mut pairs = files.pairs(&records).await?;
                pairs.retain(|(a, b)| a < b && records.contains(a) && records.contains(b));
                Ok(Dossier { matcher, known, pairs })
            })
        });
        reading.await
    }
}
