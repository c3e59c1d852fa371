//! Moves rows where identity says that they belong.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data::{Sql, Tx};
use interaction_domain::{
    arrival::Resolved,
    customers::{Customers, on_own_account},
    subject::{News, Split, Subject, Subjects, named, newest, open, point, strays},
};
use rapport_proto::feed::v1::{InteractionsMoved, event::Event};
use sea_orm::Value;
use terms::{CustomerId, CustomerRef, Fault, Identifier, Position, Revision, Service, Tenant, partition};

use super::{
    read::listed,
    rows::Seal,
    sql::{PAIRS, Params, column, id, pairs, uuid},
    subjects::{self, Lock},
};

/// The tables whose rows belong to customers.
const TABLES: [&str; 4] = ["interaction", "statement", "consent", "boundary"];
/// How many ids one entry of the feed names.
const NAMED: usize = 1_000;

/// What applying news did.
#[derive(Debug, Default, Clone)]
pub(super) struct Moved {
    /// Customers whose profile is another now.
    pub(super) changed: BTreeSet<CustomerId>,
    /// Customers who are gone.
    pub(super) erased: Vec<CustomerId>,
}

/// Applies news of one tenant, in one transaction.
pub(super) async fn apply(
    tx: &Tx,
    tenant: &Tenant,
    news: &[(Position, News)],
    customers: &dyn Customers,
) -> Result<Moved, Fault> {
    let mut moves =
        Moves { tx, tenant, customers, at: newest(news), subjects: Subjects::new(), moved: Moved::default() };
    let before = moves.hold(named(news)).await?;
    moves.point(&before).await?;
    for (position, news) in news {
        if let News::Split(split) = news {
            moves.split(split, *position).await?;
        }
    }
    for (_, news) in news {
        if let News::Erased { customers } = news {
            moves.erase(customers).await?;
        }
    }
    let changed = moves.subjects.iter().filter(|(id, subject)| before.get(id) != Some(subject));
    let changed = changed.map(|(id, subject)| (*id, subject.clone())).collect();
    subjects::write(tx.conn(), tenant, changed).await?;
    Ok(moves.moved)
}

struct Moves<'a> {
    tx: &'a Tx,
    tenant: &'a Tenant,
    customers: &'a dyn Customers,
    /// The newest news: what identity answers now is at least as new.
    at: Position,
    subjects: Subjects,
    moved: Moved,
}

