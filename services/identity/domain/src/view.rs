//! The part of the graph that a decision reads, and how a change alters it.
//!
//! A store loads the view of what a group of commands touches, under locks; the memory store is one large view. The
//! decision is pure; [`View::apply`] is the only thing that alters a view, so that many commands fold into one write.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use terms::{CustomerId, CustomerRef, Identifier, Ids, Timestamp};

use crate::{
    anchors::Anchors,
    cannot_link::{CannotLink, pair},
    customer::{Customer, Sourced, etag},
    golden::Golden,
    history::{HistoryEntry, HistoryId},
    matching::Asked,
    record::{Claim, Record, RecordId, RecordKey},
};

/// What leads to a customer. Stores look it up by a keyed hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Node {
    /// A unique identifier, normalised.
    Identifier(Identifier),
    /// A source's record.
    Record(RecordKey),
    /// Whoever stands for an identifier since it is shared.
    Shared(Identifier),
}

/// With whom the value of an identifier was seen, beside the customer to whom it leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sharing {
    /// Other customers, as they were named then.
    #[serde(rename = "c", skip_serializing_if = "BTreeSet::is_empty")]
    pub seen: BTreeSet<CustomerId>,
    /// Whether it is shared, and so leads to nobody.
    #[serde(rename = "s")]
    pub shared: bool,
    /// How often it changed hands, or became shared.
    #[serde(rename = "e")]
    pub epoch: u32,
    /// When it was last seen with the customer to whom it leads (event time); kept for values that move.
    #[serde(rename = "t")]
    pub last_seen: Timestamp,
}

/// A customer who lost an identifier to another one, or to nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Touched {
    /// The customer as it is now.
    pub customer: CustomerState,
    /// Namespaces of what it lost.
    pub namespaces: BTreeSet<String>,
}

/// Where a node leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lead {
    /// The id that the node belongs to, whoever that id means now; resolve it before use.
    pub customer: CustomerId,
    /// The record itself, or the record that first claimed the identifier.
    pub record: RecordId,
}

/// A customer, without what its records say in detail.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomerState {
    /// Its id.
    pub id: CustomerId,
    /// What all records say together.
    pub golden: Golden,
    /// What guards need to know of it.
    pub anchors: Anchors,
    /// How many records.
    pub record_count: u32,
    /// How sure it is that all of this is one party, 0 to 1: the least certain evidence that holds it together.
    pub confidence: f64,
    /// When it was created (record time).
    pub created_at: Timestamp,
    /// When what readers see last changed (record time).
    pub updated_at: Timestamp,
    /// Counts the changes that readers see.
    pub version: i64,
}

impl CustomerState {
    /// The etag of this state.
    pub fn etag(&self) -> String {
        etag(self.version, self.updated_at)
    }
}

/// What a decision takes beside the view.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The present.
    pub now: Timestamp,
    /// Makes ids.
    pub ids: &'a Ids,
    /// Who acts; goes into the history.
    pub actor: &'a str,
}

/// What holds two ids together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bond {
    /// A record that carries identifiers of both.
    Identifier,
    /// A probabilistic match.
    Probable,
    /// Somebody's word: then the survivor is whom they named.
    Manual,
}

impl Bond {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Identifier => "identifier",
            Self::Probable => "probable",
            Self::Manual => "manual",
        }
    }

    /// Reads the stored name.
    pub fn parse(stored: &str) -> Option<Self> {
        [Self::Identifier, Self::Probable, Self::Manual].into_iter().find(|bond| bond.as_str() == stored)
    }
}

/// A customer that was merged into another. The merges of all ids of a customer are a tree whose nodes are the ids:
/// taking one edge away undoes that merge, whatever was merged since.
#[derive(Debug, Clone, PartialEq)]
pub struct Merge {
    /// The history entry of the merge.
    pub id: HistoryId,
    /// The id that leads to the survivor from now on.
    pub loser: CustomerId,
    /// When the loser had been created.
    pub loser_created_at: Timestamp,
    /// The customer who remained then.
    pub survivor: CustomerId,
    /// The id on the loser's side at which the evidence lies: the loser or one of its aliases.
    pub here: CustomerId,
    /// The id on the survivor's side.
    pub there: CustomerId,
    /// What the evidence is.
    pub bond: Bond,
    /// How certain it is, 0 to 1.
    pub certainty: f64,
    /// When it was made (record time).
    pub at: Timestamp,
}

