//! What a tenant may decide about identity.

use rlibphonenumber::enums::Region;

/// How identifiers are normalised. Every identifier is unique: two records that share one describe one customer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The region whose dialling rules read a phone number without a country code; `None`: such a number is refused.
    pub default_region: Option<Region>,
    /// Whether `jane+news@example.org` is `jane@example.org`. Off: providers differ in what a plus sign means.
    pub drop_plus_tags: bool,
}

impl Policy {
    /// Whether values of a namespace are numbers that the matcher compares, and whether nobody has two of them. What
    /// stands for a device or a visit says nothing about who somebody is.
    pub fn number(&self, namespace: &str) -> Option<bool> {
        match namespace {
            "device" | "cookie" | "anonymous_id" | "session" => None,
            namespace => Some(namespace == "user_id"),
        }
    }

    /// Reads a region, as in `DE`: ISO 3166-1 alpha-2.
    ///
    /// # Errors
    /// A text that says what is expected.
    pub fn region(code: &str) -> Result<Region, String> {
        code.parse::<Region>().map_err(|_| "is not a region; give two letters of ISO 3166-1, such as DE".to_owned())
    }
}
