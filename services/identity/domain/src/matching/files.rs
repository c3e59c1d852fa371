//! What the matcher asks of a store, within the transaction that changed the records.

use std::collections::BTreeSet;

use async_trait::async_trait;
use identity_matching::block::Key;
use terms::{CustomerId, Fault};

use super::search::Known;
use crate::{
    customer::Kind,
    record::{Claim, RecordId},
    view::View,
};

/// What is filed of records, and who is paired with whom. Every answer is of the transaction's present.
#[async_trait]
pub trait Files: Send {
    /// Every edge of these records.
    ///
    /// # Errors
    /// What the store says.
    async fn claims(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, Claim)>, Fault>;

    /// What is filed of these records; those that are not compared are left out.
    ///
    /// # Errors
    /// What the store says.
    async fn filed(&mut self, records: &[RecordId]) -> Result<Vec<Known>, Fault>;

    /// Whoever is filed under one of these keys, each once; and how many keys were passed over, because more records
    /// share them than can be looked at.
    ///
    /// # Errors
    /// What the store says.
    async fn sharing(&mut self, keys: &BTreeSet<(Kind, Key)>) -> Result<(Vec<Known>, usize), Fault>;

    /// Every stored pair with one of these records.
    ///
    /// # Errors
    /// What the store says.
    async fn pairs(&mut self, records: &[RecordId]) -> Result<Vec<(RecordId, RecordId)>, Fault>;

    /// Adds to the view whom these customers mean now, and which of them were declared to be two.
    ///
    /// # Errors
    /// What the store says.
    async fn meanings(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault>;

    /// Adds these customers to the view, survivors all, held until the transaction ends.
    ///
    /// # Errors
    /// What the store says.
    async fn customers(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault>;

    /// Adds everything of these customers to the view: records, edges, where these lead, and what holds their ids
    /// together or keeps them apart from others. What is there stays as it is.
    ///
    /// # Errors
    /// What the store says.
    async fn everything(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault>;

    /// Adds every record of these customers to the view; those that are there stay as they are.
    ///
    /// # Errors
    /// What the store says.
    async fn whole(&mut self, view: &mut View, customers: &BTreeSet<CustomerId>) -> Result<(), Fault>;
}
