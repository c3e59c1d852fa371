//! What is rare in a row of the review queue: the guards that sent the pair there, and the words of whoever decided.

use identity_domain::Refusal;
use serde::{Deserialize, Serialize};
use terms::{CustomerId, Fault};

use crate::store::sealed::Sealing;

/// `match_candidate.detail`, sealed under the left customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::store) struct Detail {
    #[serde(rename = "g", skip_serializing_if = "Vec::is_empty")]
    pub(in crate::store) guards: Vec<Refusal>,
    #[serde(rename = "w", skip_serializing_if = "Option::is_none")]
    pub(in crate::store) reason: Option<String>,
}

impl Detail {
    /// As it is stored; nothing where there is nothing to say.
    pub(in crate::store) fn sealed(&self, sealing: Sealing<'_>, left: CustomerId) -> Result<Option<Vec<u8>>, Fault> {
        if *self == Self::default() {
            return Ok(None);
        }
        let plain = serde_json::to_vec(self).map_err(Fault::internal)?;
        Ok(Some(sealing.sealer.seal(sealing.tenant, left, &plain)))
    }

    pub(in crate::store) fn open(
        sealing: Sealing<'_>,
        left: CustomerId,
        sealed: Option<Vec<u8>>,
    ) -> Result<Self, Fault> {
        let Some(sealed) = sealed else { return Ok(Self::default()) };
        let plain = sealing.sealer.open(sealing.tenant, left, &sealed)?;
        serde_json::from_slice(&plain).map_err(Fault::internal)
    }
}
