//! The section `[identity]` of the configuration.

use identity_domain::Policy;
use serde::{Deserialize, Serialize};
use terms::{Fault, Reason};

use crate::bulk::places::Places;

/// The settings of identity and their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// The region whose dialling rules read phone numbers without a country code: two letters of ISO 3166-1. Empty:
    /// such numbers are refused.
    pub default_region: String,
    /// Whether `jane+news@example.org` is `jane@example.org`.
    pub drop_plus_tags: bool,
    /// How much memory the customers in process may take, in bytes, roughly; 0 reads each from the store.
    pub cache_bytes: u64,
    /// Below which directory `MatchRecords` reads files. Empty: it reads none.
    pub import_directory: String,
    /// Below which directory `MatchRecords` writes files. Empty: it writes none.
    pub export_directory: String,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            default_region: String::new(),
            drop_plus_tags: false,
            cache_bytes: 32 << 20,
            import_directory: String::new(),
            export_directory: String::new(),
        }
    }
}

impl IdentityConfig {
    /// Where data sets are read and written.
    pub(crate) fn places(&self) -> Places {
        let given = |directory: &str| (!directory.is_empty()).then(|| directory.into());
        Places { import: given(&self.import_directory), export: given(&self.export_directory) }
    }

    /// What the domain takes of it.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a region that is none.
    pub fn policy(&self) -> Result<Policy, Fault> {
        let default_region = match self.default_region.as_str() {
            "" => None,
            code => Some(
                Policy::region(code)
                    .map_err(|wrong| Fault::invalid("identity.default_region", Reason::InvalidFields, wrong))?,
            ),
        };
        Ok(Policy::shipped(default_region, self.drop_plus_tags))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_checked() {
        let config = |region: &str| IdentityConfig { default_region: region.to_owned(), ..IdentityConfig::default() };
        assert!(config("").policy().unwrap().default_region.is_none());
        assert!(config("NO").policy().unwrap().default_region.is_some());
        assert!(config("Norway").policy().is_err());
    }
}
