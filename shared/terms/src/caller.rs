//! On whose behalf a request runs.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// A tenant: an enterprise, or a part of one, that shares nothing with the others.
///
/// 1 to 63 characters of `a-z`, `0-9`, `-` and `_`, beginning with a letter or a digit.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a tenant's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tenant is 1 to 63 characters of a-z, 0-9, `-` and `_`, beginning with a letter or a digit")]
pub struct ParseTenantError;

impl FromStr for Tenant {
    type Err = ParseTenantError;

    fn from_str(text: &str) -> Result<Self, ParseTenantError> {
        let fine = (1..=63).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fine { Ok(Self(text.into())) } else { Err(ParseTenantError) }
    }
}

impl TryFrom<String> for Tenant {
    type Error = ParseTenantError;
    fn try_from(text: String) -> Result<Self, ParseTenantError> {
        text.parse()
    }
}

impl From<Tenant> for String {
    fn from(tenant: Tenant) -> Self {
        tenant.as_str().to_owned()
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a scope allows. Each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Look.
    Read,
    /// Look and change.
    Write,
    /// Look, change, and set policy.
    Admin,
}

/// `<service>.<read|write|admin>`, as it stands in a credential; the service may be `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The service's name, or `*`.
    pub service: String,
    /// How much.
    pub access: Access,
}

impl FromStr for Scope {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (service, access) = text.split_once('.').ok_or(())?;
        let access = match access {
            "read" => Access::Read,
            "write" => Access::Write,
            "admin" => Access::Admin,
            _ => return Err(()),
        };
        Ok(Self { service: service.to_owned(), access })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = match self.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Admin => "admin",
        };
        write!(f, "{}.{access}", self.service)
    }
}

/// Who calls: named by the credential, never by the request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Whose data the request sees.
    pub tenant: Tenant,
    /// The credential's subject; goes into histories as the actor.
    pub subject: Arc<str>,
    /// What the credential allows.
    pub scopes: Arc<[Scope]>,
    /// Whether the credential is a service's, of every tenant: it chose `tenant` itself, and follows whole feeds.
    pub every_tenant: bool,
}

impl Caller {
    /// A caller that may do everything for `tenant`: `rapport dev`, and a service working for itself.
    pub fn all_powerful(tenant: Tenant, subject: &str) -> Self {
        Self {
            tenant,
            subject: subject.into(),
            scopes: Arc::new([Scope { service: "*".to_owned(), access: Access::Admin }]),
            every_tenant: false,
        }
    }

    /// Whether the credential allows `access` to `service`.
    pub fn may(&self, service: &str, access: Access) -> bool {
        self.scopes.iter().any(|s| (s.service == service || s.service == "*") && s.access >= access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants() {
        for fine in ["default", "a", "9-x_y"] {
            assert!(fine.parse::<Tenant>().is_ok(), "{fine}");
        }
        for wrong in ["", "-a", "A", "a b", "é", &"a".repeat(64)] {
            assert!(wrong.parse::<Tenant>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_larger_access_includes_the_smaller() {
        let caller = Caller {
            tenant: "t".parse().unwrap(),
            subject: "s".into(),
            scopes: Arc::new(["identity.write".parse().unwrap()]),
            every_tenant: false,
        };
        assert!(caller.may("identity", Access::Read));
        assert!(caller.may("identity", Access::Write));
        assert!(!caller.may("identity", Access::Admin));
        assert!(!caller.may("interaction", Access::Read));
    }
}
