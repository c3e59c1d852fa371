//! What a verb must know before it decides, read in few statements.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use data::Sql;
use interaction_domain::{
    boundary::{Boundary, BoundaryId},
    interaction::{Interaction, InteractionId},
    statement::{Standing, Statement, StatementId},
    store::{Keys, Recorded, View},
    subject::follow,
};
use sea_orm::ConnectionTrait;
use terms::{CustomerId, Fault, Tenant, Timestamp};

use super::{
    rows::{
        BOUNDARY_COLUMNS, INTERACTION_COLUMNS, STATEMENT_COLUMNS, STATEMENT_WIDTH, Seal, boundary, interaction,
        statement,
    },
    sql::{CHUNK, Params, optional_id},
    subjects::{self, Lock},
};

/// Reads what `keys` name. Under a lock, customers are held first, and what is read afterwards is theirs for as long as
/// the transaction lasts.
pub(super) async fn load<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    keys: &Keys,
    lock: Lock,
) -> Result<View, Fault> {
    let tenant = seal.tenant;
    let mut view = View::default();
    subjects::hold(conn, tenant, keys.customers.iter().copied(), lock, &mut view.subjects).await?;
    if keys.origins {
        let owners: Vec<CustomerId> = keys.customers.iter().map(|id| follow(&view.subjects, *id)).collect();
        subjects::pointing(conn, tenant, &owners, Lock::None, &mut view.subjects).await?;
    }
    for found in recorded(conn, seal, &keys.interactions, Timestamp::MAX).await? {
        view.interactions.insert(found.interaction.id, found);
    }
    if !keys.statements.is_empty() || !keys.boundaries.is_empty() {
        named(conn, seal, keys, lock, &mut view).await?;
    }
    let mut topics: BTreeSet<(CustomerId, String)> =
        keys.topics.iter().map(|(id, topic)| (follow(&view.subjects, *id), topic.clone())).collect();
    topics.extend(view.statements.values().map(|s| (s.customer, s.topic.clone())));
    // Two where something may be taken back: what stands, and what would stand again.
    let depth = if view.statements.is_empty() { 1 } else { 2 };
    for said in newest(conn, seal, &topics, depth).await? {
        view.topics.entry((said.customer, said.topic.clone())).or_default().push(said);
    }
    Ok(view)
}

/// Statements and boundaries by id, each with its counterpart, and their customers held.
async fn named<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    keys: &Keys,
    lock: Lock,
    view: &mut View,
) -> Result<(), Fault> {
    let found = pairs_of(conn, seal, keys, Lock::None).await?;
    let owners = |(said, set): &(Vec<Statement>, Vec<Boundary>)| -> Vec<CustomerId> {
        said.iter().map(|s| s.customer).chain(set.iter().map(|b| b.customer)).collect()
    };
    let held = owners(&found);
    subjects::hold(conn, seal.tenant, held.iter().copied(), lock, &mut view.subjects).await?;
    // Again, now that nobody moves them; they may have moved in between.
    let found = if lock == Lock::None { found } else { pairs_of(conn, seal, keys, Lock::Update).await? };
    if owners(&found).iter().any(|owner| !held.contains(owner)) {
        return Err(data::retry("rows moved between two looks"));
    }
    view.statements.extend(found.0.into_iter().map(|s| (s.id, s)));
    view.boundaries.extend(found.1.into_iter().map(|b| (b.id, b)));
    Ok(())
}

async fn pairs_of<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    keys: &Keys,
    lock: Lock,
) -> Result<(Vec<Statement>, Vec<Boundary>), Fault> {
    let mut said = statements_by_id(conn, seal, &keys.statements, lock).await?;
    let set: HashSet<BoundaryId> =
        said.iter().filter_map(|s| s.boundary).chain(keys.boundaries.iter().copied()).collect();
    let set = boundaries_by_id(conn, seal, &set.into_iter().collect::<Vec<_>>(), lock).await?;
    let missing = set.iter().filter_map(|b| b.statement).filter(|id| !said.iter().any(|s| s.id == *id));
    let missing: Vec<StatementId> = missing.collect();
    said.extend(statements_by_id(conn, seal, &missing, lock).await?);
    Ok((said, set))
}

pub(super) async fn statements_by_id<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    ids: &[StatementId],
    lock: Lock,
) -> Result<Vec<Statement>, Fault> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        let among = params.ids(chunk.iter().copied());
        let lock = lock.sql(Sql::dialect(conn));
        let sql = format!(
            "SELECT {STATEMENT_COLUMNS} FROM statement s WHERE s.tenant = $1 AND s.id {among} ORDER BY s.id {lock}"
        );
        for row in conn.rows(&sql, params.values()).await? {
            found.push(statement(seal, &row)?);
        }
    }
    Ok(found)
}