/// What a decision changes. Every value is the new state, so applying it twice is applying it once.
#[derive(Debug, Clone)]
pub struct Change {
    /// The customer as it is now.
    pub customer: CustomerState,
    /// Whether it is new.
    pub created: bool,
    /// Whether readers see a difference. If not, only times of observation moved.
    pub visible: bool,
    /// Customers merged into it.
    pub merged: Vec<Merge>,
    /// The record as it is now.
    pub record: Record,
    /// Edges of the record that are new or changed.
    pub claims: Vec<Claim>,
    /// Nodes that lead somewhere for the first time, or to another customer from now on.
    pub leads: Vec<(Node, Lead)>,
    /// With whom values were seen, where that changed.
    pub sharings: Vec<(Identifier, Sharing)>,
    /// Customers who lost an identifier.
    pub touched: Vec<Touched>,
    /// Entries to add.
    pub history: Vec<HistoryEntry>,
    /// Customers to whom guards did not join the record, for review.
    pub asked: Vec<Asked>,
    /// Golden traits whose value is another one now.
    pub changed_traits: Vec<String>,
    /// Namespaces in which an identifier came.
    pub changed_namespaces: Vec<String>,
    /// When the source saw it.
    pub observed_at: Timestamp,
}

/// The part of the graph that was read.
#[derive(Debug, Clone, Default)]
pub struct View {
    leads: HashMap<Node, Lead>,
    sharings: HashMap<Identifier, Sharing>,
    customers: HashMap<CustomerId, CustomerState>,
    aliases: HashMap<CustomerId, CustomerId>,
    merges: HashMap<CustomerId, Merge>,
    cannot_links: BTreeMap<(CustomerId, CustomerId), CannotLink>,
    records: HashMap<RecordId, Record>,
    claims: HashMap<(RecordId, Identifier), Claim>,
}

impl View {
    /// Nothing was found.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds where a node leads.
    pub fn add_lead(&mut self, node: Node, lead: Lead) {
        self.leads.insert(node, lead);
    }

    /// Adds with whom a value was seen.
    pub fn add_sharing(&mut self, identifier: Identifier, sharing: Sharing) {
        self.sharings.insert(identifier, sharing);
    }

    /// Adds a customer; survivors only.
    pub fn add_customer(&mut self, customer: CustomerState) {
        self.customers.insert(customer.id, customer);
    }

    /// Adds that `alias` was merged into `survivor`.
    pub fn add_alias(&mut self, alias: CustomerId, survivor: CustomerId) {
        self.aliases.insert(alias, survivor);
    }

    /// Adds the merge of an alias.
    pub fn add_merge(&mut self, merge: Merge) {
        self.merges.insert(merge.loser, merge);
    }

    /// Adds that two customers must not become one.
    pub fn add_cannot_link(&mut self, link: CannotLink) {
        self.cannot_links.insert((link.a, link.b), link);
    }

    /// Adds a record.
    pub fn add_record(&mut self, record: Record) {
        self.records.insert(record.id, record);
    }

    /// Adds an edge of a record.
    pub fn add_claim(&mut self, record: RecordId, claim: Claim) {
        self.claims.insert((record, claim.identifier.clone()), claim);
    }

    /// The customer that an id means now: one hop.
    pub fn resolve(&self, customer: CustomerId) -> CustomerId {
        self.aliases.get(&customer).copied().unwrap_or(customer)
    }

    /// The id that a reference names, whoever that id means now; `None` where it leads nowhere.
    pub fn named(&self, reference: &CustomerRef) -> Option<CustomerId> {
        let id = match reference {
            CustomerRef::Id(id) => *id,
            CustomerRef::Identifier(identifier) => self.lead(&Node::Identifier(identifier.clone()))?.customer,
        };
        self.customer(self.resolve(id)).map(|_| id)
    }

    /// Where a node leads.
    pub fn lead(&self, node: &Node) -> Option<Lead> {
        self.leads.get(node).copied()
    }

    /// With whom a value was seen, beside the customer to whom it leads.
    pub fn sharing(&self, identifier: &Identifier) -> Option<&Sharing> {
        self.sharings.get(identifier)
    }

    /// A customer by the id of the survivor.
    pub fn customer(&self, id: CustomerId) -> Option<&CustomerState> {
        self.customers.get(&id)
    }

    /// Every customer, in no order.
    pub fn customers(&self) -> impl Iterator<Item = &CustomerState> {
        self.customers.values()
    }

    /// A record.
    pub fn record(&self, id: RecordId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// Every record, in no order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// The records of the given customers, in no order.
    pub fn records_of<'a>(&'a self, customers: &'a [CustomerId]) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(|record| customers.contains(&self.resolve(record.home)))
    }

