//! Reads what news concern, under locks where the database has other writers.
//!
//! PostgreSQL, READ COMMITTED. Locks are taken in one order, so that no two transactions wait for each other: first a
//! share of the tenant's `ruleset` row, then subjects by id. Whoever changes a definition takes the whole of the first
//! lock: so everybody who computes by the old rules has committed before the new ones are there, and the build that
//! follows sees all they wrote. Whoever has a subject's lock alone changes what belongs to it, and to the ids that
//! lead to it.
//!
//! SQLite has one writer; nothing needs a lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use data::{Dialect, Sql, Tx};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use segmentation_domain::{
    facts::Facts,
    lineage::Link,
    membership::Memberships,
    news::{Address, InteractionId, News, StatementId},
    ruleset::Needs,
    segment::SegmentId,
    view::{Person, Subject, View},
};
use terms::{CustomerId, Fault, Position, Tenant, Timestamp};
use uuid::Uuid;

use super::{
    catalogs::Snapshot,
    due::oldest_read,
    faces::Faces,
    rows::{self, Sealing},
    sql::{Column, Params, column, id, insert},
};

/// Reads for one tenant, in one transaction.
pub(super) struct Loading<'a> {
    pub(super) tx: &'a Tx,
    pub(super) tenant: &'a Tenant,
    pub(super) snapshot: &'a Snapshot,
    pub(super) faces: &'a Faces,
}

