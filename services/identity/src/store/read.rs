//! Reading outside of a transaction: each read is one statement, so it sees one state.
//!
//! Joins are written `CROSS JOIN … WHERE`: to SQLite that says in which order to join, which it cannot know without
//! statistics; to PostgreSQL it is a join like any other.

use std::collections::{BTreeMap, HashMap};

use data::{Dialect, Sql};
use identity_domain::{
    Anchors, CannotLink, Claim, Customer, CustomerState, Detail, HistoryEntry, HistoryQuery, Lead, Merge, Node,
    Observed, Record, RecordId, Sourced,
    explain_identity::Word,
    list_customers::{ListQuery, SortField},
};
use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult};
use terms::{CustomerId, Fault, Identifier, Timestamp};

use super::{
    load::{SURVIVOR, homes},
    rows,
    sealed::{Key, Sealing, identifier_key},
    search,
    sql::{CHUNK, Params, column, id, optional_id, resolved, time},
};

/// Reads for one tenant.
pub(super) struct Reading<'a, C = DatabaseConnection> {
    pub(super) conn: &'a C,
    pub(super) sealing: Sealing<'a>,
}

impl<C: ConnectionTrait + Sync> Reading<'_, C> {
    fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    /// Where identifiers lead. One that is shared leads to whoever stands for it, if there is anybody.
    pub(super) async fn leads(&self, identifiers: &[Identifier]) -> Result<Vec<Option<Lead>>, Fault> {
        let Sealing { sealer, tenant } = self.sealing;
        let keys: Vec<Key> = identifiers.iter().map(|i| identifier_key(sealer, tenant, i)).collect();
        let found = self.leads_of(&keys).await?;
        let mut leads: Vec<Option<(Lead, bool)>> = keys.iter().map(|key| found.get(key.as_slice()).copied()).collect();
        let shared: Vec<usize> = leads
            .iter()
            .enumerate()
            .filter(|(_, lead)| lead.is_some_and(|(_, shared)| shared))
            .map(|(i, _)| i)
            .collect();
        if !shared.is_empty() {
            let node = |place: &usize| identifiers.get(*place).map(|i| self.sealing.key(&Node::Shared(i.clone())));
            let keys: Vec<Key> = shared.iter().filter_map(node).collect();
            let found = self.leads_of(&keys).await?;
            for (place, key) in shared.iter().zip(&keys) {
                if let Some(lead) = leads.get_mut(*place) {
                    *lead = found.get(key.as_slice()).copied();
                }
            }
        }
        Ok(leads.into_iter().map(|lead| lead.map(|(lead, _)| lead)).collect())
    }

    /// Where keys lead, and whether what is behind them is shared.
    async fn leads_of(&self, keys: &[Key]) -> Result<HashMap<Vec<u8>, (Lead, bool)>, Fault> {
        let mut found = HashMap::with_capacity(keys.len());
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let sql = format!(
                "SELECT l.key, l.customer, l.record, {SURVIVOR}, l.sharing FROM lookup l \
                 WHERE l.tenant = $1 AND l.key {among} AND l.customer IS NOT NULL"
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let lead = Lead { customer: resolved(&row, 1, 3)?, record: id(&row, 2)? };
                let shared = rows::sharing(&row, 4)?.is_some_and(|sharing| sharing.shared);
                found.insert(column(&row, 0)?, (lead, shared));
            }
        }
        Ok(found)
    }

    pub(super) async fn resolve(&self, ids: &[CustomerId]) -> Result<Vec<Option<CustomerId>>, Fault> {
        let mut found: HashMap<CustomerId, CustomerId> = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(ids.iter().copied());
            let sql = format!(
                "SELECT c.id, c.id FROM customer c WHERE c.tenant = $1 AND c.id {among} \
                 UNION ALL SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}"
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                found.insert(id(&row, 0)?, id(&row, 1)?);
            }
        }
        Ok(ids.iter().map(|id| found.get(id).copied()).collect())
    }

    pub(super) async fn get(&self, ids: &[CustomerId]) -> Result<Vec<Option<Customer>>, Fault> {
        let mut customers = HashMap::with_capacity(ids.len());
        let mut means = HashMap::new();
        for ids in ids.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(ids.iter().copied());
            let root = format!(
                "SELECT c.id FROM customer c WHERE c.tenant = $1 AND c.id {among} \
                 UNION SELECT a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}"
            );
            for customer in self.gather(&root, params).await? {
                means.extend(customer.aliases.iter().map(|alias| (*alias, customer.id)));
                customers.insert(customer.id, customer);
            }
        }
        Ok(ids.iter().map(|id| customers.get(means.get(id).unwrap_or(id)).cloned()).collect())
    }

    /// The customers that the query `root` selects, in no order.
    async fn gather(&self, root: &str, params: Params) -> Result<Vec<Customer>, Fault> {
        let mut parts: HashMap<CustomerId, Parts> = HashMap::new();
        for row in self.conn.rows(&whole(self.conn.dialect(), root), params.values()).await? {
            let parts = parts.entry(id(&row, 1)?).or_default();
            match column::<i32>(&row, 0)? {
                0 => parts.state = Some(self.state(&row)?),
                1 => parts.aliases.push(id(&row, 2)?),
                _ => {
                    let claim = Sourced {
                        source: column(&row, 3)?,
                        claim: self.claim(&row)?,
                        leads: false,
                        shared: rows::sharing(&row, 12)?.is_some_and(|sharing| sharing.shared),
                    };
                    parts.claims.push((claim, optional_id(&row, 11)?));
                }
            }
        }
        let customers = parts.into_values().filter_map(Parts::assemble);
        Ok(customers.collect())
    }

    /// Of part 0 of [`whole`].
    fn state(&self, row: &QueryResult) -> Result<CustomerState, Fault> {
        let id = id(row, 1)?;
        Ok(CustomerState {
            id,
            golden: self.sealing.open_golden(id, &column::<Vec<u8>>(row, 5)?)?,
            record_count: rows::count(column(row, 6)?),
            created_at: time(row, 7)?,
            updated_at: time(row, 8)?,
            version: column(row, 9)?,
            confidence: column(row, 10)?,
            // For decisions alone, which load it themselves.
            anchors: Anchors::default(),
        })
    }

    /// Of part 2 of [`whole`].
    fn claim(&self, row: &QueryResult) -> Result<Claim, Fault> {
        let (value, raw_value) = self.sealing.open_claim_value(id(row, 2)?, &column::<Vec<u8>>(row, 5)?)?;
        let verified: Option<i64> = column(row, 9)?;
        Ok(Claim {
            identifier: Identifier { namespace: column(row, 4)?, value },
            raw_value,
            verified: verified.map(|verified| Observed {
                value: verified != 0,
                observed_at: Timestamp::EPOCH,
                record_time: Timestamp::EPOCH,
            }),
            first_seen: time(row, 6)?,
            last_seen: time(row, 7)?,
            created_at: time(row, 8)?,
            certainty: column(row, 10)?,
            actor: String::new(),
        })
    }

    pub(super) async fn list(&self, query: ListQuery) -> Result<Vec<Customer>, Fault> {
        let time = match query.order.field {
            SortField::Id => None,
            SortField::CreateTime => Some("c.created_at"),
            SortField::UpdateTime => Some("c.updated_at"),
        };
        let (than, direction) = if query.order.descending { ("<", "DESC") } else { (">", "ASC") };
        let mut params = self.params();
        let behind = match (query.after, time) {
            (None, _) => String::new(),
            (Some(after), None) => format!(" AND c.id {than} {}", params.add(after.id.uuid())),
            (Some(after), Some(time)) => {
                let (at, id) = (params.add(after.at.micros()), params.add(after.id.uuid()));
                format!(" AND ({time}, c.id) {than} ({at}, {id})")
            }
        };
        let (from, found) = match &query.search {
            None => ("customer c".to_owned(), ""),
            Some(search) => {
                let found = search::found(self.sealing, search, &mut params);
                (
                    format!("(SELECT DISTINCT c FROM ({found}) AS one) AS found CROSS JOIN customer c"),
                    " AND c.id = found.c",
                )
            }
        };
        let order = time.map_or_else(String::new, |time| format!("{time} {direction}, "));
        let limit = params.add(i64::from(query.limit));
        let root = format!(
            "SELECT c.id FROM {from} WHERE c.tenant = $1{found}{behind} ORDER BY {order}c.id {direction} LIMIT {limit}"
        );
        let mut customers = self.gather(&root, params).await?;
        customers.sort_by_key(|customer| query.order.place(customer));
        if query.order.descending {
            customers.reverse();
        }
        Ok(customers)
    }

    pub(super) async fn records(&self, customer: CustomerId) -> Result<Vec<(Record, Vec<Claim>)>, Fault> {
        let Some(customer) = self.resolve(&[customer]).await?.pop().flatten() else { return Ok(Vec::new()) };
        let mut params = self.params();
        let among = params.ids([customer]);
        let from = format!("FROM ({}) h CROSS JOIN record r", homes(&among));
        let of = "WHERE r.tenant = $1 AND r.home = h.home";
        let values = params.values();
        let sql = format!("SELECT {} {from} {of} ORDER BY r.id", rows::RECORD);
        let records = self.conn.rows(&sql, values.clone()).await?;
        let sql =
            format!("SELECT {} {from} CROSS JOIN evidence e {of} AND e.tenant = $1 AND e.record = r.id", rows::CLAIM);
        let mut claims: HashMap<RecordId, Vec<Claim>> = HashMap::new();
        for row in self.conn.rows(&sql, values).await? {
            claims.entry(id(&row, 0)?).or_default().push(rows::claim(self.sealing, &row)?);
        }
        records
            .iter()
            .map(|row| {
                let record = rows::record(self.sealing, row)?;
                let mut claims = claims.remove(&record.id).unwrap_or_default();
                claims.sort_by(|a, b| a.identifier.cmp(&b.identifier));
                Ok((record, claims))
            })
            .collect()
    }

    pub(super) async fn merges(&self, customer: CustomerId) -> Result<Vec<Merge>, Fault> {
        let Some(customer) = self.resolve(&[customer]).await?.pop().flatten() else { return Ok(Vec::new()) };
        let mut params = self.params();
        let among = params.ids([customer]);
        let sql = format!("SELECT {} FROM alias a WHERE a.tenant = $1 AND a.customer {among}", rows::MERGE);
        self.conn.rows(&sql, params.values()).await?.iter().map(rows::merge).collect()
    }

    /// What was said by hand of these customers.
    pub(super) async fn words(&self, customers: &[CustomerId]) -> Result<Vec<Word>, Fault> {
        let mut params = self.params();
        let among = params.ids(customers.iter().copied());
        // The entry of a merge stands with both customers, by whatever names they had then.
        let sql = format!(
            "SELECT {}, h.actor, h.customer, h.detail FROM alias a LEFT JOIN history h ON h.tenant = $1 \
             AND h.id = a.merge_id AND h.customer IN (a.id, a.here, a.there, a.customer) \
             WHERE a.tenant = $1 AND a.customer {among} AND a.bond = 'manual'",
            rows::MERGE
        );
        let mut words: BTreeMap<String, Word> = BTreeMap::new();
        for row in self.conn.rows(&sql, params.values()).await? {
            let merge = rows::merge(&row)?;
            let (actor, whose): (Option<String>, Option<CustomerId>) = (column(&row, 9)?, optional_id(&row, 10)?);
            let detail: Option<Vec<u8>> = column(&row, 11)?;
            let detail = match (whose, detail) {
                (Some(whose), Some(sealed)) => self.sealing.open_detail(whose, &sealed)?,
                _ => Detail::default(),
            };
            let id = merge.id.to_string();
            let word = Word {
                id: id.clone(),
                same: true,
                here: merge.here,
                there: merge.there,
                actor: actor.unwrap_or_default(),
                reason: detail.words,
                at: merge.at,
            };
            words.insert(id, word);
        }
        let mut params = self.params();
        let among = params.ids(customers.iter().copied());
        let sql = format!(
            "WITH own (home, customer) AS ({}) SELECT l.id, l.a, l.b, l.actor, l.created_at \
             FROM own x CROSS JOIN cannot_link l CROSS JOIN own y \
             WHERE l.tenant = $1 AND l.a = x.home AND l.b = y.home",
            homes(&among)
        );
        let mut links = Vec::new();
        for row in self.conn.rows(&sql, params.values()).await? {
            let actor: String = column(&row, 3)?;
            let link = CannotLink::between(id(&row, 0)?, id(&row, 1)?, id(&row, 2)?, &actor, time(&row, 4)?);
            links.push(Word::of(&link));
        }
        Ok(words.into_values().chain(links).collect())
    }

    pub(super) async fn history(&self, customer: CustomerId, query: HistoryQuery) -> Result<Vec<HistoryEntry>, Fault> {
        let Some(customer) = self.resolve(&[customer]).await?.pop().flatten() else { return Ok(Vec::new()) };
        let mut params = self.params();
        let among = params.ids([customer]);
        let (than, direction) = if query.descending { ("<", "DESC") } else { (">", "ASC") };
        let behind = match query.after {
            None => String::new(),
            Some(after) => format!(" AND h.id {than} {}", params.add(after.uuid())),
        };
        let limit = params.add(i64::from(query.limit));
        // What concerns two ids of one customer is told once.
        let sql = format!(
            "WITH own (home, customer) AS ({}) \
             SELECT {} FROM own o CROSS JOIN history h WHERE h.tenant = $1 AND h.customer = o.home{behind} \
             AND (NOT h.mirror OR NOT EXISTS (SELECT 1 FROM own x WHERE x.home = h.loser)) \
             ORDER BY h.id {direction} LIMIT {limit}",
            homes(&among),
            rows::HISTORY,
        );
        self.conn.rows(&sql, params.values()).await?.iter().map(|row| rows::history(self.sealing, row)).collect()
    }
}

