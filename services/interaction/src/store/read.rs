//! Reads for the API and for the hot profile.

use data::Sql;
use interaction_domain::{
    counters::Counters,
    get_dialogue::{Outbound, Reach},
    interaction::{Direction, Interaction, Motivation},
    pages::{Place, as_known, interaction_place, statement_place},
    statement::{Standing, Statement},
    store::{Limits, StatementOrder, Timeline, TimelineOrder, Told},
};
use sea_orm::ConnectionTrait;
use terms::{CustomerId, Fault, Id, Page, PageRequest, Timestamp};
use uuid::Uuid;

use super::{
    rows::{
        BOUNDARY_COLUMNS, CONSENT_COLUMNS, INTERACTION_COLUMNS, STATEMENT_COLUMNS, STATEMENT_WIDTH, Seal, boundary,
        consent, interaction, statement,
    },
    sql::{PAIRS, Params, column, id, optional_id, pairs, time, uuid},
};

/// A page of a timeline.
pub(super) async fn timeline<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    which: &Timeline,
    page: &PageRequest,
) -> Result<Page<Interaction>, Fault> {
    let (by, beyond, order) = match which.order {
        TimelineOrder::Newest => ("occurred_at", "<", "DESC"),
        TimelineOrder::Oldest => ("occurred_at", ">", "ASC"),
        TimelineOrder::Recorded => ("recorded_at", ">", "ASC"),
    };
    let mut params = Params::of(Sql::dialect(conn), seal.tenant);
    let mut wanted = vec!["tenant = $1".to_owned()];
    if let Some(customer) = which.customer {
        wanted.push(format!("customer = {}", params.add(uuid(customer))));
    }
    if let Some(conversation) = which.conversation {
        wanted.push(format!("conversation = {}", params.add(uuid(conversation))));
    }
    if let Some(from) = which.from {
        wanted.push(format!("occurred_at >= {}", params.add(from.micros())));
    }
    if let Some(before) = which.before {
        wanted.push(format!("occurred_at < {}", params.add(before.micros())));
    }
    if let Some(after) = Place::after(page)? {
        let (time, id) = (params.add(after.time.micros()), params.add(Uuid::from_u128(after.id)));
        wanted.push(format!("({by}, id) {beyond} ({time}, {id})"));
    }
    let limit = params.add(i64::from(page.size) + 1);
    let sql = format!(
        "SELECT {INTERACTION_COLUMNS} FROM interaction WHERE {} ORDER BY {by} {order}, id {order} LIMIT {limit}",
        wanted.join(" AND ")
    );
    let rows = conn.rows(&sql, params.values()).await?;
    let rows = rows.iter().map(|row| interaction(seal, row)).collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(rows, page.size, |i| interaction_place(i, which.order).to_bytes()))
}

/// A page of what a customer said, with how each statement stood as it was known then.
pub(super) async fn statements<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    which: &Told,
    page: &PageRequest,
) -> Result<Page<Standing>, Fault> {
    let mut params = Params::of(Sql::dialect(conn), seal.tenant);
    let customer = params.add(uuid(which.customer));
    let as_of = params.add(which.as_of.micros());
    let known = |t: &str| format!("{t}.recorded_at <= {as_of}");
    let stood = |t: &str| format!("({t}.retracted_at IS NULL OR {t}.retracted_at > {as_of})");
    let head = format!(
        "(SELECT h.id FROM statement h WHERE h.tenant = s.tenant AND h.customer = s.customer AND h.topic = s.topic \
         AND {} AND {} ORDER BY h.occurred_at DESC, h.id DESC LIMIT 1)",
        known("h"),
        stood("h")
    );
    let mut wanted = vec!["s.tenant = $1".to_owned(), format!("s.customer = {customer}"), known("s")];
    if !which.history {
        wanted.push(format!("{} AND (s.valid_until IS NULL OR s.valid_until > {as_of}) AND s.id = {head}", stood("s")));
    }
    if !which.topic.is_empty() {
        // `/` is what follows `.`: everything between begins with the topic and a dot.
        let (is, from, to) = (
            params.add(&*which.topic),
            params.add(format!("{}.", which.topic)),
            params.add(format!("{}/", which.topic)),
        );
        wanted.push(format!("(s.topic = {is} OR (s.topic >= {from} AND s.topic < {to}))"));
    }
    if let Some(after) = Place::after(page)? {
        let (time, id) = (params.add(after.time.micros()), params.add(Uuid::from_u128(after.id)));
        wanted.push(match which.order {
            StatementOrder::Newest => format!("(s.occurred_at, s.id) < ({time}, {id})"),
            StatementOrder::Oldest => format!("(s.occurred_at, s.id) > ({time}, {id})"),
            StatementOrder::Topic => {
                let topic = params.add(after.topic);
                format!("(s.topic > {topic} OR (s.topic = {topic} AND (s.occurred_at, s.id) < ({time}, {id})))")
            }
        });
    }
    let order = match which.order {
        StatementOrder::Newest => "s.occurred_at DESC, s.id DESC",
        StatementOrder::Oldest => "s.occurred_at, s.id",
        StatementOrder::Topic => "s.topic, s.occurred_at DESC, s.id DESC",
    };
    let limit = params.add(i64::from(page.size) + 1);
    let sql = format!(
        "SELECT {STATEMENT_COLUMNS}, {head} AS head FROM statement s WHERE {} ORDER BY {order} LIMIT {limit}",
        wanted.join(" AND ")
    );
    let rows = conn.rows(&sql, params.values()).await?;
    let standing = rows.iter().map(|row| {
        let head = optional_id(row, STATEMENT_WIDTH)?;
        Ok(as_known(statement(seal, row)?, which.as_of).standing(head, which.as_of))
    });
    let standing = standing.collect::<Result<Vec<_>, Fault>>()?;
    Ok(Page::cut(standing, page.size, |s| statement_place(&s.statement, which.order).to_bytes()))
}

