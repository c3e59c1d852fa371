//! `UpdateIdentityPolicy`: changes what a tenant decides about identity.

use std::collections::BTreeMap;

use rlibphonenumber::enums::Region;
use serde::{Deserialize, Serialize};
use terms::{Fault, Timestamp};

use crate::policy::{Policy, Rules, Strategy, Thresholds};

/// A policy with its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionedPolicy {
    /// The policy.
    pub policy: Policy,
    /// Counts its changes; 0: the tenant has decided nothing.
    pub version: i64,
    /// When it was last changed (record time).
    pub updated_at: Timestamp,
}

impl VersionedPolicy {
    /// What holds for a tenant that has decided nothing.
    pub fn shipped(policy: Policy) -> Self {
        Self { policy, version: 0, updated_at: Timestamp::EPOCH }
    }

    /// The etag of this state.
    pub fn etag(&self) -> String {
        format!("{:x}-{:x}", self.version, self.updated_at.micros())
    }
}

/// What to change; each part is checked already. `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edit {
    /// All declared namespaces.
    pub namespaces: Option<BTreeMap<String, Rules>>,
    /// Whether other namespaces are taken.
    pub allow_undeclared: Option<bool>,
    /// When a probabilistic match counts.
    pub thresholds: Option<Thresholds>,
    /// All traits with a strategy of their own.
    pub survivorship: Option<BTreeMap<String, Strategy>>,
    /// The strategy of every other trait.
    pub default_survivorship: Option<Strategy>,
    /// All ranked sources.
    pub source_ranking: Option<Vec<String>>,
    /// The region of phone numbers without a country code.
    pub default_region: Option<Option<Region>>,
}

/// The policy after the edit; the same version where nothing differs.
///
/// # Errors
/// [`terms::Reason::EtagStale`] where `etag` is given and is not the current one.
pub fn update_identity_policy(
    current: VersionedPolicy,
    etag: &str,
    edit: &Edit,
    now: Timestamp,
) -> Result<VersionedPolicy, Fault> {
    if !etag.is_empty() && etag != current.etag() {
        return Err(Fault::etag_stale("the identity policy"));
    }
    let Edit { namespaces, allow_undeclared, thresholds, survivorship, .. } = edit.clone();
    let before = current.policy.clone();
    let mut policy = Policy {
        namespaces: namespaces.unwrap_or(before.namespaces),
        allow_undeclared: allow_undeclared.unwrap_or(before.allow_undeclared),
        thresholds: thresholds.unwrap_or(before.thresholds),
        survivorship: survivorship.unwrap_or(before.survivorship),
        default_survivorship: edit.default_survivorship.unwrap_or(before.default_survivorship),
        source_ranking: edit.source_ranking.clone().unwrap_or(before.source_ranking),
        default_region: edit.default_region.unwrap_or(before.default_region),
    };
    policy.prepare();
    if policy == current.policy {
        return Ok(current);
    }
    Ok(VersionedPolicy { policy, version: current.version + 1, updated_at: now })
}

#[cfg(test)]
mod tests {
    use terms::Reason;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_700_000_000);

    #[test]
    fn what_is_not_named_stays() {
        let shipped = VersionedPolicy::shipped(Policy::default());
        let edit = Edit { allow_undeclared: Some(false), ..Edit::default() };
        let updated = update_identity_policy(shipped.clone(), "", &edit, NOW).unwrap();
        assert_eq!((updated.version, updated.updated_at), (1, NOW));
        assert!(!updated.policy.allow_undeclared && updated.policy.namespaces == shipped.policy.namespaces);
        let again = update_identity_policy(updated.clone(), &updated.etag(), &edit, NOW).unwrap();
        assert_eq!(again, updated, "nothing differs");
        let fault = update_identity_policy(updated, &shipped.etag(), &edit, NOW).unwrap_err();
        assert_eq!(fault.reason(), Reason::EtagStale);
    }
}
