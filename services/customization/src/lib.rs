//! Customization: so what do we do differently for this one, right now, and why?
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the section `[customization]` |
//! | `grpc` | one RPC per file: decode, call, encode |
//! | [`store`] | definitions and the decision log on SQLite and PostgreSQL |
//! | `known` | the hot profile as decisions read it |
//! | `customers` | references to customers, resolved |
//! | `dialogue` | what was said to and fro, for the three-part test |
//! | `record` | what the log keeps of a decision, and what replay reproduces |
//! | `reply` | a decision in the words of the contract |
//! | `feed` | what it consumes of identity |
//! | `values` | free-form values |
//!
//! The decisions are in `customization-domain`; why things are as they are is in `DECISIONS.md`.

#![forbid(unsafe_code)]

pub mod config;
mod customers;
mod dialogue;
mod feed;
mod grpc;
mod known;
mod record;
mod reply;
pub mod store;
mod values;

use std::sync::Arc;

use data::{FeedSource, FollowOptions, Store};
use host::{Built, Check, Context, Routes};
use profile::{Marks, PeerSections, Profiles, Sections};
use rapport_proto::customization::v1::customization_service_server::CustomizationServiceServer;
use sea_orm_migration::MigrationTrait;
use terms::{Fault, Reason, Service};

pub use self::{
    config::CustomizationConfig,
    grpc::{ACCESS, NOT_YET_SERVED},
    store::SqlStore,
};

/// The schema of customization, in the order in which it is applied.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    store::migrations::all()
}

/// Builds the service over its store, which is migrated. `feeds` are those of identity, interaction and segmentation:
/// they keep the profiles in process right, and say what was split and erased.
///
/// # Errors
/// [`Reason::InvalidFields`] for a configuration that cannot work.
pub async fn build(
    context: &Context,
    store: Store,
    marks: Marks,
    feeds: [Arc<dyn FeedSource>; 3],
) -> Result<Built, Fault> {
    let owners = Arc::new(PeerSections::new(context.peers.clone(), Service::Customization));
    build_with(context, store, marks, feeds, owners).await
}

/// The same with owners of one's own choice for the sections of the profile: for tests.
///
/// # Errors
/// As [`build`].
pub async fn build_with(
    context: &Context,
    store: Store,
    marks: Marks,
    feeds: [Arc<dyn FeedSource>; 3],
    owners: Arc<dyn Sections>,
) -> Result<Built, Fault> {
    let config: CustomizationConfig = context
        .config
        .section("customization")
        .map_err(|problems| Fault::new(Reason::InvalidFields, problems.to_string()))?;
    let profiles = Profiles::new(&marks, owners, &config.profiles());
    let sql = SqlStore::new(store.clone());
    let tasks = tasks(context, &sql, &marks, feeds);
    let customers =
        customers::Customers::new(profiles, context.peers.clone(), config.identifiers, store.sealer().clone());
    let ports = grpc::Ports {
        store: sql,
        customers,
        peers: context.peers.clone(),
        clock: context.clock.clone(),
        ids: context.ids.clone(),
    };
    let server = host::tuned!(context, CustomizationServiceServer::new(grpc::Handler::new(ports)));
    Ok(Built {
        name: Service::Customization,
        routes: Routes::new().add(server),
        access: ACCESS,
        tasks,
        checks: vec![Check::new("customization.store", move || {
            let store = store.clone();
            async move { store.ping().await }
        })],
        unserved: NOT_YET_SERVED,
    })
}

/// Background work: the index of the log, marks from the owners' feeds, what other replicas define, what identity splits and erases.
fn tasks(
    context: &Context,
    sql: &SqlStore,
    marks: &Marks,
    feeds: [Arc<dyn FeedSource>; 3],
) -> Vec<tokio::task::JoinHandle<()>> {
    let store = sql.store();
    let shutdown = || context.shutdown.clone();
    let mut tasks = vec![store.keep_up(shutdown()), sql.keep_index(shutdown())];
    let hearer = sql.clone();
    tasks.push(data::tail(Arc::new(store.feed()), move |batch| hearer.hear(batch), shutdown()));
    for source in feeds {
        if source.service() == Service::Identity {
            let consumer = Arc::new(feed::IdentityNews);
            tasks.push(data::follow(store.clone(), source.clone(), consumer, FollowOptions::default(), shutdown()));
        }
        tasks.push(marks.follow(source, shutdown()));
    }
    tasks
}
