//! Interaction: what have we said to each other, what did they tell us, what may we say next?
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the section `[interaction]` |
//! | `grpc` | one RPC per file: decode, call, encode |
//! | [`store`] | the tables, on SQLite and PostgreSQL |
//! | `feed` | what it publishes, and what it follows of identity |
//! | [`directory`] | who is meant: identity asked, with a small cache |
//! | [`section`] | its part of the hot profile |
//! | `decode`, `encode` | messages and nouns |
//!
//! The decisions are in `interaction-domain`; why things are as they are is in `DECISIONS.md`.

#![forbid(unsafe_code)]

pub mod config;
mod decode;
pub mod directory;
mod encode;
mod feed;
mod grpc;
pub mod section;
pub mod store;

use std::sync::Arc;

use data::{FeedSource, FollowOptions, Store, follow};
use host::{Built, Check, Context, Routes};
use interaction_domain::{Customers, Ports};
use profile::Marks;
use rapport_proto::interaction::v1::interaction_service_server::InteractionServiceServer;
use sea_orm_migration::MigrationTrait;
use terms::{Fault, Reason, Service};

pub use self::{
    config::InteractionConfig,
    directory::Directory,
    grpc::{ACCESS, NOT_YET_SERVED},
    section::InteractionReader,
    store::{CONSUMER, SqlInteractions},
};

/// The schema of interaction, in the order in which it is applied.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    store::migrations::all()
}

/// Builds the service over its store, which is migrated. `marks` hears of every customer that changes; `feeds` is the
/// feed of identity. Gives the service and the owner of its section.
///
/// # Errors
/// [`Reason::InvalidFields`] for a configuration that cannot work.
pub async fn build(
    context: &Context,
    store: Store,
    marks: Marks,
    feeds: [Arc<dyn FeedSource>; 1],
) -> Result<(Built, Arc<InteractionReader>), Fault> {
    let config: InteractionConfig = settings(context)?;
    let interactions = SqlInteractions::new(store.clone(), marks);
    let customers: Arc<dyn Customers> = Arc::new(Directory::new(context.peers.clone(), &config));
    let follower = Arc::new(feed::IdentityFollower::new(interactions.clone(), customers.clone()));
    let [identity] = feeds;
    let following = follow(store.clone(), identity, follower, FollowOptions::default(), context.shutdown.clone());
    let (clock, ids) = (context.clock.clone(), context.ids.clone());
    let ports = Arc::new(Ports { store: interactions, customers, clock, ids });
    let owner = Arc::new(InteractionReader::new(ports.clone(), config.patience()));
    let handler = grpc::Handler::new(ports, store.feed(), config);
    let built = Built {
        name: Service::Interaction,
        routes: Routes::new().add(host::tuned!(context, InteractionServiceServer::new(handler))),
        access: ACCESS,
        tasks: vec![following],
        checks: vec![Check::new("interaction.store", move || {
            let store = store.clone();
            async move { store.ping().await }
        })],
        unserved: NOT_YET_SERVED,
    };
    Ok((built, owner))
}

/// The section `[interaction]`.
fn settings(context: &Context) -> Result<InteractionConfig, Fault> {
    context.config.section("interaction").map_err(|problems| Fault::new(Reason::InvalidFields, problems.to_string()))
}
