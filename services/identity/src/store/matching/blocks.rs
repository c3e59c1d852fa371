//! The index of blocking keys, in process, of every tenant whose records are compared here.
//!
//! Each filing of a record has a number, in the order in which filings were committed: whoever files holds the tenant's
//! lock, or is the one writer of SQLite. What is numbered beyond the index is read with each search, in its transaction;
//! once there are more than a few they are taken into the index, from what is committed. So the index needs no keeping
//! in step: it is a memory of a beginning of the table, and never of anything that was not committed.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use data::{Sql, Store};
use identity_domain::{Kind, RecordId};
use identity_matching::{block::Key, lexicon::mix};
use parking_lot::{Mutex, RwLock};
use sea_orm::{DatabaseTransaction, QueryResult};
use terms::{CustomerId, Fault, Tenant};

use super::index::{Filed, Index};
use crate::store::{
    sealed::Sealing,
    sql::{Params, column, id},
};

/// How many filings are read with each search at most, before they are taken into the index.
const TAIL: usize = 64;
/// How many filings one statement reads.
const PAGE: usize = 8_192;
/// An index that grew by half, and by so many filings, is read anew: what was filed again is in there twice.
const GROWN: usize = 65_536;

/// The key under which a record of a kind is filed.
pub(super) fn filed(kind: Kind, key: Key) -> Filed {
    mix(key.wrapping_add(match kind {
        Kind::Person => 0,
        Kind::Household => 1 << 62,
        Kind::Organization => 1 << 63,
    }))
}

/// Keys as they are stored, before they are sealed.
pub(super) fn to_bytes(keys: &[Filed]) -> Vec<u8> {
    keys.iter().flat_map(|key| key.to_be_bytes()).collect()
}

/// The same, read.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<Filed> {
    bytes.chunks_exact(8).filter_map(|key| key.try_into().ok()).map(Filed::from_be_bytes).collect()
}

/// The indexes of all tenants. Cheap to clone.
#[derive(Clone)]
pub(in crate::store) struct Blocks {
    store: Store,
    of: Arc<Mutex<HashMap<Tenant, Arc<Block>>>>,
}

#[derive(Default)]
struct Block {
    index: RwLock<Option<Index>>,
    /// How many filings there were when the index was read: one task reads at a time.
    reading: tokio::sync::Mutex<usize>,
}

/// A record, and the keys under which it was filed.
struct Filing {
    number: i64,
    record: RecordId,
    keys: Vec<Filed>,
}

/// Whoever may be filed under some keys.
#[derive(Debug, Default)]
pub(super) struct Under {
    pub(super) records: BTreeSet<RecordId>,
    /// How many keys were passed over, because too many records share them.
    pub(super) passed_over: usize,
}

impl Blocks {
    pub(in crate::store) fn new(store: Store) -> Self {
        Self { store, of: Arc::default() }
    }

    /// Reads the index of a tenant, if it is not there: before a transaction, so that nobody waits for it within one.
    pub(in crate::store) async fn ready(&self, tenant: &Tenant) -> Result<(), Fault> {
        let block = self.block(tenant);
        if block.index.read().is_some() { Ok(()) } else { self.catch_up(tenant, &block).await }
    }

    /// Whoever may be filed under one of these keys, as this transaction sees it. Of keys that more than `most` records
    /// share together, those that most share are passed over.
    pub(super) async fn under(
        &self,
        conn: &DatabaseTransaction,
        sealing: Sealing<'_>,
        keys: &[Filed],
        most: usize,
    ) -> Result<Under, Fault> {
        let block = self.block(sealing.tenant);
        let mut tail = read(conn, sealing, block.upto(), TAIL + 1).await?;
        if tail.len() > TAIL {
            self.catch_up(sealing.tenant, &block).await?;
            // What is left is of this transaction.
            tail = read(conn, sealing, block.upto(), usize::MAX).await?;
        }
        let index = block.index.read();
        let mut sizes: Vec<(usize, Filed)> =
            keys.iter().map(|key| (index.as_ref().map_or(0, |index| index.count(*key)), *key)).collect();
        sizes.sort_unstable();
        let (mut under, mut all) = (Under::default(), 0);
        for (size, key) in sizes {
            all += size;
            if all > most {
                under.passed_over += 1;
                continue;
            }
            under.records.extend(index.iter().flat_map(|index| index.under(key)));
        }
        let shares = |filing: &&Filing| filing.keys.iter().any(|key| keys.binary_search(key).is_ok());
        under.records.extend(tail.iter().filter(shares).map(|filing| filing.record));
        Ok(under)
    }

