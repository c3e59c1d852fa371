//! How the commands reach a server: as any client does.

use anyhow::{Context, Result};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// A connection with a credential on each call.
pub type Transport = InterceptedService<Channel, Credentials>;

/// Where a server is, and who calls.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The server.
    #[arg(long, env = "RAPPORT_ADDRESS", default_value = "http://localhost:7400")]
    pub address: String,
    /// A bearer token; servers in development need none.
    #[arg(long, env = "RAPPORT_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The tenant, where the credential leaves the choice.
    #[arg(long, env = "RAPPORT_TENANT")]
    pub tenant: Option<String>,
}

impl Target {
    /// A server that asks for no credential.
    pub fn open(address: String) -> Self {
        Self { address, token: None, tenant: None }
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there, or the token cannot be sent.
    pub async fn connect(&self) -> Result<Transport> {
        let channel = Endpoint::from_shared(self.address.clone())?
            .tcp_nodelay(true)
            .connect()
            .await
            .with_context(|| format!("no server answers at {}", self.address))?;
        let header = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let credentials = Credentials {
            authorization: header(self.token.as_ref().map(|token| format!("Bearer {token}")))
                .context("the token holds characters that no token has")?,
            tenant: header(self.tenant.clone()).context("the tenant's name holds characters that no name has")?,
        };
        Ok(InterceptedService::new(channel, credentials))
    }
}

/// What is put on each call.
#[derive(Debug, Clone)]
pub struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
    tenant: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if let Some(value) = &self.tenant {
            request.metadata_mut().insert("x-rapport-tenant", value.clone());
        }
        Ok(request)
    }
}