async fn boundaries_by_id<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    ids: &[BoundaryId],
    lock: Lock,
) -> Result<Vec<Boundary>, Fault> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        let among = params.ids(chunk.iter().copied());
        let lock = lock.sql(Sql::dialect(conn));
        let sql =
            format!("SELECT {BOUNDARY_COLUMNS} FROM boundary WHERE tenant = $1 AND id {among} ORDER BY id {lock}");
        for row in conn.rows(&sql, params.values()).await? {
            found.push(boundary(seal, &row)?);
        }
    }
    Ok(found)
}

/// The `depth` newest statements of each topic that were not taken back, newest first.
async fn newest<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    topics: &BTreeSet<(CustomerId, String)>,
    depth: i64,
) -> Result<Vec<Statement>, Fault> {
    let mut found = Vec::new();
    let topics: Vec<&(CustomerId, String)> = topics.iter().collect();
    for chunk in topics.chunks(CHUNK / 2) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        // Every customer with every topic: a little more than is asked for, in one statement.
        let customers: BTreeSet<CustomerId> = chunk.iter().map(|(id, _)| *id).collect();
        let names: BTreeSet<&str> = chunk.iter().map(|(_, topic)| topic.as_str()).collect();
        let customers = params.ids(customers);
        let names = params.keys(names.into_iter().map(str::to_owned).collect());
        let depth = params.add(depth);
        let sql = format!(
            "SELECT {STATEMENT_COLUMNS} FROM statement s WHERE s.tenant = $1 AND s.customer {customers} \
             AND s.topic {names} AND s.retracted_at IS NULL AND {depth} > (SELECT COUNT(*) FROM (SELECT 1 FROM statement n \
             WHERE n.tenant = s.tenant AND n.customer = s.customer AND n.topic = s.topic AND n.retracted_at IS NULL \
             AND (n.occurred_at, n.id) > (s.occurred_at, s.id) LIMIT 2) AS newer)"
        );
        for row in conn.rows(&sql, params.values()).await? {
            found.push(statement(seal, &row)?);
        }
    }
    found.sort_by_key(|s| std::cmp::Reverse(s.order()));
    Ok(found)
}

/// Those of `ids` that are there.
pub(super) async fn interactions<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    ids: &[InteractionId],
) -> Result<Vec<Interaction>, Fault> {
    let mut found = Vec::new();
    for chunk in ids.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        let among = params.ids(chunk.iter().copied());
        let sql = format!("SELECT {INTERACTION_COLUMNS} FROM interaction WHERE tenant = $1 AND id {among}");
        for row in conn.rows(&sql, params.values()).await? {
            found.push(interaction(seal, &row)?);
        }
    }
    Ok(found)
}

/// Interactions that are there, with what was said in them and how it stands.
pub(super) async fn recorded<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    ids: &[InteractionId],
    now: Timestamp,
) -> Result<Vec<Recorded>, Fault> {
    let found = interactions(conn, seal, ids).await?;
    let said: Vec<StatementId> = found.iter().flat_map(|i| i.statements.iter().copied()).collect();
    let standing = standing(conn, seal, &said, now).await?;
    let set: Vec<BoundaryId> = standing.values().filter_map(|s| s.statement.boundary).collect();
    let set: BTreeMap<BoundaryId, Boundary> =
        boundaries_by_id(conn, seal, &set, Lock::None).await?.into_iter().map(|b| (b.id, b)).collect();
    let whole = found.into_iter().map(|interaction| {
        let statements: Vec<Standing> =
            interaction.statements.iter().filter_map(|id| standing.get(id)).cloned().collect();
        let boundaries = statements.iter().filter_map(|s| set.get(&s.statement.boundary?)).cloned().collect();
        Recorded { interaction, statements, boundaries, duplicate: false }
    });
    Ok(whole.collect())
}

/// The one that stands on the topic of `s`.
pub(super) const HEAD: &str = "(SELECT h.id FROM statement h WHERE h.tenant = s.tenant AND h.customer = s.customer \
    AND h.topic = s.topic AND h.retracted_at IS NULL ORDER BY h.occurred_at DESC, h.id DESC LIMIT 1)";

async fn standing<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    ids: &[StatementId],
    now: Timestamp,
) -> Result<BTreeMap<StatementId, Standing>, Fault> {
    let mut found = BTreeMap::new();
    for chunk in ids.chunks(CHUNK) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        let among = params.ids(chunk.iter().copied());
        let sql =
            format!("SELECT {STATEMENT_COLUMNS}, {HEAD} AS head FROM statement s WHERE s.tenant = $1 AND s.id {among}");
        for row in conn.rows(&sql, params.values()).await? {
            let head = optional_id(&row, STATEMENT_WIDTH)?;
            let statement = statement(seal, &row)?;
            found.insert(statement.id, statement.standing(head, now));
        }
    }
    Ok(found)
}

/// The subjects of `customers`, as they are.
pub(super) async fn subjects_of<C: ConnectionTrait + Sync>(
    conn: &C,
    tenant: &Tenant,
    customers: &[CustomerId],
) -> Result<interaction_domain::subject::Subjects, Fault> {
    let mut found = interaction_domain::subject::Subjects::new();
    subjects::read(conn, tenant, customers, Lock::None, &mut found).await?;
    Ok(found)
}
