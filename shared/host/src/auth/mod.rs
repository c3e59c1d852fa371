//! Who calls: a bearer token or a client certificate to a [`Caller`].
//!
//! A credential names its tenant. One for the tenant `*` is a service's: it chooses the tenant of each call by the
//! header `x-rapport-tenant`, and may say on whose behalf it calls by `x-rapport-subject`.

mod certificate;
mod jwks;
mod jwt;

use std::sync::Arc;

use http::HeaderMap;
use terms::{Access, Caller, Clock, Fault, Reason, Scope, Tenant};

use crate::config::{AuthMode, Client, Config};
pub(crate) use certificate::names;
use jwt::Verifier;

/// The header that names the tenant, for credentials of every tenant.
pub const TENANT_HEADER: &str = "x-rapport-tenant";
/// The header that names on whose behalf a service calls.
pub const SUBJECT_HEADER: &str = "x-rapport-subject";

/// Stands for the tenant where a service has named none, because the call concerns every tenant. No credential and no
/// header can name it.
pub(crate) const NO_TENANT: &str = "every-tenant";

/// The same as a tenant.
pub(crate) fn no_tenant() -> Tenant {
    match NO_TENANT.parse() {
        Ok(tenant) => tenant,
        Err(_) => unreachable!("a valid name"),
    }
}

/// Whether the call names no tenant: only those RPCs may be called so that look at `every_tenant` themselves.
pub(crate) fn names_no_tenant(caller: &Caller) -> bool {
    caller.tenant.as_str() == NO_TENANT
}

/// Reads a tenant that somebody names.
fn tenant(name: &str) -> Option<Tenant> {
    (name != NO_TENANT).then(|| name.parse().ok()).flatten()
}

/// What a verified credential says.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    /// `None` is every tenant.
    tenant: Option<Tenant>,
    subject: Arc<str>,
    scopes: Arc<[Scope]>,
}

impl Credential {
    /// The caller of one request.
    fn caller(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        let named = header(headers, TENANT_HEADER);
        let Some(own) = &self.tenant else {
            return self.chosen(named, headers);
        };
        match named {
            Some(other) if other != own.as_str() => {
                let message = format!("the credential is of the tenant `{own}`; `{TENANT_HEADER}` names another");
                Err(Fault::new(Reason::TenantMismatch, message).with("tenant", own.as_str()))
            }
            _ => Ok(Caller {
                tenant: own.clone(),
                subject: self.subject.clone(),
                scopes: self.scopes.clone(),
                every_tenant: false,
            }),
        }
    }

    fn chosen(&self, named: Option<&str>, headers: &HeaderMap) -> Result<Caller, Fault> {
        let chosen = match named {
            None | Some("*") => no_tenant(),
            Some(name) => tenant(name).ok_or_else(nameless)?,
        };
        let subject = subject(headers).unwrap_or_else(|| self.subject.clone());
        Ok(Caller { tenant: chosen, subject, scopes: self.scopes.clone(), every_tenant: true })
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// On whose behalf a trusted service calls: at most 256 visible characters.
fn subject(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = header(headers, SUBJECT_HEADER)?;
    ((1..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')).then(|| text.into())
}

/// Knows callers.
#[derive(Debug)]
pub(crate) enum Authenticator {
    /// Everybody, for one tenant unless the header names another.
    Open(Caller),
    /// By token; where certificates are known too, by either.
    Jwt(Verifier),
    /// By certificate alone.
    Mtls,
}

impl Authenticator {
    /// As configured.
    ///
    /// # Errors
    /// When the key set cannot be read.
    pub(crate) fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        Ok(match config.auth.mode {
            AuthMode::Open => Self::Open(Caller::all_powerful(config.auth.open_tenant.clone(), "anonymous")),
            AuthMode::Jwt => Self::Jwt(Verifier::new(&config.auth, clock)?),
            AuthMode::Mtls => Self::Mtls,
        })
    }

    /// Who calls.
    ///
    /// # Errors
    /// [`Reason::CredentialMissing`], [`Reason::CredentialInvalid`], [`Reason::CredentialExpired`] or
    /// [`Reason::TenantMismatch`].
    pub(crate) fn caller(&self, headers: &HeaderMap, certificate: Option<&Credential>) -> Result<Caller, Fault> {
        match self {
            Self::Open(everybody) => open(everybody, headers),
            Self::Jwt(verifier) => match (verifier.credential(headers)?, certificate) {
                (Some(credential), _) => credential.caller(headers),
                (None, Some(credential)) => credential.caller(headers),
                (None, None) => Err(Fault::new(
                    Reason::CredentialMissing,
                    "the request carries no credential; send the metadata `authorization: Bearer <token>`",
                )),
            },
            Self::Mtls => match certificate {
                Some(credential) => credential.caller(headers),
                None => Err(Fault::new(
                    Reason::CredentialMissing,
                    "the connection shows no client certificate that the configuration knows",
                )),
            },
        }
    }
}

fn nameless() -> Fault {
    Fault::new(Reason::TenantMismatch, format!("the header `{TENANT_HEADER}` names no tenant")).with("tenant", "*")
}

fn open(everybody: &Caller, headers: &HeaderMap) -> Result<Caller, Fault> {
    let mut caller = everybody.clone();
    if let Some(name) = header(headers, TENANT_HEADER) {
        caller.every_tenant = name == "*";
        caller.tenant = if name == "*" { no_tenant() } else { tenant(name).ok_or_else(nameless)? };
    }
    if let Some(subject) = subject(headers) {
        caller.subject = subject;
    }
    Ok(caller)
}

/// The holders of client certificates.
#[derive(Debug, Default)]
pub(crate) struct Directory(Vec<(String, Credential)>);

impl Directory {
    pub(crate) fn new(clients: &[Client]) -> Self {
        let sensible = |client: &&Client| client.tenant == "*" || tenant(&client.tenant).is_some();
        let known = clients.iter().filter(sensible).map(|client| {
            let credential = Credential {
                tenant: tenant(&client.tenant),
                subject: client.name.as_str().into(),
                scopes: client.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
            };
            (client.name.clone(), credential)
        });
        Self(known.collect())
    }

    /// The holder of a verified certificate that carries `names`.
    pub(crate) fn find(&self, names: &[String]) -> Option<Credential> {
        self.0.iter().find(|(name, _)| names.contains(name)).map(|(_, credential)| credential.clone())
    }
}

/// The scopes of a text such as `identity.write segmentation.read`; what is no scope of ours is somebody else's.
fn scopes(text: &str) -> Arc<[Scope]> {
    text.split_ascii_whitespace().filter_map(|scope| scope.parse().ok()).collect()
}

/// The scopes with which a service works for itself in this process.
pub(crate) fn all_scopes() -> Arc<[Scope]> {
    Arc::new([Scope { service: "*".to_owned(), access: Access::Admin }])
}
