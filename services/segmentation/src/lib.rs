//! Segmentation: what is this customer worth, what do they need, who is like them?
//!
//! | file | subject |
//! |---|---|
//! | [`config`] | the section `[segmentation]` |
//! | `grpc` | one RPC per file: decode, call, encode |
//! | [`store`] | segments, facts and memberships on SQLite and PostgreSQL |
//! | `feed`, `consumer` | what is heard from identity and interaction, and what is told |
//! | `tasks`, `wake` | the clock, and builds |
//! | `values` | where customers stand among the tenant's purchasers |
//! | [`section`] | its part of the hot profile |
//! | `customers`, `reach` | references, resolved; reads that are to contain a write |
//!
//! The decisions are in `segmentation-domain`; why things are as they are is in `DECISIONS.md`.

#![forbid(unsafe_code)]

pub mod config;
mod consumer;
mod customers;
mod encode;
mod feed;
mod grpc;
mod reach;
pub mod section;
pub mod store;
mod tasks;
mod values;
mod wake;

use std::sync::Arc;

use data::{FeedSource, FollowOptions, Store};
use host::{Built, Check, Context, Routes};
use profile::{Marks, PeerSections, Sections};
use rapport_proto::segmentation::v1::segmentation_service_server::SegmentationServiceServer;
use sea_orm_migration::MigrationTrait;
use terms::{Fault, Reason, Service};

pub use self::{
    config::SegmentationConfig,
    grpc::{ACCESS, NOT_YET_SERVED},
    section::SegmentationReader,
    store::SqlSegments,
};

/// The schema of segmentation, in the order in which it is applied.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    store::migrations::all()
}

/// Builds the service over its store, which is migrated, and the owner of its part of the hot profile. `marks` hears
/// of every customer whose part changes; `feeds` are those of identity and interaction.
///
/// # Errors
/// [`Reason::InvalidFields`] for a configuration that cannot work.
pub async fn build(
    context: &Context,
    store: Store,
    marks: Marks,
    feeds: [Arc<dyn FeedSource>; 2],
) -> Result<(Built, Arc<dyn Sections>), Fault> {
    let config: SegmentationConfig = settings(context)?;
    let segments = SqlSegments::new(store.clone(), marks, config.remembered_facts);
    let values = values::Values::new(segments.clone(), &config.purchase_type);
    let shutdown = &context.shutdown;
    let mut tasks = vec![
        store.keep_up(shutdown.clone()),
        tokio::spawn(tasks::settle(segments.clone(), context.clock.clone(), shutdown.clone())),
        tokio::spawn(tasks::build(segments.clone(), shutdown.clone())),
    ];
    let hearer = Arc::new(consumer::Hearer::new(segments.clone(), values.clone()));
    for feed in feeds {
        let options = FollowOptions::default();
        tasks.push(data::follow(store.clone(), feed, hearer.clone(), options, shutdown.clone()));
    }
    let interaction = PeerSections::new(context.peers.clone(), Service::Segmentation);
    let reach = reach::Reach::new(segments.clone(), Arc::new(interaction));
    let ports = grpc::Ports {
        reach: reach.clone(),
        customers: customers::Customers::new(segments.clone(), context.peers.clone()),
        segments: segments.clone(),
        values: values.clone(),
        clock: context.clock.clone(),
        ids: context.ids.clone(),
        build_at_once: i64::from(config.build_at_once),
        shutdown: shutdown.clone(),
    };
    let server = host::tuned!(context, SegmentationServiceServer::new(grpc::Handler::new(ports)));
    let built = Built {
        name: Service::Segmentation,
        routes: Routes::new().add(server),
        access: ACCESS,
        tasks,
        checks: vec![Check::new("segmentation.store", move || {
            let store = store.clone();
            async move { store.ping().await }
        })],
        unserved: NOT_YET_SERVED,
    };
    Ok((built, Arc::new(SegmentationReader::new(segments, values, reach))))
}

/// The section `[segmentation]`.
fn settings(context: &Context) -> Result<SegmentationConfig, Fault> {
    let config = context.config.section("segmentation");
    let config: SegmentationConfig =
        config.map_err(|problems| Fault::new(Reason::InvalidFields, problems.to_string()))?;
    config.check()
}