    /// An edge.
    pub fn claim(&self, record: RecordId, identifier: &Identifier) -> Option<&Claim> {
        self.claims.get(&(record, identifier.clone()))
    }

    /// Every edge with its record, in no order.
    pub fn claims(&self) -> impl Iterator<Item = (RecordId, &Claim)> {
        self.claims.iter().map(|((record, _), claim)| (*record, claim))
    }

    /// Ids that lead to `customer`.
    pub fn aliases_of(&self, customer: CustomerId) -> Vec<CustomerId> {
        self.aliases.iter().filter(|(_, survivor)| **survivor == customer).map(|(alias, _)| *alias).collect()
    }

    /// The merge that made an alias of `loser`.
    pub fn merge(&self, loser: CustomerId) -> Option<&Merge> {
        self.merges.get(&loser)
    }

    /// What forbids that the two become one; both are survivors.
    pub fn cannot_link(&self, one: CustomerId, other: CustomerId) -> Option<&CannotLink> {
        self.cannot_links.values().find(|link| pair(self.resolve(link.a), self.resolve(link.b)) == pair(one, other))
    }

    /// Every cannot-link, in the order of the ids.
    pub fn cannot_links(&self) -> impl Iterator<Item = &CannotLink> {
        self.cannot_links.values()
    }

    /// A survivor with everything that belongs to it. The view holds all of its records, edges and aliases.
    pub fn assemble(&self, id: CustomerId) -> Option<Customer> {
        let state = self.customer(id)?;
        let claims = self.claims().filter_map(|(record, claim)| {
            let record = self.record(record)?;
            let sharing = self.sharing(&claim.identifier);
            (self.resolve(record.home) == id).then(|| Sourced {
                source: record.source.clone(),
                claim: claim.clone(),
                leads: self.is_linked(record, &claim.identifier),
                shared: sharing.is_some_and(|sharing| sharing.shared),
            })
        });
        Some(Customer::assemble(state.clone(), claims.collect(), self.aliases_of(id)))
    }

    /// Whether an identifier that a record carries belongs to the customer of the record; not so where a guard refused
    /// the link, or the identifier has moved on.
    pub fn is_linked(&self, record: &Record, identifier: &Identifier) -> bool {
        self.lead(&Node::Identifier(identifier.clone()))
            .is_some_and(|lead| self.resolve(lead.customer) == self.resolve(record.home))
    }

    /// Makes the merge.
    pub(crate) fn apply_merge(&mut self, merge: &Merge) {
        self.customers.remove(&merge.loser);
        for survivor in self.aliases.values_mut().filter(|s| **s == merge.loser) {
            *survivor = merge.survivor;
        }
        self.aliases.insert(merge.loser, merge.survivor);
        self.merges.insert(merge.loser, merge.clone());
    }

    /// Lets `id` be an alias of the survivor of `merge`, or, without one, a customer of its own.
    pub(crate) fn realign(&mut self, id: CustomerId, merge: Option<Merge>) {
        match merge {
            Some(merge) => {
                self.aliases.insert(id, merge.survivor);
                self.merges.insert(id, merge);
            }
            None => {
                self.aliases.remove(&id);
                self.merges.remove(&id);
            }
        }
    }

    /// Lets a record belong to another id, and with it the key by which it is known again.
    pub(crate) fn rehome(&mut self, id: RecordId, home: CustomerId) {
        if let Some(record) = self.records.get_mut(&id) {
            record.home = home;
        }
        for (node, lead) in &mut self.leads {
            if matches!(node, Node::Record(_)) && lead.record == id {
                lead.customer = home;
            }
        }
    }

    /// Takes a cannot-link away.
    pub(crate) fn lift(&mut self, link: &CannotLink) {
        self.cannot_links.remove(&(link.a, link.b));
    }

    /// Makes the change.
    pub fn apply(&mut self, change: &Change) {
        for merge in &change.merged {
            self.apply_merge(merge);
        }
        self.customers.insert(change.customer.id, change.customer.clone());
        for (node, lead) in &change.leads {
            self.leads.insert(node.clone(), *lead);
        }
        for (identifier, sharing) in &change.sharings {
            self.sharings.insert(identifier.clone(), sharing.clone());
        }
        for touched in &change.touched {
            self.customers.insert(touched.customer.id, touched.customer.clone());
        }
        for claim in &change.claims {
            self.claims.insert((change.record.id, claim.identifier.clone()), claim.clone());
        }
        self.records.insert(change.record.id, change.record.clone());
    }
}
