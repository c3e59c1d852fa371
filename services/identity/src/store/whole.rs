//! Reads everything of some customers, for decisions by hand.
//!
//! PostgreSQL: the order of locks is that of `load`. What leads to a customer is known only once the customer was read:
//! so it is read without locks, then its rows of `lookup` are locked by key, then the customers by id, and then it is
//! read again. What came to lead to it in between is locked if it is free: to wait for it would be out of order. If it
//! is not free, start again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data::{Dialect, Sql};
use identity_domain::{CannotLink, Claim, Lead, Node, Policy, Record, RecordId, RecordKey, SourceKey, View};
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, CustomerRef, Fault};

use super::{
    load::{Loaded, Loading, Lock, homes},
    rows,
    sealed::{Key, Sealing},
    sql::{CHUNK, column, id, time},
};

/// What is about to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The customers alone.
    Customers,
    /// What leads to them, too.
    Nodes,
}

/// The customers that references name, with everything of them.
pub(super) async fn whole(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    references: &[CustomerRef],
    reach: Reach,
    policy: &Policy,
    lock: Lock,
) -> Result<Loaded, Fault> {
    let lock = lock == Lock::Yes && conn.dialect() == Dialect::Postgres;
    let loading = Loading { conn, sealing, lock };
    let named = loading.named(references).await?;
    let roots: BTreeSet<CustomerId> = named.iter().flatten().map(|(_, root)| *root).collect();
    let mut held = BTreeSet::new();
    if lock && reach == Reach::Nodes {
        held = Everything::of(&loading, &roots).await?.keys();
        loading.hold(&held).await?;
    }
    let mut view = View::new();
    let bare = loading.customers(&roots, &BTreeSet::new(), &mut view).await?;
    // From here on nobody merges or splits them. Until here somebody may have.
    if lock && loading.named(references).await? != named {
        return Err(data::retry("a customer was merged or split by another transaction"));
    }
    let found = Everything::of(&loading, &roots).await?;
    if lock && reach == Reach::Nodes {
        let missing: BTreeSet<Key> = found.keys().difference(&held).copied().collect();
        loading.hold_free(&missing).await?;
    }
    loading.anchors(&bare, policy, &mut view).await?;
    loading.aliases(&roots, &mut view).await?;
    let mut nodes: BTreeMap<Key, Node> =
        found.claims.iter().map(|(_, key, claim)| (*key, Node::Identifier(claim.identifier.clone()))).collect();
    nodes.extend(identifiers(sealing, references));
    loading.leads_of(&nodes, &mut view).await?;
    loading.bound(&roots, &mut view).await?;
    let record_keys = found.records.iter().map(|(record, key)| (record.id, *key)).collect();
    for (record, _) in found.records {
        view.add_record(record);
    }
    for (record, _, claim) in found.claims {
        view.add_claim(record, claim);
    }
    let keys = nodes.into_iter().map(|(key, node)| (node, key)).collect();
    Ok(Loaded { view, keys, reserved: Vec::new(), record_keys })
}

/// Adds everything of some customers to a view that holds a part of it. What it holds is newer than what is stored.
pub(super) async fn complete(
    loading: &Loading<'_>,
    customers: &BTreeSet<CustomerId>,
    view: &mut View,
) -> Result<(), Fault> {
    // Whoever was merged in this transaction is stored as a customer yet.
    let stored: BTreeSet<CustomerId> =
        customers.iter().copied().chain(customers.iter().flat_map(|customer| view.aliases_of(*customer))).collect();
    let Everything { records, claims } = Everything::of(loading, &stored).await?;
    let mut read = View::new();
    loading.aliases(&stored, &mut read).await?;
    for alias in stored.iter().flat_map(|customer| read.aliases_of(*customer)) {
        if let Some(merge) = read.merge(alias).filter(|_| view.merge(alias).is_none()) {
            view.add_alias(alias, view.resolve(merge.survivor));
            view.add_merge(merge.clone());
        }
    }
    let nodes: BTreeMap<Key, Node> =
        claims.iter().map(|(_, key, claim)| (*key, Node::Identifier(claim.identifier.clone()))).collect();
    loading.leads_of(&nodes, &mut read).await?;
    for node in nodes.into_values() {
        let (Some(lead), None) = (read.lead(&node), view.lead(&node)) else { continue };
        if let Node::Identifier(identifier) = &node
            && let Some(sharing) = read.sharing(identifier)
        {
            view.add_sharing(identifier.clone(), sharing.clone());
        }
        view.add_lead(node, lead);
    }
    for (record, _) in records.into_iter().filter(|(record, _)| view.record(record.id).is_none()).collect::<Vec<_>>() {
        view.add_record(record);
    }
    for (record, _, claim) in claims {
        if view.claim(record, &claim.identifier).is_none() {
            view.add_claim(record, claim);
        }
    }
    loading.bound(&stored, view).await
}

