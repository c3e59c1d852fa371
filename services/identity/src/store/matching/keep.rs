//! What a decision filed: each table once, however many records there were.

use std::collections::{BTreeMap, BTreeSet};

use data::{Sql, sql::insert_rows};
use identity_domain::{
    RecordId, View,
    matching::{Filing, Likeness, Matcher},
};
use sea_orm::{DatabaseTransaction, Value};
use terms::{CustomerId, Fault, Timestamp};

use super::{blocks, index::Filed, packed::pack};
use crate::store::{
    sealed::Sealing,
    sql::{CHUNK, Params, column, id},
};

/// Keeps what was filed.
pub(in crate::store) async fn keep(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    (view, matcher): (&View, &Matcher),
    filing: &Filing,
    now: Timestamp,
) -> Result<(), Fault> {
    let keeping = Keeping { conn, sealing, view, matcher, filing, now };
    if !filing.former.is_empty() {
        keeping.forget().await?;
    }
    keeping.records().await?;
    keeping.pairs().await?;
    keeping.clusters().await
}

struct Keeping<'a> {
    conn: &'a DatabaseTransaction,
    sealing: Sealing<'a>,
    view: &'a View,
    matcher: &'a Matcher,
    filing: &'a Filing,
    now: Timestamp,
}

impl Keeping<'_> {
    fn tenant(&self) -> Value {
        self.sealing.tenant.as_str().into()
    }

    fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    /// Takes away how records were filed that are filed anew.
    async fn forget(&self) -> Result<(), Fault> {
        let former = || self.filing.former.iter().map(|known| known.record);
        let mut params = self.params();
        let of = params.ids(former());
        // Every pair is there from either side.
        let sql = format!(
            "DELETE FROM match_pair WHERE tenant = $1 AND other {of} AND record IN \
             (SELECT p.other FROM match_pair p WHERE p.tenant = $1 AND p.record {of})"
        );
        self.conn.run(&sql, params.values()).await?;
        let mut params = self.params();
        let of = params.ids(former());
        let sql = format!("DELETE FROM match_pair WHERE tenant = $1 AND record {of}");
        self.conn.run(&sql, params.values()).await?;
        let gone: Vec<RecordId> = former().filter(|r| self.filing.likenesses.get(r) == Some(&None)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let mut params = self.params();
        let of = params.ids(gone);
        self.conn.run(&format!("DELETE FROM match_record WHERE tenant = $1 AND record {of}"), params.values()).await?;
        Ok(())
    }

    fn likenesses(&self) -> impl Iterator<Item = (RecordId, &Likeness)> {
        self.filing.likenesses.iter().filter_map(|(record, likeness)| Some((*record, likeness.as_ref()?)))
    }

    async fn records(&self) -> Result<(), Fault> {
        let filed = !self.filing.deferred;
        let mut number = if filed { self.number().await? } else { 0 };
        let mut rows = Vec::new();
        for (record, likeness) in self.likenesses() {
            let home = self.view.record(record).ok_or_else(|| Fault::internal("a filed record is gone"))?.home;
            let cluster = self.filing.clusters.get(&record).copied();
            let before = || self.filing.former.iter().find(|known| known.record == record).map(|known| known.cluster);
            number += 1;
            rows.push(vec![
                self.tenant(),
                record.uuid().into(),
                home.uuid().into(),
                cluster.or_else(before).unwrap_or(record).uuid().into(),
                self.seal(home, &pack(likeness)).into(),
                filed.then(|| self.seal(home, &self.keys(likeness))).into(),
                filed.then_some(number).into(),
            ]);
        }
        let into = "match_record (tenant, record, home, cluster, likeness, keys, number)";
        let then = "ON CONFLICT (tenant, record) DO UPDATE SET home = excluded.home, cluster = excluded.cluster, \
                    likeness = excluded.likeness, keys = excluded.keys, number = excluded.number";
        insert_rows(self.conn, into, rows, then).await.map(drop)
    }

    /// The keys under which a record is filed, in order.
    fn keys(&self, likeness: &Likeness) -> Vec<u8> {
        let keys = self.matcher.keys(likeness).into_iter();
        let mut keys: Vec<Filed> = keys.map(|key| blocks::filed(likeness.kind, key)).collect();
        keys.sort_unstable();
        blocks::to_bytes(&keys)
    }

    fn seal(&self, home: CustomerId, plain: &[u8]) -> Vec<u8> {
        self.sealing.sealer.seal(self.sealing.tenant, home, plain)
    }

    /// Takes a number for each filing; gives the one before the first.
    async fn number(&self) -> Result<i64, Fault> {
        let filings = i64::try_from(self.likenesses().count()).map_err(Fault::internal)?;
        if filings == 0 {
            return Ok(0);
        }
        let mut params = self.params();
        let more = params.add(filings);
        let sql = format!(
            "INSERT INTO match_filing (tenant, number) VALUES ($1, {more}) \
             ON CONFLICT (tenant) DO UPDATE SET number = match_filing.number + excluded.number RETURNING number"
        );
        let row = self.conn.row(&sql, params.values()).await?.ok_or_else(|| Fault::internal("a number has no row"))?;
        Ok(column::<i64>(&row, 0)? - filings)
    }

    async fn pairs(&self) -> Result<(), Fault> {
        let ways =
            self.filing.pairs.iter().flat_map(|pair| [(pair.a, pair.b, pair.score), (pair.b, pair.a, pair.score)]);
        let rows = ways.map(|(record, other, score)| {
            vec![
                self.tenant(),
                record.uuid().into(),
                other.uuid().into(),
                score.0.into(),
                self.matcher.version().into(),
                self.now.micros().into(),
            ]
        });
        let into = "match_pair (tenant, record, other, score, matcher, created_at)";
        insert_rows(self.conn, into, rows.collect(), "").await.map(drop)
    }

    /// Clusters of records that did not change themselves.
    async fn clusters(&self) -> Result<(), Fault> {
        let mut renamed: BTreeMap<RecordId, Vec<RecordId>> = BTreeMap::new();
        for (record, cluster) in &self.filing.clusters {
            if !self.filing.likenesses.contains_key(record) {
                renamed.entry(*cluster).or_default().push(*record);
            }
        }
        for (cluster, records) in renamed {
            let mut params = self.params();
            let name = params.add(cluster.uuid());
            let of = params.ids(records);
            let sql = format!("UPDATE match_record SET cluster = {name} WHERE tenant = $1 AND record {of}");
            self.conn.run(&sql, params.values()).await?;
        }
        Ok(())
    }
}

