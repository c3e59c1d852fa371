//! What a decision asks of the files, in its transaction.

use std::collections::BTreeSet;

use async_trait::async_trait;
use data::{Dialect, Sql};
use identity_domain::{
    Claim, Kind, Policy, RecordId, View,
    matching::{Files, Known},
};
use identity_matching::block::{Key, LARGEST_BLOCK};
use sea_orm::{DatabaseTransaction, QueryResult};
use terms::{CustomerId, Fault};

use super::{
    Hints,
    blocks::{self, Blocks},
    index::Filed,
    packed::unpack,
};
use crate::store::{
    load::Loading,
    rows,
    sealed::Sealing,
    sql::{CHUNK, Params, column, id},
    whole::complete,
};

/// The files of one tenant.
pub(in crate::store) struct SqlFiles<'a> {
    pub(in crate::store) conn: &'a DatabaseTransaction,
    pub(in crate::store) sealing: Sealing<'a>,
    /// Whether what is read is going to be changed.
    pub(in crate::store) lock: bool,
    pub(in crate::store) hints: &'a Hints,
    pub(in crate::store) blocks: &'a Blocks,
    pub(in crate::store) policy: &'a Policy,
}

/// With so many candidates a search is content whatever its keys: blocks of a model that fits the data stay far below.
const LEAST: usize = 1_000;

const KNOWN: &str = "m.record, m.home, m.cluster, m.likeness";

impl SqlFiles<'_> {
    fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    fn known(&self, row: &QueryResult) -> Result<Known, Fault> {
        let home: CustomerId = id(row, 1)?;
        let plain = self.sealing.sealer.open(self.sealing.tenant, home, &column::<Vec<u8>>(row, 3)?)?;
        Ok(Known { record: id(row, 0)?, home, cluster: id(row, 2)?, likeness: unpack(&plain)? })
    }

    /// Those of `records` that are filed under one of these keys, which are in order.
    async fn filed_under(&self, records: BTreeSet<RecordId>, keys: &[Filed]) -> Result<Vec<Known>, Fault> {
        let records: Vec<RecordId> = records.into_iter().collect();
        let mut found = Vec::with_capacity(records.len());
        for records in records.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(records.iter().copied());
            let sql = format!("SELECT {KNOWN}, m.keys FROM match_record m WHERE m.tenant = $1 AND m.record {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                let filed =
                    self.sealing.sealer.open(self.sealing.tenant, id(&row, 1)?, &column::<Vec<u8>>(&row, 4)?)?;
                if blocks::from_bytes(&filed).iter().any(|key| keys.binary_search(key).is_ok()) {
                    found.push(self.known(&row)?);
                }
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl Files for SqlFiles<'_> {
    async fn claims(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, Claim)>, Fault> {
        let mut claims = Vec::new();
        for records in records.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(records.iter().copied());
            let sql = format!(
                "SELECT {} FROM evidence e CROSS JOIN record r \
                 WHERE e.tenant = $1 AND e.record {among} AND r.tenant = $1 AND r.id = e.record",
                rows::CLAIM,
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                claims.push((id(&row, 0)?, rows::claim(self.sealing, &row)?));
            }
        }
        Ok(claims)
    }

    async fn filed(&mut self, records: &[RecordId]) -> Result<Vec<Known>, Fault> {
        let mut known = Vec::with_capacity(records.len());
        for records in records.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(records.iter().copied());
            let sql = format!("SELECT {KNOWN} FROM match_record m WHERE m.tenant = $1 AND m.record {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                known.push(self.known(&row)?);
            }
        }
        Ok(known)
    }

    async fn sharing(&mut self, keys: &BTreeSet<(Kind, Key)>) -> Result<(Vec<Known>, usize), Fault> {
        let mut keys: Vec<Filed> = keys.iter().map(|(kind, key)| blocks::filed(*kind, *key)).collect();
        keys.sort_unstable();
        let most = (keys.len() * LARGEST_BLOCK).max(LEAST);
        let under = self.blocks.under(self.conn, self.sealing, &keys, most).await?;
        Ok((self.filed_under(under.records, &keys).await?, under.passed_over))
    }

    async fn pairs(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, RecordId)>, Fault> {
        let mut pairs = Vec::new();
        for records in records.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(records.iter().copied());
            let sql = format!("SELECT p.record, p.other FROM match_pair p WHERE p.tenant = $1 AND p.record {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                pairs.push((id(&row, 0)?, id(&row, 1)?));
            }
        }
        Ok(pairs)
    }

    async fn meanings(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        let meant = customers;
        let customers: Vec<CustomerId> =
            customers.iter().copied().filter(|customer| view.customer(view.resolve(*customer)).is_none()).collect();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!("SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                // What this transaction merged counts more than what is stored.
                let survivor = view.resolve(id(&row, 1)?);
                view.add_alias(id(&row, 0)?, survivor);
            }
        }
        let now: BTreeSet<CustomerId> = meant.iter().map(|customer| view.resolve(*customer)).collect();
        Loading { conn: self.conn, sealing: self.sealing, lock: false }.apart(&now, view).await
    }

    async fn customers(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        let lock = self.lock && self.conn.dialect() == Dialect::Postgres;
        let wanted: Vec<CustomerId> = customers.iter().copied().collect();
        let (mut found, mut bare) = (0, BTreeSet::new());
        for wanted in wanted.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(wanted.iter().copied());
            let sql = format!(
                "SELECT {} FROM customer c WHERE c.tenant = $1 AND c.id {among}{}",
                rows::CUSTOMER,
                // Other customers are locked already: to wait for one of these would be out of order.
                if lock { " ORDER BY c.id FOR UPDATE SKIP LOCKED" } else { "" },
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let customer = rows::customer(self.sealing, &row)?;
                if rows::is_bare(&row)? {
                    bare.insert(customer.id);
                }
                view.add_customer(customer);
                found += 1;
            }
        }
        if found == customers.len() {
            if bare.is_empty() {
                return Ok(());
            }
            let loading = Loading { conn: self.conn, sealing: self.sealing, lock: false };
            return loading.anchors(&bare, self.policy, view).await;
        }
        self.hints.customers.lock().extend(customers.iter().copied());
        Err(data::retry("another transaction changes a customer that a record resembles"))
    }

    async fn everything(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        let loading = Loading { conn: self.conn, sealing: self.sealing, lock: false };
        complete(&loading, customers, view).await
    }

    async fn whole(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        Loading { conn: self.conn, sealing: self.sealing, lock: false }.all_records(customers, view).await
    }
}