/// What a customer is put together from.
#[derive(Default)]
struct Parts {
    state: Option<CustomerState>,
    aliases: Vec<CustomerId>,
    /// With the customer to whom the identifier led when that was written.
    claims: Vec<(Sourced, Option<CustomerId>)>,
}

impl Parts {
    fn assemble(self) -> Option<Customer> {
        let Self { state, aliases, claims } = self;
        let state = state?;
        let here = |lead: CustomerId| lead == state.id || aliases.contains(&lead);
        let claims = claims.into_iter().map(|(claim, lead)| Sourced { leads: lead.is_some_and(here), ..claim });
        let claims = claims.collect();
        Some(Customer::assemble(state, claims, aliases))
    }
}

/// Everything of the customers that the query `root` selects, in one statement, so that all of it is of one moment.
/// The first column says what a row is: 0 a customer, 1 an alias, 2 an edge.
///
/// | | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 |
/// |---|---|---|---|---|---|---|---|---|---|---|---|---|
/// | 0 | customer | | | | golden | record_count | created_at | updated_at | version | confidence | | |
/// | 1 | customer | alias | | | | | | | | | | |
/// | 2 | customer | home | source | namespace | value | first_seen | last_seen | created_at | verified | certainty | leads to | sharing |
fn whole(dialect: Dialect, root: &str) -> String {
    let (bytes, uuid, double) = match dialect {
        Dialect::Postgres => ("BYTEA", "UUID", "DOUBLE PRECISION"),
        Dialect::Sqlite => ("BLOB", "BLOB", "DOUBLE"),
    };
    format!(
        "WITH root (id) AS ({root}), \
         home (id, customer) AS (\
           SELECT root.id, root.id FROM root \
           UNION ALL SELECT a.id, a.customer FROM root CROSS JOIN alias a \
           WHERE a.tenant = $1 AND a.customer = root.id) \
         SELECT 0, c.id, CAST(NULL AS {uuid}), CAST(NULL AS TEXT), CAST(NULL AS TEXT), c.golden, c.record_count, \
           c.created_at, c.updated_at, c.version, c.confidence, CAST(NULL AS {uuid}), CAST(NULL AS {bytes}) \
         FROM root CROSS JOIN customer c WHERE c.tenant = $1 AND c.id = root.id \
         UNION ALL \
         SELECT 1, h.customer, h.id, CAST(NULL AS TEXT), CAST(NULL AS TEXT), CAST(NULL AS {bytes}), \
           CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT), \
           CAST(NULL AS {double}), CAST(NULL AS {uuid}), CAST(NULL AS {bytes}) \
         FROM home h WHERE h.id <> h.customer \
         UNION ALL \
         SELECT 2, h.customer, r.home, r.source, e.namespace, e.value, e.first_seen, e.last_seen, e.created_at, \
           CASE WHEN e.verified IS NULL THEN CAST(NULL AS BIGINT) WHEN e.verified THEN CAST(1 AS BIGINT) \
           ELSE CAST(0 AS BIGINT) END, e.certainty, \
           l.customer, l.sharing \
         FROM home h CROSS JOIN record r CROSS JOIN evidence e LEFT JOIN lookup l ON l.tenant = e.tenant AND l.key = e.key \
         WHERE r.tenant = $1 AND r.home = h.id AND e.tenant = $1 AND e.record = r.id"
    )
}