/// Records belong to other ids now: what is filed of them is sealed anew.
pub(in crate::store) async fn rehome(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    view: &View,
    records: &BTreeSet<RecordId>,
) -> Result<(), Fault> {
    let mut rows = Vec::new();
    let records: Vec<RecordId> = records.iter().copied().collect();
    for records in records.chunks(CHUNK) {
        let mut params = Params::of(conn.dialect(), sealing.tenant);
        let among = params.ids(records.iter().copied());
        let sql = format!(
            "SELECT m.record, m.home, m.cluster, m.likeness, m.keys FROM match_record m \
             WHERE m.tenant = $1 AND m.record {among}"
        );
        for row in conn.rows(&sql, params.values()).await? {
            let (record, home): (RecordId, CustomerId) = (id(&row, 0)?, id(&row, 1)?);
            let moved = view.record(record).ok_or_else(|| Fault::internal("a moved record is gone"))?.home;
            let sealed_anew = |sealed: Vec<u8>| {
                let plain = sealing.sealer.open(sealing.tenant, home, &sealed)?;
                Ok::<_, Fault>(sealing.sealer.seal(sealing.tenant, moved, &plain))
            };
            let cluster: RecordId = id(&row, 2)?;
            let keys = column::<Option<Vec<u8>>>(&row, 4)?.map(sealed_anew).transpose()?;
            rows.push(vec![
                sealing.tenant.as_str().into(),
                record.uuid().into(),
                moved.uuid().into(),
                cluster.uuid().into(),
                sealed_anew(column(&row, 3)?)?.into(),
                keys.into(),
            ]);
        }
    }
    let into = "match_record (tenant, record, home, cluster, likeness, keys)";
    let then = "ON CONFLICT (tenant, record) DO UPDATE SET home = excluded.home, likeness = excluded.likeness, \
                keys = excluded.keys";
    insert_rows(conn, into, rows, then).await.map(drop)
}