impl<'a> Loading<'a> {
    fn conn(&self) -> &'a DatabaseTransaction {
        self.tx.conn()
    }

    fn sealing(&self) -> Sealing<'a> {
        Sealing { tenant: self.tenant, sealer: self.tx.sealer() }
    }

    fn params(&self) -> Params {
        Params::new(self.tx.dialect(), self.tenant)
    }

    /// Everything that news concern.
    pub(super) async fn view(&self, news: &[News]) -> Result<View, Fault> {
        let mut view = View::default();
        self.known(&mut view, news).await?;
        self.lineage(&mut view, news).await?;
        let mentioned = view.mentioned(news);
        self.subjects(&mut view, &mentioned).await?;
        let survivors = view.survivors();
        if !survivors.is_empty() {
            self.subjects(&mut view, &survivors).await?;
        }
        let missing: BTreeSet<CustomerId> =
            mentioned.iter().filter(|id| !view.people.contains_key(id)).copied().collect();
        self.reserve(&mut view, &missing).await?;
        view.fill(&missing);
        let ruleset = self.snapshot.catalog.ruleset();
        let involved = view.involved(news, ruleset);
        let since = oldest_read(ruleset.needs(), view.people.values().map(|p| &p.subject), self.tx.now());
        self.faces(&mut view.people, &involved, ruleset.needs(), since).await?;
        Ok(view)
    }

    /// Which of the interactions and statements are stored already, or were moved before they came.
    async fn known(&self, view: &mut View, news: &[News]) -> Result<(), Fault> {
        let events = View::events(news);
        if !events.is_empty() {
            for (id, address, stored) in self.addresses("event", events.iter().map(|id| id.uuid())).await? {
                match stored {
                    true => drop(view.known_events.insert(InteractionId::from_uuid(id), address)),
                    false => drop(view.forwards.insert(id, address)),
                }
            }
        }
        let statements = View::statements(news);
        if !statements.is_empty() {
            for (id, address, stored) in self.addresses("statement", statements.iter().map(|id| id.uuid())).await? {
                match stored {
                    true => drop(view.known_statements.insert(StatementId::from_uuid(id), address)),
                    false => drop(view.forwards.insert(id, address)),
                }
            }
        }
        Ok(())
    }

    /// The addresses of what is stored in `table`, and of what is expected there.
    async fn addresses(
        &self,
        table: &str,
        ids: impl IntoIterator<Item = Uuid>,
    ) -> Result<Vec<(Uuid, Address, bool)>, Fault> {
        let mut params = self.params();
        let wanted = params.table(ids);
        let from = |table: &str, stored: bool| {
            format!(
                "SELECT t.id, t.address, t.address_xid, t.address_seq, {stored} FROM {wanted} CROSS JOIN {table} t \
                 WHERE t.tenant = $1 AND t.id = w.id"
            )
        };
        let sql = format!("{} UNION ALL {}", from(table, true), from("forward", false));
        let rows = self.conn().rows(&sql, params.values()).await?;
        rows.iter()
            .map(|row| {
                let at = Position { xid: column(row, 2)?, seq: column(row, 3)? };
                Ok((column(row, 0)?, Address { id: id(row, 1)?, at }, column(row, 4)?))
            })
            .collect()
    }

    /// The merges and splits of those whom news of merges and splits name, and of all who are connected with them.
    async fn lineage(&self, view: &mut View, news: &[News]) -> Result<(), Fault> {
        let mut asked = BTreeSet::new();
        let mut ask = View::relinked(news);
        while !ask.is_empty() {
            let mut params = self.params();
            let wanted = params.table(ask.iter().map(|id| id.uuid()));
            let select = format!(
                "SELECT l.customer, l.xid, l.seq, l.is_split, l.other FROM {wanted} CROSS JOIN link l \
                 WHERE l.tenant = $1 AND"
            );
            let sql = format!("{select} l.customer = w.id UNION {select} l.other = w.id");
            for row in self.conn().rows(&sql, params.values()).await? {
                let at = Position { xid: column(&row, 1)?, seq: column(&row, 2)? };
                view.lineage.add(id(&row, 0)?, at, Link::new(column(&row, 3)?, id(&row, 4)?));
            }
            asked.extend(ask);
            ask = view.lineage.ids().difference(&asked).copied().collect();
        }
        Ok(())
    }

    /// Subjects that the store has, locked.
    async fn subjects(&self, view: &mut View, ids: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        for (customer, subject) in self.locked(ids, "").await? {
            view.people.insert(customer, Person { subject, stored: true, ..Person::default() });
        }
        Ok(())
    }

    /// Locks the subjects among `ids` for which `condition` holds.
    pub(super) async fn locked(
        &self,
        ids: &BTreeSet<CustomerId>,
        condition: &str,
    ) -> Result<Vec<(CustomerId, Subject)>, Fault> {
        self.select_subjects(ids, condition, "ORDER BY customer FOR UPDATE").await
    }

    /// The same, without those that another transaction has locked.
    pub(super) async fn free(
        &self,
        ids: &BTreeSet<CustomerId>,
        condition: &str,
    ) -> Result<Vec<(CustomerId, Subject)>, Fault> {
        self.select_subjects(ids, condition, "ORDER BY customer FOR UPDATE SKIP LOCKED").await
    }

    async fn select_subjects(
        &self,
        ids: &BTreeSet<CustomerId>,
        condition: &str,
        lock: &str,
    ) -> Result<Vec<(CustomerId, Subject)>, Fault> {
        let mut params = self.params();
        let among = params.customers(ids);
        let lock = if self.tx.dialect() == Dialect::Postgres { lock } else { "" };
        let sql =
            format!("SELECT {} FROM subject WHERE tenant = $1 AND customer{among} {condition} {lock}", rows::SUBJECT);
        let rows = self.conn().rows(&sql, params.values()).await?;
        rows.iter().map(|row| rows::subject(self.sealing(), row)).collect()
    }

    /// Takes the places of subjects that are not there yet, so that nobody else makes them meanwhile.
    async fn reserve(&self, view: &mut View, missing: &BTreeSet<CustomerId>) -> Result<(), Fault> {
        if self.tx.dialect() == Dialect::Sqlite || missing.is_empty() {
            return Ok(());
        }
        let zeros = || Column::ints(missing.iter().map(|_| 0));
        let columns = vec![
            ("customer", Column::ids(missing.iter().copied())),
            ("changed_xid", zeros()),
            ("changed_seq", zeros()),
            ("erased", Column::Bool(vec![false; missing.len()])),
            ("settled_at", zeros()),
            ("version", zeros()),
        ];
        let inserted = insert(self.conn(), self.tenant, "subject", columns, "ON CONFLICT DO NOTHING").await?;
        if inserted < missing.len() as u64 {
            // Another transaction made some of them first, and has committed. They are locked out of order; should
            // that meet another transaction, the database ends one of the two, and it runs again.
            for (customer, subject) in self.locked(missing, "").await? {
                if subject != Subject::default() {
                    view.people.insert(customer, Person { subject, stored: true, ..Person::default() });
                }
            }
        }
        Ok(())
    }

    /// Facts and memberships of people whose subjects are there. From memory, where it knows the version.
    pub(super) async fn faces(
        &self,
        people: &mut BTreeMap<CustomerId, Person>,
        ids: &BTreeSet<CustomerId>,
        needs: &Needs,
        since: Option<Timestamp>,
    ) -> Result<(), Fault> {
        let mut unknown: BTreeMap<CustomerId, (Facts, Memberships)> = BTreeMap::new();
        for customer in ids {
            let Some(person) = people.get_mut(customer) else { continue };
            match self.faces.get(self.tenant, *customer, self.snapshot.catalog.rules, person.subject.version) {
                Some(face) => {
                    person.facts = Some(face.facts.clone());
                    person.memberships.clone_from(&face.memberships);
                }
                None => drop(unknown.insert(*customer, Default::default())),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        read_faces(self.conn(), self.sealing(), needs, since, &mut unknown).await?;
        for (customer, (facts, memberships)) in unknown {
            if let Some(person) = people.get_mut(&customer) {
                (person.facts, person.memberships) = (Some(facts), memberships);
            }
        }
        Ok(())
    }
}

/// More event types than this are not asked for one by one.
const MOST_KINDS: usize = 24;

/// Facts and memberships of the customers that are keys. Of events those that `needs` names, after `since`.
pub(super) async fn read_faces<C: ConnectionTrait + Sync>(
    conn: &C,
    sealing: Sealing<'_>,
    needs: &Needs,
    since: Option<Timestamp>,
    faces: &mut BTreeMap<CustomerId, (Facts, Memberships)>,
) -> Result<(), Fault> {
    let params = || Params::new(conn.dialect(), sealing.tenant);
    if !needs.events.is_empty() {
        let mut params = params();
        let among = params.customers(faces.keys());
        let mut sql = format!("SELECT {} FROM event WHERE tenant = $1 AND customer{among}", rows::EVENT);
        if let Some(since) = since {
            sql.push_str(&format!(" AND at > {}", params.add(since.micros())));
        }
        if needs.events.len() <= MOST_KINDS {
            sql.push_str(&format!(" AND ({})", of_kinds(&mut params, needs.events.iter())));
        }
        sql.push_str(" ORDER BY customer, at, id");
        // Types repeat from row to row: keep one copy of each.
        let mut kinds: BTreeSet<Arc<str>> = BTreeSet::new();
        for row in conn.rows(&sql, params.values()).await? {
            let (customer, mut event) = rows::event(sealing, &row, needs.details)?;
            if !needs.event(&event.kind) {
                continue;
            }
            match kinds.get(&event.kind) {
                Some(kind) => event.kind = kind.clone(),
                None => drop(kinds.insert(event.kind.clone())),
            }
            if let Some((facts, _)) = faces.get_mut(&customer) {
                facts.events.push(event);
            }
        }
    }
    if needs.statements {
        let mut params = params();
        let among = params.customers(faces.keys());
        let sql = format!(
            "SELECT {} FROM statement WHERE tenant = $1 AND customer{among} ORDER BY customer, id",
            rows::STATEMENT
        );
        for row in conn.rows(&sql, params.values()).await? {
            let (customer, statement) = rows::statement(sealing, &row)?;
            if let Some((facts, _)) = faces.get_mut(&customer) {
                facts.statements.push(statement);
            }
        }
    }
    if needs.lists {
        let mut params = params();
        let among = params.customers(faces.keys());
        let sql = format!("SELECT customer, segment, address FROM listed WHERE tenant = $1 AND customer{among}");
        for row in conn.rows(&sql, params.values()).await? {
            if let Some((facts, _)) = faces.get_mut(&id(&row, 0)?) {
                facts.lists.insert((id(&row, 1)?, id(&row, 2)?));
            }
        }
    }
    let mut params = params();
    let among = params.customers(faces.keys());
    let sql = format!(
        "SELECT customer, segment, since, reason, version FROM membership WHERE tenant = $1 AND customer{among}"
    );
    for row in conn.rows(&sql, params.values()).await? {
        if let Some((_, memberships)) = faces.get_mut(&id(&row, 0)?) {
            memberships.insert(SegmentId::from_uuid(column(&row, 1)?), rows::membership(&row, 2)?);
        }
    }
    Ok(())
}

/// `kind` is one of these or below one of them. What is below `a` lies between `a.` and `a/`: the slash follows the
/// dot in the order of bytes.
pub(super) fn of_kinds<'k>(params: &mut Params, kinds: impl Iterator<Item = &'k String>) -> String {
    let terms: Vec<String> = kinds
        .map(|kind| {
            let exact = params.add(kind.as_str());
            let (from, to) = (params.add(format!("{kind}.")), params.add(format!("{kind}/")));
            format!("kind = {exact} OR (kind > {from} AND kind < {to})")
        })
        .collect();
    terms.join(" OR ")
}
