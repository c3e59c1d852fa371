//! The owners of the sections, reached as peers.

use async_trait::async_trait;
use host::Peers;
use rapport_proto::profile::v1::{GetSectionRequest, SectionKind, profile_service_client::ProfileServiceClient};
use terms::{Caller, CustomerId, Fault, Position, Revision, Service, Tenant};

use crate::section::{Section, Sections, Versioned};

/// Reads sections by `rapport.profile.v1.ProfileService`, wherever their owners run.
#[derive(Debug, Clone)]
pub struct PeerSections {
    peers: Peers,
    reader: Service,
}

impl PeerSections {
    /// Reads on behalf of `reader`, a service of the suite.
    pub fn new(peers: Peers, reader: Service) -> Self {
        Self { peers, reader }
    }
}

impl Section {
    /// Its number in the contract.
    pub const fn kind(self) -> SectionKind {
        match self {
            Self::Identity => SectionKind::Identity,
            Self::Interaction => SectionKind::Interaction,
            Self::Segmentation => SectionKind::Segmentation,
        }
    }
}

#[async_trait]
impl Sections for PeerSections {
    async fn load(
        &self,
        tenant: &Tenant,
        customer: CustomerId,
        section: Section,
        at_least: &Revision,
    ) -> Result<Versioned, Fault> {
        let caller = Caller::all_powerful(tenant.clone(), self.reader.name());
        let peer = self.peers.get(section.service()).on_behalf_of(&caller);
        let request = GetSectionRequest {
            customer_id: customer.to_string(),
            kind: section.kind().into(),
            at_least: at_least.to_string(),
        };
        let reply = ProfileServiceClient::new(peer).get_section(request).await.map_err(host::fault)?.into_inner();
        let revision = reply.revision.parse().map_err(|error: terms::revision::ParseRevisionError| {
            Fault::internal(format!("the revision of the {section} section {error}"))
        })?;
        let version = reply.version.map(|version| Position { xid: version.xid, seq: version.seq });
        Ok(Versioned { revision, version, bytes: reply.section })
    }
}
