//! The review queue, and what is told of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use data::{Sql, sql::insert_rows};
use identity_domain::{
    DecideMatchCandidate, Decided, Label, Policy, RecordId,
    matching::{
        Candidate, CandidateId, CandidateState, Dossier, Files, Matches, Proposal, Trained,
        candidate::{CandidateOrder, CandidateQuery},
    },
};
use identity_matching::weight::Weight;
use sea_orm::{DatabaseTransaction, QueryResult, Value};
use terms::{Caller, CustomerId, Fault, Once, Tenant, Timestamp, Written};

use super::{Hints, SqlFiles, detail::Detail};
use crate::store::{
    SqlCustomers,
    by_hand::Hand,
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

    /// The ids at which the records of a pair arrived; none if there is no such pair.
    pub(in crate::store) async fn homes(&self, candidate: CandidateId) -> Result<Vec<CustomerId>, Fault> {
        let mut params = self.params();
        let place = params.add(candidate.uuid());
        let sql = format!(
            "SELECT r.home FROM match_candidate q CROSS JOIN record r WHERE q.tenant = $1 AND q.id = {place} \
             AND r.tenant = $1 AND r.id IN (q.left_record, q.right_record)"
        );
        self.conn.rows(&sql, params.values()).await?.iter().map(|row| id(row, 0)).collect()
    }

    /// Puts pairs into the queue, or what is better known of those that wait there: the records that resemble each other
    /// more, and guards where there were none.
    pub(in crate::store) async fn propose(&self, proposals: &[Proposal], now: Timestamp) -> Result<(), Fault> {
        let row = |proposal: &Proposal| {
            let detail = Detail { guards: proposal.guards.clone(), reason: None };
            Ok(vec![
                self.sealing.tenant.as_str().into(),
                proposal.id().uuid().into(),
                proposal.left.uuid().into(),
                proposal.right.uuid().into(),
                proposal.left_record.uuid().into(),
                proposal.right_record.uuid().into(),
                proposal.score.0.into(),
                proposal.model.as_str().into(),
                CandidateState::Open.as_str().into(),
                detail.sealed(self.sealing, proposal.left)?.into(),
                now.micros().into(),
                now.micros().into(),
                1_i64.into(),
            ])
        };
        let mut proposals: Vec<&Proposal> = proposals.iter().collect();
        // In one order, so that no two transactions wait for each other.
        proposals.sort_by_key(|proposal| proposal.id());
        let rows = proposals.into_iter().map(row).collect::<Result<Vec<Vec<Value>>, Fault>>();
        let better = |column: &str| {
            format!(
                "{column} = CASE WHEN excluded.score > match_candidate.score THEN excluded.{column} \
                 ELSE match_candidate.{column} END"
            )
        };
        let then = format!(
            "ON CONFLICT (tenant, id) DO UPDATE SET {}, {}, {}, {}, \
             detail = COALESCE(excluded.detail, match_candidate.detail), updated_at = excluded.updated_at, \
             version = match_candidate.version + 1 WHERE match_candidate.state = 'open' \
             AND (excluded.score > match_candidate.score \
             OR (match_candidate.detail IS NULL AND excluded.detail IS NOT NULL))",
            better("left_record"),
            better("right_record"),
            better("matcher"),
            better("score"),
        );
        let into = "match_candidate (tenant, id, left_customer, right_customer, left_record, right_record, score, \
                    matcher, state, detail, created_at, updated_at, version)";
        insert_rows(self.conn, into, rows?, &then).await.map(drop)
    }

    /// Writes what was decided of a pair.
    pub(in crate::store) async fn decided(&self, candidate: &Candidate) -> Result<(), Fault> {
        let detail = Detail { guards: candidate.proposal.guards.clone(), reason: candidate.reason.clone() };
        let mut params = self.params();
        let place = params.add(candidate.id.uuid());
        let before = params.add(candidate.version - 1);
        let state = params.add(candidate.state.as_str());
        let detail = params.add(detail.sealed(self.sealing, candidate.proposal.left)?);
        let by = params.add(candidate.decided_by.clone());
        let at = params.add(candidate.updated_at.micros());
        let sql = format!(
            "UPDATE match_candidate SET state = {state}, detail = {detail}, decided_by = {by}, updated_at = {at}, \
             version = version + 1 WHERE tenant = $1 AND id = {place} AND version = {before}"
        );
        match self.conn.run(&sql, params.values()).await? {
            1 => Ok(()),
            _ => Err(data::retry("the pair in review was found anew meanwhile")),
        }
    }

    /// Decisions that hold: records of one customer that were said to be one, of two that were said to be two.
    async fn labels(&self) -> Result<Vec<Label>, Fault> {
        let now = |home: &str| {
            format!("COALESCE((SELECT a.customer FROM alias a WHERE a.tenant = $1 AND a.id = {home}), {home})")
        };
        let sql = format!(
            "SELECT q.left_record, q.right_record, q.state, {}, {} \
             FROM match_candidate q CROSS JOIN record l CROSS JOIN record r \
             WHERE q.tenant = $1 AND q.state IN ('accepted', 'rejected') AND l.tenant = $1 AND l.id = q.left_record \
             AND r.tenant = $1 AND r.id = q.right_record ORDER BY q.left_record, q.right_record",
            now("l.home"),
            now("r.home"),
        );
        let mut labels = Vec::new();
        for row in self.conn.rows(&sql, self.params().values()).await? {
            let same = column::<String>(&row, 2)? == CandidateState::Accepted.as_str();
            let (one, other): (CustomerId, CustomerId) = (id(&row, 3)?, id(&row, 4)?);
            if (one == other) == same {
                labels.push(Label { left: id(&row, 0)?, right: id(&row, 1)?, same });
            }
        }
        Ok(labels)
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

    async fn decide(
        &self,
        caller: &Caller,
        once: Option<Once>,
        command: DecideMatchCandidate,
    ) -> Result<Written<Decided>, Fault> {
        let validate_only = command.validate_only;
        self.by_hand(caller, once, validate_only, Hand::decide(command)).await
    }

    async fn labels(&self, tenant: &Tenant) -> Result<Vec<Label>, Fault> {
        let (store, tenant) = (self.store.clone(), tenant.clone());
        let reading = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let queue = Queue { conn, sealing: Sealing { sealer: store.sealer(), tenant: &tenant } };
                queue.labels().await
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
                let blocks = &this.blocks;
                let mut files = SqlFiles { conn, sealing, lock: false, hints: &hints, blocks, policy: &policy };
                let known = files.filed(&records).await?;
                let mut pairs = files.pairs(&records).await?;
                pairs.retain(|(a, b)| a < b && records.contains(a) && records.contains(b));
                let claims = files.claims(&records).await?;
                Ok(Dossier { matcher, known, pairs, claims })
            })
        });
        reading.await
    }
}
