//! Reads the part of the graph that commands touch, under locks where the database has other writers.
//!
//! PostgreSQL, READ COMMITTED; every statement sees what was committed before it. Locks are taken in one order, so
//! no two transactions wait for each other:
//!
//! 0. Where records are compared: the tenant's advisory lock; see [`super::matching`].
//! 1. Rows of `lookup` that exist, by key. Then rows for nodes that nothing leads from yet are inserted, by key: who
//!    inserts first, goes first. If another inserted one of them in between, its lock would come out of order: start
//!    again.
//! 2. Customers, by id. Locked, they can neither be merged away nor split. If one was merged away between 1 and 2, its
//!    row is gone; if one was split, an id that had led to it may lead elsewhere: start again.
//!    A customer whom a record resembles is known only after that: it is locked if it is free; if not, the transaction
//!    starts again and locks it here.
//!
//! What stands for a shared identifier, and records without a key of their own that came after it changed hands, are
//! looked up once that is known; the lock of the identifier is theirs too.
//!
//! Whoever merges customers holds their locks, and with them those of everything that resolves to them: aliases are
//! written under the lock of their survivor, records and edges under that of their source key.
//!
//! SQLite has one writer; nothing needs a lock.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data::{Dialect, Sql};
use identity_domain::{CannotLink, Identify, Lead, Node, Policy, RecordId, View};
use sea_orm::DatabaseTransaction;
use terms::{CustomerId, Fault};

use super::{
    rows,
    sealed::{Key, Sealing},
    sql::{self, CHUNK, Params, column, id, resolved, time},
};

/// Whether to lock what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lock {
    /// The commands will be carried out.
    Yes,
    /// They are only tried.
    No,
}

/// What was read.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) view: View,
    /// The nodes of the commands by their keys.
    pub(super) keys: HashMap<Node, Key>,
    /// Nodes whose row was inserted for the lock alone.
    pub(super) reserved: Vec<Key>,
    /// The keys of records, where all of a customer was read.
    pub(super) record_keys: HashMap<RecordId, Key>,
}

pub(super) async fn load(
    conn: &DatabaseTransaction,
    sealing: Sealing<'_>,
    commands: &[Identify],
    also: &BTreeSet<CustomerId>,
    lock: Lock,
) -> Result<Loaded, Fault> {
    let mut nodes: BTreeMap<Key, Node> = BTreeMap::new();
    for node in commands.iter().flat_map(Identify::nodes) {
        nodes.insert(sealing.key(&node), node);
    }
    let loading = Loading { conn, sealing, lock: lock == Lock::Yes && conn.dialect() == Dialect::Postgres };
    let mut view = View::new();
    let (mut customers, mut hops) = loading.leads(&nodes, &mut view).await?;
    let reserved = if loading.lock { loading.reserve(&nodes, &view).await? } else { Vec::new() };
    let later = commands.iter().flat_map(|command| command.later_nodes(&view));
    let later: BTreeMap<Key, Node> = later.map(|node| (sealing.key(&node), node)).collect();
    if !later.is_empty() {
        let (more, further) = Loading { lock: false, ..loading }.leads(&later, &mut view).await?;
        customers.extend(more);
        hops.extend(further);
        nodes.extend(later);
    }
    let bare = loading.customers(&customers, also, &mut view).await?;
    loading.still(&hops).await?;
    loading.apart(&customers, &mut view).await?;
    if let Some(command) = commands.first().filter(|_| !bare.is_empty()) {
        loading.anchors(&bare, &command.policy, &mut view).await?;
    }
    let records = nodes.values().filter(|node| matches!(node, Node::Record(_)));
    let records: BTreeSet<RecordId> = records.filter_map(|node| view.lead(node)).map(|lead| lead.record).collect();
    loading.records(&records, &mut view).await?;
    loading.claims(&records, &nodes, &mut view).await?;
    // A withdrawn value may be followed by that of any record of the customer.
    if commands.iter().any(|command| command.needs_records(view.customers())) {
        loading.all_records(&customers, &mut view).await?;
    }
    let keys = nodes.into_iter().map(|(key, node)| (node, key)).collect();
    Ok(Loaded { view, keys, reserved, record_keys: HashMap::new() })
}

#[derive(Clone, Copy)]
pub(super) struct Loading<'a> {
    pub(super) conn: &'a DatabaseTransaction,
    pub(super) sealing: Sealing<'a>,
    pub(super) lock: bool,
}

/// Ids that were merged away, with whom they mean.
type Hops = BTreeMap<CustomerId, CustomerId>;

