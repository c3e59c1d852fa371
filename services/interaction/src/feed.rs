//! What interaction publishes, and what it follows: identity's merges, splits and erasures.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use data::{Consumer, Entry, Tx};
use interaction_domain::{
    boundary::Boundary,
    consent::Consent,
    customers::Customers,
    interaction::Interaction,
    statement::{Standing, StatementState},
    store::Change,
    subject::{News, Split},
};
use parking_lot::Mutex;
use rapport_proto::feed::v1::{InteractionRecorded, PermissionsChanged, StatementChanged, event::Event};
use terms::{CustomerId, Fault, Id, IdKind, Position, Reason, Revision, Tenant};

use crate::store::{CONSUMER, Heard, SqlInteractions};

/// Publishes a change: each thing in the partition of its customer.
pub(crate) fn publish(tx: &Tx, tenant: &Tenant, change: Change) {
    for interaction in change.interactions {
        let customer = interaction.customer;
        tx.publish(tenant, customer, Event::InteractionRecorded(recorded(interaction)));
    }
    for standing in change.statements.iter().chain(&change.superseded).chain(&change.restored) {
        tx.publish(tenant, standing.statement.customer, Event::StatementChanged(statement(standing)));
    }
    for retracted in change.retracted {
        let customer = retracted.customer;
        let standing = Standing { statement: retracted, state: StatementState::Retracted, superseded_by: None };
        tx.publish(tenant, customer, Event::StatementChanged(statement(&standing)));
    }
    let mut permissions: BTreeMap<CustomerId, PermissionsChanged> = BTreeMap::new();
    for consent in &change.consents {
        consented(permissions.entry(consent.customer).or_default(), consent);
    }
    for boundary in change.boundaries.iter().chain(&change.lifted) {
        limited(permissions.entry(boundary.customer).or_default(), boundary);
    }
    for (customer, mut changed) in permissions {
        for list in [&mut changed.purposes, &mut changed.channels, &mut changed.topics] {
            list.sort_unstable();
            list.dedup();
            // Something that names none concerns all, and so does the whole.
            if list.first().is_some_and(String::is_empty) {
                list.clear();
            }
        }
        tx.publish(tenant, customer, Event::PermissionsChanged(changed));
    }
}

fn text<K: IdKind>(id: Option<Id<K>>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

fn recorded(i: Interaction) -> InteractionRecorded {
    let (value_micros, currency) = i.value.map_or((None, String::new()), |value| (Some(value.micros), value.currency));
    InteractionRecorded {
        interaction_id: i.id.to_string(),
        r#type: i.kind,
        channel: i.channel,
        touchpoint: i.touchpoint,
        direction: i.direction.code().into(),
        directness: i.directness.code().into(),
        motivation: i.motivation.code().into(),
        inducement: i.inducement,
        occurred_at: Some(host::encode::timestamp(i.occurred_at)),
        value_micros,
        currency,
        properties: i.properties.as_ref().map(host::encode::object),
        statement_ids: i.statements.iter().map(ToString::to_string).collect(),
        conversation_id: text(i.conversation),
        decision_id: text(i.decision),
        customer_id: i.customer.to_string(),
    }
}

fn statement(standing: &Standing) -> StatementChanged {
    let s = &standing.statement;
    StatementChanged {
        statement_id: s.id.to_string(),
        topic: s.topic.clone(),
        value: Some(host::encode::json(&s.value)),
        kind: s.kind.code().into(),
        retracted: s.retraction.is_some(),
        superseded: standing.state == StatementState::Superseded,
        expired: standing.state == StatementState::Expired,
        valid_until: s.valid_until.map(host::encode::timestamp),
        occurred_at: Some(host::encode::timestamp(s.occurred_at)),
        confidence: s.confidence,
        source_interaction: text(s.source_interaction),
        customer_id: s.customer.to_string(),
        superseded_by: text(standing.superseded_by),
    }
}

fn consented(changed: &mut PermissionsChanged, consent: &Consent) {
    changed.consent_ids.push(consent.id.to_string());
    changed.purposes.push(consent.purpose.clone());
    changed.channels.push(consent.channel.clone());
    changed.topics.push(consent.topic.clone());
}

fn limited(changed: &mut PermissionsChanged, boundary: &Boundary) {
    let or_all = |list: &[String]| if list.is_empty() { vec![String::new()] } else { list.to_vec() };
    changed.boundary_ids.push(boundary.id.to_string());
    changed.purposes.extend(or_all(&boundary.scope.purposes));
    changed.channels.extend(or_all(&boundary.scope.channels));
    changed.topics.extend(or_all(&boundary.scope.topics));
}

/// Follows identity: rows go where merges and splits say that they belong.
pub(crate) struct IdentityFollower {
    store: SqlInteractions,
    customers: Arc<dyn Customers>,
    /// What the transaction under way did; told to the caches once it is committed.
    heard: Mutex<Vec<Heard>>,
}

impl IdentityFollower {
    pub(crate) fn new(store: SqlInteractions, customers: Arc<dyn Customers>) -> Self {
        Self { store, customers, heard: Mutex::default() }
    }
}

#[async_trait]
impl Consumer for IdentityFollower {
    fn name(&self) -> &'static str {
        CONSUMER
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["customer.merged", "customer.split", "customer.erased"]
    }

    async fn apply(&self, tx: &Tx, entries: &[Entry]) -> Result<(), Fault> {
        let mut tenants: BTreeMap<&Tenant, Vec<(Position, News)>> = BTreeMap::new();
        for entry in entries {
            if let Some(news) = news(entry)? {
                tenants.entry(&entry.tenant).or_default().push((entry.position, news));
            }
        }
        let mut all = Vec::with_capacity(tenants.len());
        for (tenant, news) in tenants {
            all.push(SqlInteractions::hear(tx, tenant, &news, &*self.customers).await?);
        }
        *self.heard.lock() = all;
        Ok(())
    }

    async fn applied(&self, _: &[Entry], revision: &Revision) {
        let heard = std::mem::take(&mut *self.heard.lock());
        for heard in heard {
            self.store.heard(heard, revision).await;
        }
    }
}

/// What an entry tells; `None` for one that was purged.
fn news(entry: &Entry) -> Result<Option<News>, Fault> {
    let id = |text: &str| text.parse::<CustomerId>().map_err(Fault::internal);
    Ok(match entry.change() {
        Some(Event::CustomerMerged(merged)) => Some(News::Merged {
            loser: id(&merged.loser)?,
            survivor: id(&merged.survivor)?,
            cause: merged.merge_id.clone(),
        }),
        Some(Event::CustomerSplit(split)) => Some(News::Split(Split {
            from: id(&split.from_customer_id)?,
            to: id(&split.to_customer_id)?,
            records: split.record_ids.iter().map(|r| r.parse()).collect::<Result<_, _>>().map_err(Fault::internal)?,
            customers: split.customer_ids.iter().map(|c| id(c)).collect::<Result<_, _>>()?,
            cause: split.split_id.clone(),
        })),
        Some(Event::CustomerErased(erased)) => {
            let mut customers: Vec<CustomerId> = erased.customer_ids.iter().map(|c| id(c)).collect::<Result<_, _>>()?;
            customers.push(id(&erased.customer_id)?);
            customers.sort_unstable();
            customers.dedup();
            Some(News::Erased { customers })
        }
        Some(_) => {
            let what = format!("an entry of the kind {} was not asked for", entry.kind);
            return Err(Fault::new(Reason::Internal, what));
        }
        None => None,
    })
}
