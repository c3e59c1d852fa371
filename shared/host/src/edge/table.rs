//! Every RPC of this process with what it takes to call it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use terms::{Access, Caller, Fault, Scope, Tenant};

use crate::{Built, Catalog, Routes, Rpc, routes::Handler, telemetry::Instruments};

/// What it takes to call an RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: health, reflection.
    Open,
    /// A valid credential; the handler looks at its scopes itself, because they depend on the request.
    Authenticated,
    /// A scope.
    Scope(Scope),
    /// It is in no access table: nobody may.
    Refused,
}

/// Generated servers that no service owns: feeds, profiles, operations.
#[derive(Debug)]
pub struct Shared {
    /// The servers.
    pub routes: Routes,
    /// Every RPC of them.
    pub access: Vec<(&'static str, Rule)>,
}

/// One RPC of this process.
pub(crate) struct Method {
    pub(crate) rpc: Rpc,
    pub(crate) rule: Rule,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) instruments: Instruments,
    /// Whether it comes with a later release.
    pub(crate) unserved: bool,
    /// Who calls an open RPC: nobody in particular.
    pub(crate) anybody: Arc<Caller>,
}

impl Method {
    /// Whether it may take as long as the caller likes.
    pub(crate) fn long(&self) -> bool {
        !self.rpc.unary()
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) methods: HashMap<&'static str, Arc<Method>>,
    pub(crate) services: BTreeSet<&'static str>,
}

impl Table {
    /// Adds a service with its access table.
    ///
    /// # Errors
    /// When the table names an RPC that is not declared.
    pub(crate) fn add_built(&mut self, built: &Built) -> Result<(), Fault> {
        let service = built.name.name();
        let scope = |access: Access| Rule::Scope(Scope { service: service.to_owned(), access });
        let access: Vec<_> = built.access.iter().map(|(name, access)| (*name, scope(*access))).collect();
        self.insert(&built.routes, &access, built.unserved)
    }

    /// Adds servers that no service owns.
    ///
    /// # Errors
    /// When the table names an RPC that is not declared.
    pub(crate) fn add(&mut self, routes: &Routes, access: &[(&'static str, Rule)]) -> Result<(), Fault> {
        self.insert(routes, access, &[])
    }

    fn insert(&mut self, routes: &Routes, access: &[(&'static str, Rule)], unserved: &[&str]) -> Result<(), Fault> {
        let catalog = Catalog::get();
        let named = access.iter().map(|(name, _)| name).chain(unserved);
        if let Some(stranger) = named.into_iter().find(|name| catalog.rpc(name).is_none()) {
            return Err(Fault::internal(format!("the access table names {stranger}, which is not declared")));
        }
        let rules: HashMap<&str, &Rule> = access.iter().map(|(name, rule)| (*name, rule)).collect();
        let nobody = Tenant::try_from("nobody".to_owned()).map_err(Fault::internal)?;
        let anybody =
            Arc::new(Caller { tenant: nobody, subject: "anybody".into(), scopes: [].into(), every_tenant: false });
        for service in routes.names() {
            self.services.insert(service);
            let Some(handler) = routes.handler(service) else { continue };
            for rpc in catalog.of(service) {
                let rule = rules.get(rpc.name).copied().cloned().unwrap_or(Rule::Refused);
                if rule == Rule::Refused {
                    tracing::error!(rpc = rpc.name, "is in no access table; every call of it will be refused");
                }
                let method = Method {
                    rpc: *rpc,
                    rule,
                    handler: handler.clone(),
                    instruments: Instruments::server(rpc.name),
                    unserved: unserved.contains(&rpc.name),
                    anybody: anybody.clone(),
                };
                self.methods.insert(rpc.name, Arc::new(method));
            }
        }
        Ok(())
    }
}