impl Loading<'_> {
    pub(super) fn params(&self) -> Params {
        Params::of(self.conn.dialect(), self.sealing.tenant)
    }

    /// Where the nodes lead; gives the customers, resolved, and how.
    async fn leads(&self, nodes: &BTreeMap<Key, Node>, view: &mut View) -> Result<(BTreeSet<CustomerId>, Hops), Fault> {
        let (mut customers, mut hops) = (BTreeSet::new(), Hops::new());
        let keys: Vec<&Key> = nodes.keys().collect();
        for keys in keys.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.keys(keys.iter().map(|key| key.to_vec()).collect());
            let sql = format!(
                "SELECT l.key, l.customer, l.record, {SURVIVOR}, l.sharing FROM lookup l \
                 WHERE l.tenant = $1 AND l.key {among} AND l.customer IS NOT NULL{}",
                if self.lock { " ORDER BY l.key FOR UPDATE OF l" } else { "" },
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let key: Vec<u8> = column(&row, 0)?;
                let node = <Key>::try_from(key.as_slice()).ok().and_then(|key| nodes.get(&key));
                let node = node.ok_or_else(|| Fault::internal("a lookup gave a key that was not asked for"))?;
                let lead = Lead { customer: id(&row, 1)?, record: id(&row, 2)? };
                let customer = resolved(&row, 1, 3)?;
                if customer != lead.customer {
                    view.add_alias(lead.customer, customer);
                    hops.insert(lead.customer, customer);
                }
                view.add_lead(node.clone(), lead);
                if let (Node::Identifier(identifier), Some(sharing)) = (node, rows::sharing(&row, 4)?) {
                    view.add_sharing(identifier.clone(), sharing);
                }
                customers.insert(customer);
            }
        }
        Ok((customers, hops))
    }

    /// Inserts rows for the nodes that lead nowhere yet, in the order of their keys.
    async fn reserve(&self, nodes: &BTreeMap<Key, Node>, view: &View) -> Result<Vec<Key>, Fault> {
        let missing: Vec<Key> =
            nodes.iter().filter(|(_, node)| view.lead(node).is_none()).map(|(key, _)| *key).collect();
        if missing.is_empty() {
            return Ok(missing);
        }
        let mut params = self.params();
        let keys = params.add(missing.iter().map(|key| key.to_vec()).collect::<Vec<_>>());
        let sql = format!(
            "INSERT INTO lookup (tenant, key) SELECT $1, key FROM UNNEST({keys}) AS missing (key) ON CONFLICT DO NOTHING"
        );
        match self.conn.run(&sql, params.values()).await? {
            inserted if inserted == missing.len() as u64 => Ok(missing),
            _ => Err(data::retry("another transaction linked the same identifier first")),
        }
    }

    /// The customers; all of them, or the transaction starts again. `also` are locked if they are still there. Gives
    /// those whose anchors are not worked out yet.
    pub(super) async fn customers(
        &self,
        customers: &BTreeSet<CustomerId>,
        also: &BTreeSet<CustomerId>,
        view: &mut View,
    ) -> Result<BTreeSet<CustomerId>, Fault> {
        let wanted: Vec<CustomerId> = customers.union(also).copied().collect();
        let (mut found, mut bare) = (0, BTreeSet::new());
        for wanted in wanted.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(wanted.iter().copied());
            let sql = format!(
                "SELECT {} FROM customer c WHERE c.tenant = $1 AND c.id {among}{}",
                rows::CUSTOMER,
                if self.lock { " ORDER BY c.id FOR UPDATE" } else { "" },
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let customer = rows::customer(self.sealing, &row)?;
                if rows::is_bare(&row)? {
                    bare.insert(customer.id);
                }
                found += usize::from(customers.contains(&customer.id));
                view.add_customer(customer);
            }
        }
        if found == customers.len() {
            return Ok(bare);
        }
        Err(data::retry("a customer was merged away by another transaction"))
    }

    /// Whether ids still mean whom they meant before their customers were locked, or the transaction starts again: a
    /// customer that was split has not gone.
    async fn still(&self, hops: &Hops) -> Result<(), Fault> {
        if !self.lock || hops.is_empty() {
            return Ok(());
        }
        let wanted: Vec<CustomerId> = hops.keys().copied().collect();
        let mut found = 0;
        for wanted in wanted.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(wanted.iter().copied());
            let sql = format!("SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.id {among}");
            for row in self.conn.rows(&sql, params.values()).await? {
                found += usize::from(hops.get(&id(&row, 0)?) == Some(&id(&row, 1)?));
            }
        }
        if found == hops.len() {
            return Ok(());
        }
        Err(data::retry("a customer was split by another transaction"))
    }

    /// The cannot-links between the customers.
    pub(super) async fn apart(&self, customers: &BTreeSet<CustomerId>, view: &mut View) -> Result<(), Fault> {
        if customers.len() < 2 {
            return Ok(());
        }
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        let mut params = self.params();
        let among = params.ids(customers);
        let sql = format!(
            "WITH own (home, customer) AS ({}) \
             SELECT l.id, x.customer, y.customer, l.actor, l.created_at \
             FROM own x CROSS JOIN cannot_link l CROSS JOIN own y \
             WHERE l.tenant = $1 AND l.a = x.home AND l.b = y.home AND x.customer <> y.customer",
            homes(&among)
        );
        for row in self.conn.rows(&sql, params.values()).await? {
            let actor: String = column(&row, 3)?;
            view.add_cannot_link(CannotLink::between(id(&row, 0)?, id(&row, 1)?, id(&row, 2)?, &actor, time(&row, 4)?));
        }
        Ok(())
    }

    /// Works out the anchors of customers of the time before there were any, from all their edges.
    pub(super) async fn anchors(
        &self,
        customers: &BTreeSet<CustomerId>,
        policy: &Policy,
        view: &mut View,
    ) -> Result<(), Fault> {
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!(
                "SELECT {}, h.customer FROM ({}) h CROSS JOIN record r CROSS JOIN evidence e \
                 WHERE r.tenant = $1 AND r.home = h.home AND e.tenant = $1 AND e.record = r.id",
                rows::CLAIM,
                homes(&among),
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let claim = rows::claim(self.sealing, &row)?;
                let Some(customer) = view.customer(id(&row, 12)?) else { continue };
                let mut customer = customer.clone();
                customer.anchors.follow(policy, None, &claim);
                view.add_customer(customer);
            }
        }
        Ok(())
    }

    pub(super) async fn records(&self, records: &BTreeSet<RecordId>, view: &mut View) -> Result<(), Fault> {
        let wanted: Vec<RecordId> = records.iter().copied().collect();
        for wanted in wanted.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(wanted.iter().copied());
            let sql = format!("SELECT {} FROM record r WHERE r.tenant = $1 AND r.id {among}", rows::RECORD);
            for row in self.conn.rows(&sql, params.values()).await? {
                view.add_record(rows::record(self.sealing, &row)?);
            }
        }
        Ok(())
    }

    /// The edges of known records to the identifiers of the commands.
    async fn claims(
        &self,
        records: &BTreeSet<RecordId>,
        nodes: &BTreeMap<Key, Node>,
        view: &mut View,
    ) -> Result<(), Fault> {
        if records.is_empty() {
            return Ok(());
        }
        let identifiers = nodes.iter().filter(|(_, node)| matches!(node, Node::Identifier(_)));
        let identifiers: Vec<&Key> = identifiers.map(|(key, _)| key).collect();
        for identifiers in identifiers.chunks(CHUNK) {
            let mut params = self.params();
            let of = params.ids(records.iter().copied());
            let among = params.keys(identifiers.iter().map(|key| key.to_vec()).collect());
            let sql = format!(
                "SELECT {} FROM evidence e CROSS JOIN record r \
                 WHERE e.tenant = $1 AND e.record {of} AND e.key {among} AND r.tenant = $1 AND r.id = e.record",
                rows::CLAIM,
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                view.add_claim(id(&row, 0)?, rows::claim(self.sealing, &row)?);
            }
        }
        Ok(())
    }

    /// Every record of the customers; those that are in the view stay as they are there.
    pub(super) async fn all_records(&self, customers: &BTreeSet<CustomerId>, view: &mut View) -> Result<(), Fault> {
        let customers: Vec<CustomerId> = customers.iter().copied().collect();
        for customers in customers.chunks(CHUNK) {
            let mut params = self.params();
            let among = params.ids(customers.iter().copied());
            let sql = format!(
                "SELECT {}, h.customer FROM ({}) h CROSS JOIN record r WHERE r.tenant = $1 AND r.home = h.home",
                rows::RECORD,
                homes(&among),
            );
            for row in self.conn.rows(&sql, params.values()).await? {
                let record = rows::record(self.sealing, &row)?;
                if view.record(record.id).is_some() {
                    continue;
                }
                let customer: CustomerId = id(&row, 7)?;
                if customer != record.home {
                    let survivor = view.resolve(customer);
                    view.add_alias(record.home, survivor);
                }
                view.add_record(record);
            }
        }
        Ok(())
    }
}

