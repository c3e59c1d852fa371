//! `rapport.profile.v1.ProfileService`: the sections of the hot profile, each from the service that owns it and lives
//! in this process.

use std::{collections::HashMap, sync::Arc};

use profile::{Section, Sections};
use rapport_proto::profile::v1::{
    BoundaryContacts, DecisionContacts, GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse,
    ResolveRefsRequest, ResolveRefsResponse, SectionKind, profile_service_server::ProfileService,
};
use terms::{Access, CustomerId, Fault, Reason, Revision, Scope, Service, Timestamp, Violations};
use tonic::{Request, Response, Status};

/// How many references one call may ask about.
const MAX_REFS: usize = 10_000;

/// Serves the sections of `owners`.
pub struct Profiles {
    /// By section: who owns it, in this process.
    pub owners: HashMap<Section, Arc<dyn Sections>>,
    /// Resolves references, where identity lives in this process.
    pub identity: Option<identity::IdentityReader>,
    /// Counts dialogues, where interaction lives in this process.
    pub interaction: Option<Arc<interaction::InteractionReader>>,
}

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_section(&self, request: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        host::unary(request, |call, body: GetSectionRequest| async move {
            let mut wrong = Violations::new();
            let section = match body.kind() {
                SectionKind::Identity => Some(Section::Identity),
                SectionKind::Interaction => Some(Section::Interaction),
                SectionKind::Segmentation => Some(Section::Segmentation),
                SectionKind::Unspecified => None,
            };
            wrong.add_if(section.is_none(), "kind", "is required");
            if let Some(section) = section {
                call.require(&read(section.service()))?;
            }
            let customer = wrong.take(CustomerId::parse("customer_id", &body.customer_id));
            let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
            let (true, Some(section), Some(customer)) = (wrong.is_empty(), section, customer) else {
                return Err(host::decode::refused(wrong));
            };
            let owner = self.owners.get(&section).ok_or_else(|| elsewhere(section.service()))?;
            let loaded = owner.load(call.tenant(), customer, section, &at_least).await?;
            Ok(GetSectionResponse {
                kind: body.kind,
                section: loaded.bytes,
                revision: loaded.revision.to_string(),
                customer_id: body.customer_id,
                version: loaded.version.map(|p| rapport_proto::profile::v1::SectionVersion { xid: p.xid, seq: p.seq }),
            })
        })
        .await
    }

    async fn resolve_refs(
        &self,
        request: Request<ResolveRefsRequest>,
    ) -> Result<Response<ResolveRefsResponse>, Status> {
        host::unary(request, |call, body| async move {
            call.require(&read(Service::Identity))?;
            let identity = self.identity.as_ref().ok_or_else(|| elsewhere(Service::Identity))?;
            let mut wrong = Violations::new();
            wrong.add_if(body.refs.len() > MAX_REFS, "refs", "are more than 10,000; ask in several calls");
            wrong.take(Revision::parse("at_least", &body.at_least));
            let decoded = body.refs.into_iter().enumerate().filter_map(|(n, reference)| {
                wrong.take(host::decode::customer(&format!("refs[{n}]"), Some(reference)))
            });
            let references: Vec<_> = decoded.collect();
            wrong.done()?;
            // The store is read, so every write that was acknowledged shows: `at_least` asks for no more.
            let (found, revision) = identity.resolve_refs(call.tenant(), references).await?;
            let mut reply = ResolveRefsResponse { revision: revision.to_string(), ..ResolveRefsResponse::default() };
            for resolved in found {
                reply.customer_ids.push(resolved.customer.map_or_else(String::new, |id| id.to_string()));
                reply.identifiers.push(resolved.identifier.as_ref().map(host::encode::identifier).unwrap_or_default());
            }
            Ok(reply)
        })
        .await
    }

    async fn get_dialogue(
        &self,
        request: Request<GetDialogueRequest>,
    ) -> Result<Response<GetDialogueResponse>, Status> {
        host::unary(request, |call, body| async move {
            call.require(&read(Service::Interaction))?;
            let interaction = self.interaction.as_ref().ok_or_else(|| elsewhere(Service::Interaction))?;
            let mut wrong = Violations::new();
            let customer = wrong.take(CustomerId::parse("customer_id", &body.customer_id));
            let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
            let (true, Some(customer)) = (wrong.is_empty(), customer) else {
                return Err(host::decode::refused(wrong));
            };
            let since = Timestamp(body.since_micros);
            let (dialogue, revision) = interaction.dialogue(&call.caller, customer, since, at_least).await?;
            let decision = |(id, count): (terms::Id<terms::id::Decision>, i64)| DecisionContacts {
                decision_id: id.to_string(),
                count,
            };
            let contacts = dialogue.contacts.into_iter().map(|contacts| BoundaryContacts {
                boundary_id: contacts.boundary.to_string(),
                count: contacts.count,
                decisions: contacts.decisions.into_iter().map(decision).collect(),
            });
            Ok(GetDialogueResponse {
                inbound_count: dialogue.inbound,
                outbound_count: dialogue.outbound,
                organic_count: dialogue.organic,
                boundaries: contacts.collect(),
                revision: revision.to_string(),
            })
        })
        .await
    }
}

fn read(service: Service) -> Scope {
    Scope { service: service.name().to_owned(), access: Access::Read }
}

fn elsewhere(service: Service) -> Fault {
    Fault::new(Reason::PeerUnavailable, format!("{service} does not live in this process; ask where it does"))
        .with("service", service.name())
}