/// The identifiers among references, by their keys.
fn identifiers<'a>(sealing: Sealing<'a>, references: &'a [CustomerRef]) -> impl Iterator<Item = (Key, Node)> + use<'a> {
    references.iter().filter_map(move |reference| match reference {
        CustomerRef::Id(_) => None,
        CustomerRef::Identifier(identifier) => {
            let node = Node::Identifier(identifier.clone());
            Some((sealing.key(&node), node))
        }
    })
}

/// The records and edges of some customers, with their keys.
struct Everything {
    records: Vec<(Record, Key)>,
    claims: Vec<(RecordId, Key, Claim)>,
}

impl Everything {
    async fn of(loading: &Loading<'_>, customers: &BTreeSet<CustomerId>) -> Result<Self, Fault> {
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        let (mut records, mut claims) = (Vec::new(), Vec::new());
        for customers in customers.chunks(CHUNK) {
            let mut params = loading.params();
            let among = params.ids(customers.iter().copied());
            let from = format!("FROM ({}) h CROSS JOIN record r", homes(&among));
            let of = "WHERE r.tenant = $1 AND r.home = h.home";
            let values = params.values();
            let sql = format!(
                "SELECT {}, e.key {from} CROSS JOIN evidence e {of} AND e.tenant = $1 AND e.record = r.id",
                rows::CLAIM
            );
            for row in loading.conn.rows(&sql, values.clone()).await? {
                claims.push((id(&row, 0)?, key(&column::<Vec<u8>>(&row, 12)?)?, rows::claim(loading.sealing, &row)?));
            }
            let sql = format!("SELECT {}, r.key {from} {of}", rows::RECORD);
            for row in loading.conn.rows(&sql, values).await? {
                let stored: Option<Vec<u8>> = column(&row, 7)?;
                records.push((rows::record(loading.sealing, &row)?, stored));
            }
        }
        let records = records.into_iter().map(|(record, stored)| {
            let key = match stored {
                Some(stored) => key(&stored)?,
                None => loading.sealing.key(&Node::Record(known_again(&record, &claims))),
            };
            Ok((record, key))
        });
        Ok(Self { records: records.collect::<Result<_, Fault>>()?, claims })
    }

    fn keys(&self) -> BTreeSet<Key> {
        self.records.iter().map(|(_, key)| *key).chain(self.claims.iter().map(|(_, key, _)| *key)).collect()
    }
}

fn key(stored: &[u8]) -> Result<Key, Fault> {
    stored.try_into().map_err(|_| Fault::internal("a stored key has not 32 bytes"))
}

/// By what a record is known again that was stored without its key: without one of its source's, by all of its
/// identifiers.
fn known_again(record: &Record, claims: &[(RecordId, Key, Claim)]) -> RecordKey {
    let key = match &record.source_record_id {
        Some(given) => SourceKey::Given(given.clone()),
        None => {
            let own = claims.iter().filter(|(of, _, _)| *of == record.id);
            let mut identifiers: Vec<_> = own.map(|(_, _, claim)| claim.identifier.clone()).collect();
            identifiers.sort_unstable();
            SourceKey::Identifiers(identifiers)
        }
    };
    RecordKey { source: record.source.clone(), key }
}