/// Whom the customer of a row of `lookup l` means now, if it was merged away: one hop.
pub(super) const SURVIVOR: &str = "(SELECT a.customer FROM alias a WHERE a.tenant = $1 AND a.id = l.customer)";

/// The ids at which records of the customers `among` may have arrived: their own and their aliases.
pub(super) fn homes(among: &str) -> String {
    format!(
        "SELECT c.id AS home, c.id AS customer FROM customer c WHERE c.tenant = $1 AND c.id {among} \
         UNION ALL SELECT a.id, a.customer FROM alias a WHERE a.tenant = $1 AND a.customer {among}"
    )
}

/// Takes away the rows that were inserted for the lock alone and lead nowhere after all.
pub(super) async fn release(conn: &DatabaseTransaction, sealing: Sealing<'_>, loaded: &Loaded) -> Result<(), Fault> {
    if loaded.reserved.is_empty() {
        return Ok(());
    }
    let linked: BTreeSet<Key> =
        loaded.keys.iter().filter(|(node, _)| loaded.view.lead(node).is_some()).map(|(_, key)| *key).collect();
    let unused: Vec<Vec<u8>> =
        loaded.reserved.iter().filter(|key| !linked.contains(*key)).map(|key| key.to_vec()).collect();
    if unused.is_empty() {
        return Ok(());
    }
    let mut params = sql::Params::of(conn.dialect(), sealing.tenant);
    let among = params.keys(unused);
    let sql = format!("DELETE FROM lookup WHERE tenant = $1 AND key {among} AND customer IS NULL");
    conn.run(&sql, params.values()).await.map(drop)
}
