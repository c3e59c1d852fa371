//! Builds services, binds them to each other, and hands them to the server.
//!
//! A service that lives here is called directly and its feed is read from its store; one that lives elsewhere is
//! called by gRPC. The services do not know which.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result};
use data::{FeedSource, Operations, RemoteFeed, Store, operations};
use host::{Built, Call, Catalog, Check, Config, Context, Routes, Rule, Shared, Suite};
use profile::{Marks, Section, Sections};
use rapport_proto::{
    feed::v1::feed_service_server::FeedServiceServer, google::longrunning::operations_server::OperationsServer,
    profile::v1::profile_service_server::ProfileServiceServer,
};
use terms::{Clock, Fault, Ids, Reason, Service};
use tokio_util::sync::CancellationToken;

use crate::{migrate, profiles::Profiles, settings};

/// What a process serves, and what it was built from.
pub struct Composed {
    /// What every service was built from.
    pub context: Context,
    /// What is served.
    pub suite: Suite,
}

/// Builds `services` as configured; brings their schemas up to date first if `migrate`.
///
/// # Errors
/// When a store cannot be opened or a service cannot be built; the message says which and why.
pub async fn compose(
    config: Arc<Config>,
    services: &[Service],
    clock: Arc<dyn Clock>,
    migrate: bool,
) -> Result<Composed> {
    let shutdown = CancellationToken::new();
    let hints = settings::hints(&config, &shutdown)?;
    let marks = settings::marks(&config)?;
    let mut context = Context::new(config.clone(), clock.clone(), Arc::new(Ids::new(clock.clone())));
    context.shutdown = shutdown;
    let mut stores = HashMap::new();
    for &service in services {
        let store = settings::store(&config, service, clock.clone(), hints.clone()).await?;
        if migrate {
            store.migrate().await.with_context(|| format!("the schema of {service} cannot be brought up to date"))?;
        }
        stores.insert(service, store);
    }
    let (suite, owners) = (Suite::default(), HashMap::new());
    let mut process = Process { context, marks, stores, suite, owners, identity: None, interaction: None };
    // In the order in which changes travel.
    for service in Service::ALL {
        if process.stores.contains_key(&service) {
            process.build(service).await.with_context(|| format!("{service} cannot be built"))?;
        }
    }
    process.share();
    Ok(Composed { context: process.context, suite: process.suite })
}

struct Process {
    context: Context,
    marks: Marks,
    stores: HashMap<Service, Store>,
    suite: Suite,
    owners: HashMap<Section, Arc<dyn Sections>>,
    identity: Option<identity::IdentityReader>,
    interaction: Option<Arc<interaction::InteractionReader>>,
}

impl Process {
    async fn build(&mut self, service: Service) -> Result<()> {
        let Some(store) = self.stores.get(&service).cloned() else { return Ok(()) };
        let (context, marks) = (&self.context, self.marks.clone());
        let built = match service {
            Service::Identity => {
                let reader = identity::IdentityReader::new(context, store.clone())?;
                self.owners.insert(Section::Identity, Arc::new(reader.clone()));
                self.identity = Some(reader);
                identity::build(context, store, marks).await?
            }
            Service::Interaction => {
                let feeds = [self.feed(Service::Identity)?];
                let (built, owner) = interaction::build(context, store, marks, feeds).await?;
                self.owners.insert(Section::Interaction, owner.clone());
                self.interaction = Some(owner);
                built
            }
            Service::Segmentation => {
                let feeds = [self.feed(Service::Identity)?, self.feed(Service::Interaction)?];
                let (built, owner) = segmentation::build(context, store, marks, feeds).await?;
                self.owners.insert(Section::Segmentation, owner);
                built
            }
            Service::Customization => {
                let feeds = [
                    self.feed(Service::Identity)?,
                    self.feed(Service::Interaction)?,
                    self.feed(Service::Segmentation)?,
                ];
                customization::build(context, store, marks, feeds).await?
            }
        };
        self.bind(built);
        Ok(())
    }

    fn bind(&mut self, mut built: Built) {
        built.checks.extend(self.stores.get(&built.name).map(|store| up_to_date(built.name, store.clone())));
        self.context.peers.bind_local(built.name, built.routes.clone());
        self.suite.built.push(built);
    }

    /// The feed of `service`: from its store if it lives here, else from where it does.
    fn feed(&self, service: Service) -> Result<Arc<dyn FeedSource>> {
        if let Some(store) = self.stores.get(&service) {
            return Ok(Arc::new(store.feed()));
        }
        let peer = self.context.peers.get(service).for_every_tenant("feed");
        Ok(Arc::new(RemoteFeed::new(service, peer, host::fault)))
    }

    /// What no service owns: the feeds, the profile's sections and the operations of those that live here.
    fn share(&mut self) {
        self.suite.shared.push(operations(&self.context, &self.stores));
        let feeds: Vec<_> = self.stores.values().map(Store::feed).collect();
        let feeds =
            data::feed::Server::new(feeds, self.context.clock.clone(), host::status, self.context.shutdown.clone());
        let feeds = Routes::new().add(host::tuned!(self.context, FeedServiceServer::new(feeds)));
        let profiles = Profiles {
            owners: self.owners.clone(),
            identity: self.identity.clone(),
            interaction: self.interaction.clone(),
        };
        let profiles = Routes::new().add(host::tuned!(self.context, ProfileServiceServer::new(profiles)));
        for service in self.stores.keys() {
            self.context.peers.bind_local(*service, profiles.clone());
        }
        self.suite
            .shared
            .push(Shared { routes: feeds, access: vec![("rapport.feed.v1.FeedService/Watch", Rule::Authenticated)] });
        self.suite.shared.push(Shared {
            routes: profiles,
            access: vec![
                ("rapport.profile.v1.ProfileService/GetSection", Rule::Authenticated),
                ("rapport.profile.v1.ProfileService/ResolveRefs", Rule::Authenticated),
                ("rapport.profile.v1.ProfileService/GetDialogue", Rule::Authenticated),
            ],
        });
    }
}

/// The operations of the services that live here, from their stores.
fn operations(context: &Context, stores: &HashMap<Service, Store>) -> Shared {
    let hosted = stores.values().map(|store| Operations::new(store.clone(), context.ids.clone(), host::status));
    let server = operations::Server::new(
        hosted,
        host::status,
        |extensions| extensions.get::<Call>().and_then(|call| call.deadline),
        context.shutdown.clone(),
    );
    let access = Catalog::get().of("google.longrunning.Operations").into_iter();
    Shared {
        routes: Routes::new().add(host::tuned!(context, OperationsServer::new(server))),
        access: access.map(|rpc| (rpc.name, Rule::Authenticated)).collect(),
    }
}

/// Whether a service's schema is up to date: before, the service is not ready. Once it is it stays so, since nothing
/// takes a migration back.
fn up_to_date(service: Service, store: Store) -> Check {
    let name = match service {
        Service::Identity => "identity.schema",
        Service::Interaction => "interaction.schema",
        Service::Segmentation => "segmentation.schema",
        Service::Customization => "customization.schema",
    };
    let seen = Arc::new(AtomicBool::new(false));
    Check::new(name, move || {
        let (store, seen) = (store.clone(), seen.clone());
        async move {
            if seen.load(Ordering::Relaxed) {
                return Ok(());
            }
            match migrate::lacking(service, &store.pending_migrations().await?) {
                Some(lacking) => Err(Fault::new(Reason::StoreUnavailable, format!("{service}'s store {lacking}"))),
                None => {
                    seen.store(true, Ordering::Relaxed);
                    Ok(())
                }
            }
        }
    })
}