    fn block(&self, tenant: &Tenant) -> Arc<Block> {
        self.of.lock().entry(tenant.clone()).or_default().clone()
    }

    /// Takes everything that is committed into the index. One that grew much goes on serving while it is read anew.
    async fn catch_up(&self, tenant: &Tenant, block: &Arc<Block>) -> Result<(), Fault> {
        let mut before = block.reading.lock().await;
        if block.index.read().is_none() {
            return self.read_anew(tenant, block, &mut before).await;
        }
        loop {
            let page = read(self.store.reader(), self.sealing(tenant), block.upto(), PAGE).await?;
            if let Some(index) = &mut *block.index.write() {
                page.iter().for_each(|filing| index.add(filing.number, filing.record, &filing.keys));
            }
            if page.len() < PAGE {
                break;
            }
        }
        if block.is_worn(*before) {
            let (this, tenant, block) = (self.clone(), tenant.clone(), block.clone());
            tokio::spawn(async move {
                let mut before = block.reading.lock().await;
                if block.is_worn(*before)
                    && let Err(fault) = this.read_anew(&tenant, &block, &mut before).await
                {
                    tracing::warn!(fault = ?fault, %tenant, "the index of blocking keys could not be read anew");
                }
            });
        }
        Ok(())
    }

    /// Reads the whole index; `before` is how many filings it has then.
    async fn read_anew(&self, tenant: &Tenant, block: &Block, before: &mut usize) -> Result<(), Fault> {
        let mut index = Index::new();
        loop {
            let page = read(self.store.reader(), self.sealing(tenant), index.upto(), PAGE).await?;
            page.iter().for_each(|filing| index.add(filing.number, filing.record, &filing.keys));
            if page.len() < PAGE {
                break;
            }
        }
        *before = index.len();
        *block.index.write() = Some(index);
        Ok(())
    }

    fn sealing<'a>(&'a self, tenant: &'a Tenant) -> Sealing<'a> {
        Sealing { sealer: self.store.sealer(), tenant }
    }
}

impl Block {
    fn upto(&self) -> i64 {
        self.index.read().as_ref().map_or(0, Index::upto)
    }

    /// Whether it is to be read anew, if it had `before` filings when it was read.
    fn is_worn(&self, before: usize) -> bool {
        self.index.read().as_ref().is_some_and(|index| index.len() > before + before / 2 + GROWN)
    }
}

/// The filings after a number, in order.
async fn read(conn: &(impl Sql + Sync), sealing: Sealing<'_>, after: i64, limit: usize) -> Result<Vec<Filing>, Fault> {
    let mut params = Params::of(conn.dialect(), sealing.tenant);
    let (after, limit) = (params.add(after), params.add(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT number, record, home, keys FROM match_record WHERE tenant = $1 AND number > {after} \
         ORDER BY number LIMIT {limit}"
    );
    let filing = |row: &QueryResult| {
        let home: CustomerId = id(row, 2)?;
        let keys = sealing.sealer.open(sealing.tenant, home, &column::<Vec<u8>>(row, 3)?)?;
        Ok(Filing { number: column(row, 0)?, record: id(row, 1)?, keys: from_bytes(&keys) })
    };
    conn.rows(&sql, params.values()).await?.iter().map(filing).collect()
}