impl Loading<'_> {
    /// For each reference the id that it names and whom that id means now.
    async fn named(&self, references: &[CustomerRef]) -> Result<Vec<Option<(CustomerId, CustomerId)>>, Fault> {
        let mut leads: HashMap<Key, CustomerId> = HashMap::new();
        let keys: Vec<Key> = identifiers(self.sealing, references).map(|(key, _)| key).collect();
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let sql =
                format!("SELECT key, customer FROM lookup WHERE tenant = $1 AND key {among} AND customer IS NOT NULL");
            for row in self.conn.rows(&sql, params.values()).await? {
                leads.insert(key(&column::<Vec<u8>>(&row, 0)?)?, id(&row, 1)?);
            }
        }
        let raw = |reference: &CustomerRef| match reference {
            CustomerRef::Id(id) => Some(*id),
            CustomerRef::Identifier(identifier) => {
                leads.get(&self.sealing.key(&Node::Identifier(identifier.clone()))).copied()
            }
        };
        let raw: Vec<Option<CustomerId>> = references.iter().map(raw).collect();
        let ids: BTreeSet<CustomerId> = raw.iter().flatten().copied().collect();
        let ids: Vec<CustomerId> = ids.into_iter().collect();
        let mut means: HashMap<CustomerId, CustomerId> = HashMap::new();
        for ids in ids.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(ids.iter().copied());
            let sql = format!(
                "SELECT c.id, c.id FROM customer c WHERE c.tenant = $1 AND c.id {among} \
                 UNION ALL SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}"
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                means.insert(id(&row, 0)?, id(&row, 1)?);
            }
        }
        Ok(raw.into_iter().map(|raw| raw.and_then(|raw| Some((raw, *means.get(&raw)?)))).collect())
    }

    /// Locks rows of `lookup`.
    async fn hold(&self, keys: &BTreeSet<Key>) -> Result<(), Fault> {
        let keys: Vec<&Key> = keys.iter().collect();
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let sql = format!("SELECT key FROM lookup WHERE tenant = $1 AND key {among} ORDER BY key FOR UPDATE");
            self.conn.rows(&sql, params.values()).await?;
        }
        Ok(())
    }

    /// Locks rows of `lookup`, all of which are free, or the transaction starts again.
    async fn hold_free(&self, keys: &BTreeSet<Key>) -> Result<(), Fault> {
        let keys: Vec<&Key> = keys.iter().collect();
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let of = format!("SELECT key FROM lookup WHERE tenant = $1 AND key {among}");
            let values = params.values();
            let free = format!("{of} ORDER BY key FOR UPDATE SKIP LOCKED");
            let free = self.conn.rows(&free, values.clone()).await?;
            if free.len() < self.conn.rows(&of, values).await?.len() {
                return Err(data::retry("something new led to a customer that is being split"));
            }
        }
        Ok(())
    }

    /// The aliases of the customers, with what made them.
    async fn aliases(&self, customers: &BTreeSet<CustomerId>, view: &mut View) -> Result<(), Fault> {
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!("SELECT {} FROM alias a WHERE a.tenant = $1 AND a.customer {among}", rows::MERGE);
            for row in self.conn.rows(&sql, params.values()).await? {
                let merge = rows::merge(&row)?;
                view.add_alias(merge.loser, merge.survivor);
                view.add_merge(merge);
            }
        }
        Ok(())
    }

    /// Where nodes lead, as it is stored: an id of some customer.
    async fn leads_of(&self, nodes: &BTreeMap<Key, Node>, view: &mut View) -> Result<(), Fault> {
        let keys: Vec<&Key> = nodes.keys().collect();
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let sql = format!(
                "SELECT key, customer, record, sharing FROM lookup \
                 WHERE tenant = $1 AND key {among} AND customer IS NOT NULL"
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                if let Some(node) = nodes.get(&key(&column::<Vec<u8>>(&row, 0)?)?) {
                    if let (Node::Identifier(identifier), Some(sharing)) = (node, rows::sharing(&row, 3)?) {
                        view.add_sharing(identifier.clone(), sharing);
                    }
                    view.add_lead(node.clone(), Lead { customer: id(&row, 1)?, record: id(&row, 2)? });
                }
            }
        }
        Ok(())
    }

    /// The cannot-links of any id of the customers.
    async fn bound(&self, customers: &BTreeSet<CustomerId>, view: &mut View) -> Result<(), Fault> {
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!(
                "WITH own (home, customer) AS ({}) \
                 SELECT l.id, l.a, l.b, l.actor, l.created_at FROM own o CROSS JOIN cannot_link l \
                 WHERE l.tenant = $1 AND l.a = o.home \
                 UNION SELECT l.id, l.a, l.b, l.actor, l.created_at FROM own o CROSS JOIN cannot_link l \
                 WHERE l.tenant = $1 AND l.b = o.home",
                homes(&among)
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let actor: String = column(&row, 3)?;
                view.add_cannot_link(CannotLink::between(
                    id(&row, 0)?,
                    id(&row, 1)?,
                    id(&row, 2)?,
                    &actor,
                    time(&row, 4)?,
                ));
            }
        }
        Ok(())
    }
}