impl Moves<'_> {
    /// Holds everyone who is named, and everyone who points at them. From here on nobody writes to them.
    async fn hold(&mut self, named: Vec<CustomerId>) -> Result<Subjects, Fault> {
        let conn = self.tx.conn();
        let mut known = Subjects::new();
        subjects::read(conn, self.tenant, &named, Lock::None, &mut known).await?;
        subjects::hold(conn, self.tenant, named.iter().copied(), Lock::Update, &mut self.subjects).await?;
        subjects::pointing(conn, self.tenant, &named, Lock::Update, &mut self.subjects).await?;
        // Those that were made just now for the lock alone have no rows to move.
        let unwritten = |id: &CustomerId, subject: &Subject| !known.contains_key(id) && *subject == Subject::default();
        let written = self.subjects.iter().filter(|(id, subject)| !unwritten(id, subject));
        Ok(written.map(|(id, subject)| (*id, subject.clone())).collect())
    }

    async fn ask(&self, refs: &[CustomerRef]) -> Result<Vec<Option<Resolved>>, Fault> {
        if refs.is_empty() {
            return Ok(Vec::new());
        }
        let mut at_least = Revision::new();
        for reference in refs {
            if let CustomerRef::Id(id) = reference {
                at_least.raise(Service::Identity, partition(self.tenant, *id), self.at);
            }
        }
        if at_least.is_empty() {
            at_least.raise(Service::Identity, 0, self.at);
        }
        self.customers.resolve(&on_own_account(self.tenant), refs, &at_least).await
    }

    /// Asks identity about everyone who is held, points them there, and moves what strays.
    async fn point(&mut self, before: &Subjects) -> Result<(), Fault> {
        let ids: BTreeSet<CustomerId> = self.subjects.keys().copied().collect();
        let refs: Vec<CustomerRef> = ids.iter().copied().map(CustomerRef::Id).collect();
        let answers = self.ask(&refs).await?;
        let targets: Vec<CustomerId> = answers.iter().flatten().map(|answer| answer.customer).collect();
        subjects::hold(self.tx.conn(), self.tenant, targets, Lock::Update, &mut self.subjects).await?;
        for (id, answer) in ids.iter().zip(answers) {
            if let Some(answer) = answer {
                point(&mut self.subjects, *id, Resolved { at: answer.at.max(self.at), ..answer });
            }
        }
        // Only those who may have rows, and whose place is another than before.
        let elsewhere =
            |(from, to): &(CustomerId, CustomerId)| before.get(from).is_some_and(|s| s.survivor != Some(*to));
        let strays: Vec<_> = strays(&self.subjects).into_iter().filter(elsewhere).collect();
        for chunk in strays.chunks(PAIRS) {
            for table in TABLES {
                let mut params = Params::of(self.tx.dialect(), self.tenant);
                let rows = chunk.iter().map(|(from, to)| (uuid(*from), uuid(*to))).collect();
                let pairs = pairs(&mut params, ["uuid", "uuid"], rows);
                let sql = format!(
                    "UPDATE {table} SET customer = m.b FROM {pairs} WHERE {table}.tenant = $1 AND {table}.customer = m.a"
                );
                self.tx.conn().run(&sql, params.values()).await?;
            }
        }
        for (from, to) in strays {
            let all = InteractionsMoved { all: true, ..InteractionsMoved::default() };
            self.tell(from, to, all);
        }
        Ok(())
    }

    /// Tells of a move in the partitions of both.
    fn tell(&mut self, from: CustomerId, to: CustomerId, moved: InteractionsMoved) {
        let event = InteractionsMoved { from_customer_id: from.to_string(), to_customer_id: to.to_string(), ..moved };
        self.tx.publish(self.tenant, from, Event::InteractionsMoved(event.clone()));
        if partition(self.tenant, from) != partition(self.tenant, to) {
            self.tx.publish(self.tenant, to, Event::InteractionsMoved(event));
        }
        self.moved.changed.extend([from, to]);
    }

    /// Lets every row of those concerned lie where the reference with which it arrived leads now.
    async fn split(&mut self, split: &Split, at: Position) -> Result<(), Fault> {
        let concerned = [split.from, split.to].into_iter().chain(split.customers.iter().copied());
        subjects::hold(self.tx.conn(), self.tenant, concerned, Lock::Update, &mut self.subjects).await?;
        let sources = open(&mut self.subjects, split, at);
        let arrivals = self.arrivals(&sources).await?;
        let refs: Vec<CustomerRef> = arrivals.keys().cloned().collect();
        let answers = self.ask(&refs).await?;
        let leads: HashMap<&CustomerRef, CustomerId> =
            refs.iter().zip(answers).filter_map(|(r, answer)| Some((r, answer?.customer))).collect();
        let (mut by_id, mut by_identifier) = (Vec::new(), Vec::new());
        for (reference, via) in &arrivals {
            let Some(owner) = leads.get(reference) else { continue };
            match (reference, via) {
                (CustomerRef::Id(id), _) => by_id.push((uuid(*id), uuid(*owner))),
                (CustomerRef::Identifier(_), Some(via)) => by_identifier.push((via.clone().into(), uuid(*owner))),
                (CustomerRef::Identifier(_), None) => {}
            }
        }
        let target = interaction_domain::subject::follow(&self.subjects, split.to);
        let by_record: Vec<_> = split.records.iter().map(|record| (uuid(*record), uuid(target))).collect();
        for source in sources {
            self.resettle(
                source,
                &split.cause,
                "arrived_record IS NULL AND arrived_via IS NULL AND arrived_as",
                "uuid",
                &by_id,
            )
            .await?;
            self.resettle(source, &split.cause, "arrived_record IS NULL AND arrived_via", "bytea", &by_identifier)
                .await?;
            self.resettle(source, &split.cause, "arrived_record", "uuid", &by_record).await?;
        }
        Ok(())
    }

    /// The references with which rows of `customers` arrived, with the keys of the identifiers among them.
    async fn arrivals(&self, customers: &[CustomerId]) -> Result<HashMap<CustomerRef, Option<Vec<u8>>>, Fault> {
        let seal = Seal { sealer: self.tx.sealer(), tenant: self.tenant };
        let mut found: HashMap<CustomerRef, Option<Vec<u8>>> = HashMap::new();
        let mut opened: BTreeMap<Vec<u8>, Identifier> = BTreeMap::new();
        for table in TABLES {
            let mut params = Params::of(self.tx.dialect(), self.tenant);
            let among = params.ids(customers.iter().copied());
            let sql = format!(
                "SELECT DISTINCT arrived_as, arrived_via, arrived_ref FROM {table} \
                 WHERE tenant = $1 AND customer {among} AND arrived_record IS NULL"
            );
            for row in self.tx.conn().rows(&sql, params.values()).await? {
                let addressed: CustomerId = id(&row, 0)?;
                let Some(via) = column::<Option<Vec<u8>>>(&row, 1)? else {
                    found.insert(CustomerRef::Id(addressed), None);
                    continue;
                };
                if !opened.contains_key(&via)
                    && let Some(identifier) = seal.identifier(addressed, column(&row, 2)?)?
                {
                    opened.insert(via, identifier);
                }
            }
        }
        found.extend(opened.into_iter().map(|(via, identifier)| (CustomerRef::Identifier(identifier), Some(via))));
        Ok(found)
    }

    /// Moves the rows of `source` that `column` finds, and tells of them.
    async fn resettle(
        &mut self,
        source: CustomerId,
        cause: &str,
        column: &str,
        cast: &str,
        leads: &[(Value, Value)],
    ) -> Result<(), Fault> {
        let mut moved: BTreeMap<CustomerId, (Vec<String>, Vec<String>, bool)> = BTreeMap::new();
        for chunk in leads.chunks(PAIRS) {
            for table in TABLES {
                let mut params = Params::of(self.tx.dialect(), self.tenant);
                let from = params.add(uuid(source));
                let pairs = pairs(&mut params, [cast, "uuid"], chunk.to_vec());
                let sql = format!(
                    "UPDATE {table} SET customer = m.b FROM {pairs} WHERE {table}.tenant = $1 \
                     AND {table}.customer = {from} AND {column} = m.a AND {table}.customer <> m.b \
                     RETURNING {table}.id, {table}.customer"
                );
                let rows = self.tx.conn().rows(&sql, params.values()).await?;
                for (id, to) in listed::<terms::id::Interaction>(&rows)? {
                    let of = moved.entry(to).or_default();
                    of.2 = true;
                    match table {
                        "interaction" => of.0.push(id.to_string()),
                        "statement" => {
                            of.1.push(terms::Id::<terms::id::Statement>::from_uuid(id.uuid()).to_string());
                        }
                        _ => {}
                    }
                }
            }
        }
        for (to, (mut interactions, mut statements, _)) in moved {
            loop {
                let interaction_ids: Vec<String> = interactions.drain(..interactions.len().min(NAMED)).collect();
                let statement_ids: Vec<String> = statements.drain(..statements.len().min(NAMED)).collect();
                let moved = InteractionsMoved {
                    interaction_ids,
                    statement_ids,
                    cause_id: cause.to_owned(),
                    ..Default::default()
                };
                self.tell(source, to, moved);
                if interactions.is_empty() && statements.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Forgets everything of `customers`, and that they ever come back.
    async fn erase(&mut self, customers: &[CustomerId]) -> Result<(), Fault> {
        subjects::hold(self.tx.conn(), self.tenant, customers.iter().copied(), Lock::Update, &mut self.subjects)
            .await?;
        for table in TABLES {
            let mut params = Params::of(self.tx.dialect(), self.tenant);
            let among = params.ids(customers.iter().copied());
            let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND customer {among}");
            self.tx.conn().run(&sql, params.values()).await?;
        }
        for customer in customers {
            self.subjects.insert(*customer, Subject { erased: true, ..Subject::default() });
            self.tx.purge(self.tenant, *customer).await?;
        }
        self.moved.erased.extend(customers);
        Ok(())
    }
}
