//! Identity: who is this, really, and how can we reach them?
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the section `[identity]` |
//! | `grpc` | one RPC per file: decode, call, encode |
//! | [`store`] | the customers on SQLite and PostgreSQL |
//! | `encode`, `evidence` | domain values as they go onto the wire |
//! | `feed` | what identity tells the other services; it follows nobody |
//! | [`section`] | its part of the hot profile, and references resolved for others |
//! | `reader`, `cache` | customers in process |
//! | `policies` | the identity policies of the tenants |
//! | [`bulk`] | the work of `MatchRecords` |
//! | `training` | the work of `TrainMatcher` |
//! | `refile` | records that are filed anew, in the background |
//!
//! The decisions are in `identity-domain`; why things are as they are is in `DECISIONS.md`.

#![forbid(unsafe_code)]

pub mod bulk;
mod cache;
pub mod config;
mod encode;
mod evidence;
mod feed;
mod grpc;
mod policies;
mod reader;
mod refile;
pub mod section;
pub mod store;
mod training;

use std::sync::Arc;

use data::{Operations, Store, Work, operations::RunOptions};
use host::{Built, Check, Context, Routes};
use profile::Marks;
use rapport_proto::identity::v1::identity_service_server::IdentityServiceServer;
use sea_orm_migration::MigrationTrait;
use terms::{Fault, Reason, Service};

pub use self::{
    config::IdentityConfig,
    grpc::{ACCESS, NOT_YET_SERVED},
    section::{IdentityReader, Resolved},
    store::SqlCustomers,
};

/// The schema of identity, in the order in which it is applied.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    store::migrations::all()
}

/// Builds the service over its store, which is migrated. `marks` hears of every customer that changes.
///
/// # Errors
/// [`Reason::InvalidFields`] for a configuration that cannot work.
pub async fn build(context: &Context, store: Store, marks: Marks) -> Result<Built, Fault> {
    let config: IdentityConfig = settings(context)?;
    let customers = SqlCustomers::new(store.clone(), context.ids.clone(), marks);
    let reader = reader::Reader::new(Arc::new(customers.clone()), store.clone(), config.cache_bytes);
    let customers = Arc::new(customers.tell(reader.clone()));
    let policies = policies::Policies::new(store.clone(), config.policy()?);
    let hearers = (reader.clone(), policies.clone());
    let hear = move |batch: &data::FeedBatch| {
        hearers.0.hear(batch);
        hearers.1.hear(batch);
    };
    let refiling = refile::Refiling::new((*customers).clone(), policies.clone(), &context.ids);
    let training = Arc::new(training::Training::new((*customers).clone(), refiling.clone()));
    let bulk = Arc::new(bulk::Bulk::new((*customers).clone(), policies.clone(), config.places()));
    let operations = Operations::new(store.clone(), context.ids.clone(), host::status);
    let works: Vec<Arc<dyn Work>> = vec![training.clone(), bulk.clone()];
    let tasks = vec![
        store.keep_up(context.shutdown.clone()),
        data::tail(Arc::new(store.feed()), hear, context.shutdown.clone()),
        tokio::spawn(store::search::catch_up(store.clone(), context.shutdown.clone())),
        tokio::spawn(refiling.run(context.shutdown.clone())),
        operations.run(works, RunOptions::default(), context.shutdown.clone()),
    ];
    let (relations, matches) = (customers.clone(), customers.clone());
    let clock = context.clock.clone();
    let ports = grpc::Ports { customers, relations, matches, reader, policies, operations, training, bulk, clock };
    let server = host::tuned!(context, IdentityServiceServer::new(grpc::Handler::new(ports)));
    Ok(Built {
        name: Service::Identity,
        routes: Routes::new().add(server),
        access: ACCESS,
        tasks,
        checks: vec![Check::new("identity.store", move || {
            let store = store.clone();
            async move { store.ping().await }
        })],
        unserved: NOT_YET_SERVED,
    })
}

/// The section `[identity]`.
fn settings(context: &Context) -> Result<IdentityConfig, Fault> {
    context.config.section("identity").map_err(|problems| Fault::new(Reason::InvalidFields, problems.to_string()))
}
