//! The exam that every store of identity sits. Each case has a tenant of its own, so they need no cleaning between.

mod audit;
mod by_hand;
mod concurrency;
mod guards;
mod histories;
mod identify;
mod matching;
mod parting;
mod reads;
mod relations;
mod review;

use std::sync::Arc;

use serde_json::Value;
use terms::{Caller, CustomerId, Identifier, Once, Tenant, Timestamp};

pub use self::{
    audit::{Tally, all_follows_from_the_evidence},
    concurrency::{one_person_from_every_order, two_clients_one_person},
    guards::one_of_two_gets_the_last_place,
    histories::merge_then_split_is_as_if_nothing_had_happened,
    matching::{
        Parts, any_order_ends_in_the_batch, customers_and_the_batch, ends_in_the_batch, identifiers_and_resemblance,
    },
    review::{Everything, one_verdict_holds},
};
use crate::{
    customer::Customer,
    identify::{ClaimInput, Identified, Identify, IdentifyInput},
    policy::Policy,
    ports::Customers,
};

/// Sits every case but those that take long; see [`one_person_from_every_order`] and [`two_clients_one_person`].
///
/// # Panics
/// When the store fails.
pub async fn run<S: Everything>(store: Arc<S>) {
    relations::run(&*store).await;
    identify::run(&*store).await;
    guards::run(&*store).await;
    reads::run(&*store).await;
    by_hand::run(&*store).await;
    matching::run(&*store).await;
    parting::run(&*store).await;
    review::run(&*store).await;
}

/// A caller of the tenant `name`.
fn caller(name: &str) -> Caller {
    Caller::all_powerful(name.parse().expect("a tenant"), "tester")
}

/// An instant of event time, in seconds after some beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_600_000_000 + seconds)
}

/// A record of `webshop` that claims `namespace:value` identifiers.
#[derive(Clone)]
struct Given(IdentifyInput, Arc<Policy>);

fn given(identifiers: &[&str]) -> Given {
    let identifiers = identifiers.iter().map(|text| {
        let (namespace, value) = text.split_once(':').expect("namespace:value");
        ClaimInput { namespace: namespace.to_owned(), value: value.to_owned(), verified: None }
    });
    let input = IdentifyInput {
        source: "webshop".to_owned(),
        identifiers: identifiers.collect(),
        observed_at: Some(at(0)),
        create_if_missing: true,
        ..IdentifyInput::default()
    };
    Given(input, Arc::default())
}

impl Given {
    fn source(mut self, source: &str, id: &str) -> Self {
        source.clone_into(&mut self.0.source);
        id.clone_into(&mut self.0.source_record_id);
        self
    }

    fn says(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.traits.push((name.to_owned(), value.into()));
        self
    }

    fn seen(mut self, seconds: i64) -> Self {
        self.0.observed_at = Some(at(seconds));
        self
    }

    fn verified(mut self) -> Self {
        for claim in &mut self.0.identifiers {
            claim.verified = Some(true);
        }
        self
    }

    fn only_known(mut self) -> Self {
        self.0.create_if_missing = false;
        self
    }

    fn under(mut self, policy: &Arc<Policy>) -> Self {
        self.1 = policy.clone();
        self
    }

    fn validate_only(mut self) -> Self {
        self.0.validate_only = true;
        self
    }

    fn command(self) -> Identify {
        Identify::check(self.0, &self.1, Timestamp::from_seconds(2_000_000_000)).expect("a right command")
    }

    async fn identify(self, store: &dyn Customers, caller: &Caller) -> Identified {
        store.identify(caller, None, self.command()).await.expect("identified").value
    }
}

fn identifier(text: &str) -> Identifier {
    let (namespace, value) = text.split_once(':').expect("namespace:value");
    Identifier { namespace: namespace.to_owned(), value: value.to_owned() }
}

fn once(tenant: &Tenant, request_id: &str, fingerprint: u8) -> Option<Once> {
    Some(Once {
        tenant: tenant.clone(),
        method: "rapport.identity.v1.IdentityService/Identify",
        request_id: request_id.to_owned(),
        fingerprint: [fingerprint; 32],
    })
}

async fn get(store: &dyn Customers, caller: &Caller, id: CustomerId) -> Customer {
    let mut found = store.get(&caller.tenant, &[id]).await.expect("read");
    found.pop().flatten().expect("a customer")
}

fn trait_of(customer: &Customer, name: &str) -> Option<Value> {
    customer.traits.iter().find(|t| t.name == name).map(|t| t.value.clone())
}
