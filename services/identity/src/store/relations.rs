//! Relations between customers.
//!
//! Whoever writes one holds the locks of both customers, taken by id as everywhere (see `load`): while it decides,
//! neither is merged away or split, and nobody else writes a relation of the pair.

use std::sync::Arc;

use async_trait::async_trait;
use data::{Dialect, Sql, Tx};
use identity_domain::{
    HistoryEntry, Moment, Relate, Relation, RelationType, Relations,
    list_relations::RelationQuery,
    lookup_customer::not_found,
    relate_customers::{Party, relate_customers},
};
use sea_orm::{ConnectionTrait, QueryResult};
use terms::{Caller, CustomerId, CustomerRef, Fault, Once, Revision, Tenant, Written};

use super::{
    SqlCustomers, history,
    load::{Lock, homes},
    read::Reading,
    rows,
    sealed::Sealing,
    sql::{Params, column, id, time},
};
use crate::feed;

fn code(kind: RelationType) -> i32 {
    match kind {
        RelationType::HouseholdMember => 1,
        RelationType::Employee => 2,
        RelationType::Owner => 3,
        RelationType::Subsidiary => 4,
        RelationType::Guardian => 5,
        RelationType::Other => 6,
    }
}

#[async_trait]
impl Relations for SqlCustomers {
    async fn relate(&self, caller: &Caller, once: Option<Once>, command: Relate) -> Result<Written<Relation>, Fault> {
        if command.validate_only {
            return self.try_relation(caller, command).await;
        }
        let (ids, who, command) = (self.ids.clone(), caller.clone(), Arc::new(command));
        self.store
            .write_once(once, move |tx| {
                let (ids, who, command) = (ids.clone(), who.clone(), command.clone());
                Box::pin(async move { relate(tx, &ids, &who, &command).await })
            })
            .await
    }

    async fn relations(&self, tenant: &Tenant, query: RelationQuery) -> Result<Vec<Relation>, Fault> {
        let relating = self.relating(tenant);
        let (mut found, mut before) = (Vec::new(), query.before);
        // Pages of what there is, until enough of it shows.
        loop {
            let rows = relating.page(&RelationQuery { before, ..query }).await?;
            let last = rows.len() < query.limit as usize;
            before = rows.last().map(|(relation, _)| relation.id).or(before);
            found.extend(rows.into_iter().filter(|(_, shows)| *shows).map(|(relation, _)| relation));
            if last || found.len() >= query.limit as usize {
                found.truncate(query.limit as usize);
                return Ok(found);
            }
        }
    }
}

impl SqlCustomers {
    fn relating<'a>(&'a self, tenant: &'a Tenant) -> Relating<'a, sea_orm::DatabaseConnection> {
        let sealing = Sealing { sealer: self.store.sealer(), tenant };
        Relating { conn: self.store.reader(), sealing, lock: Lock::No }
    }

    /// Decides without storing.
    async fn try_relation(&self, caller: &Caller, command: Relate) -> Result<Written<Relation>, Fault> {
        let (store, ids, caller) = (self.store.clone(), self.ids.clone(), caller.clone());
        let value = self.store.snapshot(move |conn| {
            Box::pin(async move {
                let sealing = Sealing { sealer: store.sealer(), tenant: &caller.tenant };
                let relating = Relating { conn, sealing, lock: Lock::No };
                let moment = Moment { now: store.clock().now(), ids: &ids, actor: &caller.subject };
                let (_, relation, _) = relating.decide(&command, moment).await?;
                Ok(relation)
            })
        });
        Ok(Written { value: value.await?, revision: Revision::new(), replayed: false })
    }
}

/// The whole of one transaction.
async fn relate(tx: &Tx, ids: &terms::Ids, caller: &Caller, command: &Relate) -> Result<Relation, Fault> {
    let sealing = Sealing { sealer: tx.sealer(), tenant: &caller.tenant };
    let relating = Relating { conn: tx.conn(), sealing, lock: Lock::Yes };
    let moment = Moment { now: tx.now(), ids, actor: &caller.subject };
    let (stored, relation, entry) = relating.decide(command, moment).await?;
    tx.act_as(&caller.subject);
    if let Some(entry) = entry {
        relating.save(&stored).await?;
        history::write(tx.conn(), sealing, &[entry]).await?;
        feed::related(tx, &caller.tenant, &relation);
    } else {
        tx.observe(&caller.tenant, relation.from);
        tx.observe(&caller.tenant, relation.to);
    }
    tx.concerns(relation.from);
    tx.concerns(relation.to);
    Ok(relation)
}

