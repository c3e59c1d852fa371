//! Probabilistic matching: which records are one party although they share no identifier.
//!
//! The model, the scores and the clusters are those of the crate `identity-matching`. Here is what binds them to
//! records and customers.
//!
//! | file | subject |
//! |---|---|
//! | [`field`], [`likeness`] | from traits and identifiers to what is compared |
//! | [`matcher`] | the model in force |
//! | [`search`] | from changed records to pairs and clusters |
//! | [`files`] | what the matcher asks of a store |
//! | [`resemble`] | what follows when records changed |
//! | `part` | who no longer resembles the others leaves them |
//! | [`anew`] | the same for records that are filed although they did not change |
//! | [`settle`] | from clusters to customers, review and answers |
//! | `memory` | what is filed, without a disk |
//! | [`ask`] | what guards send to review |
//! | [`candidate`] | the review queue |
//! | [`port`] | [`Matches`]: what a store tells of it |

pub mod anew;
pub mod ask;
pub mod candidate;
pub mod field;
pub mod files;
pub mod likeness;
pub mod matcher;
pub(crate) mod memory;
mod part;
pub mod port;
pub mod resemble;
pub mod search;
pub mod settle;

pub use anew::{cluster_anew, file_anew};
pub use ask::{Asked, ask};
pub use candidate::{Candidate, CandidateId, CandidateState, Proposal};
pub use files::Files;
pub use likeness::{Likeness, likeness};
pub use matcher::Matcher;
pub use port::{Dossier, Matches, Trained};
pub use resemble::{Filing, Found, resemble};
pub use search::{Known, Pair, Search};
pub use settle::Settling;

use terms::{Fault, Reason};

use crate::{
    identify::{Identified, Identify},
    identify_stream::Batch,
};

/// Whether a command that may not create can still find its customer by resemblance.
fn is_tentative(command: &Identify) -> bool {
    !command.create_if_missing && command.traits.keys().any(|name| likeness::is_name(name))
}

/// A command as it is decided when it stands alone: as if it might create, where resemblance may still find somebody,
/// and as if it were carried out. [`answer`] has the last word.
pub fn attempt(command: &Identify) -> Identify {
    let create_if_missing = command.create_if_missing || is_tentative(command);
    Identify { create_if_missing, validate_only: false, ..command.clone() }
}

/// The answer to a command of which `reply` came when it was attempted.
///
/// # Errors
/// [`Reason::CustomerNotFound`] where nobody was found and none may be created: then nothing may be stored.
pub fn answer(command: &Identify, reply: Identified, batch: &Batch) -> Result<Identified, Fault> {
    if reply.created && !command.create_if_missing {
        return Err(Fault::new(
            Reason::CustomerNotFound,
            "no identifier, no source record id and no resemblance leads to a customer; leave `create_if_missing` \
             unset to create one",
        ));
    }
    if !command.validate_only {
        return Ok(reply);
    }
    let customer = reply.customer.filter(|_| !reply.created);
    let record = reply.record.filter(|record| batch.records.get(record) != Some(&true));
    // A pair is named by its customers.
    let candidates = if reply.created { Vec::new() } else { reply.candidates };
    Ok(Identified { customer, record, candidates, ..reply })
}