/// What limits what may be said to a customer.
pub(super) async fn limits<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    customer: CustomerId,
) -> Result<Limits, Fault> {
    let values = || vec![seal.tenant.as_str().into(), uuid(customer)];
    let sql = format!("SELECT {BOUNDARY_COLUMNS} FROM boundary WHERE tenant = $1 AND customer = $2 ORDER BY id");
    let boundaries = conn.rows(&sql, values()).await?;
    let sql = format!("SELECT {CONSENT_COLUMNS} FROM consent WHERE tenant = $1 AND customer = $2 ORDER BY id");
    let consents = conn.rows(&sql, values()).await?;
    Ok(Limits {
        boundaries: boundaries.iter().map(|row| boundary(seal, row)).collect::<Result<_, _>>()?,
        consents: consents.iter().map(|row| consent(seal, row)).collect::<Result<_, _>>()?,
    })
}

/// The statements that stand, one for each topic.
pub(super) async fn heads<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    customer: CustomerId,
) -> Result<Vec<Statement>, Fault> {
    let sql = format!(
        "SELECT {STATEMENT_COLUMNS} FROM statement s WHERE s.tenant = $1 AND s.customer = $2 AND s.retracted_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM statement n WHERE n.tenant = s.tenant AND n.customer = s.customer \
         AND n.topic = s.topic AND n.retracted_at IS NULL AND (n.occurred_at, n.id) > (s.occurred_at, s.id))"
    );
    let rows = conn.rows(&sql, vec![seal.tenant.as_str().into(), uuid(customer)]).await?;
    rows.iter().map(|row| statement(seal, row)).collect()
}

/// Counts what happened at or after a time, from the timeline's index alone.
pub(super) async fn counters<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    customer: CustomerId,
    since: Timestamp,
) -> Result<Counters, Fault> {
    let sql = "SELECT type, direction, motivation, COUNT(*), MIN(occurred_at), MAX(occurred_at) FROM interaction \
               WHERE tenant = $1 AND customer = $2 AND occurred_at >= $3 GROUP BY type, direction, motivation";
    let values = vec![seal.tenant.as_str().into(), uuid(customer), since.micros().into()];
    let rows = conn.rows(sql, values).await?;
    let mut counters = Counters::default();
    let foreign = || Fault::internal("a code that is none of its kind");
    for row in &rows {
        let direction = Direction::from_code(column(row, 1)?).ok_or_else(foreign)?;
        let motivation = Motivation::from_code(column(row, 2)?).ok_or_else(foreign)?;
        let kind: String = column(row, 0)?;
        counters.add(&kind, direction, motivation, column(row, 3)?, time(row, 4)?, time(row, 5)?);
    }
    Ok(counters)
}

/// What the enterprise said since each boundary was set, by channel and decision.
pub(super) async fn outbound<C: ConnectionTrait + Sync>(
    conn: &C,
    seal: Seal<'_>,
    customer: CustomerId,
    reaches: &[Reach],
) -> Result<Vec<Outbound>, Fault> {
    let mut found = Vec::new();
    for chunk in reaches.chunks(PAIRS) {
        let mut params = Params::of(Sql::dialect(conn), seal.tenant);
        let whose = params.add(uuid(customer));
        let spoke = params.add(Direction::Outbound.code());
        let since = chunk.iter().map(|reach| (uuid(reach.boundary), reach.since.micros().into())).collect();
        let since = pairs(&mut params, ["uuid", "bigint"], since);
        let sql = format!(
            "SELECT m.a, i.channel, i.decision, COUNT(*) FROM interaction i JOIN {since} ON i.occurred_at >= m.b \
             WHERE i.tenant = $1 AND i.customer = {whose} AND i.direction = {spoke} GROUP BY m.a, i.channel, i.decision"
        );
        for row in &conn.rows(&sql, params.values()).await? {
            let (boundary, decision) = (id(row, 0)?, optional_id(row, 2)?);
            found.push(Outbound { boundary, channel: column(row, 1)?, decision, count: column(row, 3)? });
        }
    }
    Ok(found)
}

/// Ids of what is in a result, by their kind.
pub(super) fn listed<K: terms::IdKind>(rows: &[sea_orm::QueryResult]) -> Result<Vec<(Id<K>, CustomerId)>, Fault> {
    rows.iter().map(|row| Ok((super::sql::id(row, 0)?, super::sql::id(row, 1)?))).collect()
}
