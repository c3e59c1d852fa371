//! Identity: who is this, really, and how can we reach them?
//!
//! Sources describe someone in **records**; a record claims **identifiers**. Records that share a unique identifier
//! describe one **customer**: a customer is a connected component of records and identifiers under that evidence. A
//! merge therefore edits evidence, never facts.
//!
//! | file | subject |
//! |---|---|
//! | [`name`], [`normalise`] | what namespaces, sources, traits and identifier values look like |
//! | [`policy`] | what a tenant decides: rules of namespaces, thresholds, survivorship |
//! | [`record`] | [`Record`], [`Claim`]: what a source said, as it said it |
//! | [`golden`] | survivorship: which value of a trait wins, and why |
//! | [`customer`] | [`Customer`]: all of it, as readers see it |
//! | [`guard`], [`anchors`] | what keeps different people from becoming one, and what it needs to know of a customer |
//! | [`view`] | [`View`]: the part of the graph that a decision reads; how a change alters it |
//! | [`merge_customers`], [`split_customer`] | `MergeCustomers` and `SplitCustomer`: by hand, and back |
//! | [`decide_match_candidate`] | `DecideMatchCandidate`: what a steward says of a pair in review |
//! | [`cannot_link`] | pairs that must not become one |
//! | [`identify`] | `Identify`: check, then decide; [`identify_stream`] folds many into one [`Batch`] |
//! | [`matching`] | which records are one party although they share no identifier |
//! | [`match_records`] | `MatchRecords`: the same for a whole data set, without storing it |
//! | [`explain_identity`], [`lookup_customer`], [`list_customers`], [`search`], [`list_identity_history`] | the reading verbs that have rules of their own |
//! | [`relate_customers`], [`list_relations`] | households, employers, guardians: who belongs to whom |
//! | [`update_identity_policy`] | changing what a tenant decides |
//! | [`history`] | everything that happened to identities, with actor and reason |
//! | [`ports`] | [`Customers`], [`Relations`]: what a store offers |
//! | [`memory`] | a store without a disk |
//! | `contract` | the exam that every store sits (feature `contract`) |

#![forbid(unsafe_code)]

pub mod anchors;
pub mod cannot_link;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod customer;
pub mod decide_match_candidate;
pub mod explain_identity;
pub mod golden;
pub mod guard;
pub mod history;
pub mod identify;
pub mod identify_stream;
pub mod list_customers;
pub mod list_identity_history;
pub mod list_relations;
pub mod lookup_customer;
pub mod match_records;
pub mod matching;
pub mod memory;
pub mod merge_customers;
pub mod name;
pub mod normalise;
pub mod policy;
pub mod ports;
pub mod record;
pub mod relate_customers;
pub mod search;
pub mod split_customer;
pub mod update_identity_policy;
pub mod view;

pub use anchors::Anchors;
pub use cannot_link::{CannotLink, CannotLinkId};
pub use customer::{Customer, CustomerIdentifier, Kind, Sourced, TraitValue};
pub use decide_match_candidate::{DecideMatchCandidate, Decided, Label, MatchVerdict};
pub use golden::Golden;
pub use guard::may_join;
pub use history::{Detail, HistoryEntry, HistoryId, HistoryKind};
pub use identify::{ClaimInput, Evidence, Guard, Identified, Identify, IdentifyInput, MatchReason, Refusal};
pub use identify_stream::{Batch, News, identify_all};
pub use list_identity_history::HistoryQuery;
pub use memory::MemoryCustomers;
pub use merge_customers::{MergeCustomers, Merged};
pub use policy::Policy;
pub use ports::{Customers, Relations, Verdicts};
pub use record::{Claim, Facts, Observed, Record, RecordId, RecordKey, SourceKey};
pub use relate_customers::{Relate, RelateInput, Relation, RelationId, RelationType};
pub use search::Search;
pub use split_customer::{Parted, Split, SplitCustomer};
pub use view::{Bond, CustomerState, Lead, Merge, Moment, Node, Sharing, Touched, View};
