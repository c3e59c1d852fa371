//! The section `[segmentation]` of the configuration.

use serde::{Deserialize, Serialize};
use terms::{Fault, Reason};

/// The settings of segmentation and their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentationConfig {
    /// The type of interaction that is a purchase; covers those below it.
    pub purchase_type: String,
    /// How many events, statements and memberships of customers seen lately are kept in memory.
    pub remembered_facts: u64,
    /// Up to so many customers, a new definition answers when its members are complete; beyond, they are computed in
    /// the background.
    pub build_at_once: u32,
}

impl Default for SegmentationConfig {
    fn default() -> Self {
        Self { purchase_type: "purchase".to_owned(), remembered_facts: 100_000, build_at_once: 10_000 }
    }
}

impl SegmentationConfig {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`].
    pub fn check(self) -> Result<Self, Fault> {
        let field = "segmentation.purchase_type";
        if self.purchase_type.trim().is_empty() {
            return Err(Fault::invalid(field, Reason::InvalidFields, "is empty; name a type such as `purchase`"));
        }
        Ok(self)
    }
}
