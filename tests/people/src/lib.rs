//! People to match: published data sets with their truth, and synthetic ones.

#![forbid(unsafe_code)]

pub mod accuracy;
pub mod published;
pub mod speed;
pub mod synthetic;

use identity_matching::record::Record;

/// Records and which of them are one person.
#[derive(Clone, Debug, Default)]
pub struct People {
    pub records: Vec<Record>,
    /// The person of each record, in the order of the records.
    pub truth: Vec<String>,
}
