//! The schema of identity. Forward only; one migration per file, named by the file.
//!
//! | table | one row for |
//! |---|---|
//! | `customer` | each customer, survivors only: the golden record and what is counted |
//! | `alias` | each id that was merged away: one hop to the survivor, and what holds the two together |
//! | `lookup` | each identifier and each source key: where it leads |
//! | `record` | each source record: what it says |
//! | `evidence` | each edge between a record and an identifier |
//! | `cannot_link` | each pair of ids that must not become one customer |
//! | `identity_policy` | each tenant that has decided anything about identity |
//! | `match_record` | each record that is compared, with the keys under which it is filed |
//! | `match_filing` | each tenant: how often a record was filed |
//! | `match_pair` | each edge of probabilistic evidence, from either side |
//! | `match_candidate` | each pair of the review queue |
//! | `matcher` | each trained model |
//! | `match_refile` | each tenant whose records are filed anew |
//! | `history` | everything that happened to an identity; twice what concerns two customers |
//! | `relation` | each relation between two customers |
//! | `search` | each word of a customer's name, and each identifier |
//!
//! `lookup.sharing` says with whom else a value was seen; only a value that is not unique, or is a hub, has it.
//!
//! `lookup.customer`, `record.home`, `history.customer`, `search.customer`, `relation` and `cannot_link` name ids, whoever these mean now: readers go
//! through `alias`. So a merge touches two customers and their aliases, however many records they have, and a split that
//! undoes it gives each id back with what belongs to it.

use sea_orm_migration::{
    MigrationTrait, SchemaManager,
    sea_orm::{ConnectionTrait, DbBackend, DbErr},
};

mod m20260102_000001_customer;
mod m20260102_000002_alias;
mod m20260102_000003_lookup;
mod m20260102_000004_record;
mod m20260102_000005_evidence;
mod m20260102_000006_history;
mod m20260201_000101_anchors;
mod m20260201_000102_sharing;
mod m20260201_000103_identity_policy;
mod m20260201_000201_history_detail;
mod m20260201_000202_alias_bond;
mod m20260201_000203_record_key;
mod m20260201_000204_cannot_link;
mod m20260201_000301_match_record;
mod m20260201_000302_match_key;
mod m20260201_000303_match_pair;
mod m20260201_000304_match_candidate;
mod m20260201_000305_matcher;
mod m20260201_000306_match_refile;
mod m20260201_000401_relation;
mod m20260201_000402_search;
mod m20260301_000501_match_filing;

/// In the order in which they are applied.
pub(crate) fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(m20260102_000001_customer::Migration),
        Box::new(m20260102_000002_alias::Migration),
        Box::new(m20260102_000003_lookup::Migration),
        Box::new(m20260102_000004_record::Migration),
        Box::new(m20260102_000005_evidence::Migration),
        Box::new(m20260102_000006_history::Migration),
        Box::new(m20260201_000101_anchors::Migration),
        Box::new(m20260201_000102_sharing::Migration),
        Box::new(m20260201_000103_identity_policy::Migration),
        Box::new(m20260201_000201_history_detail::Migration),
        Box::new(m20260201_000202_alias_bond::Migration),
        Box::new(m20260201_000203_record_key::Migration),
        Box::new(m20260201_000204_cannot_link::Migration),
        Box::new(m20260201_000301_match_record::Migration),
        Box::new(m20260201_000302_match_key::Migration),
        Box::new(m20260201_000303_match_pair::Migration),
        Box::new(m20260201_000304_match_candidate::Migration),
        Box::new(m20260201_000305_matcher::Migration),
        Box::new(m20260201_000306_match_refile::Migration),
        Box::new(m20260201_000401_relation::Migration),
        Box::new(m20260201_000402_search::Migration),
        Box::new(m20260301_000501_match_filing::Migration),
    ]
}

/// Runs the statements of the database at hand.
async fn run(manager: &SchemaManager<'_>, sqlite: &str, postgres: &str) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => postgres,
        _ => sqlite,
    };
    manager.get_connection().execute_unprepared(sql).await.map(drop)
}
