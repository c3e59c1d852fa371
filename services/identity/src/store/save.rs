//! Writes what a group of commands changed: each table once, however many commands there were.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data::{Sql, sql::insert_rows};
use identity_domain::{Batch, Merge, Node, RecordId, View};
use sea_orm::{DatabaseTransaction, Value};
use terms::{CustomerId, Fault};

use super::{
    history,
    load::Loaded,
    sealed::{Key, Sealing},
    search,
    sql::{CHUNK, Params},
};
use crate::store::kind_code;

pub(super) async fn save(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    loaded: &Loaded,
    batch: &Batch,
) -> Result<(), Fault> {
    let saving = Saving { conn, sealing, loaded, batch };
    saving.merges().await?;
    saving.realigned().await?;
    saving.customers().await?;
    saving.records().await?;
    saving.claims().await?;
    saving.rehomed().await?;
    saving.leads().await?;
    saving.cannot_links().await?;
    search::save(conn, sealing, &loaded.view, batch).await?;
    history::write(conn, sealing, &batch.history).await
}

struct Saving<'a> {
    conn: &'a DatabaseTransaction,
    sealing: Sealing<'a>,
    loaded: &'a Loaded,
    batch: &'a Batch,
}

impl Saving<'_> {
    fn tenant(&self) -> Value {
        self.sealing.tenant.as_str().into()
    }

    fn view(&self) -> &View {
        &self.loaded.view
    }

    /// Losers become aliases; what led to them leads to the survivor in one hop.
    async fn merges(&self) -> Result<(), Fault> {
        if self.batch.merged.is_empty() {
            return Ok(());
        }
        let mut by_survivor: BTreeMap<CustomerId, Vec<CustomerId>> = BTreeMap::new();
        for merge in &self.batch.merged {
            by_survivor.entry(self.view().resolve(merge.loser)).or_default().push(merge.loser);
        }
        for (survivor, losers) in &by_survivor {
            let mut params = Params::of(self.conn.dialect(), self.sealing.tenant);
            let survivor = params.add(survivor.uuid());
            let among = params.ids(losers.iter().copied());
            let sql = format!("UPDATE alias SET customer = {survivor} WHERE tenant = $1 AND customer {among}");
            self.conn.run(&sql, params.values()).await?;
        }
        let mut params = Params::of(self.conn.dialect(), self.sealing.tenant);
        let among = params.ids(self.batch.merged.iter().map(|merge| merge.loser));
        let sql = format!("DELETE FROM customer WHERE tenant = $1 AND id {among}");
        self.conn.run(&sql, params.values()).await.map(drop)
    }

    async fn aliases(&self, merges: impl Iterator<Item = &Merge> + Send) -> Result<(), Fault> {
        let rows = merges.map(|merge| {
            vec![
                self.tenant(),
                merge.loser.uuid().into(),
                self.view().resolve(merge.loser).uuid().into(),
                merge.id.uuid().into(),
                merge.loser_created_at.micros().into(),
                merge.at.micros().into(),
                merge.here.uuid().into(),
                merge.there.uuid().into(),
                merge.bond.as_str().into(),
                merge.certainty.into(),
            ]
        });
        let into = "alias (tenant, id, customer, merge_id, created_at, merged_at, here, there, bond, certainty)";
        insert_rows(self.conn, into, rows.collect(), "").await.map(drop)
    }

    /// Ids that were merged, and those that a split gave back or gave to another: what they lead to in the end.
    async fn realigned(&self) -> Result<(), Fault> {
        let ids: Vec<CustomerId> = self.batch.realigned.iter().copied().collect();
        for ids in ids.chunks(CHUNK) {
            let mut params = Params::of(self.conn.dialect(), self.sealing.tenant);
            let among = params.ids(ids.iter().copied());
            self.conn.run(&format!("DELETE FROM alias WHERE tenant = $1 AND id {among}"), params.values()).await?;
        }
        let merged = self.batch.merged.iter().map(|merge| merge.loser);
        let concerned: BTreeSet<CustomerId> = merged.chain(ids).collect();
        self.aliases(concerned.iter().filter_map(|id| self.view().merge(*id))).await
    }

    async fn customers(&self) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(self.batch.created.len() + self.batch.updated.len());
        for id in self.batch.created.union(&self.batch.updated) {
            let state = self.view().customer(*id).ok_or_else(|| Fault::internal("a changed customer is gone"))?;
            rows.push(vec![
                self.tenant(),
                id.uuid().into(),
                kind_code(state.golden.kind()).into(),
                self.sealing.golden(*id, &state.golden)?.into(),
                self.sealing.anchors(*id, &state.anchors)?.into(),
                i64::from(state.record_count).into(),
                state.confidence.into(),
                state.created_at.micros().into(),
                state.updated_at.micros().into(),
                state.version.into(),
            ]);
        }
        let into = "customer (tenant, id, kind, golden, anchors, record_count, confidence, created_at, updated_at, \
                    version)";
        let then = "ON CONFLICT (tenant, id) DO UPDATE SET kind = excluded.kind, golden = excluded.golden, \
                    anchors = excluded.anchors, record_count = excluded.record_count, confidence = excluded.confidence, \
                    updated_at = excluded.updated_at, version = excluded.version";
        insert_rows(self.conn, into, rows, then).await.map(drop)
    }

    async fn records(&self) -> Result<(), Fault> {
        let known = self.known_again();
        let mut rows = Vec::with_capacity(self.batch.records.len());
        for id in self.batch.records.keys() {
            let record = self.view().record(*id).ok_or_else(|| Fault::internal("a changed record is gone"))?;
            let source_record_id = record.source_record_id.as_ref();
            let key = known.get(id).or_else(|| self.loaded.record_keys.get(id));
            rows.push(vec![
                self.tenant(),
                id.uuid().into(),
                record.home.uuid().into(),
                record.source.as_str().into(),
                source_record_id.map(|given| self.sealing.text(record.home, given)).into(),
                self.sealing.facts(record.home, &record.facts)?.into(),
                record.observed_at.micros().into(),
                record.created_at.micros().into(),
                key.map(|key| key.to_vec()).into(),
            ]);
        }
        let into = "record (tenant, id, home, source, source_record_id, facts, observed_at, created_at, key)";
        let then = "ON CONFLICT (tenant, id) DO UPDATE SET home = excluded.home, \
                    source_record_id = excluded.source_record_id, facts = excluded.facts, \
                    observed_at = excluded.observed_at, key = excluded.key";
        insert_rows(self.conn, into, rows, then).await.map(drop)
    }

    /// The keys of the records that the commands named.
    fn known_again(&self) -> HashMap<RecordId, Key> {
        let records = self.loaded.keys.iter().filter(|(node, _)| matches!(node, Node::Record(_)));
        records.filter_map(|(node, key)| Some((self.view().lead(node)?.record, *key))).collect()
    }

    /// The keys of records that belong to another id lead there.
    async fn rehomed(&self) -> Result<(), Fault> {
        let mut by_home: BTreeMap<CustomerId, Vec<Vec<u8>>> = BTreeMap::new();
        for id in &self.batch.rehomed {
            let record = self.view().record(*id).ok_or_else(|| Fault::internal("a moved record is gone"))?;
            let key = self.loaded.record_keys.get(id).ok_or_else(|| Fault::internal("a moved record has no key"))?;
            by_home.entry(record.home).or_default().push(key.to_vec());
        }
        for (home, keys) in by_home {
            for keys in keys.chunks(CHUNK) {
                let mut params = Params::of(self.conn.dialect(), self.sealing.tenant);
                let home = params.add(home.uuid());
                let among = params.keys(keys.to_vec());
                let sql = format!("UPDATE lookup SET customer = {home} WHERE tenant = $1 AND key {among}");
                self.conn.run(&sql, params.values()).await?;
            }
        }
        Ok(())
    }

    async fn cannot_links(&self) -> Result<(), Fault> {
        for link in &self.batch.lifted {
            let mut params = Params::of(self.conn.dialect(), self.sealing.tenant);
            let (a, b) = (params.add(link.a.uuid()), params.add(link.b.uuid()));
            let sql = format!("DELETE FROM cannot_link WHERE tenant = $1 AND a = {a} AND b = {b}");
            self.conn.run(&sql, params.values()).await?;
        }
        let rows = self.batch.cannot_links.iter().map(|link| {
            vec![
                self.tenant(),
                link.a.uuid().into(),
                link.b.uuid().into(),
                link.id.uuid().into(),
                link.actor.as_str().into(),
                link.at.micros().into(),
            ]
        });
        let into = "cannot_link (tenant, a, b, id, actor, created_at)";
        insert_rows(self.conn, into, rows.collect(), "ON CONFLICT DO NOTHING").await.map(drop)
    }

    async fn claims(&self) -> Result<(), Fault> {
        let mut rows = Vec::with_capacity(self.batch.claims.len());
        for (record, identifier) in self.batch.claims.keys() {
            let gone = || Fault::internal("a changed edge is gone");
            let claim = self.view().claim(*record, identifier).ok_or_else(gone)?;
            let home = self.view().record(*record).ok_or_else(gone)?.home;
            let node = Node::Identifier(identifier.clone());
            let key = self.loaded.keys.get(&node).copied().unwrap_or_else(|| self.sealing.key(&node));
            let verified = claim.verified;
            rows.push(vec![
                self.tenant(),
                record.uuid().into(),
                key.to_vec().into(),
                "identifier".into(),
                identifier.namespace.as_str().into(),
                self.sealing.claim_value(home, &identifier.value, &claim.raw_value)?.into(),
                verified.map(|v| v.value).into(),
                verified.map(|v| v.observed_at.micros()).into(),
                verified.map(|v| v.record_time.micros()).into(),
                claim.first_seen.micros().into(),
                claim.last_seen.micros().into(),
                claim.certainty.into(),
                claim.actor.as_str().into(),
                claim.created_at.micros().into(),
            ]);
        }
        let into = "evidence (tenant, record, key, kind, namespace, value, verified, verified_observed_at, \
                    verified_record_time, first_seen, last_seen, certainty, actor, created_at)";
        let then = "ON CONFLICT (tenant, record, key) DO UPDATE SET value = excluded.value, \
                    certainty = excluded.certainty, verified = excluded.verified, \
                    verified_observed_at = excluded.verified_observed_at, \
                    verified_record_time = excluded.verified_record_time, \
                    first_seen = excluded.first_seen, last_seen = excluded.last_seen";
        insert_rows(self.conn, into, rows, then).await.map(drop)
    }

    async fn leads(&self) -> Result<(), Fault> {
        let new = self.batch.leads.iter().map(|(node, _)| node.clone());
        let seen = self.batch.sharings.iter().map(|identifier| Node::Identifier(identifier.clone()));
        let nodes: BTreeSet<Node> = new.chain(seen).collect();
        let mut rows = Vec::with_capacity(nodes.len());
        for node in nodes {
            let lead = self.view().lead(&node).ok_or_else(|| Fault::internal("a changed lead is gone"))?;
            let sharing = match &node {
                Node::Identifier(identifier) => self.view().sharing(identifier),
                Node::Record(_) | Node::Shared(_) => None,
            };
            let sharing = sharing.map(serde_json::to_vec).transpose().map_err(Fault::internal)?;
            let key = self.loaded.keys.get(&node).copied().unwrap_or_else(|| self.sealing.key(&node));
            rows.push(vec![
                self.tenant(),
                key.to_vec().into(),
                lead.customer.uuid().into(),
                lead.record.uuid().into(),
                sharing.into(),
            ]);
        }
        // On PostgreSQL the row is there already, without a customer, to hold the lock.
        let then = "ON CONFLICT (tenant, key) DO UPDATE SET customer = excluded.customer, record = excluded.record, \
                    sharing = excluded.sharing";
        insert_rows(self.conn, "lookup (tenant, key, customer, record, sharing)", rows, then).await.map(drop)
    }
}