/// Reads and writes relations of one tenant.
struct Relating<'a, C> {
    conn: &'a C,
    sealing: Sealing<'a>,
    lock: Lock,
}

impl<C: ConnectionTrait + Sync> Relating<'_, C> {
    fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    /// The relation as it is to be stored, as it is told, and the entry of a change.
    async fn decide(
        &self,
        command: &Relate,
        moment: Moment<'_>,
    ) -> Result<(Relation, Relation, Option<HistoryEntry>), Fault> {
        let from = self.resolve(&command.from).await?;
        let to = self.resolve(&command.to).await?;
        let (from, to) = self.parties(from, to).await?;
        if self.lock == Lock::Yes
            && (self.resolve(&command.from).await? != from.id || self.resolve(&command.to).await? != to.id)
        {
            return Err(data::retry("an identifier went to another customer"));
        }
        let known = self.known(from.id, to.id, command.kind).await?;
        let told = known.as_ref().map(|known| Relation { from: from.id, to: to.id, ..known.clone() });
        let (relation, entry) = relate_customers(command, from, to, told.as_ref(), moment)?;
        // It keeps naming the customers of the time at which it was first recorded.
        let stored = match known {
            Some(known) => Relation { from: known.from, to: known.to, ..relation.clone() },
            None => relation.clone(),
        };
        Ok((stored, relation, entry))
    }

    /// Whom a reference means now.
    async fn resolve(&self, reference: &CustomerRef) -> Result<CustomerId, Fault> {
        let reading = Reading { conn: self.conn, sealing: self.sealing };
        let found = match reference {
            CustomerRef::Id(customer) => reading.resolve(&[*customer]).await?.pop().flatten(),
            CustomerRef::Identifier(identifier) => {
                let leads = reading.leads(std::slice::from_ref(identifier)).await?;
                leads.first().copied().flatten().map(|lead| lead.customer)
            }
        };
        found.ok_or_else(|| not_found(reference))
    }

    /// The two customers, locked where the command is carried out.
    async fn parties(&self, from: CustomerId, to: CustomerId) -> Result<(Party, Party), Fault> {
        let mut params = self.params();
        let among = params.ids([from, to]);
        let lock = self.lock == Lock::Yes && self.conn.dialect() == Dialect::Postgres;
        let sql = format!(
            "SELECT {} FROM customer c WHERE c.tenant = $1 AND c.id {among} ORDER BY c.id{}",
            rows::CUSTOMER,
            if lock { " FOR UPDATE" } else { "" },
        );
        let mut parties = Vec::with_capacity(2);
        for row in self.conn.rows(&sql, params.values()).await? {
            let customer = rows::customer(self.sealing, &row)?;
            parties.push(Party { id: customer.id, kind: customer.golden.kind() });
        }
        let party = |id| parties.iter().find(|party| party.id == id).copied();
        party(from).zip(party(to)).ok_or_else(|| data::retry("a customer was merged away by another transaction"))
    }

    /// The relation of the pair and type that holds the last word, as it is stored.
    async fn known(&self, from: CustomerId, to: CustomerId, kind: RelationType) -> Result<Option<Relation>, Fault> {
        let mut params = self.params();
        let (from, to) = (params.ids([from]), params.ids([to]));
        let kind = params.add(code(kind));
        let sql = format!(
            "SELECT {COLUMNS} FROM ({}) f CROSS JOIN ({}) t CROSS JOIN relation r \
             WHERE r.tenant = $1 AND r.from_customer = f.home AND r.to_customer = t.home AND r.kind = {kind} \
             ORDER BY r.updated_at DESC, r.id DESC LIMIT 1",
            homes(&from),
            homes(&to),
        );
        let row = self.conn.row(&sql, params.values()).await?;
        row.map(|row| self.relation(&row)).transpose()
    }

    fn relation(&self, row: &QueryResult) -> Result<Relation, Fault> {
        let from = id(row, 1)?;
        let kind: i32 = column(row, 3)?;
        let known = RelationType::ALL.into_iter().find(|known| code(*known) == kind);
        Ok(Relation {
            id: id(row, 0)?,
            from,
            to: id(row, 2)?,
            kind: known.ok_or_else(|| Fault::internal(format!("a relation of the unknown type {kind}")))?,
            role: self.sealing.open_text(from, &column::<Vec<u8>>(row, 4)?)?,
            valid_from: column::<Option<i64>>(row, 5)?.map(terms::Timestamp),
            valid_until: column::<Option<i64>>(row, 6)?.map(terms::Timestamp),
            created_at: time(row, 7)?,
            updated_at: time(row, 8)?,
            version: column(row, 9)?,
        })
    }

    async fn save(&self, relation: &Relation) -> Result<(), Fault> {
        let mut params = self.params();
        let places = [
            params.add(relation.id.uuid()),
            params.add(relation.from.uuid()),
            params.add(relation.to.uuid()),
            params.add(code(relation.kind)),
            params.add(self.sealing.text(relation.from, &relation.role)),
            params.add(relation.valid_from.map(terms::Timestamp::micros)),
            params.add(relation.valid_until.map(terms::Timestamp::micros)),
            params.add(relation.created_at.micros()),
            params.add(relation.updated_at.micros()),
            params.add(relation.version),
        ];
        let sql = format!(
            "INSERT INTO relation (tenant, id, from_customer, to_customer, kind, role, valid_from, valid_until, \
             created_at, updated_at, version) VALUES ($1, {}) ON CONFLICT (tenant, id) DO UPDATE SET \
             role = excluded.role, valid_from = excluded.valid_from, valid_until = excluded.valid_until, \
             updated_at = excluded.updated_at, version = excluded.version",
            places.join(", ")
        );
        self.conn.run(&sql, params.values()).await.map(drop)
    }

    /// The next relations of a customer, newest first, with its customers as they are now, and whether each shows.
    async fn page(&self, query: &RelationQuery) -> Result<Vec<(Relation, bool)>, Fault> {
        let mut params = self.params();
        let among = params.ids([query.customer]);
        let mut only = String::new();
        if let Some(kind) = query.kind {
            only.push_str(&format!(" AND r.kind = {}", params.add(code(kind))));
        }
        if let Some(at) = query.valid_at {
            let at = params.add(at.micros());
            only.push_str(&format!(" AND (r.valid_from IS NULL OR r.valid_from <= {at})"));
            only.push_str(&format!(" AND (r.valid_until IS NULL OR r.valid_until > {at})"));
        }
        if let Some(before) = query.before {
            only.push_str(&format!(" AND r.id < {}", params.add(before.uuid())));
        }
        let limit = query.limit;
        let side = |side: &str| {
            format!(
                "SELECT * FROM (SELECT {COLUMNS} FROM home h CROSS JOIN relation r \
                 WHERE r.tenant = $1 AND r.{side} = h.home{only} ORDER BY r.id DESC LIMIT {limit}) AS {side}"
            )
        };
        // A relation is hidden by a later one of the same pair and type, and when its two sides are one.
        let sql = format!(
            "WITH home AS ({}), found AS ({} UNION {}), \
             now AS (SELECT r.*, COALESCE(f.customer, r.from_customer) AS from_now, \
               COALESCE(t.customer, r.to_customer) AS to_now \
               FROM (SELECT * FROM found ORDER BY id DESC LIMIT {limit}) r \
               LEFT JOIN alias f ON f.tenant = $1 AND f.id = r.from_customer \
               LEFT JOIN alias t ON t.tenant = $1 AND t.id = r.to_customer) \
             SELECT {COLUMNS}, r.from_now, r.to_now, \
               CASE WHEN r.from_now = r.to_now OR EXISTS (SELECT 1 FROM relation d WHERE d.tenant = $1 \
                 AND d.from_customer IN (SELECT r.from_now UNION ALL \
                   SELECT a.id FROM alias a WHERE a.tenant = $1 AND a.customer = r.from_now) \
                 AND d.to_customer IN (SELECT r.to_now UNION ALL \
                   SELECT a.id FROM alias a WHERE a.tenant = $1 AND a.customer = r.to_now) \
                 AND d.kind = r.kind AND (d.updated_at, d.id) > (r.updated_at, r.id)) THEN 0 ELSE 1 END \
             FROM now r ORDER BY r.id DESC",
            homes(&among),
            side("from_customer"),
            side("to_customer"),
        );
        let rows = self.conn.rows(&sql, params.values()).await?;
        rows.iter()
            .map(|row| {
                let relation = self.relation(row)?;
                let shows: i32 = column(row, 12)?;
                Ok((Relation { from: id(row, 10)?, to: id(row, 11)?, ..relation }, shows != 0))
            })
            .collect()
    }
}

/// The columns that [`Relating::relation`] reads.
const COLUMNS: &str = "r.id, r.from_customer, r.to_customer, r.kind, r.role, r.valid_from, r.valid_until, \
     r.created_at, r.updated_at, r.version";
