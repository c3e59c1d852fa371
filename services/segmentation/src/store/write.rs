//! Writes what news, the clock and builds did.

use std::collections::BTreeMap;

use data::{Sql, Tx};
use sea_orm::DatabaseTransaction;
use segmentation_domain::{
    catalog::Catalog,
    lineage::Link,
    membership::{Step, Transition},
    news::{Address, Event, Statement},
    view::{Change, Effects, Relocation},
};
use terms::{CustomerId, Fault, Position, Tenant};
use uuid::Uuid;

use super::{
    rows::{self, Sealing},
    sql::{Column, Params, column, delete_pairs, id, insert, with_rows},
};
use crate::feed;

/// Writes for one tenant, in one transaction.
pub(super) struct Writing<'a> {
    pub(super) tx: &'a Tx,
    pub(super) tenant: &'a Tenant,
    pub(super) catalog: &'a Catalog,
}

impl<'a> Writing<'a> {
    fn conn(&self) -> &'a DatabaseTransaction {
        self.tx.conn()
    }

    fn sealing(&self) -> Sealing<'a> {
        Sealing { tenant: self.tenant, sealer: self.tx.sealer() }
    }

    fn params(&self) -> Params {
        Params::new(self.tx.dialect(), self.tenant)
    }

    /// Writes and publishes.
    pub(super) async fn write(&self, effects: &Effects) -> Result<(), Fault> {
        for relocation in &effects.relocations {
            self.relocate(relocation).await?;
        }
        self.links(&effects.links).await?;
        self.forwards(&effects.forwards).await?;
        self.events(&effects.events).await?;
        self.statements(&effects.statements).await?;
        self.subjects(&effects.subjects).await?;
        self.transitions(effects).await?;
        feed::publish(self.tx, self.tenant, self.catalog, effects);
        Ok(())
    }

    async fn relocate(&self, relocation: &Relocation) -> Result<(), Fault> {
        match relocation {
            Relocation::Rehome { from, to, addressed_to } => {
                for table in ["event", "statement", "listed"] {
                    let mut params = self.params();
                    let (from, to) = (params.add(from.uuid()), params.add(to.uuid()));
                    let among = params.customers(addressed_to);
                    let sql = format!(
                        "UPDATE {table} SET customer = {to} WHERE tenant = $1 AND customer = {from} AND address{among}"
                    );
                    self.conn().run(&sql, params.values()).await?;
                }
                Ok(())
            }
            Relocation::Readdress { to, address, interactions, statements } => {
                self.readdress("event", "details", *to, *address, interactions.iter().map(|id| id.uuid())).await?;
                self.readdress("statement", "value", *to, *address, statements.iter().map(|id| id.uuid())).await
            }
            Relocation::Erase { owner, addressed_to } => {
                for table in ["event", "statement", "listed"] {
                    let mut params = self.params();
                    let owner = params.add(owner.uuid());
                    let among = params.customers(addressed_to);
                    let sql =
                        format!("DELETE FROM {table} WHERE tenant = $1 AND customer = {owner} AND address{among}");
                    self.conn().run(&sql, params.values()).await?;
                }
                let mut params = self.params();
                let among = params.customers(addressed_to);
                let sql = format!("DELETE FROM stay WHERE tenant = $1 AND customer{among}");
                self.conn().run(&sql, params.values()).await?;
                for customer in addressed_to {
                    self.tx.purge(self.tenant, *customer).await?;
                }
                Ok(())
            }
        }
    }

    /// Gives rows another owner and another address. What is sealed is sealed anew: the old address's key may go.
    async fn readdress(
        &self,
        table: &str,
        sealed: &str,
        to: CustomerId,
        address: Address,
        ids: impl Iterator<Item = Uuid>,
    ) -> Result<(), Fault> {
        let ids: Vec<Uuid> = ids.collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut params = self.params();
        let among = params.among(ids);
        let (xid, seq) = (params.add(address.at.xid), params.add(address.at.seq));
        let older = format!("(address_xid < {xid} OR (address_xid = {xid} AND address_seq < {seq}))");
        let sql = format!("SELECT id, address, {sealed} FROM {table} WHERE tenant = $1 AND id{among} AND {older}");
        let (mut found, mut contents) = (Vec::new(), Vec::new());
        for row in self.conn().rows(&sql, params.values()).await? {
            let plain = self.sealing().open(id(&row, 1)?, column(&row, 2)?)?;
            found.push(column::<Uuid>(&row, 0)?);
            contents.push(self.sealing().seal(address.id, &plain));
        }
        let rows = found.len();
        let columns = vec![
            ("id", Column::Uuid(found)),
            ("content", Column::Bytes(contents)),
            ("customer", Column::ids(vec![to; rows])),
            ("address", Column::ids(vec![address.id; rows])),
            ("xid", Column::ints(vec![address.at.xid; rows])),
            ("seq", Column::ints(vec![address.at.seq; rows])),
        ];
        with_rows(self.conn(), self.tenant, columns, |source| {
            format!(
                "UPDATE {table} AS t SET customer = d.customer, address = d.address, address_xid = d.xid, \
                 address_seq = d.seq, {sealed} = d.content FROM {source} AS d WHERE t.tenant = d.tenant AND t.id = d.id"
            )
        })
        .await
        .map(drop)
    }

    async fn links(&self, links: &[(CustomerId, Position, Link)]) -> Result<(), Fault> {
        if links.is_empty() {
            return Ok(());
        }
        let columns = vec![
            ("customer", Column::ids(links.iter().map(|l| l.0))),
            ("xid", Column::ints(links.iter().map(|l| l.1.xid))),
            ("seq", Column::ints(links.iter().map(|l| l.1.seq))),
            ("is_split", Column::Bool(links.iter().map(|l| l.2.is_split()).collect())),
            ("other", Column::ids(links.iter().map(|l| l.2.other()))),
        ];
        insert(self.conn(), self.tenant, "link", columns, "ON CONFLICT DO NOTHING").await.map(drop)
    }

    async fn forwards(&self, forwards: &BTreeMap<Uuid, Address>) -> Result<(), Fault> {
        if forwards.is_empty() {
            return Ok(());
        }
        let columns = vec![
            ("id", Column::Uuid(forwards.keys().copied().collect())),
            ("address", Column::ids(forwards.values().map(|a| a.id))),
            ("address_xid", Column::ints(forwards.values().map(|a| a.at.xid))),
            ("address_seq", Column::ints(forwards.values().map(|a| a.at.seq))),
        ];
        let tail = "ON CONFLICT (tenant, id) DO UPDATE SET address = excluded.address, \
                    address_xid = excluded.address_xid, address_seq = excluded.address_seq \
                    WHERE forward.address_xid < excluded.address_xid OR (forward.address_xid = excluded.address_xid \
                    AND forward.address_seq < excluded.address_seq)";
        insert(self.conn(), self.tenant, "forward", columns, tail).await.map(drop)
    }

    async fn events(&self, events: &[(CustomerId, Event)]) -> Result<(), Fault> {
        if events.is_empty() {
            return Ok(());
        }
        let details = events.iter().map(|(_, e)| self.sealing().seal(e.address.id, &e.raw)).collect();
        let columns = vec![
            ("customer", Column::ids(events.iter().map(|(owner, _)| *owner))),
            ("at", Column::ints(events.iter().map(|(_, e)| e.at.micros()))),
            ("id", Column::ids(events.iter().map(|(_, e)| e.id))),
            ("kind", Column::Text(events.iter().map(|(_, e)| e.kind.to_string()).collect())),
            ("micros", Column::Int(events.iter().map(|(_, e)| e.micros).collect())),
            ("currency", Column::Text(events.iter().map(|(_, e)| e.currency.to_string()).collect())),
            ("incentivised", Column::Bool(events.iter().map(|(_, e)| e.incentivised).collect())),
            ("address", Column::ids(events.iter().map(|(_, e)| e.address.id))),
            ("address_xid", Column::ints(events.iter().map(|(_, e)| e.address.at.xid))),
            ("address_seq", Column::ints(events.iter().map(|(_, e)| e.address.at.seq))),
            ("details", Column::Bytes(details)),
        ];
        insert(self.conn(), self.tenant, "event", columns, "ON CONFLICT DO NOTHING").await.map(drop)
    }

    async fn statements(&self, statements: &[(CustomerId, Statement)]) -> Result<(), Fault> {
        if statements.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(statements.len());
        for (_, statement) in statements {
            values.push(self.sealing().seal(statement.address.id, &rows::value_bytes(&statement.value)?));
        }
        let columns = vec![
            ("customer", Column::ids(statements.iter().map(|(owner, _)| *owner))),
            ("id", Column::ids(statements.iter().map(|(_, s)| s.id))),
            ("topic", Column::Text(statements.iter().map(|(_, s)| s.topic.to_string()).collect())),
            ("value", Column::Bytes(values)),
            ("at", Column::ints(statements.iter().map(|(_, s)| s.at.micros()))),
            ("valid_until", Column::Int(statements.iter().map(|(_, s)| s.valid_until.map(|t| t.micros())).collect())),
            ("retracted", Column::Bool(statements.iter().map(|(_, s)| s.retracted).collect())),
            ("told_xid", Column::ints(statements.iter().map(|(_, s)| s.told_at.xid))),
            ("told_seq", Column::ints(statements.iter().map(|(_, s)| s.told_at.seq))),
            ("address", Column::ids(statements.iter().map(|(_, s)| s.address.id))),
            ("address_xid", Column::ints(statements.iter().map(|(_, s)| s.address.at.xid))),
            ("address_seq", Column::ints(statements.iter().map(|(_, s)| s.address.at.seq))),
        ];
        let tail = "ON CONFLICT (tenant, id) DO UPDATE SET topic = excluded.topic, value = excluded.value, \
                    at = excluded.at, valid_until = excluded.valid_until, retracted = excluded.retracted, \
                    told_xid = excluded.told_xid, told_seq = excluded.told_seq \
                    WHERE statement.told_xid < excluded.told_xid OR (statement.told_xid = excluded.told_xid \
                    AND statement.told_seq < excluded.told_seq)";
        insert(self.conn(), self.tenant, "statement", columns, tail).await.map(drop)
    }

    async fn subjects(&self, subjects: &BTreeMap<CustomerId, Change>) -> Result<(), Fault> {
        const KEEP: &str = "ON CONFLICT (tenant, customer) DO UPDATE SET survivor = excluded.survivor, \
                            changed_xid = excluded.changed_xid, changed_seq = excluded.changed_seq, \
                            erased = excluded.erased, next_due = excluded.next_due, \
                            settled_at = excluded.settled_at, version = excluded.version";
        let (changed, kept): (Vec<_>, Vec<_>) = subjects.iter().partition(|(_, change)| change.attributes);
        for (group, with_attributes) in [(changed, true), (kept, false)] {
            if group.is_empty() {
                continue;
            }
            let mut columns = vec![
                ("customer", Column::ids(group.iter().map(|(id, _)| **id))),
                (
                    "survivor",
                    Column::OptionalUuid(group.iter().map(|(_, c)| c.subject.survivor.map(|id| id.uuid())).collect()),
                ),
                ("changed_xid", Column::ints(group.iter().map(|(_, c)| c.subject.changed_at.xid))),
                ("changed_seq", Column::ints(group.iter().map(|(_, c)| c.subject.changed_at.seq))),
                ("erased", Column::Bool(group.iter().map(|(_, c)| c.subject.erased).collect())),
                ("next_due", Column::Int(group.iter().map(|(_, c)| c.subject.next_due.map(|t| t.micros())).collect())),
                ("settled_at", Column::ints(group.iter().map(|(_, c)| c.subject.settled_at.micros()))),
                ("version", Column::ints(group.iter().map(|(_, c)| c.subject.version))),
            ];
            let mut tail = KEEP.to_owned();
            if with_attributes {
                let mut sealed = Vec::with_capacity(group.len());
                for (id, change) in &group {
                    sealed.push(self.sealing().seal(**id, &rows::attribute_bytes(&change.subject.attributes)?));
                }
                columns.push(("attributes", Column::Bytes(sealed)));
                tail.push_str(", attributes = excluded.attributes");
            }
            insert(self.conn(), self.tenant, "subject", columns, &tail).await?;
        }
        Ok(())
    }

    /// Memberships as they are after the last transition of each customer and segment; stays for those that ended.
    async fn transitions(&self, effects: &Effects) -> Result<(), Fault> {
        let mut last: BTreeMap<_, &Transition> = BTreeMap::new();
        let mut ended = Vec::new();
        for transition in &effects.transitions {
            last.insert((transition.customer, transition.segment), transition);
            let erased = effects.subjects.get(&transition.customer).is_some_and(|c| c.subject.erased);
            if let Step::Left(was) = &transition.step
                && was.since < transition.at
                && !erased
            {
                ended.push((transition, was));
            }
        }
        let (entered, left): (Vec<_>, Vec<_>) = last.into_values().partition(|t| t.entered());
        if !left.is_empty() {
            let pairs: Vec<_> = left.iter().map(|t| (t.customer.uuid(), t.segment.uuid())).collect();
            delete_pairs(self.conn(), self.tenant, "membership", &pairs).await?;
        }
        if !entered.is_empty() {
            let columns = vec![
                ("customer", Column::ids(entered.iter().map(|t| t.customer))),
                ("segment", Column::ids(entered.iter().map(|t| t.segment))),
                ("since", Column::ints(entered.iter().map(|t| t.at.micros()))),
                ("reason", Column::ints(entered.iter().map(|t| i64::from(t.reason.code())))),
                ("version", Column::ints(entered.iter().map(|t| t.version))),
            ];
            let tail = "ON CONFLICT (tenant, customer, segment) DO UPDATE SET since = excluded.since, \
                        reason = excluded.reason, version = excluded.version";
            insert(self.conn(), self.tenant, "membership", columns, tail).await?;
        }
        if !ended.is_empty() {
            let columns = vec![
                ("customer", Column::ids(ended.iter().map(|(t, _)| t.customer))),
                ("segment", Column::ids(ended.iter().map(|(t, _)| t.segment))),
                ("since", Column::ints(ended.iter().map(|(_, was)| was.since.micros()))),
                ("until", Column::ints(ended.iter().map(|(t, _)| t.at.micros()))),
                ("reason", Column::ints(ended.iter().map(|(_, was)| i64::from(was.reason.code())))),
                ("left_for", Column::ints(ended.iter().map(|(t, _)| i64::from(t.reason.code())))),
                ("version", Column::ints(ended.iter().map(|(_, was)| was.version))),
            ];
            insert(self.conn(), self.tenant, "stay", columns, "ON CONFLICT DO NOTHING").await?;
        }
        Ok(())
    }
}
